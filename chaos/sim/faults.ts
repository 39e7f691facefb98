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
  "nodes-cut",
  "nodes-flaky",
  "nodes-slow",
] as const;
/** Faults of replicated journals. They are drawn apart, so that they change nothing else of a seed's plan. */
export const REPLICA_FAULT_KINDS = ["election", "minority", "lease-recreated"] as const;
export type FaultKind = (typeof FAULT_KINDS)[number] | (typeof REPLICA_FAULT_KINDS)[number] | "poison";

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
  "nodes-cut": 10_000,
  "nodes-flaky": 8000,
  "nodes-slow": 8000,
  election: 9000,
  minority: 12_000,
  "lease-recreated": 0,
  poison: 0,
};
/** JetStream's followers wait for 4 to 9 s before they vote; shorter gaps do not happen when a leader is lost. */
const ELECTION_MS_MIN = 4000;

/** Nothing goes wrong before, milliseconds. */
const QUIET_START_MS = 2000;
/** Faults that seldom hurt alone: another one during them is what they are for. */
const FOLLOWED = 0.5;

/** One to five faults in each simulated minute, half of them followed by another one during them. */
export function planFaults(seed: number, minutes: number, hosts: number): Fault[] {
  const random = seeded(seed ^ 0x5f3759df);
  const planned: Omit<Fault, "number">[] = [];
  const add = (from_ms: number, within_ms: number): Omit<Fault, "number"> => {
    const kind = FAULT_KINDS[Math.floor(random() * FAULT_KINDS.length)];
    const duration_ms = LONGEST_MS[kind] * (0.1 + 0.9 * random());
    const at_ms = from_ms + random() * within_ms;
    const fault = { kind, at_ms, duration_ms, host: Math.floor(random() * hosts), dice: random() };
    planned.push(fault);
    return fault;
  };
  const count = Math.ceil(minutes * (1 + 4 * random()));
  for (let i = 0; i < count; i++) {
    const first = add(QUIET_START_MS, minutes * 60_000 - 2 * QUIET_START_MS);
    if (random() < FOLLOWED) add(first.at_ms, first.duration_ms);
  }
  planned.push(...replicaFaults(seed, minutes, hosts), ...poisons(seed, minutes));
  planned.sort((a, b) => a.at_ms - b.at_ms);
  return planned.map((fault, number) => ({ number, ...fault }));
}

/** In half of the simulations one or two a minute. */
function replicaFaults(seed: number, minutes: number, hosts: number): Omit<Fault, "number">[] {
  const random = seeded(seed ^ 0x3c6ef372);
  if (random() < 0.5) return [];
  return Array.from({ length: Math.ceil(minutes * (1 + random())) }, () => {
    const kind = REPLICA_FAULT_KINDS[Math.floor(random() * REPLICA_FAULT_KINDS.length)];
    const least_ms = kind === "election" ? ELECTION_MS_MIN : 0;
    const duration_ms = least_ms + (LONGEST_MS[kind] - least_ms) * random();
    const at_ms = QUIET_START_MS + random() * (minutes * 60_000 - 2 * QUIET_START_MS);
    return { kind, at_ms, duration_ms, host: Math.floor(random() * hosts), dice: random() };
  });
}

/** In a third of the simulations up to three payments a minute that an actor fails on. Drawn apart, as above. */
function poisons(seed: number, minutes: number): Omit<Fault, "number">[] {
  const random = seeded(seed ^ 0x2545f491);
  if (random() < 2 / 3) return [];
  return Array.from({ length: Math.ceil(3 * minutes * random()) }, () => {
    const at_ms = QUIET_START_MS + random() * (minutes * 60_000 - 2 * QUIET_START_MS);
    return { kind: "poison", at_ms, duration_ms: 0, host: 0, dice: random() };
  });
}
