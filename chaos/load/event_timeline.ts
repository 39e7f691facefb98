/**
 * When the generator's payments happened: stretches of payments at even steps of event time, one after another, never
 * beyond the wall clock. From this and the set of acknowledged payments follow the window expiries, exactly.
 */
import type { RowSet } from "./row_set.ts";

/** Payments first.. first + count - 1; payment first + j happened at start_us + floor(j * step_us). */
export interface Stretch {
  readonly first: number;
  readonly count: number;
  readonly start_us: number;
  readonly step_us: number;
}

export class EventTimeline {
  readonly #stretches: Stretch[] = [];
  /** No event may lie beyond this. */
  readonly limit_us: number;
  #end_us: number;

  constructor(start_us: number, limit_us: number) {
    this.#end_us = start_us;
    this.limit_us = limit_us;
  }

  /** Where the next stretch starts. */
  get end_us(): number {
    return this.#end_us;
  }

  /** Adds a stretch behind the last one. Throws RangeError when it would reach beyond the limit. */
  append(first: number, count: number, step_us: number): Stretch {
    const stretch = { first, count, start_us: this.#end_us, step_us };
    const end_us = this.#end_us + Math.ceil(count * step_us);
    if (end_us > this.limit_us) {
      const over_s = Math.round((end_us - this.limit_us) / 1e6);
      throw new RangeError(`event time would pass the wall clock by ${over_s} s: start earlier or accelerate less`);
    }
    this.#stretches.push(stretch);
    this.#end_us = end_us;
    return stretch;
  }

  /** Payments of `held` with event time in (after_us, until_us]. */
  countBetween(held: RowSet, after_us: number, until_us: number): number {
    let n = 0;
    for (const s of this.#stretches) {
      const from = s.first + firstAfter(s, after_us);
      const to = s.first + firstAfter(s, until_us);
      if (to > from) n += held.count(from, to);
    }
    return n;
  }

  /**
   * Expiries while event time moved from from_us to to_us: for each window (t - W, t] the payments of `held` that left
   * it, in the windows of `actors` actors each.
   */
  expiries(held: RowSet, windows_us: readonly number[], from_us: number, to_us: number, actors: number): number {
    let n = 0;
    for (const w of windows_us) n += this.countBetween(held, from_us - w, to_us - w);
    return n * actors;
  }
}

/** Event time of payment first + j. */
export function eventTimeUs(s: Stretch, j: number): number {
  return s.start_us + Math.floor(j * s.step_us);
}

/** The least j in 0..count whose payment lies after the time; count when none does. */
function firstAfter(s: Stretch, time_us: number): number {
  let j = Math.min(s.count, Math.max(0, Math.ceil((time_us + 1 - s.start_us) / s.step_us)));
  // The division rounds: step to the exact place.
  while (j > 0 && eventTimeUs(s, j - 1) > time_us) j--;
  while (j < s.count && eventTimeUs(s, j) <= time_us) j++;
  return j;
}
