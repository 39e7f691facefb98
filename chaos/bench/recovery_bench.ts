/**
 * How long a node takes until it serves a shard with many payments behind its newest snapshot: a history is sent and
 * snapshotted, payments are decided without another snapshot, and the node is started again, once to be timed and once
 * under V8's profiler.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { nodeLog } from "../../deploy/e2e/testkit/node_log.ts";
import { HISTORY_US } from "../load/population.ts";
import { busiestThread, type ProfileSummary } from "./cpu_profile.ts";
import { LoadProcess } from "./load_process.ts";
import { commitOf, machineFacts } from "./machine.ts";
import { NodeUnderTest } from "./node_under_test.ts";
import { eventSpanUs, type Plan } from "./plan.ts";

/** Seconds between snapshots while the history is sent. */
const SNAPSHOT_S = 5;
const SNAPSHOT_WAIT_S = 300;
/** Well below what a node decides, so that few are shed. Payments a second. */
const RATE = 30_000;
const PHASE_S_MIN = 5;

export interface RecoveryBenchOptions {
  readonly root: string;
  readonly work_dir: string;
  /** Payments decided behind the snapshot. */
  readonly payments: number;
  readonly plan: Plan;
  readonly seed: number;
  readonly currency: string;
  readonly say: (line: string) => void;
}

/** A start, as the node's log tells it. */
interface Recovered {
  /** From the start of the process to ready.json, seconds. */
  readonly start_to_serving_s: number;
  /** Snapshot and journal. */
  readonly shard_loaded_s: number;
  readonly snapshot_s: number;
  readonly replayed_rows: number;
  readonly replayed_frames: number;
  /** Frames whose feature matrix was recomputed and had the recorded checksum. */
  readonly compared_frames: number;
  readonly replay_rows_per_s: number;
}

