/**
 * Repeats: a payment whose id is known is answered with the decision that stands in the journal, once its frame is
 * acknowledged; with any other known field different it is ALREADY_EXISTS. Cold path: reads and decodes one frame.
 */

import {
  copyDecided,
  FLAG_LATE,
  FLAG_REPEATED,
  FLAG_TEST_CARD,
  isPayment,
  type KeyColumn,
  RowBlock,
} from "../proto/columns.ts";
import { formatOf, HEADER_BYTES, readHeader } from "../proto/frame/frame_header.ts";
import { type RowsFacts, RowsReader } from "../proto/frame/rows_reader.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { JournalPurged } from "./ports.ts";
import type { Decider } from "./program.ts";
import type { Shard } from "./shard.ts";
import type { Repeat } from "./tick.ts";

/** Field numbers of Payment, for the error of a repeat with other content. */
const FIELDS: readonly [number, (a: RowBlock, i: number, b: RowBlock, j: number) => boolean][] = [
  [3, (a, i, b, j) => same(a.merchant, i, b.merchant, j)],
  [4, (a, i, b, j) => a.amountMinor[i] === b.amountMinor[j]],
  [5, (a, i, b, j) => a.currency[i] === b.currency[j]],
  [6, (a, i, b, j) => a.eventTimeUs[i] === b.eventTimeUs[j]],
  [7, (a, i, b, j) => same(a.card, i, b.card, j)],
  [8, (a, i, b, j) => same(a.device, i, b.device, j)],
  [9, (a, i, b, j) => same(a.ip, i, b.ip, j)],
  [10, (a, i, b, j) => a.country[i] === b.country[j]],
  [11, (a, i, b, j) => a.latitudeE6[i] === b.latitudeE6[j] && a.longitudeE6[i] === b.longitudeE6[j]],
  [12, (a, i, b, j) => a.channel[i] === b.channel[j]],
  [13, (a, i, b, j) => a.category[i] === b.category[j]],
  [14, (a, i, b, j) => same(a.payee, i, b.payee, j)],
  [15, (a, i, b, j) => a.code[i] === b.code[j]],
  [16, (a, i, b, j) => same(a.attributesHash, i, b.attributesHash, j)],
];

function same(a: KeyColumn, i: number, b: KeyColumn, j: number): boolean {
  return a.hi[i] === b.hi[j] && a.lo[i] === b.lo[j];
}

/** A stored row and where it stands; valid during the call that hands it over. */
export interface FoundRow {
  readonly block: RowBlock;
  readonly row: number;
  readonly facts: RowsFacts;
  readonly shard: Shard;
  readonly epoch: number;
  readonly frame: number;
  /** Of the frame's body. */
  readonly format: number;
}

/** Null when the frame is past the retry horizon and was purged. */
function unlessPurged(frame: Promise<Uint8Array>): Promise<Uint8Array | null> {
  return frame.catch((e: Error) => {
    if (e instanceof JournalPurged) return null;
    throw e;
  });
}

export class Repeats {
  readonly #shards: readonly Shard[];
  readonly #decider: Decider;
  readonly #reader: RowsReader;
  readonly #tenantIndex: (id: string) => number;
  readonly #frame = new RowBlock();
  #facts: RowsFacts | null = null;
  readonly #hasMajority: () => Promise<void>;
  /** The frame that #frame and #facts hold: whole batches are repeated together. */
  #decoded: Uint8Array | null = null;

  /**
   * `hasMajority` resolves when the journal servers took a write, and rejects else: those that a partition left in the
   * minority still answer reads, with what they knew before.
   */
  constructor(
    shards: readonly Shard[],
    decider: Decider,
    tenantIndex: (id: string) => number,
    hasMajority: () => Promise<void>,
  ) {
    this.#hasMajority = hasMajority;
    this.#shards = shards;
    this.#decider = decider;
    this.#reader = new RowsReader(decider.shape);
    this.#tenantIndex = tenantIndex;
  }

