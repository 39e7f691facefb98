/**
 * A cluster at rest gets another number of shards, over a real nats-server: 1, then 4, then 2. Nodes on the result
 * answer every id as before and decide on; ended at any point the command is run again.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { connectNats, type NatsLink } from "../../runtime/nats/connection.ts";
import { SERVED } from "../../runtime/nats/jetstream_journal.ts";
import { JournalSet } from "../../runtime/nats/journal_set.ts";
import { FraudClient } from "../client/fraud_client.ts";
import { readJournals, tenantsOf } from "../e2e/testkit/journal_rows.ts";
import { type Acknowledged, feed } from "../e2e/testkit/load.ts";
import { localNode } from "../e2e/testkit/local_node.ts";
import { makeTenants, type TestKeys } from "../e2e/testkit/node_process.ts";
import { demoItems, demoPayments, freshId, payment } from "../e2e/testkit/payments.ts";
import { assertStateEquals } from "../e2e/testkit/state_oracle.ts";
import { type NatsEngine, startNats } from "../engines/nats.ts";
import { DEFAULT_RULES } from "../node/fraud_node.ts";
import { ReshardError } from "./errors.ts";
import { tellNodeFolders } from "./node_folders.ts";
import { type ReshardOptions, reshard } from "./reshard_run.ts";

const COMMAND = join(import.meta.dirname, "..", "bin", "reshard.ts");
const PAYMENTS = 1500;
const HISTORY = 300;

/** A data folder with its nats-server, and what was acknowledged over it. */
class Rest {
  readonly data_dir: string;
  readonly keys: TestKeys;
  nats: NatsEngine;
  known: Acknowledged | null = null;

  private constructor(data_dir: string, nats: NatsEngine) {
    this.data_dir = data_dir;
    this.keys = makeTenants(data_dir);
    this.nats = nats;
  }

  static async make(t: TestContext): Promise<Rest> {
    const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-reshard-"));
    const rest = new Rest(data_dir, await startNats({ data_dir: join(data_dir, "nats"), port: 0 }));
    t.after(async () => {
      await rest.nats.stop();
      await rm(data_dir, { recursive: true, force: true });
    });
    return rest;
  }

  /** A node with so many shards asks for every decision again, and takes more items of the stream. */
  async decide(shards: number, seed: number): Promise<void> {
    const local = await localNode({ data_dir: this.data_dir, nats_url: this.nats.url, shards });
    const client = new FraudClient(local.grpc, this.keys.acme);
    try {
      const items = demoItems({ seed, payments: PAYMENTS });
      if (this.known === null) await client.analyze(demoPayments({ seed: 99, payments: HISTORY }), true);
      this.known = await feed(client, items, this.known ?? undefined);
      await local.quiet();
      const { rows } = await readJournals(this.nats.url, shards, tenantsOf(this.data_dir));
      const compared = assertStateEquals(local.shards, rows);
      assert.ok(compared.users > 100, JSON.stringify(compared));
    } finally {
      client.close();
      await local.close();
    }
  }

  async link<T>(run: (link: NatsLink) => Promise<T>): Promise<T> {
    const link = await connectNats({ servers: this.nats.url.replace("nats://", "") });
    try {
      return await run(link);
    } finally {
      await link.close();
    }
  }

  reshard(shards: number, over: Partial<ReshardOptions> = {}) {
    return this.link(async (link) => {
      const report = await reshard({
        link,
        shards,
        tenants: tenantsOf(this.data_dir),
        rules: JSON.parse(await readFile(DEFAULT_RULES, "utf8")),
        allow_entity_differences: false,
        sleep: (ms) => delay(ms),
        say: () => {},
        onRows: () => {},
        ...over,
      });
      await tellNodeFolders(this.data_dir, shards);
      return report;
    });
  }

  /** Names and lengths of the served journals. */
  served(): Promise<string> {
    return this.link(async (link) => {
      const set = new JournalSet(link, SERVED);
      const all = await set.list();
      set.close();
      return all.map((j) => `${j.shard} ${j.id} ${j.lastSequence}`).join("\n");
    });
  }
}

test("1 shard, then 4, then 2: ids are answered as before, windows are the oracle's, nodes decide on", async (t) => {
  const rest = await Rest.make(t);
  await rest.decide(1, 5);
  const first = await rest.reshard(4);
  assert.ok(first.rows > PAYMENTS + HISTORY && first.entities_different === 0, JSON.stringify(first));
  // The same items again, all repeats, and as many new ones.
  await rest.decide(4, 5);
  await rest.decide(4, 6);
  // By the command, which starts a server of its own.
  await rest.nats.stop();
  const args = [COMMAND, "--shards", "2", "--data-dir", rest.data_dir, "--json"];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const second = JSON.parse(stdout);
  assert.deepEqual([second.before, second.after, second.node_folders.length], [4, 2, 1], stdout);
  assert.ok(second.rows > first.rows + PAYMENTS, stdout);
  const again = await promisify(execFile)(process.execPath, args);
  assert.equal(JSON.parse(again.stdout).rows, 0, "a second run finds nothing to do");
  rest.nats = await startNats({ data_dir: join(rest.data_dir, "nats"), port: 0 });
  await rest.decide(2, 5);
  await rest.decide(2, 6);
  await rest.decide(2, 7);
  const kept = await rest.link(async (link) => {
    const set = new JournalSet(link, { prefix: second.kept, subject: "fg.unused" });
    const all = await set.list();
    set.close();
    return all.map((j) => j.shard);
  });
  assert.deepEqual(kept, [0, 1, 2, 3], "the journals of four shards are kept");
});

test("while a node serves it is refused, and nothing changes", async (t) => {
  const rest = await Rest.make(t);
  const local = await localNode({ data_dir: rest.data_dir, nats_url: rest.nats.url, shards: 1 });
  try {
    const before = await rest.served();
    await assert.rejects(rest.reshard(2), (e) => e instanceof ReshardError && e.code === "served");
    assert.equal(await rest.served(), before);
    const client = new FraudClient(local.grpc, rest.keys.acme);
    const [{ result }] = await client.analyze([payment({ transactionId: freshId() })]);
    client.close();
    assert.equal(result.case, "decision");
  } finally {
    await local.close();
  }
});

test("ended while it writes it begins anew; ended while journals change places it ends what was begun", async (t) => {
  const rest = await Rest.make(t);
  await rest.decide(1, 5);
  const before = await rest.served();
  let rows = 0;
  const dies = () => {
    if (++rows === 5) throw new Error("killed");
  };
  await assert.rejects(rest.reshard(2, { onRows: dies }), /killed/);
  assert.equal(await rest.served(), before, "the served journals are untouched");
  const diesLate = (line: string) => {
    if (line.startsWith("shard 1 of")) throw new Error("killed late");
  };
  await assert.rejects(rest.reshard(2, { say: diesLate }), /killed late/);
  await assert.rejects(rest.reshard(3), /must be ended first/);
  const report = await rest.reshard(2);
  assert.deepEqual([report.before, report.after], [1, 2]);
  await rest.decide(2, 5);
  assert.ok((await readdir(rest.data_dir)).includes("shards"));
});
