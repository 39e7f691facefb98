/**
 * kill -9 under load, of the node and of its nats-server, with one shard and with three: every acknowledged decision is
 * there afterwards, each once, always returned the same; the recovered actors equal the oracle's over the journals.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import { FraudClient } from "../client/fraud_client.ts";
import { startNats } from "../engines/nats.ts";
import { credentialsFile } from "../engines/nats_users.ts";
import { keyOf, readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { PersistentLoad } from "./testkit/load.ts";
import { localNode } from "./testkit/local_node.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { demoPayments } from "./testkit/payments.ts";
import { assertStateEquals } from "./testkit/state_oracle.ts";
import { until } from "./testkit/until.ts";

const PAYMENTS = 6000;
/** Acknowledged payments at which something is killed. */
const KILLS = [800, 2400, 4000];

type Victim = "node" | "nats-server";

for (const shards of [1, 3]) {
  for (const victim of ["node", "nats-server"] as const) {
    test(`kill -9 of the ${victim} under load, ${shards} shards`, (t) => drill(t, shards, victim));
  }
}

async function drill(t: { after(run: () => Promise<void>): void }, shards: number, victim: Victim): Promise<void> {
  const node = await NodeProcess.launch({ shards, snapshot_interval_s: 1 });
  t.after(() => node.dispose());
  const payments = demoPayments({ seed: 11 * shards + victim.length, payments: PAYMENTS });
  const load = new PersistentLoad(payments, node.keys.acme);
  const words = async () => `${load.acknowledged} of ${PAYMENTS} acknowledged\n${await node.words()}`;
  load.run(node.ready.grpc);
  for (const at of KILLS) {
    await until(`${at} acknowledged`, () => load.failure !== null || load.acknowledged >= at, 60_000, words);
    if (victim === "node") {
      await node.kill();
      await load.pause();
      await node.start();
      load.run(node.ready.grpc);
    } else await killNats(node);
  }
  await until("all acknowledged", () => load.finished, 60_000, words);
  await load.pause();
  if (victim === "node") assert.ok(load.broken > 0, "the kills broke no stream: they came too late");
  await assertSameAgain(node, load, payments);
  assert.equal(await node.stop(), 0, await node.words());
  await assertRecovered(node, shards, payments);
}

/** Kills the nats-server and waits until another one serves; the node stays. */
async function killNats(node: NodeProcess): Promise<void> {
  const pid = (await node.readReady())?.nats_pid;
  assert.ok(pid !== undefined, "ready.json names no nats-server");
  process.kill(pid, "SIGKILL");
  const isBack = async () => {
    const now = (await node.readReady())?.nats_pid;
    return now !== undefined && now !== pid;
  };
  await until("a new nats-server serves", isBack, 30_000, () => node.words());
}

async function assertSameAgain(node: NodeProcess, load: PersistentLoad, payments: ReturnType<typeof demoPayments>) {
  const client = new FraudClient(node.ready.grpc, node.keys.acme);
  for (let i = 0; i < payments.length; i += 500) {
    const some = payments.slice(i, i + 500);
    load.known.take(some, await client.analyze(some));
  }
  client.close();
}

/** Over the same store, with an own nats-server: each id once in the journals, and actors as the oracle has them. */
async function assertRecovered(node: NodeProcess, shards: number, payments: ReturnType<typeof demoPayments>) {
  const { data_dir } = node;
  const nats_users = join(data_dir, "nats-users");
  const nats = await startNats({ data_dir: join(data_dir, "nats"), port: 0, users_dir: nats_users });
  try {
    const tenants = tenantsOf(data_dir);
    const acme = tenants.find((x) => x.id === "acme");
    assert.ok(acme);
    const { rows } = await readJournals({ nats: nats.url, nats_users }, shards, tenants);
    const times = new Map<string, number>();
    for (const r of rows)
      if (r.kind === ROW_PAYMENT) times.set(`${r.user} ${r.id}`, (times.get(`${r.user} ${r.id}`) ?? 0) + 1);
    for (const p of payments) {
      const key: string = `${keyOf(acme, p.userId as string)} ${keyOf(acme, p.transactionId as string)}`;
      assert.equal(times.get(key), 1, `times that ${p.transactionId} stands in the journals`);
    }
    assert.equal(times.size, payments.length);
    const local = await localNode({
      data_dir,
      nats_url: nats.url,
      nats_credentials: credentialsFile(nats_users, "node"),
      shards,
    });
    try {
      await local.quiet();
      assertStateEquals(local.shards, rows);
    } finally {
      await local.close();
    }
  } finally {
    await nats.stop();
  }
}
