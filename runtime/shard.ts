/**
 * One shard on its owner: its actors, the numbering and chaining of its frames, the inbox queue with the watermark of
 * each source, and who waits for which frame. The journal decides what is committed; this only follows it.
 */
import { HEADER_BYTES, KIND_ROWS, sealFrame } from "../proto/frame/frame_header.ts";
import { InboxRows } from "../proto/frame/rows_layout.ts";
import { type JournalPosition, readTail } from "./journal/claim.ts";
import type { Committer } from "./journal/committer.ts";
import { type Clock, Deposed, type Journal, JournalDamaged, type JournalMessage, JournalPurged } from "./ports.ts";
import type { ShardActors } from "./program.ts";

/** Frames kept in memory for repeats of rows that were just decided. */
const RECENT_FRAMES = 64;
/** Folded rows that the inbox queue keeps in front at most, as long as they are less than half. */
const COMPACT_ROWS = 8192;
/** Frames read back from the journal that are kept for the next repeat of the same frame. */
const READS_KEPT = 8;

export class Shard {
  readonly id: number;
  readonly journal: Journal;
  readonly actors: ShardActors;
  /** True while this node owns the shard and its state is whole. */
  serving = false;
  /** Takes new rows: while it serves, but for the end of a planned hand-over. */
  accepting = false;
  /** Its entities answer rows of other shards: all that was committed anywhere up to its claim is folded. */
  answering = false;
  /** Inbox rows folded since it serves, and so many must be before `answering`. */
  #folded = 0;
  #answersAt = Number.POSITIVE_INFINITY;
  /** Frames of this shard up to this one were told to each other shard's node. */
  readonly told: Float64Array;
  /** Why it does not serve, in plain words. */
  reason = "starting";
  epoch = 0;
  /** Frame number of this epoch's Takeover. */
  takeover = 0;
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
  /** Frames of each source up to this one are folded, queued, or hold no rows for this shard; -1: nothing is known. */
  readonly received: Float64Array;
  /** Frames of each source up to this one left the overlay. */
  readonly #settled: Float64Array;
  /** Newest epoch of each source that this shard heard of, and the newest of its frames that it answered. */
  readonly #sourceEpoch: Float64Array;
  /** Frames of each source up to this one must be received before its rows are answered: see admits(). */
  readonly #missed: Float64Array;
  #isBehind = false;
  readonly #answered: Float64Array;
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
    this.received = new Float64Array(shards).fill(-1);
    this.#settled = new Float64Array(shards);
    this.told = new Float64Array(shards);
    this.#sourceEpoch = new Float64Array(shards);
    this.#missed = new Float64Array(shards).fill(-1);
    this.#answered = new Float64Array(shards);
  }

  /** Begins to serve behind a Takeover. */
  serve(takeover: JournalPosition, committer: Committer, clock: Clock): void {
    this.epoch = takeover.epoch;
    this.takeover = takeover.sequence;
    this.told.fill(takeover.sequence);
    this.nextFrame = takeover.sequence + 1;
    this.committedFrame = takeover.sequence;
    this.checksum = takeover.checksum;
    this.frameTimeUs = takeover.frameTimeUs;
    this.#monotonicUs = clock.monotonicUs();
    this.committer = committer;
    this.serving = true;
    this.accepting = true;
    this.reason = "";
  }

  /** Every source's journal was read for this shard up to some moment behind its claim: what was found is queued. */
  refilled(): void {
    if (!this.serving) return;
    this.#answersAt = this.#folded + this.inboxWaiting;
    this.answering = this.inboxWaiting === 0;
  }

  /** Frames of each source up to which nothing is missing in what is folded: an empty inbox missed nothing received. */
  covered(): number[] {
    return Array.from(this.watermarks, (w, i) => (this.inboxWaiting === 0 ? Math.max(w, this.received[i]) : w));
  }

  /**
   * Whether `source` speaks in its newest epoch, as far as this shard heard. A newer one ends those before it: rows
   * that they announced with frames from its Takeover on are never committed. Where epochs between were missed, nobody
   * here knows which of those rows an owner between kept: they are forgotten, and entities answer nobody until all
   * that was committed before the newest Takeover has come.
   */
  admits(source: number, epoch: number, takeover: number): boolean {
    if (epoch < this.#sourceEpoch[source]) return false;
    if (epoch > this.#sourceEpoch[source]) {
      const isNext = epoch === this.#sourceEpoch[source] + 1;
      this.#sourceEpoch[source] = epoch;
      this.#answered[source] = 0;
      this.actors.abandon(source, isNext ? takeover : Math.min(takeover, this.received[source] + 1));
      if (!isNext) this.#awaitAll(source, takeover - 1);
    }
    return true;
  }

  #awaitAll(source: number, frame: number): void {
    // A shard that was not refilled yet answers nobody as it is.
    if (this.received[source] >= frame || !Number.isFinite(this.#answersAt)) return;
    this.#missed[source] = frame;
    this.#isBehind = true;
    this.#answersAt = Number.MAX_VALUE;
    this.answering = false;
  }

  /** Once all that was missed has come, entities answer when what is queued now is folded. */
  #catchUp(): void {
    for (let s = 0; s < this.received.length; s++) if (this.received[s] < this.#missed[s]) return;
    this.#isBehind = false;
    this.refilled();
  }

  /** Whether rows of a source's frame may be answered: once each, in the order of the frames. */
  answersFrame(source: number, frame: number): boolean {
    if (!this.answering || frame <= this.#answered[source] || frame <= this.received[source]) return false;
    this.#answered[source] = frame;
    return true;
  }

  /** Stops serving for good in this process; everyone who waits is told. */
  stop(error: Error): void {
    this.serving = false;
    this.accepting = false;
    this.answering = false;
    this.reason = error.message;
    for (const w of this.#waiting) w.reject(error);
    this.#waiting = [];
  }

  assignFrame(): number {
    return this.nextFrame++;
  }

  /** Seals a body of `format` (with HEADER_BYTES free in front) as frame `number` and hands it to the committer. */
  send(bytes: Uint8Array, number: number, rows: number, clock: Clock, format: number): void {
    const now = clock.monotonicUs();
    // Frame time advances by the monotonic clock from its predecessor, and at least by one, so that it orders frames.
    this.frameTimeUs += Math.max(1, Math.round(now - this.#monotonicUs));
    this.#monotonicUs = now;
    const fields = {
      kind: KIND_ROWS,
      journalId: this.journal.id,
      shard: this.id,
      epoch: this.epoch,
      frameNumber: number,
      frameTimeUs: this.frameTimeUs,
      rowCount: rows,
      previousChecksum: this.checksum,
    };
    const checksum = sealFrame(bytes, fields, format);
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

  /** A committed frame's bytes, from memory or the journal. Rejects with JournalPurged when it is gone. */
  async readFrame(frame: number): Promise<Uint8Array> {
    await this.whenCommitted(frame);
    const recent = this.#recent.get(frame);
    if (recent !== undefined) return recent;
    const message = await this.#readOnce(frame);
    if (message === null) {
      this.#reads.delete(frame);
      const { firstSequence } = await this.journal.state();
      if (frame < firstSequence) throw new JournalPurged(frame, firstSequence);
      throw new Error(`frame ${frame} of shard ${this.id} is not in its journal`);
    }
    return message.bytes;
  }

  /** Whether a source's frame is the next one that this shard, which serves, has to hear of. */
  continues(source: number, frame: number): boolean {
    return this.serving && this.received[source] === frame - 1;
  }

  get inboxWaiting(): number {
    return this.inboxQueue.n - this.#inboxHead;
  }

  /** Folds whole frames of other shards from the queue, at most about `rowsMax` rows, and records them in `into`. */
  foldInbox(into: InboxRows, rowsMax: number): void {
    const q = this.inboxQueue;
    if (this.#isBehind) this.#catchUp();
    if (this.#inboxHead > COMPACT_ROWS && 2 * this.#inboxHead > q.n) {
      q.dropFront(this.#inboxHead);
      this.#inboxHead = 0;
    }
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
      this.#folded += end - from;
      this.#inboxHead = end;
      if (this.#folded >= this.#answersAt && this.serving) this.answering = true;
    }
    q.n = 0;
    this.#inboxHead = 0;
    // What a source announced for frames that turned out to hold nothing for this shard leaves the overlay.
    for (let s = 0; s < this.received.length; s++) {
      if (this.received[s] <= this.#settled[s]) continue;
      this.actors.settle(s, this.received[s]);
      this.#settled[s] = this.received[s];
    }
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
