/**
 * One shard on its owner: its actors, the numbering and chaining of its frames, the inbox queue with the watermark of
 * each source, and who waits for which frame. The journal decides what is committed; this only follows it.
 */
import { HEADER_BYTES, KIND_ROWS, sealFrame } from "../proto/frame/frame_header.ts";
import { InboxRows } from "../proto/frame/rows_layout.ts";
import { type JournalPosition, readTail } from "./journal/claim.ts";
import type { Committer } from "./journal/committer.ts";
import { type Clock, Deposed, type Journal, JournalDamaged, type JournalMessage } from "./ports.ts";
import type { ShardActors } from "./program.ts";

/** Frames kept in memory for repeats of rows that were just decided. */
const RECENT_FRAMES = 64;
/** Frames read back from the journal that are kept for the next repeat of the same frame. */
const READS_KEPT = 8;

export class Shard {
  readonly id: number;
  readonly journal: Journal;
  readonly actors: ShardActors;
  /** True while this node owns the shard and its state is whole. */
  serving = false;
  /** Why it does not serve, in plain words. */
  reason = "starting";
  epoch = 0;
  /** Number of the next frame to be formed. */
  nextFrame = 1;
  committedFrame = 0;
  /** Checksum of the newest formed frame. */
  checksum: Uint8Array = new Uint8Array(16);
  frameTimeUs = 0;
  #monotonicUs = 0;
  committer: Committer | null = null;
  readonly inboxQueue = new InboxRows();
  #inboxHead = 0;
  /** Newest folded frame of each source shard. */
  readonly watermarks: Float64Array;
  readonly #recent = new Map<number, Uint8Array>();
  readonly #reads = new Map<number, Promise<JournalMessage | null>>();
  #waiting: { frame: number; resolve: () => void; reject: (e: Error) => void }[] = [];
  /** Called with the checksum of each committed frame; the snapshotter listens. */
  onCommitted: (frame: number, checksum: Uint8Array) => void = () => {};

  constructor(id: number, shards: number, journal: Journal, actors: ShardActors) {
    this.id = id;
    this.journal = journal;
    this.actors = actors;
    this.watermarks = new Float64Array(shards);
  }

  /** Begins to serve behind a Takeover. */
  serve(takeover: JournalPosition, committer: Committer, clock: Clock): void {
    this.epoch = takeover.epoch;
    this.nextFrame = takeover.sequence + 1;
    this.committedFrame = takeover.sequence;
    this.checksum = takeover.checksum;
    this.frameTimeUs = takeover.frameTimeUs;
    this.#monotonicUs = clock.monotonicUs();
    this.committer = committer;
    this.serving = true;
    this.reason = "";
  }

