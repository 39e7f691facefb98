/**
 * The records of passive actors outside of memory: a log of a PassiveStore that grows at its end and is cleaned from
 * its begin. A record: bytes of the actor's record, its code, CRC-32, its events (4 bytes each, little endian), then
 * the actor's record as it stands in snapshots, padded to 16 bytes. A place is a record's offset in units of 16 bytes,
 * modulo what the log may span. Records never change.
 */
import { crc32 } from "node:zlib";
import { ByteWriter } from "../bytes.ts";

/**
 * Scratch outside of memory for one shard's passive actors; nothing in it is wanted after the process. Errors of reads
 * may be any; what cannot be written stays in memory and is tried again.
 */
export interface PassiveStore {
  /** Bytes appended so far: the offset of the next one. */
  readonly end: number;
  /** Bytes appended that are still in memory. */
  readonly waiting: number;
  /** Copies the bytes; they can be read at once. */
  append(bytes: Uint8Array): void;
  /** Bytes [offset, offset + length), all appended and not forgotten. Not to be changed. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** As read, at once: for cold paths. */
  readNow(offset: number, length: number): Uint8Array;
  /** Bytes before the offset are read no more. */
  forget(offset: number): void;
}

/** A passive actor's record cannot be read as it was written: the state must be rebuilt. Not retryable. */
export class PassiveRecordLost extends Error {
  override name = "PassiveRecordLost";
}

export interface PassiveRecord {
  readonly offset: number;
  /** Bytes in the log, head and padding included. */
  readonly length: number;
  readonly code: number;
  readonly events: number;
  readonly body: Uint8Array;
}

const HEAD = 16;
const UNIT = 16;
/** Bytes between the oldest and the newest record at most. */
export const SPAN_BYTES = 2 ** 34;
/** Read first of a record: most are shorter. */
const FIRST_BYTES = 1024;

export class PassiveLog {
  /** Offset of the oldest record that is not cleaned away. */
  tail = 0;
  /** Bytes of the records that stand for their actors. */
  liveBytes = 0;
  private readonly store: PassiveStore;
  private readonly writer = new ByteWriter(4096);

  constructor(store: PassiveStore) {
    this.store = store;
    this.tail = store.end;
  }

  get end(): number {
    return this.store.end;
  }

  get waiting(): number {
    return this.store.waiting;
  }

  /** Bytes from the oldest record to the newest. */
  get bytes(): number {
    return this.store.end - this.tail;
  }

  /** Begins a record: the actor's is to be written behind what is in the writer. */
  begin(): ByteWriter {
    this.writer.reset();
    this.writer.take(HEAD);
    return this.writer;
  }

  /** Appends the record begun; returns its place. */
  commit(code: number, events: number): number {
    const w = this.writer;
    const body = w.length - HEAD;
    w.patchU32(0, body);
    w.patchU32(4, code);
    w.patchU32(8, crc32(w.view(HEAD), seed(code, events)));
    w.patchU32(12, events);
    const length = whole(body);
    const end = w.length;
    w.take(length - end);
    w.memory.fill(0, end, length);
    const offset = this.store.end;
    if (offset + length - this.tail > SPAN_BYTES) throw new RangeError("the log of passive actors spans too much");
    this.store.append(w.view());
    this.liveBytes += length;
    return (offset % SPAN_BYTES) / UNIT;
  }

  /** Where the record of a place lies. */
  offsetOf(place: number): number {
    const ahead = (place * UNIT - (this.tail % SPAN_BYTES) + SPAN_BYTES) % SPAN_BYTES;
    return this.tail + ahead;
  }

  placeOf(offset: number): number {
    return (offset % SPAN_BYTES) / UNIT;
  }

  /** The record at offset `at` of bytes that were read from `from`; null when it does not lie wholly in them. */
  parse(bytes: Uint8Array, at: number, from: number): PassiveRecord | null {
    if (at + HEAD > bytes.length) return null;
    const data = new DataView(bytes.buffer, bytes.byteOffset + at, HEAD);
    const length = data.getUint32(0, true);
    if (at + whole(length) > bytes.length) return null;
    const body = bytes.subarray(at + HEAD, at + HEAD + length);
    const code = data.getUint32(4, true);
    const events = data.getUint32(12, true);
    if (crc32(body, seed(code, events)) !== data.getUint32(8, true)) {
      throw new PassiveRecordLost(`record ${from + at} is damaged`);
    }
    return { offset: from + at, length: whole(length), code, events, body };
  }

  /** The record at a place. Rejects with PassiveRecordLost. */
  async read(place: number): Promise<PassiveRecord> {
    const offset = this.offsetOf(place);
    try {
      const first = await this.store.read(offset, this.within(offset, FIRST_BYTES));
      const wanted = lengthOf(first);
      const bytes = wanted <= first.length ? first : await this.store.read(offset, this.within(offset, wanted));
      return this.only(bytes, offset);
    } catch (error) {
      throw lost(error);
    }
  }

  /** As read, at once. Throws PassiveRecordLost. */
  readNow(place: number): PassiveRecord {
    const offset = this.offsetOf(place);
    const first = this.bytesNow(offset, FIRST_BYTES);
    const wanted = lengthOf(first);
    return this.only(wanted <= first.length ? first : this.bytesNow(offset, wanted), offset);
  }

  /** Whole records from an offset on, about so many bytes of them and at least one; none at the end. */
  *recordsFrom(offset: number, end: number, bytesMax: number): IterableIterator<PassiveRecord> {
    if (offset >= end) return;
    const slice = this.bytesNow(offset, Math.min(bytesMax, end - offset));
    yield* this.recordsOf(slice, offset);
  }

  /** The records of a slice that begins with one; of a slice that is shorter than its first, that one. */
  *recordsOf(slice: Uint8Array, offset: number): IterableIterator<PassiveRecord> {
    let at = 0;
    for (let r = this.parse(slice, 0, offset); r !== null; r = this.parse(slice, at, offset)) {
      yield r;
      at += r.length;
    }
    if (at === 0) yield this.readNow(this.placeOf(offset));
  }

  /** A slice from the oldest record on, at most so long. */
  async oldest(bytesMax: number): Promise<Uint8Array> {
    return this.store.read(this.tail, this.within(this.tail, bytesMax));
  }

  /** All records before `offset` are cleaned away. */
  clean(offset: number): void {
    this.tail = offset;
    this.store.forget(offset);
  }

  private only(bytes: Uint8Array, offset: number): PassiveRecord {
    const record = this.parse(bytes, 0, offset);
    if (record === null) throw new PassiveRecordLost(`record ${offset} ends early`);
    return record;
  }

  private within(offset: number, length: number): number {
    return Math.min(length, this.store.end - offset);
  }

  private bytesNow(offset: number, length: number): Uint8Array {
    try {
      return this.store.readNow(offset, this.within(offset, length));
    } catch (error) {
      throw lost(error);
    }
  }
}

/** The checksum of a record's bytes covers its head too. */
function seed(code: number, events: number): number {
  return (code ^ Math.imul(events, 0x9e3779b1)) >>> 0;
}

/** Bytes of a record in the log. */
function whole(body: number): number {
  return Math.ceil((HEAD + body) / UNIT) * UNIT;
}

function lengthOf(first: Uint8Array): number {
  if (first.length < HEAD) throw new PassiveRecordLost("a record's head ends early");
  return whole(new DataView(first.buffer, first.byteOffset, HEAD).getUint32(0, true));
}

function lost(error: unknown): PassiveRecordLost {
  return error instanceof PassiveRecordLost ? error : new PassiveRecordLost((error as Error).message);
}
