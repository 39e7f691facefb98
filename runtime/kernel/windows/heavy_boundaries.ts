/**
 * The running sums of one heavy actor. Each boundary parts the events at some time B: its tail is the first event later
 * than B, its sums are over the events from the tail to the newest. Boundaries follow the queries in both directions;
 * they are a cache, so where they stand is never seen.
 */
import { CHUNK_EVENTS } from "./event_arena.ts";
import { amountAt, FRAUD, NO_AMOUNT, REVERSED, SUPERSEDED, timeAt } from "./event_words.ts";
import { HeavyStore, POSITION_MASK, T_FRAUDS } from "./heavy_store.ts";
import {
  RADIX,
  squareHi,
  squareLo,
  T_AMOUNTS,
  T_COUNT,
  T_DISTINCT,
  T_SQUARES_HI,
  T_SQUARES_LO,
  T_SUM,
} from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

/** Numbers a boundary: count, amounts, sum, squares hi, lo, distinct (as in a tally), B, time of the tail. */
export const BOUNDARY = 8;
export const B_TIME = 6;
export const B_TAIL_TIME = 7;
/** Delayed boundaries keep frauds where the others keep amounts. */
export const B_FRAUDS = T_AMOUNTS;

export class HeavyBoundaries extends HeavyStore {
  protected readonly tails: Uint32Array;
  protected readonly sums: Float64Array;

  constructor(plan: WindowPlan) {
    super(plan);
    const n = plan.lengths.length;
    this.tails = new Uint32Array(n);
    this.sums = new Float64Array(n * BOUNDARY);
    for (let b = 0; b < n; b++) {
      this.sums[b * BOUNDARY + B_TIME] = Number.NEGATIVE_INFINITY;
      this.sums[b * BOUNDARY + B_TAIL_TIME] = Number.POSITIVE_INFINITY;
    }
  }

  /** Adds (sign 1) or takes (sign -1) one event's values; `flags` as stored. */
  protected account(b: number, flags: number, a: number, squareHigh: number, squareLow: number, sign: number): void {
    if ((flags & REVERSED) !== 0) return;
    const s = this.sums;
    const i = b * BOUNDARY;
    s[i + T_COUNT] += sign;
    if (b >= this.plan.windows) {
      if ((flags & FRAUD) !== 0) s[i + B_FRAUDS] += sign;
      return;
    }
    if ((flags & SUPERSEDED) === 0) s[i + T_DISTINCT] += sign;
    if ((flags & NO_AMOUNT) !== 0) return;
    s[i + T_AMOUNTS] += sign;
    s[i + T_SUM] += sign * a;
    this.addSquare(i, sign * squareHigh, sign * squareLow);
  }

  private addSquare(i: number, high: number, low: number): void {
    const s = this.sums;
    let hi = s[i + T_SQUARES_HI] + high;
    let lo = s[i + T_SQUARES_LO] + low;
    if (lo >= RADIX) {
      lo -= RADIX;
      hi += 1;
    } else if (lo < 0) {
      lo += RADIX;
      hi -= 1;
    }
    s[i + T_SQUARES_HI] = hi;
    s[i + T_SQUARES_LO] = lo;
  }

  private accountAt(b: number, words: Uint32Array, o: number, sign: number): void {
    const flags = words[o + 1] & 15;
    const a = b >= this.plan.windows || (flags & NO_AMOUNT) !== 0 ? 0 : amountAt(words, o);
    const hi = squareHi(a);
    this.account(b, flags, a, hi, squareLo(a, hi), sign);
  }

  private accountChunk(b: number, position: number, sign: number): void {
    const s = this.sums;
    const i = b * BOUNDARY;
    const c = this.summary(position);
    const words = this.summaryWords();
    s[i + T_COUNT] += sign * words[c + T_COUNT];
    if (b >= this.plan.windows) {
      s[i + B_FRAUDS] += sign * words[c + T_FRAUDS];
      return;
    }
    s[i + T_AMOUNTS] += sign * words[c + T_AMOUNTS];
    s[i + T_SUM] += sign * words[c + T_SUM];
    s[i + T_DISTINCT] += sign * words[c + T_DISTINCT];
    this.addSquare(i, sign * words[c + T_SQUARES_HI], sign * words[c + T_SQUARES_LO]);
  }

