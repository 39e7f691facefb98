/**
 * Backup, restore to a point in time and purge on a real nats-server with four shards: by the commands as their users
 * run them, against nodes that decide meanwhile.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { keyOf, readJournals, tenantsOf } from "../e2e/testkit/journal_rows.ts";
import { Acknowledged } from "../e2e/testkit/load.ts";
import { type LocalNode, localNode } from "../e2e/testkit/local_node.ts";
import { makeTenants } from "../e2e/testkit/node_process.ts";
import { decisionOf, demoPayments, rowError, START_US } from "../e2e/testkit/payments.ts";
import { assertStateEquals } from "../e2e/testkit/state_oracle.ts";
import { until } from "../e2e/testkit/until.ts";
import { type NatsEngine, startNats } from "../engines/nats.ts";
import type { BackupReport } from "./backup_run.ts";
import type { PurgedShard } from "./purge_run.ts";
import type { RestoreReport } from "./restore_run.ts";

const SHARDS = 4;
const BATCH = 32;
const run = promisify(execFile);

/** A command as its user runs it; what it prints as JSON. */
async function command<T>(name: "backup" | "restore" | "purge", args: readonly string[]): Promise<T> {
  const file = new URL(`../bin/${name}.ts`, import.meta.url).pathname;
  const { stdout } = await run(process.execPath, [file, "--json", ...args]);
  return JSON.parse(stdout) as T;
}

/** A node over a data folder, and its nats-server. */
interface Here {
  readonly nats: NatsEngine;
  readonly node: LocalNode;
  close(): Promise<void>;
}

