/**
 * Standing tallies: what a query of a light actor with many events found, kept in the actor's segment. The next query
 * brings them to its own time by the events that entered or left each window since, forwards or backwards, instead of
 * scanning. Every number is an exact integer, so a tally that was brought along has the bits of one that was scanned.
 *
 * A boundary of length L stands before the first event later than t - L. In words: whether the tallies are valid, one
 * unused, their time t (2), the place of each boundary, count and frauds of each delayed window; then, from an even
 * word on, TALLY doubles a window.
 */
import { amountAt, FRAUD, REVERSED, SUPERSEDED, timeAt } from "./event_words.ts";
import { GROUP, GROUP_BITS, GROUP_MASK, S_MAX, SUMMARY } from "./summaries.ts";
import { addEvent, T_DISTINCT, T_MAX, TALLY, takeEvent } from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

const Z_TIME = 1;
const Z_PLACES = 4;

export class Standing {
  /** 32-bit words in a segment, even. */
  readonly size: number;
  private readonly plan: WindowPlan;
  private readonly counts: number;
  private readonly tallies: number;
  private words: Uint32Array = new Uint32Array(0);
  private doubles: Float64Array = new Float64Array(0);
  private base = 0;
  private at = 0;

  constructor(plan: WindowPlan) {
    this.plan = plan;
    this.counts = Z_PLACES + plan.lengths.length;
    this.tallies = (this.counts + 2 * plan.delayedWindows + 1) & ~1;
    this.size = this.tallies + 2 * TALLY * plan.windows;
  }

  /** The segment that all other calls are about: its events from word `base` on, its standing tallies from `at` on. */
  choose(words: Uint32Array, doubles: Float64Array, base: number, at: number): this {
    this.words = words;
    this.doubles = doubles;
    this.base = base;
    this.at = at;
    return this;
  }

  get valid(): boolean {
    return this.words[this.at] === 1;
  }

  /** Forgets the tallies; the next query scans. */
  spoil(): void {
    this.words[this.at] = 0;
  }

  get timeUs(): number {
    return this.doubles[(this.at >>> 1) + Z_TIME];
  }

  /** Keeps the plan's tallies, all of them for a query at timeUs; the places of the boundaries follow by setPlace. */
  keep(timeUs: number): void {
    const { words, doubles, at, plan } = this;
    words[at] = 1;
    doubles[(at >>> 1) + Z_TIME] = timeUs;
    for (let k = 0; k < plan.delayed.length; k++) words[at + this.counts + k] = plan.delayed[k];
    const d = (at + this.tallies) >>> 1;
    for (let k = 0; k < plan.tally.length; k++) doubles[d + k] = plan.tally[k];
  }

  setPlace(boundary: number, place: number): void {
    this.words[this.at + Z_PLACES + boundary] = place;
  }

  /** Writes the plan's tallies. */
  tell(): void {
    const { words, doubles, at, plan } = this;
    const { tally, delayed } = plan;
    for (let k = 0; k < delayed.length; k++) delayed[k] = words[at + this.counts + k];
    const d = (at + this.tallies) >>> 1;
    for (let k = 0; k < tally.length; k++) tally[k] = doubles[d + k];
  }

  /** Reads the tallies and the places, so that they are near; the result means nothing. */
  near(): number {
    let sum = 0;
    for (let k = 0; k < this.size; k += 16) sum += this.words[this.at + k];
    return sum;
  }

  /** Reads the event at each boundary, so that it is near; the result means nothing. */
  nearBoundaries(): number {
    const { words, base, plan } = this;
    let sum = 0;
    for (let b = 0; b < plan.lengths.length; b++) {
      sum += words[base + words[this.at + Z_PLACES + b] * plan.stride];
    }
    return sum;
  }

