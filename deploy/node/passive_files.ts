/**
 * Passive actors in files: for each shard segments of a log, written behind in chunks. They are scratch: a segment
 * loses its name when it is made, so that nothing is left of it after the process, however that ends.
 */
import { closeSync, mkdirSync, openSync, read, readSync, rmSync, unlinkSync, write, writeSync } from "node:fs";
import { join } from "node:path";
import type { PassiveStore } from "../../runtime/ports.ts";

/** Bytes of a segment's file, and of what is written at once; the one is a multiple of the other. */
const SEGMENT_BYTES = 64 << 20;
const CHUNK_BYTES = 256 * 1024;
/** Bytes in memory above which an append waits for the disk: while a snapshot is loaded. */
const WAITING_BYTES_MAX = 32 << 20;
/** Pause after a failed write, milliseconds. */
const RETRY_MS = 1000;

export class PassiveFiles {
  readonly #dir: string;
  readonly #onWriteFailed: (error: Error) => void;
  readonly #open = new Map<number, FileLog>();

  /** `onWriteFailed`: what could not be written stays in memory and is tried again. */
  constructor(dir: string, onWriteFailed: (error: Error) => void) {
    this.#dir = dir;
    this.#onWriteFailed = onWriteFailed;
    rmSync(dir, { recursive: true, force: true });
  }