  /** Moves every boundary to where it stands for a query at `timeUs`. */
  protected follow(timeUs: number): void {
    const { lengths } = this.plan;
    const s = this.sums;
    for (let b = 0; b < lengths.length; b++) {
      const i = b * BOUNDARY;
      const to = timeUs - lengths[b];
      const from = s[i + B_TIME];
      s[i + B_TIME] = to;
      if (to < from) this.recede(b, to);
      else if (s[i + B_TAIL_TIME] <= to) this.advance(b, to);
    }
  }

  private advance(b: number, to: number): void {
    const stride = this.plan.stride;
    const end = this.end;
    let tail = this.tails[b];
    let time = Number.POSITIVE_INFINITY;
    while (tail !== end) {
      if (this.wholeChunk(tail, end) && this.timeOf((tail + CHUNK_EVENTS - 1) & POSITION_MASK) <= to) {
        this.accountChunk(b, tail, -1);
        tail = (tail + CHUNK_EVENTS) & POSITION_MASK;
        continue;
      }
      const words = this.wordsOf(tail);
      let o = this.offsetOf(tail);
      let left = Math.min(CHUNK_EVENTS - (tail & (CHUNK_EVENTS - 1)), (end - tail) & POSITION_MASK);
      for (; left > 0; left--, o += stride) {
        time = timeAt(words, o);
        if (time > to) break;
        this.accountAt(b, words, o, -1);
        tail = (tail + 1) & POSITION_MASK;
      }
      if (left > 0) break;
      time = Number.POSITIVE_INFINITY;
    }
    this.tails[b] = tail;
    this.sums[b * BOUNDARY + B_TAIL_TIME] = time;
  }

  private recede(b: number, to: number): void {
    let tail = this.tails[b];
    let time = this.sums[b * BOUNDARY + B_TAIL_TIME];
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
      this.accountAt(b, words, o, 1);
      tail = p;
      time = at;
    }
    this.tails[b] = tail;
    this.sums[b * BOUNDARY + B_TAIL_TIME] = time;
  }

  /** Tells the boundaries of a new event at `position` (newer events already moved up). */
  protected enter(position: number, timeUs: number, flags: number, amount: number): void {
    const counted = (flags & NO_AMOUNT) === 0;
    const hi = counted ? squareHi(amount) : 0;
    const lo = counted ? squareLo(amount, hi) : 0;
    const s = this.sums;
    for (let b = 0; b < this.tails.length; b++) {
      const i = b * BOUNDARY;
      if (timeUs > s[i + B_TIME]) {
        if (this.tails[b] === position) s[i + B_TAIL_TIME] = timeUs;
        this.account(b, flags, amount, hi, lo, 1);
      } else this.tails[b] = (this.tails[b] + 1) & POSITION_MASK;
    }
  }

  /** Tells the boundaries that the event at `position` is about to count no more (it is not yet changed). */
  protected leave(position: number): void {
    const words = this.wordsOf(position);
    const o = this.offsetOf(position);
    const r = this.rank(position);
    for (let b = 0; b < this.tails.length; b++) if (this.rank(this.tails[b]) <= r) this.accountAt(b, words, o, -1);
  }

  /** Tells the boundaries that the oldest event is about to be dropped. */
  protected leaveOldest(): void {
    const next = (this.head + 1) & POSITION_MASK;
    for (let b = 0; b < this.tails.length; b++) {
      if (this.tails[b] !== this.head) continue;
      this.accountAt(b, this.wordsOf(this.head), this.offsetOf(this.head), -1);
      this.tails[b] = next;
      this.sums[b * BOUNDARY + B_TAIL_TIME] = next === this.end ? Number.POSITIVE_INFINITY : this.timeOf(next);
    }
  }

  /** Tells windows and chunk that the event at `position` gained (1) or lost (-1) its place as newest of its counterparty. */
  protected changeDistinct(position: number, sign: number): void {
    const r = this.rank(position);
    for (let b = 0; b < this.plan.windows; b++) {
      if (this.rank(this.tails[b]) <= r) this.sums[b * BOUNDARY + T_DISTINCT] += sign;
    }
    this.addDistinct(position, sign);
  }

  /** Tells delayed boundaries of a changed fraud mark. */
  protected changeFraud(position: number, sign: number): void {
    const r = this.rank(position);
    for (let b = this.plan.windows; b < this.tails.length; b++) {
      if (this.rank(this.tails[b]) <= r) this.sums[b * BOUNDARY + B_FRAUDS] += sign;
    }
  }
}