async function recover(o: RecoveryBenchOptions, data_dir: string, profile_dir?: string): Promise<Recovered> {
  const began_ms = performance.now();
  const node_flags = profile_dir === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile_dir}`];
  const node = await NodeUnderTest.start({ root: o.root, data_dir, shards: 1, snapshot_interval_s: 0, node_flags });
  const start_to_serving_s = (performance.now() - began_ms) / 1000;
  await node.stop();
  const loaded = (await nodeLog(data_dir)).filter((line) => line["msg"] === "shard_loaded").at(-1);
  if (loaded === undefined) throw new Error("the node's log does not say that a shard was loaded");
  const number = (name: string) => Number(loaded[name]);
  const replay_s = number("seconds") - number("snapshot_seconds");
  return {
    start_to_serving_s: hundredth(start_to_serving_s),
    shard_loaded_s: hundredth(number("seconds")),
    snapshot_s: hundredth(number("snapshot_seconds")),
    replayed_rows: number("replayed_rows"),
    replayed_frames: number("replayed_frames"),
    compared_frames: number("compared_frames"),
    replay_rows_per_s: Math.round(number("replayed_rows") / replay_s),
  };
}

function hundredth(value: number): number {
  return Math.round(value * 100) / 100;
}

interface Prepared {
  readonly snapshot_bytes: number;
  readonly decided: number;
  /** Answered provisionally, or not at all: they may stand in the journal. */
  readonly unknown: number;
}

/** History, a snapshot of all of it, and the payments behind it. */
async function prepare(o: RecoveryBenchOptions, data_dir: string): Promise<Prepared> {
  const load = new LoadProcess(o.root);
  const first = await NodeUnderTest.start({ root: o.root, data_dir, shards: 1, snapshot_interval_s: SNAPSHOT_S });
  const limit_us = Date.now() * 1000;
  const open = (node: NodeUnderTest, of: LoadProcess, start_us: number) =>
    of.open({
      grpc: node.grpc,
      api_key: node.api_key,
      streams: 4,
      users: o.plan.users,
      merchants: o.plan.merchants,
      seed: o.seed,
      id_prefix: randomUUID().slice(0, 24),
      currency: o.currency,
      event_step_us: o.plan.event_step_us,
      event_start_us: start_us,
      event_limit_us: limit_us,
    });
  const begins_us = limit_us - eventSpanUs(o.plan) - 2 * o.payments * o.plan.event_step_us;
  try {
    await open(first, load, begins_us - HISTORY_US);
    const history = await load.history();
    o.say(`history: ${history.payments} payments in ${history.seconds} s`);
    await snapshotOfNow(data_dir);
  } finally {
    await load.stop();
    await first.stop();
  }
  const snapshot_bytes = Math.max(...snapshots(data_dir).map((s) => s.size));
  o.say(`snapshot: ${(snapshot_bytes / 2 ** 20).toFixed(0)} MiB`);
  const second = await NodeUnderTest.start({ root: o.root, data_dir, shards: 1, snapshot_interval_s: 0 });
  const sender = new LoadProcess(o.root);
  try {
    await open(second, sender, begins_us);
    let decided = 0;
    let unknown = 0;
    while (decided < o.payments) {
      const seconds = Math.max(PHASE_S_MIN, Math.min(60, Math.ceil((o.payments - decided) / RATE)));
      const phase = await sender.phase({ name: "behind the snapshot", rate: RATE, seconds });
      decided += phase.decided;
      unknown += phase.provisional + phase.unanswered;
      o.say(`decided ${decided} of ${o.payments} payments behind the snapshot`);
    }
    return { snapshot_bytes, decided, unknown };
  } finally {
    await sender.stop();
    await second.stop();
  }
}

function snapshots(data_dir: string): { readonly size: number }[] {
  const dir = join(data_dir, "snapshots", "shard-0");
  try {
    const names = readdirSync(dir).filter((name) => name.endsWith(".snapshot"));
    return names.map((name) => statSync(join(dir, name)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Waits for two more snapshots to be finished: the second of them was cut after the call. */
async function snapshotOfNow(data_dir: string): Promise<void> {
  const finished = async () => (await nodeLog(data_dir)).filter((line) => line["msg"] === "snapshot").length;
  const before = await finished();
  const end_ms = performance.now() + SNAPSHOT_WAIT_S * 1000;
  while ((await finished()) < before + 2) {
    if (performance.now() > end_ms) throw new Error(`no snapshot within ${SNAPSHOT_WAIT_S} s`);
    await delay(200);
  }
}

/** Runs it; the result is what `--json` writes. */
export async function benchRecovery(o: RecoveryBenchOptions) {
  const data_dir = join(o.work_dir, "node");
  mkdirSync(data_dir, { recursive: true });
  const prepared = await prepare(o, data_dir);
  const recovered = await recover(o, data_dir);
  const { start_to_serving_s, snapshot_s, replayed_rows, replay_rows_per_s } = recovered;
  o.say(
    `recovery: ${start_to_serving_s} s to serving: snapshot ${snapshot_s} s, ` +
      `${replayed_rows} rows replayed at ${replay_rows_per_s}/s`,
  );
  const profile_dir = join(o.work_dir, "profile");
  mkdirSync(profile_dir, { recursive: true });
  await recover(o, data_dir, profile_dir);
  const profile = busiestThread(profile_dir);
  if (profile !== null) sayProfile(profile, o.say);
  return { users: o.plan.users, ...prepared, ...recovered, profile, commit: commitOf(o.root), machine: machineFacts() };
}

function sayProfile(p: ProfileSummary, say: (line: string) => void): void {
  say(`profile of a start: ${p.busy_s} s busy, ${p.idle_s} s waiting`);
  for (const [part, seconds] of Object.entries(p.parts_s)) say(`  ${seconds.toFixed(2).padStart(7)} s  ${part}`);
  for (const { name, share } of p.top) say(`  ${(share * 100).toFixed(1).padStart(6)} %  ${name}`);
}
