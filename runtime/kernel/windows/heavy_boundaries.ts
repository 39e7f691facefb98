/**
 * The running sums of one heavy actor. Each boundary parts the events at some time B: its tail is the first event later
 * than B, its sums are over the events from the tail to the newest. Boundaries follow the queries in both directions;
 * they are a cache, so where they stand is never seen.
 */
import { CHUNK_EVENTS, SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import { FRAUD, NO_AMOUNT, REVERSED, SUPERSEDED, timeAt } from "./event_words.ts";
import { CHUNK_BITS, HeavyStore, POSITION_MASK, T_FRAUDS } from "./heavy_store.ts";
import {
  RADIX,
  SMALL_AMOUNT,
  squareHi,
  squareLo,
  T_AMOUNTS,
  T_COUNT,
  T_DISTINCT,
  T_SQUARES_HI,
  T_SQUARES_LO,
  T_SUM,
  TALLY,
} from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

/** Delayed boundaries keep frauds where the others keep amounts. */
export const B_FRAUDS = T_AMOUNTS;

export class HeavyBoundaries extends HeavyStore {
  protected readonly tails: Int32Array;
  /** A tally each, so that a query may be answered from it. */
  protected readonly sums: Float64Array;
  /** B of each boundary. */
  private readonly bounds: Float64Array;
  /** Time of the event at the tail; Infinity at the end. */
  private readonly tailUs: Float64Array;
  private readonly lengths: Float64Array;
  private readonly windows: number;

  constructor(plan: WindowPlan) {
    super(plan);
    const n = plan.lengths.length;
    this.lengths = plan.lengths;
    this.windows = plan.windows;
    // One piece of memory for all of them: an actor that was quiet for a while costs few cache lines and one page.
    const memory = new ArrayBuffer(n * (8 + 8 + 8 * TALLY + 4));
    this.bounds = new Float64Array(memory, 0, n).fill(Number.NEGATIVE_INFINITY);
    this.tailUs = new Float64Array(memory, n * 8, n).fill(Number.POSITIVE_INFINITY);
    this.sums = new Float64Array(memory, n * 16, n * TALLY);
    this.tails = new Int32Array(memory, n * (16 + 8 * TALLY), n);
  }

  /** Reads the sums and the event at each tail, so that they are near; the result means nothing. */
  near(): number {
    const { tails, sums } = this;
    let sum = this.timeOf((this.end - 1) & POSITION_MASK) + this.timeOf(this.head);
    for (let b = 0; b < tails.length; b++) {
      sum += sums[b * TALLY];
      if (tails[b] !== this.end) sum += this.timeOf(tails[b]);
    }
    return sum;
  }

  /** Adds (sign 1) or takes (sign -1) an event's values. No float among the arguments: it would be boxed. */
  private account(b: number, words: Uint32Array, o: number, sign: number): void {
    const flags = words[o + 1];
    if ((flags & REVERSED) !== 0) return;
    const s = this.sums;
    const i = b * TALLY;
    s[i + T_COUNT] += sign;
    if (b >= this.windows) {
      if ((flags & FRAUD) !== 0) s[i + B_FRAUDS] += sign;
      return;
    }
    if ((flags & SUPERSEDED) === 0) s[i + T_DISTINCT] += sign;
    if ((flags & NO_AMOUNT) !== 0) return;
    const a = ((flags >>> 4) & 255) * 4294967296 + words[o + 2];
    s[i + T_AMOUNTS] += sign;
    s[i + T_SUM] += sign * a;
    let high = 0;
    let low = a * a;
    if (a >= SMALL_AMOUNT) {
      high = squareHi(a);
      low = squareLo(a, high);
      s[i + T_SQUARES_HI] += sign * high;
    }
    low = s[i + T_SQUARES_LO] + sign * low;
    if (low >= RADIX) {
      low -= RADIX;
      s[i + T_SQUARES_HI] += 1;
    } else if (low < 0) {
      low += RADIX;
      s[i + T_SQUARES_HI] -= 1;
    }
    s[i + T_SQUARES_LO] = low;
  }

  private accountChunk(b: number, position: number, sign: number): void {
    const s = this.sums;
    const i = b * TALLY;
    const c = this.summary(position);
    const words = this.summaryWords();
    s[i + T_COUNT] += sign * words[c + T_COUNT];
    if (b >= this.windows) {
      s[i + B_FRAUDS] += sign * words[c + T_FRAUDS];
      return;
    }
    s[i + T_AMOUNTS] += sign * words[c + T_AMOUNTS];
    s[i + T_SUM] += sign * words[c + T_SUM];
    s[i + T_DISTINCT] += sign * words[c + T_DISTINCT];
    const low = s[i + T_SQUARES_LO] + sign * words[c + T_SQUARES_LO];
    const carry = Math.floor(low / RADIX);
    s[i + T_SQUARES_HI] += sign * words[c + T_SQUARES_HI] + carry;
    s[i + T_SQUARES_LO] = low - carry * RADIX;
  }

  /** Moves every boundary to where it stands for a query at `timeUs`. */
  protected follow(timeUs: number): void {
    const { bounds, tailUs, lengths } = this;
    for (let b = 0; b < bounds.length; b++) {
      const to = timeUs - lengths[b];
      const from = bounds[b];
      bounds[b] = to;
      if (to < from) this.recede(b);
      else if (tailUs[b] <= to) this.advance(b);
    }
  }

  // The hottest loop of a heavy actor: mostly one event a boundary and call, each at another place of the memory.
  private advance(b: number): void {
    const to = this.bounds[b];
    const { stride, slabs, chunks, end } = this;
    const chunkMask = chunks.length - 1;
    let tail = this.tails[b];
    let time = Number.POSITIVE_INFINITY;
    while (tail !== end) {
      const inChunk = tail & (CHUNK_EVENTS - 1);
      if (inChunk === 0 && this.wholeChunk(tail, end) && this.chunkIsUpTo(tail, to)) {
        this.accountChunk(b, tail, -1);
        tail = (tail + CHUNK_EVENTS) & POSITION_MASK;
        continue;
      }
      const ref = chunks[(tail >>> CHUNK_BITS) & chunkMask] + inChunk;
      const words = slabs[ref >>> SLAB_BITS];
      const o = (ref & SLAB_MASK) * stride;
      time = timeAt(words, o);
      if (time > to) break;
      this.account(b, words, o, -1);
      tail = (tail + 1) & POSITION_MASK;
      time = Number.POSITIVE_INFINITY;
    }
    this.tails[b] = tail;
    this.tailUs[b] = time;
  }

  private recede(b: number): void {
    const to = this.bounds[b];
    let tail = this.tails[b];
    let time = this.tailUs[b];
    while (tail !== this.head) {
      const chunk = (tail - CHUNK_EVENTS) & POSITION_MASK;
      if (this.rank(tail) >= CHUNK_EVENTS && this.wholeChunk(chunk, tail) && this.timeOf(chunk) > to) {
        this.accountChunk(b, chunk, 1);
        tail = chunk;
        time = this.timeOf(tail);
        continue;
      }
      const p = (tail - 1) & POSITION_MASK;
      const words = this.wordsOf(p);
      const o = this.offsetOf(p);
      const at = timeAt(words, o);
      if (at <= to) break;
      this.account(b, words, o, 1);
      tail = p;
      time = at;
    }
    this.tails[b] = tail;
    this.tailUs[b] = time;
  }

  /** Tells the boundaries of the new event at `position` (newer events already moved up). */
  protected enter(position: number): void {
    const { bounds, tails } = this;
    const words = this.wordsOf(position);
    const o = this.offsetOf(position);
    const timeUs = timeAt(words, o);
    for (let b = 0; b < bounds.length; b++) {
      if (timeUs > bounds[b]) {
        if (tails[b] === position) this.tailUs[b] = timeUs;
        this.account(b, words, o, 1);
      } else tails[b] = (tails[b] + 1) & POSITION_MASK;
    }
  }

  /** Tells the boundaries that the event at `position` is about to count no more (it is not yet changed). */
  protected leave(position: number): void {
    const words = this.wordsOf(position);
    const o = this.offsetOf(position);
    const r = this.rank(position);
    for (let b = 0; b < this.tails.length; b++) if (this.rank(this.tails[b]) <= r) this.account(b, words, o, -1);
  }

  /** Tells the boundaries that the oldest event is about to be dropped. */
  protected leaveOldest(): void {
    const next = (this.head + 1) & POSITION_MASK;
    for (let b = 0; b < this.tails.length; b++) {
      if (this.tails[b] !== this.head) continue;
      this.account(b, this.wordsOf(this.head), this.offsetOf(this.head), -1);
      this.tails[b] = next;
      this.tailUs[b] = next === this.end ? Number.POSITIVE_INFINITY : this.timeOf(next);
    }
  }

  /** Tells windows and chunk that an event became (1) or ceased to be (-1) the newest of its counterparty. */
  protected changeDistinct(position: number, sign: number): void {
    const { tails, sums, head } = this;
    const r = (position - head) & POSITION_MASK;
    for (let b = 0; b < this.windows; b++) {
      if (((tails[b] - head) & POSITION_MASK) <= r) sums[b * TALLY + T_DISTINCT] += sign;
    }
    this.addDistinct(position, sign);
  }

  /** Tells delayed boundaries of a changed fraud mark. */
  protected changeFraud(position: number, sign: number): void {
    const r = this.rank(position);
    for (let b = this.windows; b < this.tails.length; b++) {
      if (this.rank(this.tails[b]) <= r) this.sums[b * TALLY + B_FRAUDS] += sign;
    }
  }
}
