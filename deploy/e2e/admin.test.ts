/**
 * Operating a real cluster by `npm run status` and `npm run admin`: the picture is true, a node is drained and
 * undrained under load without a payment noticing, also over its restart, roles do what they say, and only operators
 * get in.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ServiceError, status } from "@grpc/grpc-js";
import { TestClient } from "../../gateway/testkit/grpc_client.ts";
import { FraudClient } from "../client/fraud_client.ts";
import type { ClusterStatus, NodeView } from "../commands/cluster_status.ts";
import { ClusterProcess, NODES, type NodeName, SHARDS } from "./testkit/cluster_process.ts";
import { Acknowledged } from "./testkit/load.ts";
import { decisionOf, payment } from "./testkit/payments.ts";
import { until } from "./testkit/until.ts";

const command = (name: string): string => new URL(`../bin/${name}.ts`, import.meta.url).pathname;
const COMMAND_MS = 90_000;
/** Payments of each load that must be decided in each of its stretches. */
const STRETCH = 300;

let cluster: ClusterProcess;

before(async () => {
  cluster = await ClusterProcess.launch();
  await cluster.settled();
});

after(() => cluster?.dispose());

interface Ended {
  readonly code: unknown;
  readonly out: string;
  readonly err: string;
}

function run(name: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command(name), ...args], { timeout: COMMAND_MS }, (error, out, err) =>
      resolve({ code: error === null ? 0 : error.code, out, err }),
    );
  });
}

const admin = (...args: string[]): Promise<Ended> => run("admin", [...args, "--data-dir", cluster.data_dir]);

async function picture(code = 0): Promise<ClusterStatus> {
  const ended = await run("status", ["--json", "--data-dir", cluster.data_dir]);
  assert.equal(ended.code, code, `${ended.out}${ended.err}${await cluster.words()}`);
  return JSON.parse(ended.out) as ClusterStatus;
}

async function done(...args: string[]): Promise<string> {
  const ended = await admin(...args);
  assert.equal(ended.code, 0, `${args.join(" ")}: ${ended.out}${ended.err}${await cluster.words()}`);
  return ended.out;
}

function viewOf({ nodes }: ClusterStatus, name: string): NodeView {
  const view = nodes.find((n) => n.name === name);
  assert.ok(view, name);
  return view;
}

const owners = ({ shards }: ClusterStatus): (string | null)[] => shards.map((s) => s.owner);

/** Payments of users of all shards at one node until it is ended. */
class Load {
  readonly known = new Acknowledged();
  readonly #client: FraudClient;
  readonly #work: Promise<void>;
  #running = true;
  failure: Error | null = null;

  constructor(name: NodeName) {
    this.#client = new FraudClient(cluster.node(name).grpc, cluster.keys.patient);
    this.#work = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#running && this.failure === null) {
      const payments = Array.from({ length: 8 }, (_, i) => payment({ merchantId: `shop-${i}` }));
      try {
        this.known.take(payments, await this.#client.analyze(payments));
      } catch (error) {
        this.failure = error as Error;
      }
    }
  }

