/**
 * The events of light actors: at most LIGHT_EVENTS each, contiguous in one segment and in order of time, with summaries
 * of groups, fingerprints and standing tallies where there are many, and a flag on those whose counterparty came again.
 */
import { SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import {
  FRAUD,
  putEvent,
  putOrigin,
  REVERSED,
  SUPERSEDED,
  timeAt,
  WORD_COUNTERPARTY,
  WORD_ID_LO,
} from "./event_words.ts";
import { putFingerprint, searchFingerprint } from "./fingerprints.ts";
import { CLASS_SHIFT, COUNT_SHIFT, R_PIN, R_PLACE, R_SHAPE, SHAPE_EMPTY, SHAPE_MASK } from "./slots.ts";
import { Standing } from "./standing.ts";
import {
  COUNT_DISTINCT,
  GROUP,
  GROUP_BITS,
  GROUP_MASK,
  S_COUNTS,
  S_FIRST_US,
  SUMMARY,
  Summaries,
} from "./summaries.ts";
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
  private readonly standing: Standing;
  /** Of the last append: time of the newest earlier event of the same counterparty, -Infinity without. */
  metUs = Number.NEGATIVE_INFINITY;
  /** Told of a snapshot's pin before the pinned events move or change. */
  onUnpin: (pin: number) => void = () => {};

  constructor(plan: WindowPlan) {
    this.plan = plan;
    this.standing = new Standing(plan);
    this.summaries = new Summaries(plan.stride, plan.ids, this.standing.size);
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

  /** Place of the oldest event. */
  protected head(rec: Uint32Array, r: number): number {
    return rec[r + R_SHAPE] & SHAPE_MASK;
  }

  /** Place behind the newest event. */
  protected end(rec: Uint32Array, r: number): number {
    return this.head(rec, r) + this.count(rec, r);
  }

  /** Offset of event i in words(). */
  offset(rec: Uint32Array, r: number, i: number): number {
    return ((rec[r + R_PLACE] & SLAB_MASK) + (rec[r + R_SHAPE] & SHAPE_MASK) + i) * this.plan.stride;
  }

  /** Offset of a place in words(). */
  placeOffset(rec: Uint32Array, r: number, place: number): number {
    return this.base(rec, r) + place * this.plan.stride;
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

  /** Offset of the counterparties' bytes in words(), -1 in a segment without. */
  private counterparties(rec: Uint32Array, r: number): number {
    const start = this.summaries.counterparties[rec[r + R_SHAPE] >>> CLASS_SHIFT];
    return start < 0 ? -1 : this.base(rec, r) + start;
  }

  private idBytes(rec: Uint32Array, r: number): number {
    const start = this.summaries.idBytes[rec[r + R_SHAPE] >>> CLASS_SHIFT];
    return start < 0 ? -1 : this.base(rec, r) + start;
  }

  /** The standing tallies, valid or not, of a segment with summaries; null without. */
  protected tallies(rec: Uint32Array, r: number): Standing | null {
    const at = this.summaries.standing[rec[r + R_SHAPE] >>> CLASS_SHIFT];
    if (at < 0) return null;
    const base = this.base(rec, r);
    return this.standing.choose(this.words(rec, r), this.doubles(rec, r), base, base + at);
  }

  private validTallies(rec: Uint32Array, r: number): Standing | null {
    const tallies = this.tallies(rec, r);
    return tallies?.valid ? tallies : null;
  }

  /** Forgets the standing tallies: the next query scans. */
  spoil(rec: Uint32Array, r: number): void {
    this.tallies(rec, r)?.spoil();
  }

  /** Brings the standing tallies forward to timeUs, so that nothing that they count is dropped. */
  advance(rec: Uint32Array, r: number, timeUs: number): void {
    const tallies = this.validTallies(rec, r);
    if (tallies !== null && timeUs > tallies.timeUs) {
      tallies.moveTo(timeUs, this.head(rec, r), this.end(rec, r), this.summary(rec, r));
    }
  }

  /**
   * Reads a word of each cache line that an append and a query will read, but for the boundaries: all events, or the
   * newest, the fingerprints and the tallies. The reads do not wait for each other, so many rows' worth of them cost as
   * much as few in a row.
   */
  near(rec: Uint32Array, r: number): number {
    const n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const stop = this.offset(rec, r, n) + this.plan.stride;
    let from = this.offset(rec, r, 0);
    let sum = 0;
    const tallies = this.tallies(rec, r);
    if (tallies !== null) {
      sum = words[from] + tallies.near();
      sum += readBytes(words, this.counterparties(rec, r), this.head(rec, r), this.end(rec, r));
      if (this.plan.ids) sum += readBytes(words, this.idBytes(rec, r), this.head(rec, r), this.end(rec, r));
      from = this.offset(rec, r, Math.max(0, n - GROUP));
    }
    for (let o = from; o < stop; o += LINE_WORDS) sum += words[o];
    return sum;
  }

  /** After near: reads the events at the boundaries. */
  nearBoundaries(rec: Uint32Array, r: number): number {
    return this.validTallies(rec, r)?.nearBoundaries() ?? 0;
  }

  /** Number of events with time <= timeUs. */
  upTo(rec: Uint32Array, r: number, timeUs: number): number {
    const n = this.count(rec, r);
    if (n === 0) return 0;
    const words = this.words(rec, r);
    const doubles = this.doubles(rec, r);
    const { stride } = this.plan;
    const base = this.base(rec, r);
    const s = this.summary(rec, r);
    const head = this.head(rec, r);
    let stop = head + n;
    while (stop > head) {
      if (s >= 0 && (stop & GROUP_MASK) === 0 && stop - GROUP >= head) {
        const q = s + ((stop >>> GROUP_BITS) - 1) * SUMMARY;
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
    if (gone === n) {
      this.clear(rec, r);
      return gone;
    }
    rec[r + R_SHAPE] += gone - (gone << COUNT_SHIFT);
    const tallies = this.validTallies(rec, r);
    if (tallies !== null && tallies.first() < this.head(rec, r)) tallies.spoil();
    return gone;
  }

  private unpin(rec: Uint32Array, r: number): void {
    if (rec[r + R_PIN] !== 0) this.onUnpin(rec[r + R_PIN]);
  }

  /** Frees the segment. */
  clear(rec: Uint32Array, r: number): void {
    this.unpin(rec, r);
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
    const head = this.head(rec, r);
    const count = this.count(rec, r);
    const cls = shape >>> CLASS_SHIFT;
    if (head + count < this.summaries.capacity[cls]) return;
    this.unpin(rec, r);
    const wanted = this.summaries.classOf(count + 1);
    const from = rec[r + R_PLACE];
    const to = wanted === cls ? from : arena.alloc(wanted - 1);
    const summed = this.summaries.start[cls] >= 0 && this.summaries.start[wanted] >= 0;
    // Between segments with summaries groups stay groups.
    const first = summed ? head & ~GROUP_MASK : head;
    this.move(from, cls, first, head + count, to, wanted, summed);
    if (to !== from) arena.free(from);
    rec[r + R_PLACE] = to;
    rec[r + R_SHAPE] = (wanted << CLASS_SHIFT) | (count << COUNT_SHIFT) | (head - first);
    if (summed) this.validTallies(rec, r)?.shift(first);
    else {
      this.spoil(rec, r);
      this.sumUp(rec, r, 0);
    }
  }

  /** Moves the places from `first` up to `end` to the begin of a segment, with all that lies behind the events. */
  private move(
    from: number,
    cls: number,
    first: number,
    end: number,
    to: number,
    wanted: number,
    summed: boolean,
  ): void {
    const { arena, stride } = this.plan;
    const { start, counterparties, idBytes, standing } = this.summaries;
    const source = arena.slabs[from >>> SLAB_BITS];
    const target = arena.slabs[to >>> SLAB_BITS];
    const p = (from & SLAB_MASK) * stride;
    const q = (to & SLAB_MASK) * stride;
    copy(source, p + first * stride, target, q, (end - first) * stride);
    if (!summed) return;
    const group = first >>> GROUP_BITS;
    const groups = (end >>> GROUP_BITS) - group;
    copy(source, p + start[cls] + group * SUMMARY, target, q + start[wanted], groups * SUMMARY);
    const word = first >>> 2;
    const bytes = ((end + 3) >>> 2) - word;
    copy(source, p + counterparties[cls] + word, target, q + counterparties[wanted], bytes);
    if (this.plan.ids) copy(source, p + idBytes[cls] + word, target, q + idBytes[wanted], bytes);
    if (to !== from) copy(source, p + standing[cls], target, q + standing[wanted], this.standing.size);
  }

  /** Of the events from place `from` on: writes their fingerprints and sums up their full groups anew. */
  private sumUp(rec: Uint32Array, r: number, from: number): void {
    if (this.summary(rec, r) < 0) return;
    const end = this.end(rec, r);
    for (let p = from; p < end; p++) this.putFingerprints(rec, r, p);
    for (let g = from >>> GROUP_BITS; g < end >>> GROUP_BITS; g++) this.sumGroup(rec, r, g);
  }

  private sumGroup(rec: Uint32Array, r: number, group: number): void {
    const o = this.base(rec, r) + group * GROUP * this.plan.stride;
    const s = this.summary(rec, r) + group * SUMMARY;
    this.summaries.write(this.words(rec, r), this.doubles(rec, r), o, s);
  }

  private putFingerprints(rec: Uint32Array, r: number, place: number): void {
    const words = this.words(rec, r);
    const o = this.base(rec, r) + place * this.plan.stride;
    putFingerprint(words, this.counterparties(rec, r), place, words[o + WORD_COUNTERPARTY]);
    if (this.plan.ids) putFingerprint(words, this.idBytes(rec, r), place, words[o + WORD_ID_LO]);
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
    const head = this.head(rec, r);
    const end = this.end(rec, r);
    let place = end;
    let own = flags;
    if (end > head && timeAt(words, base + (end - 1) * stride) > timeUs) {
      this.unpin(rec, r);
      // Newer events move up by one; one of the same counterparty supersedes the new event.
      place = head + this.upTo(rec, r, timeUs);
      words.copyWithin(base + (place + 1) * stride, base + place * stride, base + end * stride);
      for (let o = base + (place + 1) * stride; o <= base + end * stride; o += stride) {
        if (words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) own |= SUPERSEDED;
      }
    }
    const o = base + place * stride;
    putEvent(words, o, timeUs, amount, cp, own);
    putOrigin(words, o, this.plan.stride, idHi, idLo, frame);
    this.validTallies(rec, r)?.insert(place);
    this.metUs = Number.NEGATIVE_INFINITY;
    if ((own & REVERSED) === 0) this.meet(rec, r, place, cp);
    rec[r + R_SHAPE] += 1 << COUNT_SHIFT;
    this.sumUp(rec, r, place);
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
    this.validTallies(rec, r)?.supersede(met);
  }

  /** Tells the summary of a place that its event became (1) or ceased to be (-1) the newest of its counterparty. */
  private changeDistinct(rec: Uint32Array, r: number, place: number, sign: number): void {
    const s = this.summary(rec, r);
    const group = place >>> GROUP_BITS;
    if (s < 0 || group >= this.end(rec, r) >>> GROUP_BITS) return;
    this.words(rec, r)[s + group * SUMMARY + S_COUNTS] += sign * (1 << COUNT_DISTINCT);
  }

  /** Place of the newest event of the counterparty before `place` that is not reversed, -1 without. */
  private newestBefore(rec: Uint32Array, r: number, place: number, cp: number): number {
    const words = this.words(rec, r);
    const { stride } = this.plan;
    const head = this.head(rec, r);
    const base = this.base(rec, r);
    const bytes = this.counterparties(rec, r);
    for (let p = place - 1; p >= head; p--) {
      if (bytes >= 0) p = searchFingerprint(words, bytes, p, head, cp);
      const o = base + p * stride;
      if (p >= 0 && words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) return p;
    }
    return -1;
  }

  /** Marks or unmarks event i as fraud. */
  flipFraud(rec: Uint32Array, r: number, i: number): void {
    this.unpin(rec, r);
    const words = this.words(rec, r);
    words[this.offset(rec, r, i) + 1] ^= FRAUD;
    this.changed(rec, r, i);
  }

  /** After a change of event i: its group, if it is full, is summed up anew, and the tallies are forgotten. */
  private changed(rec: Uint32Array, r: number, i: number): void {
    const group = (this.head(rec, r) + i) >>> GROUP_BITS;
    if (this.summary(rec, r) < 0) return;
    this.spoil(rec, r);
    if (group < this.end(rec, r) >>> GROUP_BITS) this.sumGroup(rec, r, group);
  }

  /** Takes event i out of every window; it stays held. */
  reverse(rec: Uint32Array, r: number, i: number): void {
    const words = this.words(rec, r);
    const o = this.offset(rec, r, i);
    const flags = words[o + 1];
    if ((flags & REVERSED) !== 0) return;
    this.unpin(rec, r);
    words[o + 1] = (flags & ~SUPERSEDED) | REVERSED;
    this.changed(rec, r, i);
    if ((flags & SUPERSEDED) !== 0) return;
    const before = this.newestBefore(rec, r, this.head(rec, r) + i, words[o + WORD_COUNTERPARTY]);
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
    const head = this.head(rec, r);
    const base = this.base(rec, r) + WORD_ID_LO;
    const bytes = this.idBytes(rec, r);
    for (let p = head + n - 1; p >= head; p--) {
      if (bytes >= 0) p = searchFingerprint(words, bytes, p, head, idLo);
      const o = base + p * stride;
      if (p >= 0 && words[o] === idLo && words[o - 1] === idHi) return p - head;
    }
    return -1;
  }
}

/** Reads the bytes of the places from head up to end, a word a cache line. */
function readBytes(words: Uint32Array, at: number, head: number, end: number): number {
  let sum = 0;
  for (let o = at + (head >>> 2); o < at + (end >>> 2); o += LINE_WORDS) sum += words[o];
  return sum;
}

/** Copies words; short runs by a loop, which is faster than a call. Downwards within one array. */
function copy(from: Uint32Array, p: number, to: Uint32Array, q: number, n: number): void {
  if (from === to) from.copyWithin(q, p, p + n);
  else if (n > 128) to.set(from.subarray(p, p + n), q);
  else for (let k = 0; k < n; k++) to[q + k] = from[p + k];
}
