/** The faults of a simulation: a plan made from the seed before it begins, so that it can be shrunk and run again. */
import { seeded } from "../../runtime/testkit/sim_world.ts";

/** What may go wrong. Faults of a host name it; the others concern all. */
export const FAULT_KINDS = [
  "crash",
  "restart",
  "pause",
  "cut-requests",
  "cut-answers",
  "cut-both",
  "clock-jump",
  "disk-full",
  "snapshot-damage",
  "journal-outage",
  "journal-flaky",
  "acks-lost",
  "late-requests",
  "leader-change",
  "lease-wipe",
  "lease-outage",
  "stale-leases",
  "slow-model",
  "failing-model",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Fault {
  /** Place in the plan: names it when a shrunk plan is run again. */
  readonly number: number;
  readonly kind: FaultKind;
  readonly at_ms: number;
  readonly duration_ms: number;
  readonly host: number;
  /** A number in [0, 1) for whatever else must be chosen. */
  readonly dice: number;
}

/** Longest duration of each kind, milliseconds. */
const LONGEST_MS: Record<FaultKind, number> = {
  crash: 5000,
  restart: 1000,
  pause: 20_000,
  "cut-requests": 10_000,
  "cut-answers": 10_000,
  "cut-both": 15_000,
  "clock-jump": 20_000,
  "disk-full": 20_000,
  "snapshot-damage": 0,
  "journal-outage": 9000,
  "journal-flaky": 8000,
  "acks-lost": 5000,
  "late-requests": 5000,
  "leader-change": 9000,
  "lease-wipe": 0,
  "lease-outage": 8000,
  "stale-leases": 10_000,
  "slow-model": 5000,
  "failing-model": 5000,
};

/** One to five faults in each simulated minute. */
export function planFaults(seed: number, minutes: number, hosts: number): Fault[] {
  const random = seeded(seed ^ 0x5f3759df);
  const count = Math.ceil(minutes * (1 + 4 * random()));
  const times = Array.from({ length: count }, () => 2000 + random() * (minutes * 60_000 - 4000)).sort((a, b) => a - b);
  return times.map((at_ms, number) => {
    const kind = FAULT_KINDS[Math.floor(random() * FAULT_KINDS.length)];
    const duration_ms = LONGEST_MS[kind] * (0.1 + 0.9 * random());
    return { number, kind, at_ms, duration_ms, host: Math.floor(random() * hosts), dice: random() };
  });
}
