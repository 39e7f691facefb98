/**
 * Light actors: at most LIGHT_EVENTS events, contiguous in one segment and in order of time. Whatever is asked is
 * answered by one scan from the newest backwards; nothing is kept but a flag on events whose counterparty came again.
 */
import { CHUNK_EVENTS, CLASS_EVENTS, CLASS_OF, SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import {
  amountAt,
  FRAUD,
  NO_AMOUNT,
  putEvent,
  REVERSED,
  SUPERSEDED,
  timeAt,
  WORD_COUNTERPARTY,
  WORD_ID_HI,
  WORD_ID_LO,
} from "./event_words.ts";
import { R_PLACE, R_SHAPE, SHAPE_EMPTY } from "./slots.ts";
import {
  SMALL_AMOUNT,
  squareHi,
  squareLo,
  T_AMOUNTS,
  T_COUNT,
  T_DISTINCT,
  T_MAX,
  T_SQUARES_HI,
  T_SQUARES_LO,
  T_SUM,
  TALLY,
} from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

export const LIGHT_EVENTS = CHUNK_EVENTS;
const WORD = 4294967296;

/** Operations on light actors; `rec` and `r` are the actor's record, `i` counts events from its oldest. */
export class Light {
  private readonly plan: WindowPlan;
  /** Of the last append: time of the newest earlier event of the same counterparty, -Infinity without. */
  metUs = Number.NEGATIVE_INFINITY;

  constructor(plan: WindowPlan) {
    this.plan = plan;
  }

  count(rec: Uint32Array, r: number): number {
    return (rec[r + R_SHAPE] >>> 8) & 255;
  }

  words(rec: Uint32Array, r: number): Uint32Array {
    return this.plan.arena.slabs[rec[r + R_PLACE] >>> SLAB_BITS];
  }

  /** Offset of event i in words(). */
  offset(rec: Uint32Array, r: number, i: number): number {
    return ((rec[r + R_PLACE] & SLAB_MASK) + (rec[r + R_SHAPE] & 255) + i) * this.plan.stride;
  }

  /** Number of events with time <= timeUs. */
  upTo(rec: Uint32Array, r: number, timeUs: number): number {
    let n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const stride = this.plan.stride;
    for (let o = this.offset(rec, r, n - 1); n > 0 && timeAt(words, o) > timeUs; o -= stride) n--;
    return n;
  }

  /** Drops at most `limit` of the oldest events with time <= cutoffUs; returns how many. */
  drop(rec: Uint32Array, r: number, cutoffUs: number, limit: number): number {
    const n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const stride = this.plan.stride;
    let gone = 0;
    for (let o = this.offset(rec, r, 0); gone < n && gone < limit && timeAt(words, o) <= cutoffUs; o += stride) gone++;
    if (gone === 0) return 0;
    if (gone === n) this.clear(rec, r);
    else rec[r + R_SHAPE] += gone - (gone << 8);
    return gone;
  }

  /** Frees the segment. */
  clear(rec: Uint32Array, r: number): void {
    if (rec[r + R_SHAPE] !== SHAPE_EMPTY) this.plan.arena.free(rec[r + R_PLACE]);
    rec[r + R_SHAPE] = SHAPE_EMPTY;
  }

  /** Makes room for one event more behind the newest; there must be fewer than LIGHT_EVENTS. */
  private makeRoom(rec: Uint32Array, r: number): void {
    const shape = rec[r + R_SHAPE];
    const head = shape & 255;
    const count = (shape >>> 8) & 255;
    const { arena, stride } = this.plan;
    if (shape === SHAPE_EMPTY) {
      rec[r + R_PLACE] = arena.alloc(0);
      rec[r + R_SHAPE] = 0;
      return;
    }
    const cls = (shape >>> 16) & 255;
    if (head + count < CLASS_EVENTS[cls]) return;
    const ref = rec[r + R_PLACE];
    const from = arena.slabs[ref >>> SLAB_BITS];
    const at = ((ref & SLAB_MASK) + head) * stride;
    const wanted = CLASS_OF[count + 1];
    if (wanted === cls) {
      from.copyWithin((ref & SLAB_MASK) * stride, at, at + count * stride);
    } else {
      const moved = arena.alloc(wanted);
      const to = arena.slabs[moved >>> SLAB_BITS];
      const q = (moved & SLAB_MASK) * stride;
      for (let k = 0; k < count * stride; k++) to[q + k] = from[at + k];
      arena.free(ref);
      rec[r + R_PLACE] = moved;
    }
    rec[r + R_SHAPE] = (wanted << 16) | (count << 8);
  }

  /** Adds an event; `flags` may hold FRAUD and REVERSED (when loaded). */
  append(
    rec: Uint32Array,
    r: number,
    timeUs: number,
    amount: number,
    cp: number,
    idHi: number,
    idLo: number,
    frame: number,
    flags: number,
  ): void {
    this.makeRoom(rec, r);
    const stride = this.plan.stride;
    const words = this.words(rec, r);
    const first = this.offset(rec, r, 0);
    let o = this.offset(rec, r, this.count(rec, r));
    let own = flags;
    // Newer events move up by one; one of the same counterparty supersedes the new event.
    for (; o > first && timeAt(words, o - stride) > timeUs; o -= stride) {
      for (let k = 0; k < stride; k++) words[o + k] = words[o + k - stride];
      if (words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) own |= SUPERSEDED;
    }
    putEvent(words, o, timeUs, amount, cp, own);
    if (this.plan.ids) {
      words[o + WORD_ID_HI] = idHi;
      words[o + WORD_ID_LO] = idLo;
    }
    words[o + this.plan.frameWord] = frame;
    rec[r + R_SHAPE] += 1 << 8;
    if ((own & REVERSED) === 0) this.meet(words, first, o, cp);
  }

  /** Marks the newest event of the counterparty before offset o, if any, as superseded. */
  private meet(words: Uint32Array, first: number, o: number, cp: number): void {
    const stride = this.plan.stride;
    for (let q = o - stride; q >= first; q -= stride) {
      if (words[q + WORD_COUNTERPARTY] === cp && (words[q + 1] & REVERSED) === 0) {
        words[q + 1] |= SUPERSEDED;
        this.metUs = timeAt(words, q);
        return;
      }
    }
    this.metUs = Number.NEGATIVE_INFINITY;
  }

  /** Takes event i out of every window; it stays held. */
  reverse(rec: Uint32Array, r: number, i: number): void {
    const words = this.words(rec, r);
    const stride = this.plan.stride;
    const o = this.offset(rec, r, i);
    const flags = words[o + 1];
    if ((flags & REVERSED) !== 0) return;
    words[o + 1] = (flags & ~SUPERSEDED) | REVERSED;
    if ((flags & SUPERSEDED) !== 0) return;
    const first = this.offset(rec, r, 0);
    const cp = words[o + WORD_COUNTERPARTY];
    for (let q = o - stride; q >= first; q -= stride) {
      if (words[q + WORD_COUNTERPARTY] === cp && (words[q + 1] & REVERSED) === 0) {
        words[q + 1] &= ~SUPERSEDED;
        return;
      }
    }
  }

  /** Number of the newest event with the id, -1 when none is held. */
  findId(rec: Uint32Array, r: number, idHi: number, idLo: number): number {
    const n = this.count(rec, r);
    if (n === 0) return -1;
    const words = this.words(rec, r);
    const stride = this.plan.stride;
    let o = this.offset(rec, r, n - 1) + WORD_ID_LO;
    for (let i = n - 1; i >= 0; i--, o -= stride) if (words[o] === idLo && words[o - 1] === idHi) return i;
    return -1;
  }

  /** Fills the plan's tallies for a query at timeUs. */
  query(rec: Uint32Array, r: number, timeUs: number): void {
    const { windows, tally, lengths, stride } = this.plan;
    const held = this.count(rec, r);
    let w = 0;
    let count = 0;
    let amounts = 0;
    let sum = 0;
    let hi = 0;
    let lo = 0;
    let distinct = 0;
    let max = -1;
    if (held > 0) {
      const words = this.words(rec, r);
      const n = this.upTo(rec, r, timeUs);
      const first = this.offset(rec, r, 0);
      const last = first + (n - 1) * stride;
      let bound = timeUs - lengths[0];
      for (let o = last; o >= first; o -= stride) {
        const mixed = words[o + 1];
        const time = (mixed >>> 12) * WORD + words[o];
        if (time <= bound) {
          do {
            keep(tally, w++, count, amounts, sum, hi, lo, distinct, max);
            bound = w < windows ? timeUs - lengths[w] : Number.NEGATIVE_INFINITY;
          } while (time <= bound);
          if (w === windows) return;
        }
        if ((mixed & REVERSED) !== 0) continue;
        count++;
        if ((mixed & SUPERSEDED) === 0 || (n < held && !again(words, o, last, stride))) distinct++;
        if ((mixed & NO_AMOUNT) !== 0) continue;
        const a = ((mixed >>> 4) & 255) * WORD + words[o + 2];
        amounts++;
        sum += a;
        if (a > max) max = a;
        if (a < SMALL_AMOUNT) lo += a * a;
        else {
          const high = squareHi(a);
          hi += high;
          lo += squareLo(a, high);
        }
      }
    }
    for (; w < windows; w++) keep(tally, w, count, amounts, sum, hi, lo, distinct, max);
  }

  /** Fills the plan's delayed counts for a query at timeUs. */
  queryDelayed(rec: Uint32Array, r: number, timeUs: number): void {
    const { windows, delayedWindows, delayed, lengths, stride } = this.plan;
    delayed.fill(0);
    const n = this.upTo(rec, r, timeUs - lengths[windows]);
    if (n === 0) return;
    const words = this.words(rec, r);
    const first = this.offset(rec, r, 0);
    let w = 0;
    for (let o = first + (n - 1) * stride; o >= first; o -= stride) {
      const time = timeAt(words, o);
      while (w < delayedWindows && time <= timeUs - lengths[windows + 1 + w]) w++;
      if (w === delayedWindows) break;
      const flags = words[o + 1];
      if ((flags & REVERSED) !== 0) continue;
      delayed[w * 2]++;
      if ((flags & FRAUD) !== 0) delayed[w * 2 + 1]++;
    }
    for (w = 1; w < delayedWindows; w++) {
      delayed[w * 2] += delayed[w * 2 - 2];
      delayed[w * 2 + 1] += delayed[w * 2 - 1];
    }
  }

  amount(rec: Uint32Array, r: number, i: number): number {
    return amountAt(this.words(rec, r), this.offset(rec, r, i));
  }
}

/** Whether the counterparty of the event at o has a later one, not reversed, up to offset `last`. */
function again(words: Uint32Array, o: number, last: number, stride: number): boolean {
  const cp = words[o + WORD_COUNTERPARTY];
  for (let q = o + stride; q <= last; q += stride) {
    if (words[q + WORD_COUNTERPARTY] === cp && (words[q + 1] & REVERSED) === 0) return true;
  }
  return false;
}

function keep(
  tally: Float64Array,
  w: number,
  count: number,
  amounts: number,
  sum: number,
  hi: number,
  lo: number,
  distinct: number,
  max: number,
): void {
  const i = w * TALLY;
  tally[i + T_COUNT] = count;
  tally[i + T_AMOUNTS] = amounts;
  tally[i + T_SUM] = sum;
  tally[i + T_SQUARES_HI] = hi;
  tally[i + T_SQUARES_LO] = lo;
  tally[i + T_DISTINCT] = distinct;
  tally[i + T_MAX] = max;
}
