/**
 * The events of one heavy actor: chunks of CHUNK_EVENTS in order of time, addressed by positions. A position is a count
 * modulo 2^31 that an event keeps while it is held (a late event moves newer ones up by one). Chunks have summaries,
 * made when they are needed, and may be pinned by a snapshot: then they are copied before they change.
 */
import { CHUNK_CLASS, CHUNK_EVENTS, SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import { FRAUD, putEvent, putOrigin, REVERSED, SUPERSEDED, timeAt } from "./event_words.ts";
import { addEvent, T_DISTINCT, T_MAX, TALLY } from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

export const POSITION_MASK = 0x7fffffff;
export const CHUNK_BITS = 6;
const CHUNK_MASK = POSITION_MASK >>> CHUNK_BITS;
/** Place of the number of frauds in a chunk's summary: the word a tally does not use. */
export const T_FRAUDS = 7;

/** A snapshot's hold on the chunks of one actor. */
export class Pin {
  readonly refs: Uint32Array;
  /** Chunks that are no longer the actor's: freed when written. */
  readonly owned: Uint8Array;
  readonly firstChunk: number;
  /** Events of the first chunk that were already dropped at the cut. */
  readonly skip: number;
  readonly events: number;
  /** Chunks written. */
  written = 0;
  store: HeavyStore;

  constructor(store: HeavyStore, refs: Uint32Array, firstChunk: number) {
    this.store = store;
    this.refs = refs;
    this.owned = new Uint8Array(refs.length);
    this.firstChunk = firstChunk;
    this.skip = store.head & (CHUNK_EVENTS - 1);
    this.events = store.count;
  }

  /** Index of a chunk that is still to be written and still the actor's, else -1. */
  index(chunk: number): number {
    const k = (chunk - this.firstChunk) & CHUNK_MASK;
    return k >= this.written && k < this.refs.length && this.owned[k] === 0 ? k : -1;
  }
}

export class HeavyStore {
  head = 0;
  /** Position after the newest event. */
  end = 0;
  pin: Pin | null = null;
  protected readonly plan: WindowPlan;
  protected readonly stride: number;
  protected readonly slabs: Uint32Array[];
  protected chunks = new Int32Array(4);
  private summaries = new Float64Array(4 * TALLY);
  private summarised = new Uint8Array(4);
  /** Time of the last event of each chunk that is summed up. */
  private lastUs = new Float64Array(4);

  constructor(plan: WindowPlan) {
    this.plan = plan;
    this.stride = plan.stride;
    this.slabs = plan.arena.slabs;
  }

  get count(): number {
    return (this.end - this.head) & POSITION_MASK;
  }

  /** Rank of a position among the held ones, oldest 0; `count` or more when it is not held. */
  rank(position: number): number {
    return (position - this.head) & POSITION_MASK;
  }

  protected ref(position: number): number {
    return this.chunks[(position >>> CHUNK_BITS) & (this.chunks.length - 1)] + (position & (CHUNK_EVENTS - 1));
  }

  wordsOf(position: number): Uint32Array {
    return this.slabs[this.ref(position) >>> SLAB_BITS];
  }

  offsetOf(position: number): number {
    return (this.ref(position) & SLAB_MASK) * this.stride;
  }

  timeOf(position: number): number {
    const ref = this.ref(position);
    return timeAt(this.slabs[ref >>> SLAB_BITS], (ref & SLAB_MASK) * this.stride);
  }

  /** Opens room for the event at `end`. */
  protected openEnd(): void {
    if ((this.end & (CHUNK_EVENTS - 1)) !== 0) return;
    const chunk = this.end >>> CHUNK_BITS;
    const first = this.head >>> CHUNK_BITS;
    const span = ((chunk - first) & CHUNK_MASK) + 1;
    if (span > this.chunks.length) this.widen(first, span - 1);
    const i = chunk & (this.chunks.length - 1);
    this.chunks[i] = this.plan.arena.alloc(CHUNK_CLASS);
    this.summarised[i] = 0;
    if (span > 1) this.summary(this.end - CHUNK_EVENTS);
  }

  private widen(first: number, used: number): void {
    const n = this.chunks.length;
    const chunks = new Int32Array(n * 2);
    const summaries = new Float64Array(n * 2 * TALLY);
    const summarised = new Uint8Array(n * 2);
    const lastUs = new Float64Array(n * 2);
    for (let k = 0; k < used; k++) {
      const from = (first + k) & (n - 1);
      const to = (first + k) & (n * 2 - 1);
      chunks[to] = this.chunks[from];
      summarised[to] = this.summarised[from];
      lastUs[to] = this.lastUs[from];
      for (let j = 0; j < TALLY; j++) summaries[to * TALLY + j] = this.summaries[from * TALLY + j];
    }
    this.chunks = chunks;
    this.summaries = summaries;
    this.summarised = summarised;
    this.lastUs = lastUs;
  }

  /** Gives up the chunk that `head` has just left, or (all) every chunk. */
  protected releaseChunk(chunk: number): void {
    const ref = this.chunks[chunk & (this.chunks.length - 1)];
    const k = this.pin === null ? -1 : this.pin.index(chunk);
    if (this.pin !== null && k >= 0) this.pin.owned[k] = 1;
    else this.plan.arena.free(ref);
  }

  /** Frees every chunk; the actor must not be used any more. */
  release(): void {
    if (this.count === 0) return;
    const last = (this.end - 1) >>> CHUNK_BITS;
    for (let c = this.head >>> CHUNK_BITS; ; c = (c + 1) & CHUNK_MASK) {
      this.releaseChunk(c);
      if (c === last) break;
    }
    this.end = this.head;
  }

  /** Must be called before exported words of the event at `position` change. */
  protected unshare(position: number): void {
    if (this.pin === null) return;
    const chunk = position >>> CHUNK_BITS;
    const k = this.pin.index(chunk);
    if (k < 0) return;
    const { arena, stride } = this.plan;
    const i = chunk & (this.chunks.length - 1);
    const from = this.chunks[i];
    const to = arena.alloc(CHUNK_CLASS);
    const at = (from & SLAB_MASK) * stride;
    const words = arena.slabs[from >>> SLAB_BITS].subarray(at, at + CHUNK_EVENTS * stride);
    arena.slabs[to >>> SLAB_BITS].set(words, (to & SLAB_MASK) * stride);
    this.chunks[i] = to;
    this.pin.owned[k] = 1;
  }

  /** Pins the chunks as they are now for a snapshot. */
  pinChunks(): Pin {
    const first = this.head >>> CHUNK_BITS;
    const n = this.count === 0 ? 0 : ((((this.end - 1) >>> CHUNK_BITS) - first) & CHUNK_MASK) + 1;
    const refs = new Uint32Array(n);
    for (let k = 0; k < n; k++) refs[k] = this.chunks[(first + k) & (this.chunks.length - 1)];
    this.pin = new Pin(this, refs, first);
    return this.pin;
  }

  protected write(
    position: number,
    timeUs: number,
    amount: number,
    cp: number,
    idHi: number,
    idLo: number,
    frame: number,
    flags: number,
    back: number,
  ): void {
    const ref = this.ref(position);
    const words = this.slabs[ref >>> SLAB_BITS];
    const o = (ref & SLAB_MASK) * this.stride;
    putEvent(words, o, timeUs, amount, cp, flags);
    putOrigin(words, o, this.stride, idHi, idLo, frame);
    words[o + this.stride - 1] = back;
  }

  /** Distance to the previous event of the same counterparty that is not reversed; 0: none. */
  protected back(position: number): number {
    return this.wordsOf(position)[this.offsetOf(position) + this.plan.stride - 1];
  }

  protected setBack(position: number, distance: number): void {
    this.wordsOf(position)[this.offsetOf(position) + this.plan.stride - 1] = distance;
  }

  /** Position of the previous event of the same counterparty, -1 when none is held. */
  previousOf(position: number): number {
    const d = this.back(position);
    return d === 0 || d > this.rank(position) ? -1 : (position - d) & POSITION_MASK;
  }

  flagsOf(position: number): number {
    return this.wordsOf(position)[this.offsetOf(position) + 1] & 15;
  }

  protected setFlag(position: number, flag: number, on: boolean): void {
    const words = this.wordsOf(position);
    const o = this.offsetOf(position) + 1;
    words[o] = on ? words[o] | flag : words[o] & ~flag;
  }

  /** First position whose event is later than timeUs; `end` when there is none. */
  after(timeUs: number): number {
    let a = 0;
    let b = this.count;
    while (a < b) {
      const m = (a + b) >>> 1;
      if (this.timeOf((this.head + m) & POSITION_MASK) <= timeUs) a = m + 1;
      else b = m;
    }
    return (this.head + a) & POSITION_MASK;
  }

  /** Forgets the summaries of the chunks from that of `position` to the newest. */
  protected forget(position: number): void {
    const last = (this.end - 1) >>> CHUNK_BITS;
    for (let c = position >>> CHUNK_BITS; ; c = (c + 1) & CHUNK_MASK) {
      this.summarised[c & (this.chunks.length - 1)] = 0;
      if (c === last) return;
    }
  }

  protected forgetOne(position: number): void {
    this.summarised[(position >>> CHUNK_BITS) & (this.chunks.length - 1)] = 0;
  }

  /** Keeps a chunk's number of events without a successor right, if it was summed up. */
  protected addDistinct(position: number, delta: number): void {
    const i = (position >>> CHUNK_BITS) & (this.chunks.length - 1);
    if (this.summarised[i] === 1) this.summaries[i * TALLY + T_DISTINCT] += delta;
  }

  /** Whether the chunk that begins at `position` lies wholly in [position, to). */
  protected wholeChunk(position: number, to: number): boolean {
    return (position & (CHUNK_EVENTS - 1)) === 0 && ((to - position) & POSITION_MASK) >= CHUNK_EVENTS;
  }

  /** Offset in summaryWords() of the full chunk that holds `position`. */
  protected summary(position: number): number {
    const i = ((position & POSITION_MASK) >>> CHUNK_BITS) & (this.chunks.length - 1);
    if (this.summarised[i] === 0) this.summarise(i);
    return i * TALLY;
  }

  /** Whether the full chunk that begins at `position` has only events up to timeUs. */
  protected chunkIsUpTo(position: number, timeUs: number): boolean {
    return this.lastUs[this.summary(position) / TALLY] <= timeUs;
  }

  protected summaryWords(): Float64Array {
    return this.summaries;
  }

  private summarise(i: number): void {
    const s = this.summaries;
    const at = i * TALLY;
    s.fill(0, at, at + TALLY);
    s[at + T_MAX] = -1;
    const words = this.plan.arena.slabs[this.chunks[i] >>> SLAB_BITS];
    let o = (this.chunks[i] & SLAB_MASK) * this.plan.stride;
    for (let k = 0; k < CHUNK_EVENTS; k++, o += this.plan.stride) {
      const flags = words[o + 1];
      if ((flags & REVERSED) !== 0) continue;
      if ((flags & FRAUD) !== 0) s[at + T_FRAUDS]++;
      addEvent(s, at, words, o, (flags & SUPERSEDED) === 0 ? 1 : 0);
    }
    this.lastUs[i] = timeAt(words, o - this.plan.stride);
    this.summarised[i] = 1;
  }

  protected storeBytes(): number {
    return this.chunks.length * (4 + 1 + 8 + TALLY * 8) + 700;
  }
}
