/**
 * Bytes of a snapshot, written and read in order, a slice at a time: magic, header (JSON), slices, footer (JSON). Each
 * part but the magic has its length in front and behind it a link: SHA-256 over the link before and the part. So a
 * slice is known to be right before it is loaded, and the last link covers every byte.
 */
import { createHash } from "node:crypto";
import { ByteWriter } from "./kernel/bytes.ts";
import { type Journal, SnapshotUnusable } from "./ports.ts";

const MAGIC = Buffer.from("FGSNAP02");
const LINK_BYTES = 32;
const HEAD_BYTES_MAX = 1 << 20;
/** No writer makes larger slices; a reader takes no more for damaged lengths. */
const SLICE_BYTES_MAX = 1 << 23;
const SLICE_BYTES_FIRST = 1 << 17;

/** What a snapshot says of itself before its content. */
export interface SnapshotHead {
  readonly journal_id: string;
  readonly shard: number;
  readonly layout: string;
  /** Its last frame. */
  readonly frame: number;
  readonly frame_time_us: number;
  readonly epoch: number;
  /** By source shard: the newest of its frames that is folded or holds nothing for this shard. */
  readonly watermarks: readonly number[];
  /** Of the restore that made the journals; absent: they were never restored. */
  readonly restore_id?: string;
}

/** Whether the frames that the snapshot knows, of any shard, are those of the journal and the ones beside it. */
export function isOfRestore(head: SnapshotHead, journal: Pick<Journal, "restoreId">): boolean {
  return (head.restore_id ?? "") === (journal.restoreId ?? "");
}

/** ... and behind it. */
export interface SnapshotFoot {
  /** Of the last frame, hex. */
  readonly checksum: string;
  /** Bytes of all slices. */
  readonly bytes: number;
}

/** Makes the bytes of one snapshot: head, slices, foot, each to be written before the next is asked for. */
export class SnapshotEncoder {
  #link: Buffer = Buffer.alloc(LINK_BYTES);