  /**
   * Brings the tallies to timeUs, which no held event is later than. Events lie from place `head` up to `end`; the
   * first group's summary lies at word s.
   */
  moveTo(timeUs: number, head: number, end: number, s: number): void {
    const { words, doubles, base, at } = this;
    const { lengths, stride } = this.plan;
    const before = doubles[(at >>> 1) + Z_TIME];
    if (timeUs === before) return;
    doubles[(at >>> 1) + Z_TIME] = timeUs;
    for (let b = 0; b < lengths.length; b++) {
      const bound = timeUs - lengths[b];
      const z = at + Z_PLACES + b;
      const was = words[z];
      let p = was;
      if (timeUs > before) {
        let without = false;
        for (; p < end && timeAt(words, base + p * stride) <= bound; p++) {
          if (this.cross(b, base + p * stride, -1)) without = true;
        }
        if (without) this.setLargest(b, this.largest(p, end, s));
      } else {
        while (p > head && timeAt(words, base + (p - 1) * stride) > bound) this.cross(b, base + --p * stride, 1);
      }
      words[z] = p;
    }
  }

  /** Moves the event at word o over a boundary, into its window (1) or out of it (-1); whether its maximum left. */
  private cross(b: number, o: number, sign: number): boolean {
    const { words, doubles } = this;
    const { windows } = this.plan;
    const flags = words[o + 1];
    if ((flags & REVERSED) !== 0) return false;
    if (b < windows) {
      const d = this.tallyOf(b);
      const last = (flags & SUPERSEDED) === 0 ? 1 : 0;
      if (sign < 0) return takeEvent(doubles, d, words, o, last);
      addEvent(doubles, d, words, o, last);
    } else if (b > windows) this.count(b - windows - 1, flags, sign);
    else {
      // What leaves the time of delay enters every delayed window.
      for (let w = 0; w < this.plan.delayedWindows; w++) this.count(w, flags, -sign);
    }
    return false;
  }

  private count(delayedWindow: number, flags: number, sign: number): void {
    const c = this.at + this.counts + 2 * delayedWindow;
    this.words[c] += sign;
    if ((flags & FRAUD) !== 0) this.words[c + 1] += sign;
  }

  /** Counts the event at place p, just put there: those that were there and behind it have moved up. */
  insert(p: number): void {
    const { words, base, at, plan } = this;
    const o = base + p * plan.stride;
    const time = timeAt(words, o);
    const now = this.timeUs;
    const delayed = plan.delayedWindows > 0 && time <= now - plan.lengths[plan.windows];
    const reversed = (words[o + 1] & REVERSED) !== 0;
    for (let b = 0; b < plan.lengths.length; b++) {
      if (time <= now - plan.lengths[b]) words[at + Z_PLACES + b]++;
      else if (!reversed && b < plan.windows) this.cross(b, o, 1);
      else if (!reversed && b > plan.windows && delayed) this.count(b - plan.windows - 1, words[o + 1], 1);
    }
  }

  /** The event at place p ceased to be the newest of its counterparty. */
  supersede(p: number): void {
    const { words, doubles, at, plan } = this;
    for (let w = 0; w < plan.windows; w++) {
      if (words[at + Z_PLACES + w] <= p) doubles[this.tallyOf(w) + T_DISTINCT]--;
    }
  }

  /** All places became smaller by `by`. */
  shift(by: number): void {
    for (let b = 0; b < this.plan.lengths.length; b++) this.words[this.at + Z_PLACES + b] -= by;
  }

  /** Smallest place of a boundary. */
  first(): number {
    let p = this.words[this.at + Z_PLACES];
    for (let b = 1; b < this.plan.lengths.length; b++) p = Math.min(p, this.words[this.at + Z_PLACES + b]);
    return p;
  }

  private tallyOf(w: number): number {
    return ((this.at + this.tallies) >>> 1) + w * TALLY;
  }

  private setLargest(w: number, max: number): void {
    this.doubles[this.tallyOf(w) + T_MAX] = max;
  }

  /** Largest amount of the events from place p up to end, -1 without. */
  private largest(p: number, end: number, s: number): number {
    const { words, doubles, base } = this;
    const { stride } = this.plan;
    let max = -1;
    let at = p;
    while (at < end) {
      if ((at & GROUP_MASK) === 0 && at + GROUP <= end) {
        max = Math.max(max, doubles[((s + (at >>> GROUP_BITS) * SUMMARY) >>> 1) + S_MAX]);
        at += GROUP;
        continue;
      }
      const o = base + at++ * stride;
      const a = amountAt(words, o);
      if ((words[o + 1] & REVERSED) === 0 && a > max) max = a;
    }
    return max;
  }
}
