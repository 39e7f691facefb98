/**
 * Snapshots in an object store that nodes share: a node that was never near the shards begins with them, over journals
 * that are purged below them. Without a snapshot such a journal is refused, in words that say why.
 */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectNats } from "../../runtime/nats/connection.ts";
import { JetStreamMaintenance } from "../../runtime/nats/journal_maintenance.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { startNats } from "../engines/nats.ts";
import { startObjectStore } from "../engines/object_store.ts";
import { snapshotStore } from "../node/snapshot_url.ts";
import { type LocalNode, localNode } from "./testkit/local_node.ts";
import { makeTenants } from "./testkit/node_process.ts";
import { decisionOf, payment, sameness } from "./testkit/payments.ts";

const SHARDS = 2;

async function decide(node: LocalNode, key: string, payments: readonly PaymentInit[]): Promise<string[]> {
  const client = new FraudClient(node.grpc, key);
  const results = await client.analyze(payments);
  client.close();
  return results.map((r) => sameness(decisionOf(r)));
}

const some = (n: number): PaymentInit[] => Array.from({ length: n }, () => payment());

/** What a node reported of each shard, newest last. */
function told(node: LocalNode, event: string): { shard: number; frame: number; snapshot_frame: number }[] {
  return node.events().filter((e) => e["msg"] === event) as never;
}

test("another node begins with the shared snapshots, also when the journals are purged below them", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "fraudguard-e2e-"));
  t.after(() => rm(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  const nats = await startNats({ data_dir: join(root, "nats"), port: 0 });
  t.after(() => nats.stop());
  const objects = await startObjectStore({ data_dir: join(root, "objects"), port: 0, bucket: "fraud" });
  t.after(() => objects.stop());
  const snapshots = snapshotStore("s3://fraud/a/b", {
    AWS_ENDPOINT_URL_S3: objects.url,
    AWS_ACCESS_KEY_ID: objects.access_key_id,
    AWS_SECRET_ACCESS_KEY: objects.secret_access_key,
  });
  const common = { nats_url: nats.url, shards: SHARDS };
  const folder = async (name: string): Promise<string> => {
    const data_dir = join(root, name);
    await mkdir(data_dir);
    for (const f of ["tenants.json", "secrets.json"]) await cp(join(root, "first", f), join(data_dir, f));
    return data_dir;
  };

  await mkdir(join(root, "first"));
  const { acme } = makeTenants(join(root, "first"));
  const first = await localNode({ ...common, data_dir: join(root, "first"), snapshots });
  const last = some(100);
  let decided: string[];
  let digests: string[];
  try {
    for (let round = 0; round < 3; round++) {
      await decide(first, acme, some(200));
      await first.node.runtime.snapshot();
    }
    decided = await decide(first, acme, last);
    await first.quiet();
    digests = first.digests();
  } finally {
    await first.close();
  }
  for (let s = 0; s < SHARDS; s++) assert.equal((await snapshots.list(s)).length, 2);

  const link = await connectNats({ servers: [nats.url], name: "maintenance" });
  t.after(() => link.close());
  const taken = told(first, "snapshot");
  for (let s = 0; s < SHARDS; s++) {
    const frame = taken.findLast((e) => e.shard === s)?.frame as number;
    assert.ok((await new JetStreamMaintenance(link).purge(s, frame)) > 0);
  }

  const second = await localNode({ ...common, data_dir: await folder("second"), snapshots });
  try {
    const loaded = told(second, "shard_loaded");
    assert.deepEqual(
      loaded.map((e) => e.snapshot_frame),
      taken.slice(-SHARDS).map((e) => e.frame),
    );
    await second.quiet();
    assert.deepEqual(second.digests(), digests);
    assert.deepEqual(await decide(second, acme, last), decided);
  } finally {
    await second.close();
  }
  const alone = localNode({ ...common, data_dir: await folder("third") });
  await assert.rejects(alone, /shard 0: there is no usable snapshot, the journal begins at frame \d+: restore from/);
});