  /** Every payment has been decided, at once and at the first try. */
  async end(): Promise<void> {
    this.#running = false;
    await this.#work;
    this.#client.close();
    const { unknown, provisional } = this.known;
    const seen = { failure: this.failure, unknown, provisional, shed: this.#client.resent };
    assert.deepEqual(seen, { failure: null, unknown: 0, provisional: 0, shed: 0 }, await cluster.words());
  }
}

async function stretch(loads: readonly Load[]): Promise<void> {
  const goals = loads.map((l) => l.known.decisions.size + STRETCH);
  const isDone = () => loads.every((l, i) => l.failure !== null || l.known.decisions.size >= goals[i]);
  await until("payments are decided", isDone, 30_000, () => cluster.words());
}

test("status shows every node and shard as they are, as a table too", async () => {
  const client = new FraudClient(cluster.node("node-1").grpc, cluster.keys.patient);
  const payments = Array.from({ length: 60 }, () => payment());
  for (const result of await client.analyze(payments)) decisionOf(result);
  client.close();
  const seen = await picture();
  assert.deepEqual([seen.problems, seen.moves, seen.shards.length], [[], [], SHARDS]);
  for (const name of NODES) {
    const { pid, grpc } = cluster.node(name);
    const view = viewOf(seen, name);
    assert.deepEqual(
      [view.owned, view.state, view.role, view.ready],
      [await cluster.served(name), "answered", "all", true],
    );
    assert.deepEqual([view.process?.pid, view.grpc, view.weight], [pid, grpc, 100]);
    assert.ok((view.process?.resident_bytes ?? 0) > 50e6 && (view.silent_ms ?? 1e9) < 2000);
  }
  assert.equal(
    seen.shards.reduce((sum, s) => sum + s.users, 0),
    payments.length,
  );
  for (const s of seen.shards) {
    assert.ok(s.owner !== null && viewOf(seen, s.owner).owned.includes(s.shard));
    assert.ok(s.followers.length > 0 && s.followers.every((f) => f.node !== s.owner && f.lag_frames === 0));
    assert.equal(s.frame, s.journal?.last_sequence);
  }
  const { code, out } = await run("status", ["--data-dir", cluster.data_dir]);
  assert.equal(code, 0);
  for (const name of NODES) assert.match(out, new RegExp(`^${name} +ready +all +100 `, "m"));
  assert.match(out, /all is as it should be/);
});

test("only the operator's key opens it; it is private, and wrong arguments end with 2", async () => {
  const key_file = join(cluster.data_dir, "tenant.key");
  await writeFile(key_file, cluster.keys.patient);
  const tenant = await run("status", ["--data-dir", cluster.data_dir, "--key-file", key_file]);
  assert.deepEqual([tenant.code, tenant.out], [1, ""]);
  assert.match(tenant.err, /PERMISSION_DENIED: this is a tenant's key/);
  assert.equal((await stat(join(cluster.data_dir, "admin.key"))).mode & 0o777, 0o600);
  for (const args of [
    [],
    ["drain"],
    ["drain", "a", "b"],
    ["weight", "node-1", "-1"],
    ["explode"],
    ["rebalance", "--no"],
  ]) {
    assert.equal((await admin(...args)).code, 2, args.join(" "));
  }
  assert.equal((await run("status", ["--nodes", "nonsense"])).code, 2);
  const nobody = await run("status", ["--nodes", "127.0.0.1:1", "--key-file", key_file]);
  assert.deepEqual([nobody.code, nobody.out], [1, ""]);
  assert.match(nobody.err, /no node answers: UNAVAILABLE/);
  assert.equal((await run("status", ["--data-dir", join(cluster.data_dir, "nowhere")])).code, 1);
  assert.equal((await admin("drain", "node-9")).code, 1);
  const workflow = await run("start", ["--role", "workflow", "--data-dir", join(cluster.data_dir, "w")]);
  assert.deepEqual([workflow.code, /no workflows yet/.test(workflow.err)], [2, true]);
});

test("drained, restarted, undrained under load: no payment notices, all is where it was", async () => {
  const first = owners(await picture());
  const loads = (["node-1", "node-3"] as const).map((name) => new Load(name));
  const own = new Load("node-2");
  await stretch([...loads, own]);
  await done("drain", "node-2");
  const drained = await picture();
  assert.deepEqual([viewOf(drained, "node-2").owned, viewOf(drained, "node-2").followed], [[], []]);
  assert.equal(viewOf(drained, "node-2").drained, true);
  assert.ok(owners(drained).every((o) => o === "node-1" || o === "node-3"));
  // It goes on taking payments of all users.
  await stretch([...loads, own]);
  await own.end();
  await cluster.end("node-2", "SIGTERM");
  await cluster.startNode("node-2");
  await stretch(loads);
  const again = await picture();
  assert.deepEqual([viewOf(again, "node-2").drained, viewOf(again, "node-2").owned], [true, []], "forgotten");
  await done("undrain", "node-2");
  await stretch(loads);
  assert.deepEqual(owners(await picture()), first);
  assert.match(await done("rebalance"), /every shard is where it should be/);
  for (const load of loads) await load.end();
  const drains = (await cluster.log("node-2")).filter((l) => l["audit"] === true && l["method"] === "Drain");
  assert.deepEqual(
    drains.map((l) => [l["operator"], l["outcome"]]),
    [["admin", "OK"]],
  );
});

test("weights move shards and back; the last node that could own shards is not drained", async () => {
  const first = owners(await picture());
  await done("weight", "node-1", "0");
  assert.ok(!owners(await picture()).includes("node-1"));
  await done("drain", "node-2");
  const refused = await admin("drain", "node-3");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /FAILED_PRECONDITION: .*no other node could own its shards/);
  assert.ok(owners(await picture()).every((o) => o === "node-3"));
  await done("undrain", "node-2");
  await done("weight", "node-1", "100");
  assert.deepEqual(owners(await picture()), first);
});

async function decidesAt(name: NodeName): Promise<string> {
  const client = new TestClient(Number(cluster.node(name).grpc.split(":")[1]), cluster.keys.patient);
  try {
    const { decision } = await client.call("analyze", { payment: payment() });
    return decision === undefined ? "nothing" : "decided";
  } catch (e) {
    return status[(e as ServiceError).code];
  } finally {
    client.close();
  }
}

test("a gateway owns and follows nothing and decides; a shard node owns and takes no payments", async () => {
  for (const role of ["gateway", "shard"] as const) {
    await cluster.end("node-3", "SIGTERM");
    await cluster.startNode("node-3", ["--role", role]);
    await done("rebalance");
    const view = viewOf(await picture(), "node-3");
    assert.deepEqual([view.role, view.ready], [role, true]);
    assert.equal(view.owned.length > 0, role === "shard", `${role} owns ${view.owned}`);
    if (role === "gateway") assert.deepEqual(view.followed, []);
    assert.equal(await decidesAt("node-3"), role === "gateway" ? "decided" : "UNIMPLEMENTED");
    assert.equal(await decidesAt("node-1"), "decided");
    for (const path of ["/health", "/ready", "/metrics"]) {
      assert.equal((await fetch(cluster.node("node-3").rest + path)).status, 200, path);
    }
  }
});

test("a node that was killed is shown as such, and what others took over", async () => {
  const view = viewOf(await picture(), "node-3");
  await cluster.end("node-3", "SIGKILL");
  const isTaken = async () => {
    const ended = await run("status", ["--json", "--data-dir", cluster.data_dir]);
    const seen = JSON.parse(ended.out) as ClusterStatus;
    return seen.shards.every((s) => s.owner !== null && s.owner !== "node-3");
  };
  await until("its shards are owned by others", isTaken, 15_000, () => cluster.words());
  const seen = await picture(1);
  const dead = viewOf(seen, "node-3");
  assert.deepEqual([dead.state, dead.live, dead.role], ["unreachable", false, view.role]);
  assert.match(seen.problems.join(), /node node-3 does not answer: UNAVAILABLE/);
  const { rest } = cluster.node("node-1");
  const metrics = await (await fetch(`${rest}/metrics`)).text();
  assert.match(metrics, /^fraudguard_cluster_nodes_live 2$/m);
  assert.match(metrics, /^fraudguard_follower_lag_frames\{shard="\d"\} 0$/m);
  assert.match(metrics, /^fraudguard_hand_overs_total [1-9]/m);
});
