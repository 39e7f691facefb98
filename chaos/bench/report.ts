/** The bench's JSON: medians over the runs, the facts beside them, and which of the numbers to reach were reached. */
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import type { HistoryResult } from "../load/history_loop.ts";
import type { JournalCheck } from "./journal_check.ts";
import type { Machine } from "./machine.ts";
import type { StateSizes } from "./measured.ts";
import type { RunResult } from "./one_run.ts";
import type { PeerResult } from "./peers/main.ts";
import { LATENCY_RATE, type Plan } from "./plan.ts";

export interface ReportParts {
  readonly profile: string;
  readonly plan: Plan;
  readonly runs: readonly RunResult[];
  readonly history: HistoryResult;
  readonly state: StateSizes;
  readonly check: JournalCheck;
  readonly peers: readonly PeerResult[];
  readonly models: number;
  readonly rules: number;
  readonly payment_bytes: number;
  readonly commit: string;
  readonly machine: Machine;
}

/** One number of the issue. `met` is null when it was not measured. */
export interface Target {
  readonly name: string;
  readonly value: number | null;
  readonly wanted: string;
  readonly met: boolean | null;
}

/** The middle one; the mean of the two middle ones. Null without numbers. */
export function median(values: readonly (number | undefined)[]): number | null {
  const sorted = values.filter((v): v is number => v !== undefined && Number.isFinite(v)).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const half = sorted.length >> 1;
  const middle = sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return Math.round(middle * 1000) / 1000;
}

/** The contract of `--json`, and beside it all raw runs. */
function numbersOf(p: ReportParts) {
  const { runs } = p;
  const over = (of: (run: RunResult) => number | undefined) => median(runs.map(of));
  const latency = (which: "at_60000" | "at_80000") => ({
    p50: over((r) => r[which].latency_ms.p50),
    p95: over((r) => r[which].latency_ms.p95),
    p99: over((r) => r[which].latency_ms.p99),
    p999: over((r) => r[which].latency_ms.p999),
  });
  const cpu = (process: "node" | "nats" | "load") => over((r) => r.at_60000.cpu_us_by_process[process]);
  const cpu_us_by_process = { node: cpu("node"), nats: cpu("nats"), load: cpu("load") };
  const peer = (name: string) => p.peers.find((r) => r.peer === name)?.decisions_per_s ?? null;
  const decisions_per_s = over((r) => r.saturation.hold?.decisions_per_s ?? 0);
  const stages = Object.keys(runs[0]?.at_60000.stages_us ?? {});
  const calls = (which: "unary" | "unary_echo") => median(runs.flatMap((r) => r[which].map((c) => c.per_s)));
  return {
    profile: p.profile,
    quick: p.plan.quick,
    decisions_per_s,
    offered_per_s: LATENCY_RATE,
    latency_ms: latency("at_60000"),
    at_80000: { offered_per_s: 80_000, latency_ms: latency("at_80000") },
    overload: {
      offered_per_s: over((r) => r.overload?.offered_per_s),
      admitted_per_s: over((r) => r.overload?.decisions_per_s),
      shed_per_s: over((r) => r.overload && (r.overload.errors["RESOURCE_EXHAUSTED"] ?? 0) / r.overload.seconds),
      p99_ms: over((r) => r.overload?.latency_ms.p99),
    },
    sketch: {
      decisions_per_s: over((r) => r.sketch?.hold?.decisions_per_s),
      p99_ms: over((r) => r.sketch?.at_60000.latency_ms.p99),
    },
    cpu_us_per_decision: median([
      runs.length === 0
        ? undefined
        : (cpu_us_by_process.node ?? 0) + (cpu_us_by_process.nats ?? 0) + (cpu_us_by_process.load ?? 0),
    ]),
    cpu_us_by_process,
    bytes_per_user: p.state.bytes_per_user,
    bytes_per_event: p.state.bytes_per_event,
    journal_bytes_per_decision: over((r) => r.at_60000.journal_bytes_per_decision),
    unary_per_s: calls("unary"),
    unary_echo_per_s: calls("unary_echo"),
    bulk_1000_ms_p95: over((r) => r.bulk.latency_ms.p95),
    expiries_per_s: over((r) => r.at_60000.expiries_per_s),
    acceleration: over((r) => r.at_60000.acceleration),
    features: FEATURE_COUNT,
    models: p.models,
    rules: p.rules,
    shards: p.check.shards,
    users: p.plan.users,
    merchants: p.plan.merchants,
    payment_bytes: Math.round(p.payment_bytes),
    peers: {
      redis_per_s: peer("redis"),
      sql_per_s: peer("sql"),
      ratio_redis: ratio(decisions_per_s, peer("redis")),
      ratio_sql: ratio(decisions_per_s, peer("sql")),
      raw: p.peers,
    },
    stages_us: Object.fromEntries(stages.map((s) => [s, over((r) => r.at_60000.stages_us[s])])),
    history: p.history,
    state: p.state,
    journals: p.check,
    runs,
    commit: p.commit,
    machine: p.machine,
  };
}

type Numbers = ReturnType<typeof numbersOf>;

export function makeReport(p: ReportParts): Numbers & { readonly targets: Target[] } {
  const numbers = numbersOf(p);
  return { ...numbers, targets: targetsOf(numbers) };
}

function targetsOf(r: Numbers): Target[] {
  const most = (name: string, value: number | null, limit: number): Target => ({
    name,
    value,
    wanted: `<= ${limit}`,
    met: value === null || Number.isNaN(value) ? null : value <= limit,
  });
  const least = (name: string, value: number | null, limit: number): Target => ({
    name,
    value,
    wanted: `>= ${limit}`,
    met: value === null || Number.isNaN(value) ? null : value >= limit,
  });
  return [
    least("decisions/s held", r.decisions_per_s, 100_000),
    most("p50 ms at 60,000/s", r.latency_ms.p50, 10),
    most("p95 ms at 60,000/s", r.latency_ms.p95, 25),
    most("p99 ms at 60,000/s", r.latency_ms.p99, 50),
    most("p99.9 ms at 60,000/s", r.latency_ms.p999, 100),
    most("p99 ms at 80,000/s", r.at_80000.latency_ms.p99, 100),
    least("saturation against the sketch's", ratio(r.decisions_per_s, r.sketch.decisions_per_s), 1),
    most("p99 at 60,000/s against the sketch's", ratio(r.latency_ms.p99, r.sketch.p99_ms), 1.3),
    least("unary against a raw echo", ratio(r.unary_per_s, r.unary_echo_per_s), 0.6),
    most("p95 ms of a bulk of 1,000", r.bulk_1000_ms_p95, 50),
    most("bytes a known user beyond 32 an event", r.bytes_per_user, 300),
    most("journal bytes a decision", r.journal_bytes_per_decision, 256),
    most("p99 ms of the admitted at 1.5 x saturation", r.overload.p99_ms, 250),
  ];
}

function ratio(a: number | null, b: number | null): number | null {
  return a === null || b === null || b === 0 ? null : Math.round((a / b) * 100) / 100;
}
