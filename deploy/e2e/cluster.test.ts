/**
 * Several nodes by `npm run cluster`: each takes payments of all users, one that is killed or ends is replaced while
 * payments come, nothing that was acknowledged is lost, and the command ends with all that it started.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { TestClient } from "../../gateway/testkit/grpc_client.ts";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import {
  type Decision,
  DecisionSchema,
  DecisionState,
  ErrorCode,
  EventKind,
  OutcomeKind,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { isAlive } from "../engines/lock.ts";
import { accessOf } from "../node/nats_access.ts";
import { CLUSTER_COMMAND, ClusterProcess, NODES, type NodeName, SHARDS } from "./testkit/cluster_process.ts";
import { keyOf, readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { Acknowledged, PersistentLoad } from "./testkit/load.ts";
import { localNode } from "./testkit/local_node.ts";
import { decisionOf, demoPayments, freshId, payment, rowError, START_US, sameness } from "./testkit/payments.ts";
import { assertStateEquals } from "./testkit/state_oracle.ts";
import { until } from "./testkit/until.ts";

const START_COMMAND = new URL("../bin/start.ts", import.meta.url).pathname;
const PAYMENTS = 6000;
/** Acknowledged payments at which a node is killed. */
const KILL_AT = 1500;
/** The shards of a killed node are served again within this. */
const TAKEN_OVER_MS = 10_000;
/** Payments of a steady load that must be decided in each of its stretches. */
const STRETCH = 400;
const COMMAND_MS = 60_000;

let cluster: ClusterProcess;
let tenants: readonly Tenant[];
/** Keys in the journals of all payments that a client holds a decision of. */
const acknowledged = new Set<string>();

before(async () => {
  cluster = await ClusterProcess.launch();
  tenants = tenantsOf(cluster.data_dir);
  await cluster.settled();
});

after(() => cluster?.dispose());

function tenant(id: string): Tenant {
  const found = tenants.find((t) => t.id === id);
  assert.ok(found);
  return found;
}

function journalKey(tenantId: string, userId: string, transactionId: string): string {
  const t = tenant(tenantId);
  return `${t.index} ${keyOf(t, userId)} ${keyOf(t, transactionId)}`;
}

function note(tenantId: string, known: Acknowledged): void {
  for (const key of known.decisions.keys()) {
    const [userId, transactionId] = key.split(" ");
    acknowledged.add(journalKey(tenantId, userId, transactionId));
  }
}

function shardOf(p: PaymentInit): number {
  return Number(keyOf(tenant("patient"), p.userId as string).split(":")[0]) % SHARDS;
}

/** So many payments of each shard's users, one shard after the other. */
function everywhere(each: number): PaymentInit[] {
  const shards: PaymentInit[][] = Array.from({ length: SHARDS }, () => []);
  while (shards.some((some) => some.length < each)) {
    const p = payment({ merchantId: freshId("shop") });
    const some = shards[shardOf(p)];
    if (some.length < each) some.push(p);
  }
  return shards.flat();
}

function stream(t: TestContext, name: NodeName): FraudClient {
  const client = new FraudClient(cluster.node(name).grpc, cluster.keys.patient);
  t.after(() => client.close());
  return client;
}

function calls(t: TestContext, name: NodeName): TestClient {
  const client = new TestClient(Number(cluster.node(name).grpc.split(":")[1]), cluster.keys.patient);
  t.after(() => client.close());
  return client;
}

/** Decides new payments; fails unless each is decided now. */
async function decided(client: FraudClient, payments: readonly PaymentInit[]): Promise<Decision[]> {
  const known = new Acknowledged();
  const results = await client.analyze(payments);
  known.take(payments, results);
  note("patient", known);
  const decisions = results.map(decisionOf);
  for (const d of decisions) assert.deepEqual([d.state, d.repeated], [DecisionState.DECIDED, false], d.transactionId);
  return decisions;
}

const others = (name: NodeName): NodeName[] => NODES.filter((n) => n !== name);

test("each node serves a part of the shards, and takes the demo tenant's key", async () => {
  for (const name of NODES) {
    const serving = (await cluster.log(name)).filter((l) => l["msg"] === "shard_serving");
    assert.ok(serving.length > 0 && (await cluster.served(name)).length > 0, await cluster.words());
    const headers = { authorization: `Bearer ${cluster.ready.api_key}` };
    const { rest } = cluster.node(name);
    // While a shard moves to the node that should own it, nobody can say that nothing is there: 503, ask again.
    const isNowhere = async () => (await fetch(`${rest}/v1/fraud/risk-score/nowhere`, { headers })).status === 404;
    await until("the id is known to be nowhere", isNowhere, 10_000, () => cluster.words());
    assert.equal((await fetch(`${rest}/ready`)).status, 200);
  }
});

