/**
 * Who owns a journal: a second node fences the first, a waiting node takes over when the first is killed, and a journal
 * that is damaged or holds a foreign record stops its shard loudly.
 */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import { connectNats } from "../../runtime/nats/connection.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { type NatsEngine, startNats } from "../engines/nats.ts";
import { readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { PersistentLoad } from "./testkit/load.ts";
import { localNode } from "./testkit/local_node.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { decisionOf, demoPayments, payment, sameness } from "./testkit/payments.ts";
import { assertStateEquals } from "./testkit/state_oracle.ts";
import { until } from "./testkit/until.ts";

const PAYMENTS = 8000;
/** Light enough that the first node has work when the second one takes over. */
const LIGHT = { workers: 2, batch: 4 };

async function sharedNats(t: TestContext): Promise<NatsEngine> {
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-nats-"));
  const nats = await startNats({ data_dir, port: 0 });
  t.after(async () => {
    await nats.stop();
    await rm(data_dir, { recursive: true, force: true });
  });
  return nats;
}

/** A folder for another node with the same tenants and secrets. */
async function sameTenants(t: TestContext, node: NodeProcess): Promise<string> {
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-"));
  t.after(() => rm(data_dir, { recursive: true, force: true }));
  for (const file of ["tenants.json", "secrets.json"]) await cp(join(node.data_dir, file), join(data_dir, file));
  return data_dir;
}

async function assertEachOnce(nats: NatsEngine, data_dir: string, shards: number, payments: number) {
  const { rows } = await readJournals(nats.url, shards, tenantsOf(data_dir));
  const ids = rows.filter((r) => r.kind === ROW_PAYMENT).map((r) => `${r.user} ${r.id}`);
  assert.deepEqual([ids.length, new Set(ids).size], [payments, payments]);
  return rows;
}

for (const shards of [1, 3]) {
  test(`a second node fences the first under load, ${shards} shards: no decision is lost or changed`, async (t) => {
    const nats = await sharedNats(t);
    const first = await NodeProcess.launch({ shards, args: ["--nats-url", nats.url] });
    t.after(() => first.dispose());
    const data_dir = await sameTenants(t, first);
    const payments = demoPayments({ seed: 5 + shards, payments: PAYMENTS });
    const load = new PersistentLoad(payments, first.keys.acme);
    load.run(first.ready.grpc, LIGHT);
    await until(
      "under load",
      () => load.failure !== null || load.acknowledged > 500,
      30_000,
      () => first.words(),
    );
    const second = await localNode({ data_dir, nats_url: nats.url, shards, take_over: true });
    t.after(() => second.close());
    assert.equal(await first.ended(), 1, await first.words());
    const log = await first.log();
    const deposed = log.filter((l) => l["msg"] === "shard_stopped" && l["error"] === "Deposed");
    assert.ok(deposed.length > 0, await first.words());
    await load.pause();
    load.run(second.grpc);
    await until(
      "all acknowledged",
      () => load.finished,
      60_000,
      () => `${load.acknowledged} acknowledged`,
    );
    await load.pause();
    await assertSameAgain(second.grpc, load, payments);
    await second.quiet();
    assertStateEquals(second.shards, await assertEachOnce(nats, data_dir, shards, PAYMENTS));
    assert.deepEqual(second.stopped, []);
  });
}

async function assertSameAgain(grpc: string, load: PersistentLoad, payments: readonly PaymentInit[]): Promise<void> {
  const client = new FraudClient(grpc, load.key);
  for (let i = 0; i < payments.length; i += 500) {
    const some = payments.slice(i, i + 500);
    load.known.take(some, await client.analyze(some));
  }
  client.close();
}

test("a node that waits for the lease takes over when the owner is killed", async (t) => {
  const nats = await sharedNats(t);
  const first = await NodeProcess.launch({ args: ["--nats-url", nats.url] });
  t.after(() => first.dispose());
  const client = new FraudClient(first.ready.grpc, first.keys.acme);
  const payments = Array.from({ length: 20 }, () => payment());
  const decided = (await client.analyze(payments)).map((r) => sameness(decisionOf(r)));
  client.close();
  const data_dir = await sameTenants(t, first);
  const waiting = localNode({ data_dir, nats_url: nats.url, shards: 1 });
  // It must not disturb the owner while that one lives.
  const until_ms = performance.now() + 2500;
  const again = new FraudClient(first.ready.grpc, first.keys.acme);
  let ready = false;
  void waiting.then(() => {
    ready = true;
  });
  while (performance.now() < until_ms) for (const r of await again.analyze([payment()])) decisionOf(r);
  again.close();
  assert.equal(ready, false, "the second node took over from a living owner");
  await first.kill();
  const second = await waiting;
  t.after(() => second.close());
  const asked = new FraudClient(second.grpc, first.keys.acme);
  const repeats = (await asked.analyze(payments)).map(decisionOf);
  asked.close();
  assert.deepEqual(repeats.map(sameness), decided);
  assert.ok(repeats.every((d) => d.repeated));
});

test("a foreign record in a journal stops the shard, live and at restart, and names the sequence", async (t) => {
  const nats = await sharedNats(t);
  const node = await NodeProcess.launch({ args: ["--nats-url", nats.url] });
  t.after(() => node.dispose());
  const client = new FraudClient(node.ready.grpc, node.keys.acme);
  for (let i = 0; i < 3; i++) await client.analyze([payment()]);
  const link = await connectNats({ servers: nats.url.replace("nats://", "") });
  const reply = await link.client.request("fg.j.0.1", new TextEncoder().encode("not a frame"), { timeout: 5000 });
  const { seq } = JSON.parse(reply.string()) as { seq: number };
  await link.close();
  await client.analyze([payment()]).catch(() => {});
  client.close();
  assert.equal(await node.ended(), 1, await node.words());
  const stopped = (await node.log()).find((l) => l["msg"] === "shard_stopped");
  assert.equal(stopped?.["error"], "JournalDamaged", await node.words());
  assert.match(String(stopped?.["message"]), new RegExp(`sequence ${seq}\\b`));
  await assert.rejects(node.start(), new RegExp(`sequence ${seq}\\b`));
});

/** Where the nth record of a JetStream block ends: each begins with its length, a flag in the highest bit. */
function recordEnd(block: Buffer, n: number): number {
  let at = 0;
  for (let i = 0; i < n; i++) at += block.readUInt32LE(at) & 0x7fffffff;
  return at;
}

test("a flipped byte in a journal's file stops the shard at restart and names the sequence", async (t) => {
  const node = await NodeProcess.launch({ shards: 3 });
  t.after(() => node.dispose());
  const client = new FraudClient(node.ready.grpc, node.keys.acme);
  for (let i = 0; i < 10; i++)
    for (const r of await client.analyze(Array.from({ length: 6 }, () => payment()))) decisionOf(r);
  client.close();
  assert.equal(await node.stop(), 0, await node.words());
  const file = join(node.data_dir, "nats", "store", "jetstream", "JOURNALS", "streams", "FG_J1", "msgs", "1.blk");
  const bytes = await readFile(file);
  const good = Buffer.from(bytes);
  // Inside a frame. A flipped high bit in nats-server's own record header (its sequence number) makes the server
  // count through billions of missing records at its start, and the node says after a minute that it is not ready.
  bytes[recordEnd(bytes, 4) - 40] ^= 1;
  await writeFile(file, bytes);
  await assert.rejects(node.start(), /shard 1: .*\(sequence \d+\)/);
  // Nothing was thrown away: with the byte put back the node serves.
  await writeFile(file, good);
});

test("a journal that is older than a snapshot, or another one, stops the shard at restart", async (t) => {
  const node = await NodeProcess.launch({ snapshot_interval_s: 1 });
  t.after(() => node.dispose());
  assert.equal(await node.stop(), 0, await node.words());
  const store = join(node.data_dir, "nats", "store");
  await cp(store, `${store}.old`, { recursive: true });
  await node.start();
  const client = new FraudClient(node.ready.grpc, node.keys.acme);
  const hasSnapshot = async () => {
    for (const r of await client.analyze([payment()])) decisionOf(r);
    return (await node.log()).some((l) => l["msg"] === "snapshot" && (l["frame"] as number) > 5);
  };
  await until("a snapshot was taken", hasSnapshot, 20_000, () => node.words());
  client.close();
  assert.equal(await node.stop(), 0, await node.words());
  await rm(store, { recursive: true });
  await rename(`${store}.old`, store);
  await assert.rejects(node.start(), /shard 0: .*\(sequence \d+\)/);
  await rm(store, { recursive: true });
  await assert.rejects(node.start(), /shard 0: .* another journal/);
});