  head(head: SnapshotHead): Uint8Array {
    return Buffer.concat([MAGIC, this.#part(Buffer.from(JSON.stringify(head)))]);
  }

  /** Empties `w` for the content of a slice. */
  beginSlice(w: ByteWriter): void {
    w.reset();
    w.u32(0);
  }

  /** Puts its length before and its link behind what was written since beginSlice(); false when that is nothing. */
  endSlice(w: ByteWriter): boolean {
    const length = w.length - 4;
    if (length === 0) return false;
    if (length > SLICE_BYTES_MAX) throw new RangeError(`slice of ${length} bytes`);
    w.patchU32(0, length);
    this.#link = linked(this.#link, w.view(4));
    w.bytes(this.#link);
    return true;
  }

  foot(foot: SnapshotFoot): Uint8Array {
    return Buffer.concat([u32(0), this.#part(Buffer.from(JSON.stringify(foot)))]);
  }

  #part(bytes: Uint8Array): Buffer {
    this.#link = linked(this.#link, bytes);
    return Buffer.concat([u32(bytes.length), bytes, this.#link]);
  }
}

/** Reads one snapshot from `parts`. Every call rejects with SnapshotUnusable when the bytes are not as written. */
export class SnapshotDecoder {
  readonly #parts: AsyncIterator<Uint8Array>;
  #have: Buffer = Buffer.alloc(0);
  #link: Buffer = Buffer.alloc(LINK_BYTES);
  #bytes = 0;

  constructor(parts: AsyncIterable<Uint8Array>) {
    this.#parts = parts[Symbol.asyncIterator]();
  }

  /** To be called first. */
  async head(): Promise<SnapshotHead> {
    if (!(await this.#take(MAGIC.length)).equals(MAGIC)) throw new SnapshotUnusable("not a snapshot of this format");
    const head = parsed(await this.#part(await this.#length(HEAD_BYTES_MAX)));
    if (!isHead(head)) throw new SnapshotUnusable("its header is not one");
    return head;
  }

  /** The next slice, verified; the caller's to keep. Null behind the last one: then foot() is there. */
  async slice(): Promise<Uint8Array | null> {
    const n = await this.#length(SLICE_BYTES_MAX);
    if (n === 0) return null;
    this.#bytes += n;
    return this.#part(n);
  }

  /** Also checks that nothing is missing and nothing comes behind it. */
  async foot(): Promise<SnapshotFoot> {
    const foot = parsed(await this.#part(await this.#length(HEAD_BYTES_MAX)));
    if (!isFoot(foot) || foot.bytes !== this.#bytes) throw new SnapshotUnusable("slices are missing");
    if (this.#have.length > 0 || (await this.#parts.next()).done !== true)
      throw new SnapshotUnusable("goes on behind its end");
    return foot;
  }

  /** Ends reading, at whatever point. */
  async close(): Promise<void> {
    await this.#parts.return?.();
  }

  async #length(max: number): Promise<number> {
    const n = (await this.#take(4)).readUInt32LE();
    if (n > max) throw new SnapshotUnusable("a length is damaged");
    return n;
  }

  async #part(length: number): Promise<Buffer> {
    const bytes = await this.#take(length);
    this.#link = linked(this.#link, bytes);
    if (!(await this.#take(LINK_BYTES)).equals(this.#link)) {
      throw new SnapshotUnusable("does not match its checksum");
    }
    return bytes;
  }

  async #take(n: number): Promise<Buffer> {
    if (this.#have.length < n) await this.#fill(n);
    const taken = this.#have.subarray(0, n);
    this.#have = this.#have.subarray(n);
    return taken;
  }

  async #fill(n: number): Promise<void> {
    const held: Uint8Array[] = [this.#have];
    for (let bytes = this.#have.length; bytes < n; ) {
      const { value, done } = await this.#parts.next();
      if (done === true) throw new SnapshotUnusable("ends early");
      held.push(value);
      bytes += value.length;
    }
    this.#have = Buffer.concat(held);
  }
}

/** The same snapshot with something else in its head. Rejects with SnapshotUnusable. */
export async function* withHead(
  parts: AsyncIterable<Uint8Array>,
  change: Partial<SnapshotHead>,
): AsyncGenerator<Uint8Array> {
  const decoder = new SnapshotDecoder(parts);
  const encoder = new SnapshotEncoder();
  const w = new ByteWriter(SLICE_BYTES_FIRST);
  try {
    yield encoder.head({ ...(await decoder.head()), ...change });
    for (let slice = await decoder.slice(); slice !== null; slice = await decoder.slice()) {
      encoder.beginSlice(w);
      w.bytes(slice);
      if (encoder.endSlice(w)) yield w.view();
    }
    yield encoder.foot(await decoder.foot());
  } finally {
    await decoder.close();
  }
}

function linked(before: Uint8Array, part: Uint8Array): Buffer {
  return createHash("sha256").update(before).update(part).digest();
}

function u32(v: number): Uint8Array {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(v);
  return b;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new SnapshotUnusable("its header or footer is not JSON");
  }
}

const isWhole = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 0;

function isHead(v: unknown): v is SnapshotHead {
  const h = v as { [K in keyof SnapshotHead]?: unknown } | null;
  if (h === null || typeof h !== "object") return false;
  if (typeof h.journal_id !== "string" || typeof h.layout !== "string") return false;
  if (h.restore_id !== undefined && typeof h.restore_id !== "string") return false;
  if (![h.shard, h.frame, h.frame_time_us, h.epoch].every(isWhole)) return false;
  return Array.isArray(h.watermarks) && h.watermarks.every((w) => Number.isSafeInteger(w));
}

function isFoot(v: unknown): v is SnapshotFoot {
  const f = v as { [K in keyof SnapshotFoot]?: unknown } | null;
  return f !== null && typeof f === "object" && /^[0-9a-f]{32}$/.test(`${f.checksum}`) && isWhole(f.bytes);
}