test("each node decides payments of all users; at the others they are repeats, or other content", async (t) => {
  for (const name of NODES) {
    const payments = everywhere(8);
    const first = (await decided(stream(t, name), payments)).map(sameness);
    for (const other of others(name)) {
      const client = stream(t, other);
      const again = (await client.analyze(payments)).map(decisionOf);
      assert.deepEqual(again.map(sameness), first);
      assert.ok(again.every((d) => d.repeated));
      const changed = payments.map((p) => ({ ...p, amountMinor: 7n }));
      for (const result of await client.analyze(changed)) {
        const error = rowError(result);
        assert.deepEqual([error.code, error.field], [ErrorCode.ALREADY_EXISTS, "amount_minor"]);
      }
    }
  }
});

test("the same payments at all nodes at once are decided once", async (t) => {
  const payments = everywhere(8);
  const answers = await Promise.all(NODES.map((name) => stream(t, name).analyze(payments)));
  const known = new Acknowledged();
  for (const [i] of payments.entries()) {
    const decisions = answers.map((results) => decisionOf(results[i]));
    assert.equal(decisions.filter((d) => !d.repeated).length, 1);
    assert.equal(new Set(decisions.map(sameness)).size, 1);
    assert.equal(decisions[0].state, DecisionState.DECIDED);
  }
  known.take(payments, answers[0]);
  note("patient", known);
});

test("a bad row in a batch has its own error at every node, the others are decided", async (t) => {
  for (const name of NODES) {
    const payments = everywhere(1);
    const bad: [number, PaymentInit, ErrorCode, string][] = [
      [0, { amountMinor: -1n }, ErrorCode.INVALID, "amount_minor"],
      [3, { currency: "" }, ErrorCode.REQUIRED, "currency"],
      [7, { tenantId: "acme" }, ErrorCode.PERMISSION_DENIED, "tenant_id"],
    ];
    const batch = [...payments];
    for (const [i, over] of bad) batch.splice(i, 0, payment(over));
    const results = await stream(t, name).analyze(batch);
    assert.equal(results.length, batch.length);
    for (const [i, , code, field] of bad) {
      const error = rowError(results[i]);
      assert.deepEqual([error.code, error.field], [code, field]);
    }
    const rest = results.filter((_, i) => !bad.some(([at]) => at === i)).map(decisionOf);
    assert.deepEqual(
      rest.map((d) => d.transactionId),
      payments.map((p) => p.transactionId),
    );
  }
});

async function scoreByRest(name: NodeName, id: string, user = ""): Promise<{ status: number; decision: Decision }> {
  const headers = { authorization: `Bearer ${cluster.keys.patient}` };
  const query = user === "" ? "" : `?user_id=${user}`;
  const response = await fetch(`${cluster.node(name).rest}/v1/fraud/risk-score/${id}${query}`, { headers });
  const body = (await response.json()) as JsonValue;
  return { status: response.status, decision: fromJson(DecisionSchema, body, { ignoreUnknownFields: true }) };
}

test("every node finds every stored decision by REST and gRPC, with and without its user", async (t) => {
  const payments = everywhere(1);
  const first = await decided(stream(t, "node-1"), payments);
  for (const name of NODES) {
    assert.ok((await cluster.served(name)).length < SHARDS, `${name} owns everything`);
    const client = calls(t, name);
    for (const [i, p] of payments.entries()) {
      const transactionId = p.transactionId as string;
      for (const userId of [p.userId as string, ""]) {
        const byRest = await scoreByRest(name, transactionId, userId);
        const { decision } = await client.call("getRiskScore", { transactionId, userId });
        assert.ok(decision);
        assert.deepEqual([byRest.status, decision.repeated], [200, true]);
        for (const d of [byRest.decision, decision]) assert.equal(sameness(d), sameness(first[i]));
      }
    }
    for (const userId of ["nobody", ""]) {
      assert.equal((await scoreByRest(name, "nowhere", userId)).status, 404);
      const asked = client.call("getRiskScore", { transactionId: "nowhere", userId });
      await assert.rejects(asked, { code: status.NOT_FOUND });
    }
  }
});

