/**
 * The bench: starts a node with real engines, sends the known history, makes the runs, measures the peers, checks the
 * journals against what the client was told, and writes the numbers as JSON.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Progress } from "../../deploy/progress.ts";
import type { HistoryResult } from "../load/history_loop.ts";
import { HISTORY_US } from "../load/population.ts";
import { RowSet } from "../load/row_set.ts";
import { Child } from "./child.ts";
import { benchCluster } from "./cluster_bench.ts";
import { checkJournals, type JournalCheck } from "./journal_check.ts";
import { LoadProcess } from "./load_process.ts";
import { commitOf, machineFacts } from "./machine.ts";
import { stateSizes } from "./measured.ts";
import { NodeUnderTest } from "./node_under_test.ts";
import { type Bench, oneRun, type RunResult } from "./one_run.ts";
import type { PeerResult } from "./peers/main.ts";
import { eventSpanUs, FIRST_GUESS, LATENCY_RATE, type Plan, planOf } from "./plan.ts";
import { benchRecovery } from "./recovery_bench.ts";
import { makeReport } from "./report.ts";
import { benchSnapshot } from "./snapshot_bench.ts";

const HELP = `npm run bench -- [options]     measure one node on this machine

  --profile spine|full      spine: the node with its journals (default); full: the same until more engines exist
  --json FILE               write all numbers there
  --quick                   short phases, 100,000 users: a smoke run of under 4 minutes, marked in the JSON
  --runs N                  runs to take medians of (default 3, quick 1)
  --sketch DIR              a folder with a speed sketch to run beside (server.mjs, load.mjs)
  --no-peers                leave Redis and PostgreSQL out
  --nodes N                 processor time of a decision on a cluster of N nodes, and nothing else
  --nats N                  ... over so many nats-servers: 1 (default), or 3 with replicated journals and TLS
  --offered N               ... with so many payments a second (default 20000)
  --recovery                how long a node takes to serve a shard with many payments behind its snapshot
  --snapshot                how long decisions stand still while a snapshot is taken or loaded
  --users N                 ... with so many users, a multiple of 4000 (default 1000000, quick 100000)
  --payments N              ... and so many payments behind the snapshot (default 5000000, quick 500000)
  --shards N                shards of the node (default: the node's own)
  --snapshot-interval-s N   seconds between snapshots (default 60)
  --dir DIR                 where data is kept while it runs (default: a temporary folder, removed at the end)
  --seed N                  of the made-up payments (default 1)
  --help                    this text

Latencies count from the intended send time to the decision's arrival, all processes on this machine.
cpu_us_per_decision is the sum of node, nats-server and load generator at 60,000/s; stages_us are means of a tick.
Exit codes: 0 done, 1 the journals differ from what was acknowledged or a part failed, 2 wrong arguments.
`;

const MODEL = "actors/inference/models/xgboost_fraud_v1_2";
const RULES = "actors/rules/default_rules.json";
const DEMO_CURRENCY = "USD";
const PEER_S = 300;

interface Arguments {
  readonly profile: string;
  readonly json: string | undefined;
  readonly plan: Plan;
  readonly sketch: string | undefined;
  readonly peers: boolean;
  /** Undefined: one node, alone, everything measured. */
  readonly nodes: number | undefined;
  readonly nats: number;
  readonly offered_per_s: number;
  /** Undefined: no recovery is measured. */
  readonly recovery: { readonly payments: number } | undefined;
  readonly snapshot: boolean;
  readonly shards: number | undefined;
  readonly snapshot_interval_s: number;
  readonly dir: string | undefined;
  readonly seed: number;
}

class UsageError extends Error {}