async function serve(data_dir: string): Promise<Here> {
  const users_dir = join(data_dir, "nats-users");
  const nats = await startNats({ data_dir: join(data_dir, "nats"), port: 0, users_dir });
  try {
    const nats_credentials = join(users_dir, "node.json");
    const node = await localNode({ data_dir, nats_url: nats.url, nats_credentials, shards: SHARDS });
    const close = async (): Promise<void> => {
      await node.close();
      await nats.stop();
    };
    return { nats, node, close };
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fraudguard-e2e-backup-"));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return folder;
}

/** Sends payments in batches and takes the answers. Resolves with how many were repeats. */
async function decide(
  grpc: string,
  key: string,
  payments: readonly PaymentInit[],
  known: Acknowledged,
): Promise<number> {
  const client = new FraudClient(grpc, key);
  let repeats = 0;
  for (let i = 0; i < payments.length; i += BATCH) {
    const some = payments.slice(i, i + BATCH);
    const results = await client.analyze(some);
    known.take(some, results);
    repeats += results.filter((r) => decisionOf(r).repeated).length;
  }
  client.close();
  return repeats;
}

/** Ids of payments in a folder's journals, after its node has ended. */
async function rowsOf(data_dir: string): Promise<Awaited<ReturnType<typeof readJournals>>["rows"]> {
  const nats_users = join(data_dir, "nats-users");
  const nats = await startNats({ data_dir: join(data_dir, "nats"), port: 0, users_dir: nats_users });
  try {
    return (await readJournals({ nats: nats.url, nats_users }, SHARDS, tenantsOf(data_dir))).rows;
  } finally {
    await nats.stop();
  }
}

test("a backup of a living node brings every point in time back; later ids are decided anew", async (t) => {
  const folder = await scratch(t);
  const [live_dir, to] = [join(folder, "live"), join(folder, "backup")];
  const key = makeTenants(live_dir).acme;
  const live = await serve(live_dir);
  const from = ["--data-dir", live_dir, "--nats-url", live.nats.url];
  const early = demoPayments({ seed: 5, payments: 1600 });
  const known = new Acknowledged();
  let amid_us = 0;
  let digests: string[] = [];
  let at_us = 0;
  const late = demoPayments({ seed: 6, payments: 400, startUs: START_US + 3600e6 });
  try {
    const deciding = decide(live.node.grpc, key, early, known);
    const isAmid = () => known.decisions.size >= early.length / 3;
    await until("a third is decided", isAmid, 60_000);
    amid_us = Date.now() * 1000;
    const first = await command<BackupReport>("backup", ["--to", to, "--with-secrets", ...from]);
    await deciding;
    await live.node.quiet();
    await delay(20);
    at_us = Date.now() * 1000;
    digests = live.node.digests();
    await delay(20);
    await decide(live.node.grpc, key, late, new Acknowledged());
    const second = await command<BackupReport>("backup", ["--to", to, ...from]);
    assert.equal(second.shards, SHARDS);
    for (const [s, j] of second.journals.entries()) {
      assert.equal(j.copied, j.last - first.journals[s].last, "only what is new is copied");
      assert.ok(j.copied > 0);
    }
  } finally {
    await live.close();
  }
  await t.test("at rest: the state is that of the moment, ids are answered the same", () =>
    restoredAtRest({ folder, to, at_us, key, early, late, known, digests }),
  );
  await t.test("amid the load: one cut over the shards, whose windows are exact", () =>
    restoredAmid({ folder, to, at_us: amid_us, key, early, known }),
  );
});

interface Restored {
  readonly folder: string;
  readonly to: string;
  readonly at_us: number;
  readonly key: string;
  readonly early: readonly PaymentInit[];
  readonly known: Acknowledged;
}

async function restoredAtRest(
  r: Restored & { readonly late: readonly PaymentInit[]; readonly digests: readonly string[] },
): Promise<void> {
  const data_dir = join(r.folder, "at-rest");
  const at = new Date(r.at_us / 1000).toISOString();
  const report = await command<RestoreReport>("restore", ["--from", r.to, "--data-dir", data_dir, "--at", at]);
  assert.ok(
    report.cut.every((c) => c.dropped === 0 && c.last_time_us <= r.at_us),
    JSON.stringify({ at_us: r.at_us, cut: report.cut }),
  );
  const here = await serve(data_dir);
  try {
    await here.node.quiet();
    assert.deepEqual(here.node.digests(), r.digests);
    for (const s of here.node.shards) assert.ok(s.epoch > (report.epoch ?? Number.NaN), "an epoch comes again");
    assert.equal(
      await decide(here.node.grpc, r.key, r.early, r.known),
      r.early.length,
      "acknowledged before: the same",
    );
    assert.equal(await decide(here.node.grpc, r.key, r.late, new Acknowledged()), 0, "after the moment: decided anew");
  } finally {
    await here.close();
  }
}

async function restoredAmid(r: Restored): Promise<void> {
  const data_dir = join(r.folder, "amid");
  const args = ["--from", r.to, "--data-dir", data_dir, "--at", String(r.at_us)];
  const report = await command<RestoreReport>("restore", args);
  const rows = await rowsOf(data_dir);
  const ids = new Set(rows.filter((row) => row.kind === ROW_PAYMENT).map((row) => `${row.user} ${row.id}`));
  assert.ok(ids.size > 0 && ids.size < r.early.length, `${ids.size} payments: not amid the load`);
  const here = await serve(data_dir);
  try {
    await here.node.quiet();
    assertStateEquals(here.node.shards, rows);
    const acme = tenantsOf(data_dir).find((x) => x.id === "acme");
    assert.ok(acme);
    const idOf = (p: PaymentInit): string => `${keyOf(acme, p.userId ?? "")} ${keyOf(acme, p.transactionId ?? "")}`;
    const [kept, lost] = [r.early.filter((p) => ids.has(idOf(p))), r.early.filter((p) => !ids.has(idOf(p)))];
    assert.equal(await decide(here.node.grpc, r.key, kept, r.known), kept.length);
    assert.equal(await decide(here.node.grpc, r.key, lost, new Acknowledged()), 0);
    assert.equal(report.cut.length, SHARDS);
  } finally {
    await here.close();
  }
}

test("a purged journal: restarts from its snapshot, says so without one, and is backed up with one", async (t) => {
  const folder = await scratch(t);
  const live_dir = join(folder, "live");
  const key = makeTenants(live_dir).acme;
  let live = await serve(live_dir);
  const old = demoPayments({ seed: 8, payments: 900 });
  const recent = demoPayments({ seed: 9, payments: 300, startUs: START_US + 600e6 });
  const known = new Acknowledged();
  const purge = (...more: string[]) =>
    command<PurgedShard[]>("purge", ["--data-dir", live_dir, "--nats-url", live.nats.url, ...more]);
  try {
    await decide(live.node.grpc, key, old, new Acknowledged());
    assert.ok((await purge()).every((d) => d.purged_frames === 0 && /of 2 verified snapshots/.test(d.held_by)));
    await live.node.node.runtime.snapshot();
    await decide(live.node.grpc, key, recent, known);
    await live.node.quiet();
    await live.node.node.runtime.snapshot();
    const held = await purge();
    assert.ok(
      held.every((d) => d.purged_frames === 0 && d.held_by === "the retry horizon"),
      JSON.stringify(held),
    );
    const dry = await purge("--horizon-h", "0", "--dry-run");
    const done = await purge("--horizon-h", "0");
    assert.deepEqual(done, dry);
    assert.ok(
      done.every((d) => d.purged_frames > 0 && d.keep_from > 1),
      JSON.stringify(done),
    );
    const before = live.node.digests();
    await live.close();
    live = await serve(live_dir);
    await live.node.quiet();
    assert.deepEqual(live.node.digests(), before, "restarted from snapshots");
    await assertExpired(live.node.grpc, key, old);
    const rest = `http://127.0.0.1:${live.node.node.gateway.restPort}/v1/fraud/risk-score`;
    const asked = async ({ transactionId }: PaymentInit): Promise<number> => {
      const authorization = `Bearer ${key}`;
      return (await fetch(`${rest}/${transactionId}`, { headers: { authorization } })).status;
    };
    assert.deepEqual([await asked(old[0]), await asked(recent[recent.length - 1])], [404, 200]);
    await decide(live.node.grpc, key, recent, known);
    const to = join(folder, "backup");
    await command("backup", ["--to", to, "--with-secrets", "--data-dir", live_dir, "--nats-url", live.nats.url]);
    const digests = live.node.digests();
    await live.close();
    await assertRefusesWithoutSnapshots(live_dir);
    await assertRestores(to, join(folder, "new"), digests);
  } finally {
    await live.close();
  }
});

/** Repeats of what was purged are known and not decided again. */
async function assertExpired(grpc: string, key: string, payments: readonly PaymentInit[]): Promise<void> {
  const client = new FraudClient(grpc, key);
  const results = await client.analyze(payments.slice(0, BATCH));
  for (const result of results) {
    const { code, message } = rowError(result);
    assert.equal(code, ErrorCode.EXPIRED, message);
    assert.match(message, /past the retry horizon/);
  }
  client.close();
}

async function assertRefusesWithoutSnapshots(data_dir: string): Promise<void> {
  await rm(join(data_dir, "snapshots"), { recursive: true });
  const message = /shard 0: there is no usable snapshot, the journal begins at frame \d+: restore from backup/;
  await assert.rejects(serve(data_dir), message);
}

async function assertRestores(from: string, data_dir: string, digests: readonly string[]): Promise<void> {
  const report = await command<RestoreReport>("restore", ["--from", from, "--data-dir", data_dir]);
  assert.ok(report.snapshots >= SHARDS && report.cut.every((c) => c.first > 1));
  const here = await serve(data_dir);
  try {
    await here.node.quiet();
    assert.deepEqual(here.node.digests(), digests);
  } finally {
    await here.close();
  }
}