test("outcomes and events are acknowledged at any node, and known at the others", async (t) => {
  const payments = everywhere(NODES.length);
  await decided(stream(t, "node-2"), payments);
  const clients = NODES.map((name) => stream(t, name));
  // Three users of each shard follow each other: every shard is told of by every node.
  for (const [i, p] of payments.entries()) {
    const [here, there] = [clients[i % 3], clients[(i + 1) % 3]];
    const [transactionId, userId] = [p.transactionId as string, p.userId as string];
    const about = { transactionId, userId, knownTimeUs: BigInt(START_US) };
    const told = await here.reportOutcome({ ...about, outcome: OutcomeKind.CHARGEBACK, revision: 2 });
    const stale = await there.reportOutcome({ ...about, outcome: OutcomeKind.LEGITIMATE, revision: 1 });
    assert.deepEqual([told.applied, told.standingRevision, told.paymentHeld], [true, 2, true]);
    assert.deepEqual([stale.applied, stale.standingRevision, stale.paymentHeld], [false, 2, true]);
    const event = { eventId: freshId("e"), userId, kind: EventKind.LOGIN, eventTimeUs: BigInt(START_US) };
    assert.equal((await here.recordEvent(event)).recorded, true);
    assert.equal((await there.recordEvent(event)).recorded, false);
  }
});

/** Payments of users of all shards at one node, a few at a time, until it is ended. */
class SteadyLoad {
  readonly known = new Acknowledged();
  readonly #client: FraudClient;
  readonly #workers: Promise<void>[];
  #running = true;
  /** Anything that is not an answer to each payment. */
  failure: Error | null = null;
  slowest_ms = 0;

  constructor(grpc: string) {
    this.#client = new FraudClient(grpc, cluster.keys.patient);
    this.#workers = [this.#work(), this.#work()];
  }

  get decided(): number {
    return this.known.decisions.size;
  }

  async #work(): Promise<void> {
    while (this.#running && this.failure === null) {
      const payments = Array.from({ length: 4 }, (_, i) =>
        payment({ merchantId: `steady-${(this.decided + i) % 40}` }),
      );
      const from_ms = performance.now();
      try {
        this.known.take(payments, await this.#client.analyze(payments));
      } catch (error) {
        this.failure = error as Error;
      }
      this.slowest_ms = Math.max(this.slowest_ms, performance.now() - from_ms);
    }
  }

  async end(): Promise<void> {
    this.#running = false;
    let isOver = false;
    void Promise.all(this.#workers).then(() => {
      isOver = true;
    });
    const words = () => cluster.words();
    await until("the last batches are answered", () => isOver, 20_000, words).finally(() => this.#client.close());
    note("patient", this.known);
  }

