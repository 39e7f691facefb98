/**
 * Finds the highest rate that holds: short probes up and down to a bracket of 4 %, then whole holds from there down.
 */

/** One probe's verdict: whether the rate was held. */
export type Probe<T> = (rate: number, seconds: number) => Promise<{ readonly held: boolean; readonly result: T }>;

export interface SaturationOptions {
  /** First rate tried. */
  readonly guess: number;
  readonly step_s: number;
  readonly hold_s: number;
  readonly steps_max: number;
  readonly holds_max: number;
}

export interface Saturation<T> {
  /** The highest rate that was held for hold_s; 0 when none was. */
  readonly rate: number;
  readonly hold: T | undefined;
  readonly probes: number;
}

const UP = 1.2;
const DOWN = 0.8;
const BRACKET = 1.04;
const HOLD_DOWN = 0.96;
const ROUND = 500;
const RATE_MIN = 500;

export async function findSaturation<T>(probe: Probe<T>, o: SaturationOptions): Promise<Saturation<T>> {
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  let probes = 0;
  for (let rate = rounded(o.guess); probes < o.steps_max; ) {
    probes++;
    if ((await probe(rate, o.step_s)).held) low = rate;
    else high = rate;
    if (high <= RATE_MIN || high / low < BRACKET) break;
    rate = rounded(high === Number.POSITIVE_INFINITY ? low * UP : low === 0 ? high * DOWN : Math.sqrt(low * high));
    if (rate === low || rate === high) break;
  }
  // A short probe can hold what a long one cannot: take the next lower one.
  for (let rate = low === 0 ? rounded(high * DOWN) : low, i = 0; i < o.holds_max && rate >= RATE_MIN; i++) {
    probes++;
    const { held, result } = await probe(rate, o.hold_s);
    if (held) return { rate, hold: result, probes };
    rate = rounded(rate * HOLD_DOWN);
  }
  return { rate: 0, hold: undefined, probes };
}

function rounded(rate: number): number {
  return Math.max(ROUND, Math.round(rate / ROUND) * ROUND);
}