function readArguments(argv: readonly string[]): Arguments | null {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      profile: { type: "string", default: "spine" },
      json: text,
      quick: { type: "boolean", default: false },
      runs: text,
      sketch: text,
      "no-peers": { type: "boolean", default: false },
      nodes: text,
      nats: { type: "string", default: "1" },
      offered: { type: "string", default: "20000" },
      recovery: { type: "boolean", default: false },
      snapshot: { type: "boolean", default: false },
      users: text,
      payments: text,
      shards: text,
      "snapshot-interval-s": { type: "string", default: "60" },
      dir: text,
      seed: { type: "string", default: "1" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  if (values.profile !== "spine" && values.profile !== "full") throw new UsageError("--profile takes spine or full");
  const whole = (name: string, value: string | undefined, min: number, max: number): number | undefined => {
    if (value === undefined) return undefined;
    const n = Number(value);
    if (Number.isInteger(n) && n >= min && n <= max) return n;
    throw new UsageError(`--${name} takes a whole number from ${min} to ${max}`);
  };
  if (values.nats !== "1" && values.nats !== "3") throw new UsageError("--nats takes 1 or 3");
  const users = whole("users", values.users, 4000, 10_000_000);
  const payments = whole("payments", values.payments, 1, 100_000_000) ?? (values.quick ? 500_000 : 5_000_000);
  const plan = planOf(values.quick, whole("runs", values.runs, 1, 9));
  return {
    profile: values.profile,
    json: values.json === undefined ? undefined : resolve(values.json),
    plan: users === undefined ? plan : { ...plan, users },
    recovery: values.recovery ? { payments } : undefined,
    snapshot: values.snapshot,
    sketch: values.sketch === undefined ? undefined : resolve(values.sketch),
    peers: !values["no-peers"],
    nodes: whole("nodes", values.nodes, 1, 16),
    nats: Number(values.nats),
    offered_per_s: whole("offered", values.offered, 64, 1_000_000) ?? 20_000,
    shards: whole("shards", values.shards, 1, 64),
    snapshot_interval_s: whole("snapshot-interval-s", values["snapshot-interval-s"], 0, 86_400) ?? 60,
    dir: values.dir === undefined ? undefined : resolve(values.dir),
    seed: whole("seed", values.seed, 0, 2 ** 31) ?? 1,
  };
}

const root = resolve(import.meta.dirname, "../..");
const nowUs = () => performance.now() * 1000;

function progressOf(label: string, unit: string, total: number | undefined): Progress {
  return new Progress({ label, unit, total, stream: process.stderr, now_us: nowUs });
}

async function sendHistory(load: LoadProcess, say: (line: string) => void): Promise<HistoryResult> {
  let bar: Progress | null = null;
  load.onProgress = (done, total) => {
    bar ??= progressOf("history", "payments", total);
    bar.update(done);
  };
  const history = await load.history();
  say(`history: ${history.payments} payments in ${history.seconds} s, ${history.repeated_batches} batches sent again`);
  return history;
}

async function makeRuns(b: Bench): Promise<RunResult[]> {
  const warm = await b.load.phase({ name: "warm-up", rate: LATENCY_RATE, seconds: b.plan.warm_up_s });
  b.say(`warm-up: ${warm.decisions_per_s}/s, p99 ${warm.latency_ms.p99} ms`);
  const runs: RunResult[] = [];
  for (let i = 0; i < b.plan.runs; i++) {
    b.say(`run ${i + 1} of ${b.plan.runs}`);
    const last = runs.at(-1);
    runs.push(await oneRun(b, last?.saturation.rate || FIRST_GUESS, last?.sketch?.rate || FIRST_GUESS));
  }
  return runs;
}

/** The peers one after another, each with the machine to itself. */
async function measurePeers(plan: Plan, work_dir: string, say: (line: string) => void): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  for (const peer of ["redis", "sql"]) {
    const args = [
      join(root, "chaos/bench/peers/main.ts"),
      peer,
      ...["--data-dir", join(work_dir, peer), "--model", join(root, MODEL)],
      ...["--users", String(plan.peer_users), "--seconds", String(plan.peer_s)],
    ];
    const said = await new Child(`the ${peer} peer`, args, { cwd: root }).finished(PEER_S);
    const result = JSON.parse(said.slice(said.lastIndexOf("\n{") + 1)) as PeerResult;
    say(
      `${peer} peer: ${result.decisions_per_s}/s; by batch size ` +
        result.runs.map((r) => `${r.batch}: ${r.decisions_per_s}`).join(", "),
    );
    results.push(result);
  }
  return results;
}

async function check(b: Bench, id_prefix: string): Promise<JournalCheck> {
  const saved = await b.load.save(b.work_dir);
  const bar = progressOf("journals", "payments", saved.acknowledged);
  const result = await checkJournals({
    data_dir: b.node.data_dir,
    nats: { nats: b.node.nats, nats_users: join(b.node.data_dir, "nats-users") },
    id_prefix,
    count: saved.count,
    acknowledged: RowSet.read(join(b.work_dir, "acknowledged.bin")),
    unknown: RowSet.read(join(b.work_dir, "unknown.bin")),
    progress: (rows) => bar.update(rows),
  });
  bar.finish();
  return result;
}

async function cluster(a: Arguments, nodes: number, work_dir: string, say: (line: string) => void): Promise<number> {
  const { plan, shards, nats, offered_per_s, seed } = a;
  const options = { root, work_dir, nodes, nats, shards, offered_per_s, plan, seed, currency: DEMO_CURRENCY, say };
  const result = await benchCluster(options);
  if (a.json !== undefined) writeJson(a.json, result);
  say(
    `journals: ${result.journals.ok ? "equal to what was acknowledged" : "WRONG"} ${JSON.stringify(result.journals)}`,
  );
  return result.journals.ok ? 0 : 1;
}

