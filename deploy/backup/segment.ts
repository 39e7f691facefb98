/**
 * Files of frames: magic "FGSEGM01", then for each frame its length (u32, little endian) and its bytes as they stand in
 * the journal. The frames' own checksum chain vouches for them. A segment is written beside its name and renamed when
 * it is whole and synced; it is never changed after that.
 */
import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  FrameError,
  type FrameHeader,
  HEADER_BYTES,
  hex,
  KIND_TAKEOVER,
  MAX_FRAME_BYTES,
  readHeader,
} from "../../proto/frame/frame_header.ts";
import { JOURNAL_START, type JournalPosition, positionOf } from "../../runtime/journal/claim.ts";
import { verifyNext } from "../../runtime/journal/replay.ts";
import { JournalDamaged, type JournalMessage } from "../../runtime/ports.ts";
import { BackupError } from "./errors.ts";
import type { BackedUpJournal, Segment } from "./manifest.ts";

const MAGIC = new TextEncoder().encode("FGSEGM01");
/** A segment is ended behind the frame that brings it to so many bytes; an interrupted run loses at most one. */
const SEGMENT_BYTES = 64 << 20;
const BUFFER_BYTES = 1 << 20;

export class SegmentWriter {
  readonly #folder: string;
  readonly #file: string;
  readonly #handle: FileHandle;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #bytes = 0;
  #first: JournalPosition | null = null;
  #last: JournalPosition | null = null;
  /** A write failed: what is in the file is not known. */
  #isBroken = false;

  private constructor(folder: string, file: string, handle: FileHandle) {
    this.#folder = folder;
    this.#file = file;
    this.#handle = handle;
  }

  /** A segment of a shard's journal whose first frame will be `first`; what an interrupted run left is replaced. */
  static async create(folder: string, shard: number, first: number): Promise<SegmentWriter> {
    const file = join(`shard-${shard}`, `frames-${String(first).padStart(16, "0")}.segment`);
    const path = join(folder, `${file}.partial`);
    await mkdir(dirname(path), { recursive: true });
    const writer = new SegmentWriter(folder, file, await open(path, "w"));
    await writer.#put(MAGIC);
    return writer;
  }

  get isFull(): boolean {
    return this.#bytes >= SEGMENT_BYTES;
  }

  /** A verified frame and its place. */
  async add(bytes: Uint8Array, at: JournalPosition): Promise<void> {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length, true);
    this.#first ??= at;
    this.#last = at;
    await this.#put(length);
    await this.#put(bytes);
  }

  /** Syncs it and gives it its name. There must be a frame in it; rejects when a write failed before. */
  async publish(): Promise<Segment> {
    const [first, last] = [this.#first, this.#last];
    if (first === null || last === null) throw new Error("a segment without frames");
    if (this.#isBroken) throw new Error(`${this.#file} could not be written`);
    await this.#flush();
    await this.#handle.sync();
    await this.#handle.close();
    const path = join(this.#folder, this.#file);
    await rename(`${path}.partial`, path);
    await syncFolder(dirname(path));
    return {
      file: this.#file,
      first: first.sequence,
      last: last.sequence,
      bytes: this.#bytes,
      first_time_us: first.frameTimeUs,
      last_time_us: last.frameTimeUs,
      last_epoch: last.epoch,
      checksum: hex(last.checksum),
    };
  }

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(join(this.#folder, `${this.#file}.partial`), { force: true });
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#bytes += bytes.length;
    if (this.#waitingBytes >= BUFFER_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const all = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#isBroken = true;
    for (let at = 0; at < all.length; ) at += (await this.#handle.write(all, at)).bytesWritten;
    this.#isBroken = false;
  }
}

/** Makes renames in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  await folder.sync();
  await folder.close();
}

/** The frames in a segment's bytes, each with a buffer of its own. Throws BackupError naming `path`. */
export function* framesIn(bytes: Uint8Array, path: string): Generator<Uint8Array> {
  const damaged = (what: string): BackupError => new BackupError("damaged", `${path} is damaged: ${what}`);
  if (!Buffer.from(bytes.subarray(0, MAGIC.length)).equals(MAGIC)) throw damaged("it is no segment");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = MAGIC.length; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw damaged(`it ends inside a length at byte ${at}`);
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || length > MAX_FRAME_BYTES) throw damaged(`a frame of ${length} bytes at byte ${at}`);
    if (at + 4 + length > bytes.length) throw damaged(`it ends inside a frame at byte ${at}`);
    yield new Uint8Array(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
}

export interface VerifiedFrame extends JournalMessage {
  readonly position: JournalPosition;
}

/**
 * Frames of a backed-up journal up to `last`, each verified by itself and in its place. Rejects with BackupError that
 * names the file and the frame.
 */
export async function* readFrames(
  folder: string,
  journal: BackedUpJournal,
  last: number,
): AsyncGenerator<VerifiedFrame> {
  let at: JournalPosition | null = null;
  for (const segment of journal.segments) {
    if (segment.first > last) return;
    const path = join(folder, segment.file);
    const bytes = await readFile(path).catch((e: Error) => {
      throw new BackupError("damaged", `${path} cannot be read: ${e.message}`);
    });
    for (const frame of framesIn(bytes, path)) {
      const sequence: number = at === null ? segment.first : at.sequence + 1;
      at = verified(journal, at, { sequence, bytes: frame }, path);
      if (sequence > last) return;
      yield { sequence, bytes: frame, position: at };
    }
    const isWhole = at !== null && at.sequence === segment.last && hex(at.checksum) === segment.checksum;
    if (!isWhole) {
      const ends = at === null ? "without a frame" : `with frame ${at.sequence}`;
      throw new BackupError("damaged", `${path} is damaged: it ends ${ends}, not with frame ${segment.last} as listed`);
    }
  }
}

function verified(
  journal: BackedUpJournal,
  at: JournalPosition | null,
  message: JournalMessage,
  path: string,
): JournalPosition {
  try {
    return positionOf(verifyNext(journal, at ?? before(message), message));
  } catch (error) {
    if (!(error instanceof JournalDamaged)) throw error;
    throw new BackupError("damaged", `${path} is damaged at frame ${message.sequence}: ${error.message}`);
  }
}

/**
 * What a journal's first copied frame follows: nothing, or a purged frame of which it tells the checksum itself. Throws
 * JournalDamaged.
 */
export function before(message: JournalMessage): JournalPosition {
  if (message.sequence === 1) return JOURNAL_START;
  const header = headerOf(message);
  const isTakeover = header.kind === KIND_TAKEOVER;
  return {
    sequence: message.sequence - 1,
    checksum: header.previousChecksum.slice(),
    epoch: isTakeover ? header.epoch - 1 : header.epoch,
    frameTimeUs: header.frameTimeUs,
  };
}

function headerOf(message: JournalMessage): FrameHeader {
  try {
    return readHeader(message.bytes);
  } catch (error) {
    if (error instanceof FrameError) throw new JournalDamaged(error.message, message.sequence);
    throw error;
  }
}