  /** Writes the stored decision into the repeated row, or the error. Rejects when the frame cannot be read now. */
  async resolve(b: RowBlock, repeat: Repeat): Promise<void> {
    const r = repeat.row;
    if (!isPayment(b.kind[r])) {
      await repeat.shard.whenCommitted(repeat.frame);
      return;
    }
    const bytes = await unlessPurged(repeat.shard.readFrame(repeat.frame));
    if (bytes === null) {
      // Its id is known for longer than its decision: it is not decided again.
      b.error[r] = ErrorCode.EXPIRED;
      return;
    }
    const version = this.#decode(bytes);
    const j = this.#find(b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]);
    if (j < 0) throw new Error(`frame ${repeat.frame} of shard ${repeat.shard.id} does not hold the repeated id`);
    if (this.#frame.kind[j] !== b.kind[r]) {
      b.error[r] = ErrorCode.ALREADY_EXISTS;
      b.errorField[r] = 1;
      return;
    }
    for (const [field, equal] of FIELDS) {
      if (equal(this.#frame, j, b, r)) continue;
      b.error[r] = ErrorCode.ALREADY_EXISTS;
      b.errorField[r] = field;
      return;
    }
    copyDecided(this.#frame, j, b, r);
    b.flags[r] = (b.flags[r] & (FLAG_LATE | FLAG_TEST_CARD)) | FLAG_REPEATED;
    b.version[r] = version;
  }

  /**
   * Hands the stored row of (user, id) to `use`; false when there is none, or none any more. Rejects when a shard
   * cannot tell now. Without a user all actors of the shards `among` are searched, all without, a slice at a time;
   * `pause` lets other work in between.
   */
  async find(
    userHi: number,
    userLo: number,
    idHi: number,
    idLo: number,
    pause: () => Promise<void>,
    use: (found: FoundRow) => void,
    among: readonly number[] | null = null,
  ): Promise<boolean> {
    const known = (userHi | userLo) !== 0;
    const all = among === null ? this.#shards : among.map((s) => this.#shards[s]);
    const shards = known ? [this.#shards[userHi % this.#shards.length]] : all;
    for (const s of shards) {
      const bits = known ? s.actors.findFrame(userHi, userLo, idHi, idLo) : await this.#scan(s, idHi, idLo, pause);
      // A shard that stopped knows nothing of what its new owner decides: it may not say "not found".
      if (!s.serving) throw new Error(`shard ${s.id} does not serve: ${s.reason}`);
      if (bits === 0) continue;
      const frame = s.wholeFrame(bits);
      const bytes = await unlessPurged(s.readFrame(frame));
      if (bytes === null) continue;
      const version = this.#decode(bytes);
      const j = this.#find(userHi, userLo, idHi, idLo);
      if (j < 0) continue;
      this.#frame.version[j] = version;
      this.#frame.flags[j] |= FLAG_REPEATED;
      const { epoch, version: format } = readHeader(bytes);
      // The user of the row may write into it.
      this.#decoded = null;
      use({ block: this.#frame, row: j, facts: this.#facts as RowsFacts, shard: s, epoch, frame, format });
      return true;
    }
    // What is found stands for ever. That nothing is there, only the owner may say, and it may be the owner no more.
    await this.#hasMajority();
    for (const s of shards) await s.confirmOwner();
    return false;
  }

  async #scan(s: Shard, idHi: number, idLo: number, pause: () => Promise<void>): Promise<number> {
    const cursor = { slot: 0 };
    for (;;) {
      const frame = s.actors.scanFrame(idHi, idLo, cursor);
      if (frame >= 0) return frame;
      await pause();
    }
  }

  /** Decodes a frame into #frame, unless it is the one that is there, and returns the index of its versions. */
  #decode(bytes: Uint8Array): number {
    let facts = this.#facts;
    if (facts === null || bytes !== this.#decoded) {
      this.#decoded = null;
      const body = bytes.subarray(HEADER_BYTES);
      facts = this.#reader.read(body, formatOf(bytes), this.#frame, null, this.#tenantIndex);
      this.#facts = facts;
      this.#decoded = bytes;
    }
    return this.#decider.versionIndex(facts.model_version, facts.rule_set_version);
  }

  #find(userHi: number, userLo: number, idHi: number, idLo: number): number {
    const f = this.#frame;
    for (let j = 0; j < f.n; j++) {
      if (f.id.lo[j] !== idLo || f.id.hi[j] !== idHi || !isPayment(f.kind[j])) continue;
      if ((userHi | userLo) === 0 || (f.user.hi[j] === userHi && f.user.lo[j] === userLo)) return j;
    }
    return -1;
  }
}