  /** What clients would have seen of a move of shards: nothing. */
  seen(): { failure: Error | null; unknown: number; provisional: number; shed: number } {
    const { unknown, provisional } = this.known;
    return { failure: this.failure, unknown, provisional, shed: this.#client.resent };
  }
}

test("a node that ends by SIGTERM hands its shards over and gets them back, unseen by payments", async (t) => {
  const leaving = "node-3";
  const its = await cluster.served(leaving);
  assert.ok(its.length > 0, await cluster.words());
  const loads = others(leaving).map((name) => new SteadyLoad(cluster.node(name).grpc));
  const stretch = async (what: string) => {
    const goals = loads.map((l) => l.decided + STRETCH);
    const isDone = () => loads.every((l, i) => l.failure !== null || l.decided >= goals[i]);
    await until(`payments are decided ${what}`, isDone, 30_000, () => cluster.words());
  };
  try {
    await stretch("before");
    await cluster.end(leaving, "SIGTERM");
    await cluster.settled();
    await stretch("without it");
    const log = await cluster.log(leaving);
    assert.equal(log.at(-1)?.["msg"], "ended", await cluster.words());
    assert.equal(log.at(-1)?.["code"], 0);
    const handed = log.filter((l) => l["msg"] === "hand_over").map((l) => l["shard"] as number);
    for (const shard of its) assert.ok(handed.includes(shard), `shard ${shard} was not handed over`);
    await cluster.startNode(leaving);
    await cluster.settled();
    await stretch("with it again");
  } finally {
    await Promise.all(loads.map((load) => load.end()));
  }
  t.diagnostic(`slowest answers: ${loads.map((l) => l.slowest_ms.toFixed(0)).join(", ")} ms`);
  for (const load of loads) {
    assert.deepEqual(load.seen(), { failure: null, unknown: 0, provisional: 0, shed: 0 }, await cluster.words());
  }
  assert.deepEqual(await cluster.served(leaving), its);
  const back = (await Promise.all(others(leaving).map((name) => cluster.log(name))))
    .flat()
    .filter((l) => l["msg"] === "hand_over" && l["to"] === leaving);
  for (const shard of its) assert.ok(back.filter((l) => l["shard"] === shard).length > 0, `shard ${shard}`);
});

test("kill -9 of a node under load: its shards are served by others, every payment is decided once", async (t) => {
  const victim = "node-2";
  const its = await cluster.served(victim);
  assert.ok(its.length > 0, await cluster.words());
  const payments = demoPayments({ seed: 29, payments: PAYMENTS });
  const loads = NODES.map((_, i) => new PersistentLoad(chosen(payments, i), cluster.keys.acme));
  const all = () => loads.reduce((sum, l) => sum + l.acknowledged, 0);
  const words = async () => `${all()} of ${PAYMENTS} acknowledged\n${await cluster.words()}`;
  const hasFailed = () => loads.some((l) => l.failure !== null);
  for (const [i, name] of NODES.entries()) loads[i].run(cluster.node(name).grpc);
  await until("under load", () => hasFailed() || all() >= KILL_AT, 60_000, words);
  await cluster.end(victim, "SIGKILL");
  const killed_ms = performance.now();
  // Its client asks another node for the same ids.
  const bereft = loads[NODES.indexOf(victim)];
  await bereft.pause();
  assert.ok(bereft.broken > 0 && !bereft.finished, "the kill broke no stream: it came too late");
  bereft.run(cluster.node("node-1").grpc);
  await cluster.covered(TAKEN_OVER_MS);
  t.diagnostic(`all shards served ${(performance.now() - killed_ms).toFixed(0)} ms after the kill`);
  await until("all acknowledged", () => hasFailed() || loads.every((l) => l.finished), 60_000, words);
  for (const load of loads) {
    await load.pause();
    note("acme", load.known);
  }
  assert.equal(all(), PAYMENTS);
  t.diagnostic(`asked again: ${loads.map((l) => l.known.unknown + l.known.provisional).join(", ")}`);
  for (const name of others(victim)) {
    for (const load of loads) await assertSameAgain(cluster.node(name).grpc, load, payments);
  }
  await assertEachOnce();
});

/** Every third payment. */
function chosen(payments: readonly PaymentInit[], which: number): PaymentInit[] {
  return payments.filter((_, i) => i % NODES.length === which);
}

async function assertSameAgain(grpc: string, load: PersistentLoad, payments: readonly PaymentInit[]): Promise<void> {
  const client = new FraudClient(grpc, load.key);
  const its = payments.filter((p) => load.known.has(p));
  for (let i = 0; i < its.length; i += 500) {
    const some = its.slice(i, i + 500);
    load.known.take(some, await client.analyze(some));
  }
  client.close();
}

/** No payment stands twice in the journals, and none that was acknowledged is missing. */
async function assertEachOnce() {
  const { rows } = await readJournals(cluster.ready, SHARDS, tenants);
  const times = new Map<string, number>();
  for (const r of rows) {
    if (r.kind !== ROW_PAYMENT) continue;
    const key = `${r.tenant} ${r.user} ${r.id}`;
    times.set(key, (times.get(key) ?? 0) + 1);
  }
  assert.deepEqual([...times].filter(([, n]) => n !== 1).slice(0, 3), []);
  assert.ok(acknowledged.size > PAYMENTS);
  assert.deepEqual([...acknowledged].filter((key) => !times.has(key)).slice(0, 3), []);
  return rows;
}

test("the journals of all shards give a lone node the actors that the oracle computes from them", async (t) => {
  for (const name of NODES) if (cluster.isRunning(name)) await cluster.end(name, "SIGTERM");
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-lone-"));
  t.after(() => rm(data_dir, { recursive: true, force: true }));
  const [tenants_path, secrets_path] = ["tenants.json", "secrets.json"].map((f) => join(cluster.data_dir, f));
  const lone = await localNode({
    data_dir,
    tenants_path,
    secrets_path,
    ...accessOf(cluster.ready, "node"),
    shards: SHARDS,
    take_over: true,
  });
  try {
    await lone.quiet();
    assertStateEquals(lone.shards, await assertEachOnce());
    assert.deepEqual(lone.stopped, []);
  } finally {
    await lone.close();
  }
});

/** Runs a command of ours to its end. */
function command(file: string, args: readonly string[]): Promise<{ code: unknown; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], { timeout: COMMAND_MS }, (error, out, err) =>
      resolve({ code: error === null ? 0 : error.code, out, err }),
    );
  });
}

