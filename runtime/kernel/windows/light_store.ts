/**
 * The events of light actors: at most LIGHT_EVENTS each, contiguous in one segment and in order of time, with summaries
 * of groups where there are many. Nothing else is kept but a flag on events whose counterparty came again.
 */
import { SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import {
  FRAUD,
  putEvent,
  REVERSED,
  SUPERSEDED,
  timeAt,
  WORD_COUNTERPARTY,
  WORD_ID_HI,
  WORD_ID_LO,
} from "./event_words.ts";
import { CLASS_SHIFT, COUNT_SHIFT, R_PLACE, R_SHAPE, SHAPE_EMPTY, SHAPE_MASK } from "./slots.ts";
import { COUNT_DISTINCT, GROUP, GROUP_BITS, GROUP_MASK, S_COUNTS, S_FIRST_US, Summaries } from "./summaries.ts";
import type { WindowPlan } from "./window_options.ts";

/** 32-bit words a cache line. */
const LINE_WORDS = 16;

/**
 * Operations on light actors; `rec` and `r` are the actor's record, `i` counts events from its oldest. A place is an
 * event's index in the segment: the oldest lies at the head, and groups are places with equal place >>> GROUP_BITS.
 */
export class LightStore {
  protected readonly plan: WindowPlan;
  protected readonly summaries: Summaries;
  /** Of the last append: time of the newest earlier event of the same counterparty, -Infinity without. */
  metUs = Number.NEGATIVE_INFINITY;

  constructor(plan: WindowPlan) {
    this.plan = plan;
    this.summaries = new Summaries(plan.stride, plan.ids);
  }

  count(rec: Uint32Array, r: number): number {
    return (rec[r + R_SHAPE] >>> COUNT_SHIFT) & SHAPE_MASK;
  }

  words(rec: Uint32Array, r: number): Uint32Array {
    return this.plan.arena.slabs[rec[r + R_PLACE] >>> SLAB_BITS];
  }

  protected doubles(rec: Uint32Array, r: number): Float64Array {
    return this.plan.arena.doubles[rec[r + R_PLACE] >>> SLAB_BITS];
  }

  /** Offset of event i in words(). */
  offset(rec: Uint32Array, r: number, i: number): number {
    return ((rec[r + R_PLACE] & SLAB_MASK) + (rec[r + R_SHAPE] & SHAPE_MASK) + i) * this.plan.stride;
  }

  /** Offset of place 0 in words(). */
  protected base(rec: Uint32Array, r: number): number {
    return (rec[r + R_PLACE] & SLAB_MASK) * this.plan.stride;
  }

  /** Offset of the first group's summary in words(), -1 in a segment without. */
  protected summary(rec: Uint32Array, r: number): number {
    const start = this.summaries.start[rec[r + R_SHAPE] >>> CLASS_SHIFT];
    return start < 0 ? -1 : this.base(rec, r) + start;
  }

  /**
   * Reads a word of each cache line that an append and a query will read: all events, or the oldest, the newest and the
   * summaries. The reads do not wait for each other, so many rows' worth of them cost as much as few in a row.
   */
  near(rec: Uint32Array, r: number): number {
    const n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const s = this.summary(rec, r);
    let from = this.offset(rec, r, 0);
    const stop = this.offset(rec, r, n) + this.plan.stride;
    let sum = 0;
    if (s >= 0) {
      sum = words[from];
      const { size } = this.summaries;
      const head = rec[r + R_SHAPE] & SHAPE_MASK;
      const end = s + ((head + n) >>> GROUP_BITS) * size;
      for (let o = s + (head >>> GROUP_BITS) * size; o < end; o += LINE_WORDS) sum += words[o];
      from = this.offset(rec, r, n - GROUP);
    }
    for (let o = from; o < stop; o += LINE_WORDS) sum += words[o];
    return sum;
  }

  /** Number of events with time <= timeUs. */
  upTo(rec: Uint32Array, r: number, timeUs: number): number {
    const n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const doubles = this.doubles(rec, r);
    const { stride } = this.plan;
    const { size } = this.summaries;
    const base = this.base(rec, r);
    const s = this.summary(rec, r);
    const head = rec[r + R_SHAPE] & SHAPE_MASK;
    let stop = head + n;
    while (stop > head) {
      if (s >= 0 && (stop & GROUP_MASK) === 0 && stop - GROUP >= head) {
        const q = s + ((stop >>> GROUP_BITS) - 1) * size;
        if (doubles[(q >>> 1) + S_FIRST_US] > timeUs) {
          stop -= GROUP;
          continue;
        }
      }
      if (timeAt(words, base + (stop - 1) * stride) <= timeUs) break;
      stop--;
    }
    return stop - head;
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
    else rec[r + R_SHAPE] += gone - (gone << COUNT_SHIFT);
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
    const { arena } = this.plan;
    if (shape === SHAPE_EMPTY) {
      rec[r + R_PLACE] = arena.alloc(0);
      rec[r + R_SHAPE] = 1 << CLASS_SHIFT;
      return;
    }
    const head = shape & SHAPE_MASK;
    const count = (shape >>> COUNT_SHIFT) & SHAPE_MASK;
    const cls = shape >>> CLASS_SHIFT;
    if (head + count < this.summaries.capacity[cls]) return;
    const wanted = this.summaries.classOf(count + 1);
    const from = rec[r + R_PLACE];
    const to = wanted === cls ? from : arena.alloc(wanted - 1);
    this.move(from, cls, head, count, to, wanted);
    if (to !== from) arena.free(from);
    const summed = this.summaries.start[cls] >= 0 && this.summaries.start[wanted] >= 0;
    rec[r + R_PLACE] = to;
    rec[r + R_SHAPE] = (wanted << CLASS_SHIFT) | (count << COUNT_SHIFT) | (summed ? head & GROUP_MASK : 0);
    if (!summed) this.sumUp(rec, r, 0);
  }

  /** Moves the events to the begin of a segment; between segments with summaries groups stay groups. */
  private move(from: number, cls: number, head: number, count: number, to: number, wanted: number): void {
    const { arena, stride } = this.plan;
    const { start, size } = this.summaries;
    const source = arena.slabs[from >>> SLAB_BITS];
    const target = arena.slabs[to >>> SLAB_BITS];
    const p = (from & SLAB_MASK) * stride;
    const q = (to & SLAB_MASK) * stride;
    const summed = start[cls] >= 0 && start[wanted] >= 0;
    const first = summed ? head & ~GROUP_MASK : head;
    copy(source, p + first * stride, target, q, (head - first + count) * stride);
    if (!summed) return;
    const groups = (head + count - first) >>> GROUP_BITS;
    const s = p + start[cls] + (first >>> GROUP_BITS) * size;
    copy(source, s, target, q + start[wanted], groups * size);
  }

  /** Sums up anew the full groups from that of place `from` on. */
  private sumUp(rec: Uint32Array, r: number, from: number): void {
    const s = this.summary(rec, r);
    if (s < 0) return;
    const shape = rec[r + R_SHAPE];
    const end = (shape & SHAPE_MASK) + ((shape >>> COUNT_SHIFT) & SHAPE_MASK);
    for (let g = from >>> GROUP_BITS; g < end >>> GROUP_BITS; g++) this.sumGroup(rec, r, g);
  }

  private sumGroup(rec: Uint32Array, r: number, group: number): void {
    const o = this.base(rec, r) + group * GROUP * this.plan.stride;
    const s = this.summary(rec, r) + group * this.summaries.size;
    this.summaries.write(this.words(rec, r), this.doubles(rec, r), o, s);
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
    const { stride } = this.plan;
    const words = this.words(rec, r);
    const base = this.base(rec, r);
    const head = rec[r + R_SHAPE] & SHAPE_MASK;
    const end = head + this.count(rec, r);
    let place = end;
    let own = flags;
    if (end > head && timeAt(words, base + (end - 1) * stride) > timeUs) {
      // Newer events move up by one; one of the same counterparty supersedes the new event.
      place = head + this.upTo(rec, r, timeUs);
      words.copyWithin(base + (place + 1) * stride, base + place * stride, base + end * stride);
      for (let o = base + (place + 1) * stride; o <= base + end * stride; o += stride) {
        if (words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) own |= SUPERSEDED;
      }
    }
    const o = base + place * stride;
    putEvent(words, o, timeUs, amount, cp, own);
    if (this.plan.ids) {
      words[o + WORD_ID_HI] = idHi;
      words[o + WORD_ID_LO] = idLo;
    }
    words[o + this.plan.frameWord] = frame;
    this.metUs = Number.NEGATIVE_INFINITY;
    if ((own & REVERSED) === 0) this.meet(rec, r, place, cp);
    rec[r + R_SHAPE] += 1 << COUNT_SHIFT;
    if (place < end) this.sumUp(rec, r, place);
    else if ((place & GROUP_MASK) === GROUP_MASK && this.summary(rec, r) >= 0) {
      this.sumGroup(rec, r, place >>> GROUP_BITS);
    }
  }

  /** Marks the newest event of the counterparty before the place, if any, as superseded. */
  private meet(rec: Uint32Array, r: number, place: number, cp: number): void {
    const met = this.newestBefore(rec, r, place, cp);
    if (met < 0) return;
    const words = this.words(rec, r);
    const o = this.base(rec, r) + met * this.plan.stride;
    this.metUs = timeAt(words, o);
    if ((words[o + 1] & SUPERSEDED) !== 0) return;
    words[o + 1] |= SUPERSEDED;
    this.changeDistinct(rec, r, met, -1);
  }

  /** Tells the summary of a place that its event became (1) or ceased to be (-1) the newest of its counterparty. */
  private changeDistinct(rec: Uint32Array, r: number, place: number, sign: number): void {
    const s = this.summary(rec, r);
    const end = (rec[r + R_SHAPE] & SHAPE_MASK) + this.count(rec, r);
    if (s < 0 || place >>> GROUP_BITS >= end >>> GROUP_BITS) return;
    const at = s + (place >>> GROUP_BITS) * this.summaries.size + S_COUNTS;
    this.words(rec, r)[at] += sign * (1 << COUNT_DISTINCT);
  }

  /** Place of the newest event of the counterparty before `place` that is not reversed, -1 without. */
  private newestBefore(rec: Uint32Array, r: number, place: number, cp: number): number {
    const words = this.words(rec, r);
    const { stride } = this.plan;
    const { size } = this.summaries;
    const s = this.summary(rec, r);
    const head = rec[r + R_SHAPE] & SHAPE_MASK;
    const base = this.base(rec, r);
    for (let p = place - 1; p >= head; p--) {
      // A group that begins before the head still knows at least its held counterparties.
      if (s >= 0 && (p & GROUP_MASK) === GROUP_MASK) {
        if (!this.summaries.mayHold(words, s + (p >>> GROUP_BITS) * size, cp)) {
          p -= GROUP - 1;
          continue;
        }
      }
      const o = base + p * stride;
      if (words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) return p;
    }
    return -1;
  }

  /** Marks or unmarks event i as fraud. */
  flipFraud(rec: Uint32Array, r: number, i: number): void {
    const words = this.words(rec, r);
    words[this.offset(rec, r, i) + 1] ^= FRAUD;
    this.changed(rec, r, i);
  }

  /** Sums up anew the group of event i, if it is full. */
  private changed(rec: Uint32Array, r: number, i: number): void {
    const head = rec[r + R_SHAPE] & SHAPE_MASK;
    const group = (head + i) >>> GROUP_BITS;
    if (this.summary(rec, r) >= 0 && group < (head + this.count(rec, r)) >>> GROUP_BITS) this.sumGroup(rec, r, group);
  }

  /** Takes event i out of every window; it stays held. */
  reverse(rec: Uint32Array, r: number, i: number): void {
    const words = this.words(rec, r);
    const o = this.offset(rec, r, i);
    const flags = words[o + 1];
    if ((flags & REVERSED) !== 0) return;
    words[o + 1] = (flags & ~SUPERSEDED) | REVERSED;
    this.changed(rec, r, i);
    if ((flags & SUPERSEDED) !== 0) return;
    const before = this.newestBefore(rec, r, (rec[r + R_SHAPE] & SHAPE_MASK) + i, words[o + WORD_COUNTERPARTY]);
    if (before < 0) return;
    words[this.base(rec, r) + before * this.plan.stride + 1] &= ~SUPERSEDED;
    this.changeDistinct(rec, r, before, 1);
  }

  /** Number of the newest event with the id, -1 when none is held. */
  findId(rec: Uint32Array, r: number, idHi: number, idLo: number): number {
    const n = this.count(rec, r);
    if (n === 0) return -1;
    const words = this.words(rec, r);
    const { stride } = this.plan;
    const { size } = this.summaries;
    const s = this.summary(rec, r);
    const head = rec[r + R_SHAPE] & SHAPE_MASK;
    const base = this.base(rec, r) + WORD_ID_LO;
    for (let p = head + n - 1; p >= head; p--) {
      if (s >= 0 && (p & GROUP_MASK) === GROUP_MASK) {
        if (!this.summaries.mayHoldId(words, s + (p >>> GROUP_BITS) * size, idLo)) {
          p -= GROUP - 1;
          continue;
        }
      }
      const o = base + p * stride;
      if (words[o] === idLo && words[o - 1] === idHi) return p - head;
    }
    return -1;
  }
}

/** Copies words; short runs by a loop, which is faster than a call. Downwards within one array. */
function copy(from: Uint32Array, p: number, to: Uint32Array, q: number, n: number): void {
  if (from === to) from.copyWithin(q, p, p + n);
  else if (n > 128) to.set(from.subarray(p, p + n), q);
  else for (let k = 0; k < n; k++) to[q + k] = from[p + k];
}
