/**
 * One phase with what it cost: processor time by process, time in each stage of a tick, bytes of the journal.
 * Differences of counters read right before and right behind it.
 */
import type { PhaseOptions, PhaseResult } from "../load/open_loop.ts";
import { cpuUs, residentBytes } from "./cpu.ts";
import type { LoadProcess } from "./load_process.ts";
import type { Metrics } from "./metrics.ts";
import type { UnderTest } from "./node_under_test.ts";

export interface CpuByProcess {
  readonly node: number;
  readonly nats: number;
  readonly load: number;
}

export interface MeasuredPhase extends PhaseResult {
  /** Processor microseconds a decision. */
  readonly cpu_us_by_process: CpuByProcess;
  /** Mean microseconds of each stage of a tick. */
  readonly stages_us: Readonly<Record<string, number>>;
  readonly rows_per_tick: number;
  readonly journal_bytes_per_decision: number;
  readonly node_resident_mib: number;
}

const STAGE_SECONDS = "fraudguard_stage_seconds_total";
const STAGE_TICKS = "fraudguard_stage_ticks_total";
const JOURNAL_BYTES = "fraud_journal_bytes_total";

function sumOf(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((sum, pid) => sum + of(pid), 0);
}

interface Reading {
  readonly cpu: CpuByProcess;
  readonly metrics: Metrics;
}

async function read(node: UnderTest, load: LoadProcess): Promise<Reading> {
  node.check();
  const metrics = await node.metrics();
  return { metrics, cpu: { node: sumOf(node.pids, cpuUs), nats: sumOf(node.nats_pids, cpuUs), load: cpuUs(load.pid) } };
}

export async function measurePhase(node: UnderTest, load: LoadProcess, o: PhaseOptions): Promise<MeasuredPhase> {
  const before = await read(node, load);
  const phase = await load.phase(o);
  const after = await read(node, load);
  const per = (value: number, of: number) => Math.round((value / Math.max(1, of)) * 100) / 100;
  const ticks = after.metrics.sum(STAGE_TICKS) - before.metrics.sum(STAGE_TICKS);
  const [was, is] = [before.metrics.by(STAGE_SECONDS, "stage"), after.metrics.by(STAGE_SECONDS, "stage")];
  const journal = after.metrics.sum(JOURNAL_BYTES) - before.metrics.sum(JOURNAL_BYTES);
  return {
    ...phase,
    cpu_us_by_process: {
      node: per(after.cpu.node - before.cpu.node, phase.decided),
      nats: per(after.cpu.nats - before.cpu.nats, phase.decided),
      load: per(after.cpu.load - before.cpu.load, phase.decided),
    },
    stages_us: Object.fromEntries(
      Object.entries(is).map(([stage, s]) => [stage, Math.round(((s - (was[stage] ?? 0)) * 1e6) / Math.max(1, ticks))]),
    ),
    rows_per_tick: per(phase.decided, ticks),
    journal_bytes_per_decision: per(journal, phase.decided),
    node_resident_mib: Math.round(sumOf(node.pids, residentBytes) / 2 ** 20),
  };
}

/** What an event may take; the rest is the user's. */
const EVENT_BYTES = 32;

/** What the node's state takes. */
export interface StateSizes {
  readonly users: number;
  readonly entities: number;
  /** Held in user rings; held in the windows of entities. */
  readonly user_events: number;
  readonly entity_events: number;
  readonly bytes: Readonly<Record<string, number>>;
  /** All bytes of the users' state, less EVENT_BYTES for each event held: indexes, summaries and free room with it. */
  readonly bytes_per_user: number;
  /** Bytes of the event memory for each event held: users and entities, free room with it. */
  readonly bytes_per_event: number;
  readonly bytes_per_entity: number;
}

export async function stateSizes(node: UnderTest): Promise<StateSizes> {
  const metrics = await node.metrics();
  const known = (kind: string) => metrics.sum("fraudguard_actors_known", { kind });
  const held = (kind: string) => metrics.sum("fraudguard_events_held", { kind });
  const bytes = metrics.by("fraudguard_state_bytes", "part");
  const of = (...parts: string[]) => parts.reduce((sum, part) => sum + (bytes[part] ?? Number.NaN), 0);
  const tenth = (value: number) => Math.round(value * 10) / 10;
  return {
    users: known("user"),
    entities: known("entity"),
    user_events: held("user"),
    entity_events: held("entity"),
    bytes,
    bytes_per_user: tenth((of("user_actors", "user_events") - EVENT_BYTES * held("user")) / known("user")),
    bytes_per_event: tenth(of("user_events", "entity_events") / (held("user") + held("entity"))),
    bytes_per_entity: tenth(of("entity_actors") / known("entity")),
  };
}
