/**
 * Queries of light actors. Where there are standing tallies, they are brought to the time asked for. Else one scan from
 * the newest event backwards, which steps over groups by their summaries: a group that a window's start parts is
 * visited event by event up to there; a longer window takes its summary.
 */
import { CounterpartySet } from "./counterparty_set.ts";
import { FRAUD, REVERSED, SUPERSEDED, timeAt, WORD_COUNTERPARTY } from "./event_words.ts";
import { LightStore } from "./light_store.ts";
import type { Standing } from "./standing.ts";
import {
  COUNT_AMOUNTS,
  COUNT_DISTINCT,
  COUNT_FRAUDS,
  GROUP,
  GROUP_BITS,
  GROUP_MASK,
  S_COUNTS,
  S_FIRST_US,
  S_MAX,
  S_SQUARES_HI,
  S_SQUARES_LO,
  S_SUM,
  SUMMARY,
} from "./summaries.ts";
import {
  addEvent,
  RADIX,
  T_AMOUNTS,
  T_COUNT,
  T_DISTINCT,
  T_MAX,
  T_SQUARES_HI,
  T_SQUARES_LO,
  T_SUM,
  TALLY,
} from "./tally.ts";

export class Light extends LightStore {
  /** Counterparties of the events after a late query. */
  private readonly newer = new CounterpartySet();
  /** A tally of what the scan has passed, and one of what it had passed before the group it is in. */
  private readonly sums = new Float64Array(TALLY);
  private readonly before = new Float64Array(TALLY);

  /** Fills the plan's tallies, those of delayed windows only if they are wanted, for a query at timeUs. */
  query(rec: Uint32Array, r: number, timeUs: number, delayed: boolean): void {
    const tallies = this.tallies(rec, r);
    const kept = tallies !== null && timeAt(this.words(rec, r), this.newest(rec, r)) <= timeUs ? tallies : null;
    if (kept?.valid) {
      kept.moveTo(timeUs, this.head(rec, r), this.end(rec, r), this.summary(rec, r));
      kept.tell();
      return;
    }
    this.scan(rec, r, timeUs);
    if (delayed || (kept !== null && this.plan.delayedWindows > 0)) this.scanDelayed(rec, r, timeUs);
    if (kept !== null) this.keep(kept, rec, r, timeUs);
  }

  private newest(rec: Uint32Array, r: number): number {
    return this.offset(rec, r, this.count(rec, r) - 1);
  }

  private keep(tallies: Standing, rec: Uint32Array, r: number, timeUs: number): void {
    const { lengths } = this.plan;
    tallies.keep(timeUs);
    const head = this.head(rec, r);
    for (let b = 0; b < lengths.length; b++) tallies.setPlace(b, head + this.upTo(rec, r, timeUs - lengths[b]));
  }

  private scan(rec: Uint32Array, r: number, timeUs: number): void {
    const { windows, tally, lengths, stride } = this.plan;
    const { sums, before } = this;
    const held = this.count(rec, r);
    sums.fill(0);
    sums[T_MAX] = -1;
    let w = 0;
    if (held > 0) {
      const words = this.words(rec, r);
      const doubles = this.doubles(rec, r);
      const n = this.upTo(rec, r, timeUs);
      const head = this.head(rec, r);
      const base = this.base(rec, r);
      const late = n < held;
      if (late) this.collectNewer(rec, r, n);
      const s = late ? -1 : this.summary(rec, r);
      let bound = timeUs - lengths[0];
      let parted = -1;
      for (let p = head + n - 1; p >= head; ) {
        if (s >= 0 && (p & GROUP_MASK) === GROUP_MASK) {
          parted = p - GROUP_MASK < head ? -1 : s + (p >>> GROUP_BITS) * SUMMARY;
          if (parted >= 0 && doubles[(parted >>> 1) + S_FIRST_US] > bound) {
            addGroup(sums, sums, words, doubles, parted);
            p -= GROUP;
            continue;
          }
          copyTally(sums, before, 0);
        }
        const stop = s < 0 ? head : Math.max(head, p & ~GROUP_MASK);
        p = this.visit(words, base, p, stop, bound, late);
        if (p < stop) continue;
        const time = timeAt(words, base + p * stride);
        while (w < windows && time <= timeUs - lengths[w]) copyTally(sums, tally, w++ * TALLY);
        if (w === windows) return;
        bound = timeUs - lengths[w];
        if (parted >= 0 && doubles[(parted >>> 1) + S_FIRST_US] > bound) {
          addGroup(before, sums, words, doubles, parted);
          p = stop - 1;
        }
      }
    }
    for (; w < windows; w++) copyTally(sums, tally, w * TALLY);
  }

