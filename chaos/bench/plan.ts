/** How long each part of the bench takes, whole or quick, and how much event time that needs. */

import { HISTORY_US } from "../load/population.ts";

export interface Plan {
  readonly quick: boolean;
  readonly users: number;
  readonly merchants: number;
  /**
   * Event time from one payment to the next, microseconds: with that of the whole history, as many payments leave the
   * longest window as enter it, and the state is as large in the last phase as in the first.
   */
  readonly event_step_us: number;
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
  event_step_us: HISTORY_US / 13_200_000,
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

/** What may be sent at most in search of the saturation, in overload, and by closed loops. Payments a second. */
const SEARCH_RATE_MAX = 200_000;
const OVERLOAD_RATE_MAX = 300_000;
const UNARY_RATE_MAX = 20_000;
const BULK_ROWS = 1000;

/** Event time that all phases can need at most, behind the history. Microseconds. */
export function eventSpanUs(p: Plan): number {
  const { step_s, hold_s, steps_max, holds_max } = p.search;
  const search_s = steps_max * step_s + holds_max * hold_s;
  const calls = 2 * p.unary_rounds * p.unary_s * UNARY_RATE_MAX + p.bulk_calls * BULK_ROWS;
  const latency = p.latency_s * (LATENCY_RATE + LATENCY_RATE_HIGH);
  const run = latency + search_s * SEARCH_RATE_MAX + p.overload_s * OVERLOAD_RATE_MAX + calls;
  return (p.warm_up_s * LATENCY_RATE + p.runs * run) * p.event_step_us;
}
