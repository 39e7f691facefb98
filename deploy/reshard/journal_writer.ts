/**
 * Writes one new journal: a Takeover, frames, a Release. A few appends are under way at a time, each expecting the one
 * before it; the first that is not acknowledged at its place ends the work, to be begun anew.
 */
import {
  type FrameHeader,
  KIND_RELEASE,
  KIND_ROWS,
  KIND_TAKEOVER,
  MAX_FRAME_BYTES,
  readHeader,
  sealFrame,
} from "../../proto/frame/frame_header.ts";
import { type Owner, sealOwnerFrame } from "../../runtime/journal/takeover.ts";
import type { Journal } from "../../runtime/ports.ts";
import { ReshardError } from "./errors.ts";

export const EPOCH = 1;
/** Appends under way, unless the journal takes one at a time. */
const IN_FLIGHT = 8;

export class JournalWriter {
  readonly journal: Journal;
  readonly #owner: Owner;
  #next = 1;
  #frameTimeUs = 0;
  #checksum: Uint8Array = new Uint8Array(16);
  readonly #underWay: Promise<void>[] = [];

  constructor(journal: Journal, owner: Owner) {
    this.journal = journal;
    this.#owner = owner;
  }

  /** Number of the next frame. */
  get next(): number {
    return this.#next;
  }

  begin(frameTimeUs: number): Promise<void> {
    return this.#append(sealOwnerFrame(this.#owner, this.#fields(KIND_TAKEOVER, 0, frameTimeUs)));
  }

  /** `bytes`: a body of that format, with room for the header in front; at most MAX_FRAME_BYTES. */
  rows(bytes: Uint8Array, rows: number, frameTimeUs: number, format: number): Promise<void> {
    if (bytes.length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${bytes.length} bytes`);
    sealFrame(bytes, this.#fields(KIND_ROWS, rows, frameTimeUs), format);
    return this.#append(bytes);
  }

  /** Nobody owns the journal: the next node claims it at once. Resolves when all is acknowledged. */
  async end(): Promise<void> {
    await this.#append(sealOwnerFrame(this.#owner, this.#fields(KIND_RELEASE, 0, this.#frameTimeUs + 1)));
    await Promise.all(this.#underWay);
  }

  #fields(kind: FrameHeader["kind"], rowCount: number, frameTimeUs: number) {
    // Frames of several journals that were merged may have the same time.
    this.#frameTimeUs = Math.max(this.#frameTimeUs, frameTimeUs);
    return {
      kind,
      journalId: this.journal.id,
      shard: this.journal.shard,
      epoch: EPOCH,
      frameNumber: this.#next,
      frameTimeUs: this.#frameTimeUs,
      rowCount,
      previousChecksum: this.#checksum,
    };
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const sequence = this.#next++;
    this.#checksum = checksumOf(bytes);
    const sent = this.journal.append(bytes, sequence - 1).then((result) => {
      if (result.kind === "appended" && result.sequence === sequence) return;
      const said = result.kind === "full" || result.kind === "unknown" ? `: ${result.message}` : "";
      throw new ReshardError(
        "not_written",
        `frame ${sequence} of new shard ${this.journal.shard}: ${result.kind}${said}`,
      );
    });
    // Whoever waits for the oldest, or for the end, is told.
    sent.catch(() => {});
    this.#underWay.push(sent);
    if (this.#underWay.length >= (this.journal.appends_max === 1 ? 1 : IN_FLIGHT)) await this.#underWay.shift();
  }
}

function checksumOf(bytes: Uint8Array): Uint8Array {
  return readHeader(bytes).checksum.slice();
}
