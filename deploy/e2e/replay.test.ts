/**
 * Replay gives the live state: a few thousand made-up payments, events and outcomes through a real node, with one shard
 * and with three; windows of users at each decision and of all actors at rest against the oracle; digests before and
 * after a restart, from the journal alone and from a snapshot with the journal's tail.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BLOCK_ROWS, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import { FraudClient } from "../client/fraud_client.ts";
import { type NatsEngine, startNats } from "../engines/nats.ts";
import { readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { feed } from "./testkit/load.ts";
import { type LocalNode, localNode } from "./testkit/local_node.ts";
import { makeTenants, type TestKeys } from "./testkit/node_process.ts";
import { demoItems } from "./testkit/payments.ts";
import { assertStateEquals, assertUserColumns, type SeenRow } from "./testkit/state_oracle.ts";

const PAYMENTS = 3000;

for (const shards of [1, 3]) {
  let data_dir: string;
  let nats: NatsEngine;
  let keys: TestKeys;
  let local: LocalNode | null = null;
  let digests: string[] = [];
  const items = demoItems({ seed: 7 + shards, payments: PAYMENTS });

  before(async () => {
    data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-"));
    keys = makeTenants(data_dir);
    nats = await startNats({ data_dir: join(data_dir, "nats"), port: 0 });
  });

  after(async () => {
    await local?.close();
    await nats?.stop();
    await rm(data_dir, { recursive: true, force: true });
  });

  const start = async () => {
    local = await localNode({ data_dir, nats_url: nats.url, shards });
    return local;
  };
  const stop = async () => {
    await local?.close();
    local = null;
  };
  const reported = (event: string) => local?.events().filter((e) => e["msg"] === event) ?? [];

  test(`${shards} shards: state at rest and user windows at each decision equal the oracle's`, async () => {
    const { node, grpc, quiet, shards: live, digests: digestsOf } = await start();
    const seen: SeenRow[] = [];
    node.observer.onCommitted = (b, rows, n, matrix) => {
      for (let i = 0; i < n; i++) if (b.kind[rows[i]] === ROW_PAYMENT) seen.push(copyRow(b, rows[i], matrix));
    };
    const client = new FraudClient(grpc, keys.acme);
    const half = Math.floor(items.length / 2);
    await feed(client, items.slice(0, half));
    const snapshots = node.runtime.snapshot();
    await feed(client, items.slice(half));
    await snapshots;
    client.close();
    await quiet();
    digests = digestsOf();
    assert.equal(reported("snapshot").length, shards);
    const { rows } = await readJournals(nats.url, shards, tenantsOf(data_dir));
    assert.equal(rows.filter((r) => r.kind === ROW_PAYMENT).length, PAYMENTS);
    const compared = assertStateEquals(live, rows);
    assert.ok(compared.users > 100 && compared.merchants > 40, JSON.stringify(compared));
    assertUserColumns(seen, rows);
    await stop();
  });

  test(`${shards} shards: a restart from snapshots and the journals' tails gives the same state`, async () => {
    const { quiet, digests: digestsOf } = await start();
    await quiet();
    assert.deepEqual(digestsOf(), digests);
    const serving = reported("shard_loaded");
    assert.equal(serving.length, shards);
    for (const s of serving) assert.ok((s["snapshot_frame"] as number) > 0, JSON.stringify(s));
    assert.ok(serving.reduce((n, s) => n + (s["replayed_rows"] as number), 0) > PAYMENTS / 10, JSON.stringify(serving));
    await stop();
  });

  test(`${shards} shards: a damaged snapshot is not used, the journal is`, async () => {
    for (let s = 0; s < shards; s++) {
      const folder = join(data_dir, "snapshots", `shard-${s}`);
      for (const name of await readdir(folder)) {
        const bytes = await readFile(join(folder, name));
        bytes[bytes.length >> 1] ^= 1;
        await writeFile(join(folder, name), bytes);
      }
    }
    const { quiet, digests: digestsOf } = await start();
    await quiet();
    assert.deepEqual(digestsOf(), digests);
    assert.ok(reported("snapshot_unusable").length >= shards);
    for (const s of reported("shard_loaded")) assert.equal(s["snapshot_frame"], 0);
    await stop();
  });

  test(`${shards} shards: a restart from the journals alone gives the same state, and the state serves`, async () => {
    await rm(join(data_dir, "snapshots"), { recursive: true, force: true });
    const { quiet, digests: digestsOf, grpc, shards: live } = await start();
    await quiet();
    assert.deepEqual(digestsOf(), digests);
    for (const s of reported("shard_loaded")) assert.equal(s["snapshot_frame"], 0);
    const client = new FraudClient(grpc, keys.acme);
    await feed(client, demoItems({ seed: 99, payments: 300 }));
    client.close();
    await quiet();
    const { rows } = await readJournals(nats.url, shards, tenantsOf(data_dir));
    assertStateEquals(live, rows);
    await stop();
  });
}

function copyRow(b: RowBlock, r: number, matrix: Float32Array): SeenRow {
  const columns = matrix.length / BLOCK_ROWS;
  return {
    user: `${b.user.hi[r]}:${b.user.lo[r]}`,
    id: `${b.id.hi[r]}:${b.id.lo[r]}`,
    columns: matrix.slice(r * columns, r * columns + 36),
  };
}