  /** Sums up the events from place `p` down to `stop` that are later than bound; the first place not summed up. */
  private visit(words: Uint32Array, base: number, p: number, stop: number, bound: number, late: boolean): number {
    const { stride } = this.plan;
    let at = p;
    for (let o = base + p * stride; at >= stop; at--, o -= stride) {
      const flags = words[o + 1];
      if (timeAt(words, o) <= bound) break;
      if ((flags & REVERSED) !== 0) continue;
      // Superseded only by events after the query: the newest up to it counts, and it is met first.
      const last = (flags & SUPERSEDED) === 0 || (late && this.newer.take(words[o + WORD_COUNTERPARTY]));
      addEvent(this.sums, 0, words, o, last ? 1 : 0);
    }
    return at;
  }

  /** The counterparties of the events from number n on. */
  private collectNewer(rec: Uint32Array, r: number, n: number): void {
    const words = this.words(rec, r);
    const { stride } = this.plan;
    const stop = this.offset(rec, r, this.count(rec, r));
    this.newer.reset();
    for (let o = this.offset(rec, r, n); o < stop; o += stride) {
      if ((words[o + 1] & REVERSED) === 0) this.newer.add(words[o + WORD_COUNTERPARTY]);
    }
  }

  private scanDelayed(rec: Uint32Array, r: number, timeUs: number): void {
    const { windows, delayedWindows, delayed, lengths, stride } = this.plan;
    delayed.fill(0);
    const n = this.upTo(rec, r, timeUs - lengths[windows]);
    if (n === 0) return;
    const words = this.words(rec, r);
    const doubles = this.doubles(rec, r);
    const head = this.head(rec, r);
    const base = this.base(rec, r);
    const s = this.summary(rec, r);
    let w = 0;
    for (let p = head + n - 1; p >= head; p--) {
      if (s >= 0 && (p & GROUP_MASK) === GROUP_MASK && p - GROUP_MASK >= head) {
        const q = s + (p >>> GROUP_BITS) * SUMMARY;
        if (doubles[(q >>> 1) + S_FIRST_US] > timeUs - lengths[windows + 1 + w]) {
          delayed[w * 2] += words[q + S_COUNTS] & 255;
          delayed[w * 2 + 1] += words[q + S_COUNTS] >>> COUNT_FRAUDS;
          p -= GROUP_MASK;
          continue;
        }
      }
      const o = base + p * stride;
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
}

/** to = from + the group's summary. */
function addGroup(from: Float64Array, to: Float64Array, words: Uint32Array, doubles: Float64Array, q: number): void {
  const d = q >>> 1;
  const counts = words[q + S_COUNTS];
  to[T_COUNT] = from[T_COUNT] + (counts & 255);
  to[T_AMOUNTS] = from[T_AMOUNTS] + ((counts >>> COUNT_AMOUNTS) & 255);
  to[T_DISTINCT] = from[T_DISTINCT] + ((counts >>> COUNT_DISTINCT) & 255);
  to[T_SUM] = from[T_SUM] + doubles[d + S_SUM];
  const low = from[T_SQUARES_LO] + doubles[d + S_SQUARES_LO];
  const carry = low >= RADIX ? 1 : 0;
  to[T_SQUARES_HI] = from[T_SQUARES_HI] + doubles[d + S_SQUARES_HI] + carry;
  to[T_SQUARES_LO] = low - carry * RADIX;
  to[T_MAX] = Math.max(from[T_MAX], doubles[d + S_MAX]);
}

function copyTally(from: Float64Array, to: Float64Array, at: number): void {
  to[at + T_COUNT] = from[T_COUNT];
  to[at + T_AMOUNTS] = from[T_AMOUNTS];
  to[at + T_SUM] = from[T_SUM];
  to[at + T_SQUARES_HI] = from[T_SQUARES_HI];
  to[at + T_SQUARES_LO] = from[T_SQUARES_LO];
  to[at + T_DISTINCT] = from[T_DISTINCT];
  to[at + T_MAX] = from[T_MAX];
}