async function recovery(
  a: Arguments,
  payments: number,
  work_dir: string,
  say: (line: string) => void,
): Promise<number> {
  const { plan, seed } = a;
  const result = await benchRecovery({ root, work_dir, payments, plan, seed, currency: DEMO_CURRENCY, say });
  if (a.json !== undefined) writeJson(a.json, result);
  return 0;
}

async function snapshot(a: Arguments, work_dir: string, say: (line: string) => void): Promise<number> {
  const { users, merchants } = a.plan;
  const result = await benchSnapshot({
    root,
    work_dir,
    users,
    merchants,
    rows_per_s: a.offered_per_s,
    seed: a.seed,
    say,
  });
  if (a.json !== undefined) writeJson(a.json, result);
  return 0;
}

async function bench(a: Arguments, work_dir: string): Promise<number> {
  const { plan } = a;
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const machine = machineFacts();
  say(`${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, node ${machine.node}; data in ${work_dir}`);
  if (a.nodes !== undefined) return cluster(a, a.nodes, work_dir, say);
  if (a.snapshot) return snapshot(a, work_dir, say);
  if (a.recovery !== undefined) return recovery(a, a.recovery.payments, work_dir, say);
  const data_dir = join(work_dir, "node");
  mkdirSync(data_dir, { recursive: true });
  const { shards, snapshot_interval_s } = a;
  const node = await NodeUnderTest.start({ root, data_dir, shards, snapshot_interval_s });
  const load = new LoadProcess(root);
  try {
    const id_prefix = randomUUID().slice(0, 24);
    const limit_us = Date.now() * 1000;
    const { payment_bytes } = await load.open({
      grpc: node.grpc,
      api_key: node.api_key,
      streams: 4,
      users: plan.users,
      merchants: plan.merchants,
      seed: a.seed,
      id_prefix,
      currency: DEMO_CURRENCY,
      event_step_us: plan.event_step_us,
      event_start_us: limit_us - eventSpanUs(plan) - HISTORY_US,
      event_limit_us: limit_us,
    });
    const b: Bench = { root, work_dir, plan, node, load, sketch: a.sketch, say };
    const history = await sendHistory(load, say);
    const runs = await makeRuns(b);
    const state = await stateSizes(node);
    const models = Object.keys((await node.metrics()).by("active_ml_models", "version")).length;
    const journals = await check(b, id_prefix);
    await load.stop();
    await node.stop();
    const peers = a.peers ? await measurePeers(plan, work_dir, say) : [];
    const rules = (JSON.parse(readFileSync(join(root, RULES), "utf8")) as { rules: unknown[] }).rules.length;
    const facts = { history, runs, state, check: journals, peers, models, rules, payment_bytes, machine };
    const report = makeReport({ profile: a.profile, plan, commit: commitOf(root), ...facts });
    if (a.json !== undefined) writeJson(a.json, report);
    printTargets(report, say);
    say(`journals: ${journals.ok ? "equal to what was acknowledged" : "WRONG"} ${JSON.stringify(journals)}`);
    return journals.ok ? 0 : 1;
  } finally {
    await load.stop();
    await node.stop();
  }
}

function printTargets(report: ReturnType<typeof makeReport>, say: (line: string) => void): void {
  for (const { name, value, wanted, met } of report.targets) {
    say(`${met === null ? "not measured" : met ? "reached     " : "MISSED      "}  ${name}: ${value} (${wanted})`);
  }
  const { redis_per_s, sql_per_s, ratio_redis, ratio_sql } = report.peers;
  say(`peers: Redis ${redis_per_s}/s (we: ${ratio_redis} x), PostgreSQL ${sql_per_s}/s (we: ${ratio_sql} x)`);
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.partial`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${path}.partial`, path);
}

async function main(): Promise<number> {
  let a: Arguments | null;
  try {
    a = readArguments(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    return 2;
  }
  if (a === null) {
    process.stdout.write(HELP);
    return 0;
  }
  const work_dir = a.dir ?? mkdtempSync(join(tmpdir(), "fraudguard-bench-"));
  try {
    return await bench(a, work_dir);
  } catch (error) {
    process.stderr.write(`the bench failed: ${(error as Error).message}\n`);
    return 1;
  } finally {
    if (a.dir === undefined) rmSync(work_dir, { recursive: true, force: true });
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
if (import.meta.main) process.exit(await main());
