/** Maintenance over the folder of a cluster of three nats-servers that is at rest: all commands reach it alike. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { SERVED } from "../../runtime/nats/jetstream_journal.ts";
import { JournalSet } from "../../runtime/nats/journal_set.ts";
import { takeoverFrame } from "../../runtime/testkit/frames.ts";
import { LocalNats } from "../commands/local_nats.ts";
import { DEFAULT_RULES } from "../node/fraud_node.ts";
import { connectAs } from "../node/nats_access.ts";
import { reshard } from "../reshard/reshard_run.ts";
import { reach } from "./access.ts";
import { runBackup } from "./backup_run.ts";

const SERVERS = 3;
const BEFORE = 2;
const AFTER = 3;
const say = (): void => {};

/** A cluster's folder: journals on three servers, each with a Takeover, and nothing that runs. */
async function atRest(data_dir: string): Promise<void> {
  const nats = await LocalNats.start({ data_dir, servers: SERVERS, port: 0, say });
  try {
    await nats.elected();
    const link = await connectAs(nats.access("maintenance"), "journals");
    const set = new JournalSet(link, SERVED, SERVERS);
    for (let shard = 0; shard < BEFORE; shard++) {
      const journal = await set.create(shard, String(shard).repeat(32), BEFORE);
      const { kind } = await journal.append(takeoverFrame(journal, { epoch: 1, sequence: 1 }), 0);
      assert.equal(kind, "appended");
    }
    set.close();
    await link.close();
  } finally {
    await nats.stop();
  }
}

test("three servers at rest are started for the while: journals are backed up, and divided anew", async (t) => {
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-three-"));
  t.after(() => rm(data_dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  await atRest(data_dir);
  const access = await reach({ "data-dir": data_dir }, say);
  try {
    const { journals, maintenance, link } = access;
    const signal = new AbortController().signal;
    const plain = { places: [], nodes: [], secrets_from: null, code: "test", signal, say };
    const onFrames = (): void => {};
    const folder = join(data_dir, "backup");
    const report = await runBackup({
      ...plain,
      folder,
      journals,
      maintenance,
      wallUs: () => 1,
      pause: delay,
      onFrames,
    });
    assert.deepEqual([report.shards, report.copied_frames], [BEFORE, BEFORE]);
    const rules = JSON.parse(await readFile(DEFAULT_RULES, "utf8"));
    const sleep = (ms: number) => delay(Math.min(ms, 50));
    const o = { link, shards: AFTER, tenants: [], rules, allow_entity_differences: false, sleep, say, onRows: say };
    assert.equal((await reshard(o)).after, AFTER);
    assert.deepEqual(
      (await maintenance.list()).map(({ shard, shards }) => [shard, shards]),
      [0, 1, 2].map((shard) => [shard, AFTER]),
    );
    for (const stream of ["FG_J0", `FG_J${AFTER - 1}`, "KV_FG_LEASES"]) {
      const { config } = (await link.client.request(`$JS.API.STREAM.INFO.${stream}`)).json<{
        config: { num_replicas: number };
      }>();
      assert.equal(config.num_replicas, SERVERS, stream);
    }
  } finally {
    await access.close();
  }
  assert.equal(existsSync(join(data_dir, "nats", "store")), false, "no server of its own beside them");
});
