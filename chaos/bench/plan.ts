/** How long each part of the bench takes, whole or quick, and how much event time that needs. */

export interface Plan {
  readonly quick: boolean;
  readonly users: number;
  readonly merchants: number;
  /** Event time runs so many times faster than the clock: at 60,000/s as many payments expire as come. */
  readonly acceleration: number;
  readonly runs: number;
  readonly warm_up_s: number;
  readonly latency_s: number;
  readonly sketch_latency_s: number;
  readonly search: {
    readonly step_s: number;
    readonly hold_s: number;
    readonly steps_max: number;
    readonly holds_max: number;
  };
  readonly overload_s: number;
  readonly unary_s: number;
  readonly unary_rounds: number;
  readonly unary_concurrency: number;
  readonly bulk_calls: number;
  readonly peer_s: number;
  readonly peer_users: number;
}

export const LATENCY_RATE = 60_000;
export const LATENCY_RATE_HIGH = 80_000;
export const OVERLOAD_FACTOR = 1.5;
export const FIRST_GUESS = 100_000;

const WHOLE: Plan = {
  quick: false,
  users: 1_000_000,
  merchants: 50_000,
  acceleration: 1000,
  runs: 3,
  warm_up_s: 30,
  latency_s: 60,
  sketch_latency_s: 30,
  search: { step_s: 10, hold_s: 60, steps_max: 6, holds_max: 4 },
  overload_s: 30,
  unary_s: 10,
  unary_rounds: 2,
  unary_concurrency: 64,
  bulk_calls: 200,
  peer_s: 10,
  peer_users: 20_000,
};

const QUICK: Plan = {
  ...WHOLE,
  quick: true,
  users: 100_000,
  merchants: 5_000,
  runs: 1,
  warm_up_s: 5,
  latency_s: 8,
  sketch_latency_s: 6,
  search: { step_s: 4, hold_s: 8, steps_max: 4, holds_max: 2 },
  overload_s: 6,
  unary_s: 4,
  unary_rounds: 1,
  bulk_calls: 40,
  peer_s: 3,
  peer_users: 4_000,
};

export function planOf(quick: boolean, runs: number | undefined): Plan {
  const plan = quick ? QUICK : WHOLE;
  return runs === undefined ? plan : { ...plan, runs };
}

/** Event time that all phases can need at most, behind the history. Microseconds. */
export function eventSpanUs(p: Plan): number {
  const { step_s, hold_s, steps_max, holds_max } = p.search;
  const search_s = steps_max * step_s + holds_max * hold_s;
  // Calls in closed loops advance by assumed rates: twice their time is plenty.
  const calls_s = 2 * p.unary_rounds * p.unary_s + p.bulk_calls;
  const run_s = 2 * p.latency_s + search_s + p.overload_s + calls_s;
  return (p.warm_up_s + p.runs * run_s + 60) * p.acceleration * 1e6;
}