  /** An empty log of a shard; the one that it had is gone. */
  open(shard: number): PassiveStore {
    this.#open.get(shard)?.close();
    const log = new FileLog(join(this.#dir, `shard-${shard}`), this.#onWriteFailed);
    this.#open.set(shard, log);
    return log;
  }

  close(): void {
    for (const log of this.#open.values()) log.close();
    this.#open.clear();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

interface Segment {
  readonly file: number;
  /** Calls under way: a file is closed after the last. */
  users: number;
  gone: boolean;
}

class FileLog implements PassiveStore {
  end = 0;
  readonly #path: string;
  readonly #onWriteFailed: (error: Error) => void;
  readonly #segments = new Map<number, Segment>();
  /** Chunks in memory by number (offset / CHUNK_BYTES), ascending; the last one is open. */
  readonly #chunks = new Map<number, Buffer>();
  #writing = false;
  #closed = false;
  #failing = false;

  constructor(path: string, onWriteFailed: (error: Error) => void) {
    this.#path = path;
    this.#onWriteFailed = onWriteFailed;
  }

  get waiting(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const number = Math.floor(this.end / CHUNK_BYTES);
      const at = this.end % CHUNK_BYTES;
      let chunk = this.#chunks.get(number);
      if (chunk === undefined) {
        chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
        this.#chunks.set(number, chunk);
      }
      const n = Math.min(bytes.length - from, CHUNK_BYTES - at);
      chunk.set(bytes.subarray(from, from + n), at);
      from += n;
      this.end += n;
      if (at + n === CHUNK_BYTES) this.#write();
    }
  }

  /** Writes the oldest whole chunk, then the next. */
  #write(): void {
    if (this.waiting > WAITING_BYTES_MAX && !this.#failing) this.#writeNow();
    const first = this.#chunks.entries().next().value;
    if (this.#writing || this.#closed || first === undefined) return;
    const [number, chunk] = first;
    if ((number + 1) * CHUNK_BYTES > this.end) return;
    this.#writing = true;
    const done = (error: Error | null): void => {
      this.#writing = false;
      this.#failing = error !== null;
      if (error === null) {
        this.#chunks.delete(number);
        this.#write();
      } else {
        this.#onWriteFailed(error);
        setTimeout(() => this.#write(), RETRY_MS).unref();
      }
    };
    let segment: Segment;
    try {
      segment = this.#segment(number * CHUNK_BYTES);
    } catch (error) {
      done(error as Error);
      return;
    }
    segment.users++;
    write(segment.file, chunk, 0, CHUNK_BYTES, (number * CHUNK_BYTES) % SEGMENT_BYTES, (error, written) => {
      this.#leave(segment);
      done(error ?? (written === CHUNK_BYTES ? null : new Error(`${written} of ${CHUNK_BYTES} bytes written`)));
    });
  }

  /** Writes the newest whole chunks: the oldest may be under way. */
  #writeNow(): void {
    for (const [number, chunk] of [...this.#chunks].slice(1, -1)) {
      try {
        const { file } = this.#segment(number * CHUNK_BYTES);
        const written = writeSync(file, chunk, 0, CHUNK_BYTES, (number * CHUNK_BYTES) % SEGMENT_BYTES);
        if (written === CHUNK_BYTES) this.#chunks.delete(number);
      } catch (error) {
        this.#failing = true;
        this.#onWriteFailed(error as Error);
        return;
      }
    }
  }

  #segment(offset: number): Segment {
    const number = Math.floor(offset / SEGMENT_BYTES);
    let segment = this.#segments.get(number);
    if (segment === undefined) {
      mkdirSync(this.#path, { recursive: true });
      const path = join(this.#path, `${number}`);
      segment = { file: openSync(path, "w+"), users: 0, gone: false };
      unlinkSync(path);
      this.#segments.set(number, segment);
    }
    return segment;
  }

  #leave(segment: Segment): void {
    if (--segment.users === 0 && segment.gone) closeSync(segment.file);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafe(length);
    const reads: Promise<void>[] = [];
    this.#parts(bytes, offset, (segment, at, n, position) => {
      segment.users++;
      reads.push(
        new Promise((resolve, reject) => {
          read(segment.file, bytes, at, n, position, (error, got) => {
            this.#leave(segment);
            if (error !== null) reject(error);
            else if (got !== n) reject(new Error(`${got} of ${n} bytes read`));
            else resolve();
          });
        }),
      );
    });
    await Promise.all(reads);
    return bytes;
  }

  readNow(offset: number, length: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(length);
    this.#parts(bytes, offset, (segment, at, n, position) => {
      const got = readSync(segment.file, bytes, at, n, position);
      if (got !== n) throw new Error(`${got} of ${n} bytes read`);
    });
    return bytes;
  }

  /** Copies what is in memory, and tells what of the range lies in files, by segment. */
  #parts(
    into: Buffer,
    offset: number,
    inFile: (segment: Segment, at: number, n: number, position: number) => void,
  ): void {
    if (this.#closed || offset + into.length > this.end) throw new Error(`no bytes at ${offset}`);
    for (let at = 0; at < into.length; ) {
      const o = offset + at;
      const chunk = this.#chunks.get(Math.floor(o / CHUNK_BYTES));
      let n = Math.min(into.length - at, CHUNK_BYTES - (o % CHUNK_BYTES));
      if (chunk !== undefined) into.set(chunk.subarray(o % CHUNK_BYTES, (o % CHUNK_BYTES) + n), at);
      else {
        // Chunks of one segment that lie behind each other are read at once.
        const end = Math.min(offset + into.length, (Math.floor(o / SEGMENT_BYTES) + 1) * SEGMENT_BYTES);
        while (o + n < end && !this.#chunks.has((o + n) / CHUNK_BYTES)) n += Math.min(CHUNK_BYTES, end - o - n);
        const segment = this.#segments.get(Math.floor(o / SEGMENT_BYTES));
        if (segment === undefined) throw new Error(`no bytes at ${o}`);
        inFile(segment, at, n, o % SEGMENT_BYTES);
      }
      at += n;
    }
  }

  forget(offset: number): void {
    const first = Math.floor(offset / SEGMENT_BYTES);
    for (const [number, segment] of this.#segments) {
      if (number < first) this.#drop(number, segment);
    }
  }

  #drop(number: number, segment: Segment): void {
    this.#segments.delete(number);
    segment.gone = true;
    segment.users++;
    this.#leave(segment);
  }

  close(): void {
    this.#closed = true;
    for (const [number, segment] of this.#segments) this.#drop(number, segment);
    this.#chunks.clear();
  }
}