async function assertAllEnd(processes: Awaited<ReturnType<ClusterProcess["processes"]>>): Promise<void> {
  await until(
    "every process has ended",
    () => !processes.some(isAlive),
    20_000,
    () => processes.map((p) => p.pid).join(),
  );
}

test("killed with -9 the command leaves nothing behind; started again it knows all; SIGTERM ends it all", async (t) => {
  const left = await cluster.processes();
  assert.equal(await cluster.stop("SIGKILL"), null);
  await assertAllEnd(left);
  await cluster.start();
  await cluster.settled();
  const processes = await cluster.processes();
  assert.equal(processes.length, NODES.length + 2);
  const payments = everywhere(2);
  const first = (await decided(stream(t, "node-1"), payments)).map(sameness);
  const [old] = demoPayments({ seed: 29, payments: 1 });
  const acme = new FraudClient(cluster.node("node-3").grpc, cluster.keys.acme);
  assert.equal(decisionOf((await acme.analyze([old]))[0]).repeated, true);
  acme.close();
  // A second command on the same folder is refused, and disturbs nothing.
  const ready = await readFile(join(cluster.data_dir, "ready.json"), "utf8");
  const second = await command(CLUSTER_COMMAND, cluster.args());
  assert.equal(second.code, 1, second.out + second.err);
  assert.match(second.err, /in use by process \d+/);
  assert.equal(await readFile(join(cluster.data_dir, "ready.json"), "utf8"), ready);
  const again = (await stream(t, "node-2").analyze(payments)).map(decisionOf);
  assert.deepEqual(again.map(sameness), first);

  assert.equal(await cluster.stop("SIGTERM"), 0, await cluster.words());
  assert.deepEqual(processes.filter(isAlive), []);
  for (const file of ["ready.json", "nats/engine.lock", ...NODES.map((name) => `${name}/node/engine.lock`)]) {
    await assert.rejects(access(join(cluster.data_dir, file)), { code: "ENOENT" }, file);
  }
  for (const name of NODES) {
    const last = (await cluster.log(name)).at(-1);
    assert.deepEqual([last?.["msg"], last?.["code"]], ["ended", 0], await cluster.words());
  }
});

test("the folder's number of shards cannot change: exit code 2, and nothing is left", async () => {
  const { code, out, err } = await command(CLUSTER_COMMAND, cluster.args(SHARDS - 1));
  assert.equal(code, 2, out);
  assert.match(err, new RegExp(`there are ${SHARDS} shards .*, not ${SHARDS - 1}: see npm run reshard`));
  assert.deepEqual(await cluster.processes(), []);
});

test("wrong arguments end with 2 and the help, --help with 0, and neither makes a folder", async () => {
  const data_dir = join(cluster.data_dir, "unmade");
  const wrong: [string, string[]][] = [
    ["--nodes", ["--nodes", "0"]],
    ["--nodes", ["--nodes", "17"]],
    ["--shards", ["--shards", "65"]],
    ["--shards", ["--shards", "two"]],
    ["--nats-port", ["--nats-port", "65536"]],
    ["--what", ["--what"]],
    ["here", ["here"]],
  ];
  const ended = await Promise.all(wrong.map(([, args]) => command(CLUSTER_COMMAND, ["--data-dir", data_dir, ...args])));
  for (const [i, [named]] of wrong.entries()) {
    assert.equal(ended[i].code, 2, ended[i].out + ended[i].err);
    assert.ok(ended[i].err.split("\n")[0].includes(named), ended[i].err);
    assert.match(ended[i].err, /npm run cluster -- \[options\]/);
  }
  const help = await command(CLUSTER_COMMAND, ["--data-dir", data_dir, "--help"]);
  assert.deepEqual([help.code, help.err], [0, ""]);
  assert.match(help.out, /npm run cluster -- \[options\]/);
  await assert.rejects(access(data_dir), { code: "ENOENT" });
  // One of several nodes needs what they share, and feeds no demo.
  const lone = ["--cluster", "--data-dir", data_dir, "--log", "-"];
  const alone = await command(START_COMMAND, [...lone, "--no-demo"]);
  const demo = await command(START_COMMAND, [...lone, "--nats-url", "nats://127.0.0.1:1"]);
  assert.deepEqual([alone.code, demo.code], [2, 2], alone.err + demo.err);
  assert.match(alone.err, /--nats-url/);
  assert.match(demo.err, /--no-demo/);
});