  /** Stops serving for good in this process; everyone who waits is told. */
  stop(error: Error): void {
    this.serving = false;
    this.reason = error.message;
    for (const w of this.#waiting) w.reject(error);
    this.#waiting = [];
  }

  assignFrame(): number {
    return this.nextFrame++;
  }

  /** Seals a body (with HEADER_BYTES free in front) as frame `number` and hands it to the committer. */
  send(bytes: Uint8Array, number: number, rows: number, clock: Clock): void {
    const now = clock.monotonicUs();
    // Frame time advances by the monotonic clock from its predecessor, and at least by one, so that it orders frames.
    this.frameTimeUs += Math.max(1, Math.round(now - this.#monotonicUs));
    this.#monotonicUs = now;
    const checksum = sealFrame(bytes, {
      kind: KIND_ROWS,
      journalId: this.journal.id,
      shard: this.id,
      epoch: this.epoch,
      frameNumber: number,
      frameTimeUs: this.frameTimeUs,
      rowCount: rows,
      previousChecksum: this.checksum,
    });
    this.checksum = checksum.slice();
    this.#recent.set(number, bytes);
    if (this.#recent.size > RECENT_FRAMES) this.#recent.delete(this.#recent.keys().next().value as number);
    (this.committer as Committer).submit(bytes);
  }

  /** To be called for each committed frame, in order. */
  committed(frame: number): void {
    this.committedFrame = frame;
    const bytes = this.#recent.get(frame);
    if (bytes !== undefined) this.onCommitted(frame, bytes.subarray(HEADER_BYTES - 16, HEADER_BYTES));
    if (this.#waiting.length === 0) return;
    const ready = this.#waiting.filter((w) => w.frame <= frame);
    this.#waiting = this.#waiting.filter((w) => w.frame > frame);
    for (const w of ready) w.resolve();
  }

  /** Resolves when `frame` is committed; rejects when the shard stops first. */
  whenCommitted(frame: number): Promise<void> {
    if (frame <= this.committedFrame) return Promise.resolve();
    if (!this.serving) return Promise.reject(new Error(this.reason));
    return new Promise((resolve, reject) => this.#waiting.push({ frame, resolve, reject }));
  }

  /**
   * Resolves when no later owner stood in the journal at some moment since the call. Rejects with Deposed or
   * JournalDamaged, which also end the shard; with JournalUnavailable when nothing can be known now.
   */
  async confirmOwner(): Promise<void> {
    const known = this.committedFrame;
    try {
      const tail = await readTail(this.journal);
      if (tail.epoch > this.epoch) throw new Deposed(tail.epoch);
      if (tail.epoch === this.epoch && tail.sequence >= known) return;
      throw new JournalDamaged("the tail is below an acknowledged frame", known);
    } catch (e) {
      if (e instanceof Deposed || e instanceof JournalDamaged) this.committer?.endBy(e);
      throw e;
    }
  }

  /** Actors keep the low 32 bits of a frame number: the newest frame with those bits, as none is held for longer. */
  wholeFrame(bits: number): number {
    return this.nextFrame - ((this.nextFrame - bits) % 2 ** 32);
  }

  /** Reads a frame from the journal; those who ask for the same one share the answer. */
  #readOnce(frame: number): Promise<JournalMessage | null> {
    const known = this.#reads.get(frame);
    if (known !== undefined) return known;
    const read = this.journal.read(frame);
    this.#reads.set(frame, read);
    read.catch(() => this.#reads.delete(frame));
    if (this.#reads.size > READS_KEPT) this.#reads.delete(this.#reads.keys().next().value as number);
    return read;
  }

  /** A committed frame's bytes, from memory or the journal. */
  async readFrame(frame: number): Promise<Uint8Array> {
    await this.whenCommitted(frame);
    const recent = this.#recent.get(frame);
    if (recent !== undefined) return recent;
    const message = await this.#readOnce(frame);
    if (message === null) {
      this.#reads.delete(frame);
      throw new Error(`frame ${frame} of shard ${this.id} is not in its journal`);
    }
    return message.bytes;
  }

  /** Adds an empty inbox row and returns its index in inboxQueue. */
  enqueue(source: number, frame: number, kind: number, hi: number, lo: number): number {
    const j = this.inboxQueue.add();
    this.inboxQueue.source[j] = source;
    this.inboxQueue.frame[j] = frame;
    this.inboxQueue.kind[j] = kind;
    this.inboxQueue.hi[j] = hi;
    this.inboxQueue.lo[j] = lo;
    return j;
  }

  get inboxWaiting(): number {
    return this.inboxQueue.n - this.#inboxHead;
  }

  /** Folds whole frames of other shards from the queue, at most about `rowsMax` rows, and records them in `into`. */
  foldInbox(into: InboxRows, rowsMax: number): void {
    const q = this.inboxQueue;
    while (this.#inboxHead < q.n) {
      const from = this.#inboxHead;
      let end = from + 1;
      while (end < q.n && q.source[end] === q.source[from] && q.frame[end] === q.frame[from]) end++;
      if (into.n > 0 && into.n + end - from > rowsMax) return;
      const first = into.n;
      if (q.frame[from] > this.watermarks[q.source[from]]) {
        for (let i = from; i < end; i++) into.copyRow(q, i);
        this.foldRows(into, first, into.n);
      }
      this.#inboxHead = end;
    }
    q.n = 0;
    this.#inboxHead = 0;
  }

  /** Folds inbox rows [from, end) and moves the watermarks: live and in replay. */
  foldRows(rows: InboxRows, from: number, end: number): void {
    for (let i = from; i < end; i++) {
      this.actors.foldInbox(rows, i);
      const last = i + 1 === end || rows.source[i + 1] !== rows.source[i] || rows.frame[i + 1] !== rows.frame[i];
      if (!last) continue;
      const source = rows.source[i];
      if (rows.frame[i] <= this.watermarks[source]) {
        throw new Error(`inbox of shard ${this.id} folds frame ${rows.frame[i]} of ${source} twice`);
      }
      this.watermarks[source] = rows.frame[i];
      this.actors.settle(source, rows.frame[i]);
    }
  }
}
