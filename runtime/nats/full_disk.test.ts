/** Three servers of ours with a replicated journal, and one of them meets a full disk. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { KeptNatsCluster } from "../../deploy/engines/kept_nats_cluster.ts";
import { natsInbox } from "../../deploy/engines/nats_users.ts";
import { until } from "../../deploy/engines/testkit.ts";
import { CommitDriver } from "../testkit/commit_driver.ts";
import { connectNats, type NatsLink } from "./connection.ts";
import { JetStreamJournalStore } from "./jetstream_journal.ts";

const WAIT_MS = 60_000;
const DISK_BYTES = 64 << 20;

/** Runs what is added after the test, the newest first. */
function closing(t: TestContext): (close: () => unknown) => void {
  const closers: (() => unknown)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  return (close) => void closers.push(close);
}

/** Whether a file system of limited size could be mounted on the folder. */
async function mountSmall(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder]).status === 0;
}

/** A connection as the role's user. */
async function connectAs(user: string, kept: KeptNatsCluster, users_dir: string): Promise<NatsLink> {
  const passwords = JSON.parse(await readFile(join(users_dir, "users.json"), "utf8")) as Record<string, string>;
  const servers = kept.url.replaceAll("nats://", "").split(",");
  const login = { user, password: passwords[user], inbox_prefix: natsInbox(user) };
  return connectNats({ servers, ...login, tls_ca: await readFile(kept.ca_file, "utf8") });
}

test("one of three servers whose disk was full serves again when there is room", async (t) => {
  const afterwards = closing(t);
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-test-"));
  afterwards(() => rm(data_dir, { recursive: true, force: true }));
  const small = join(data_dir, "server-2");
  if (!(await mountSmall(small))) return t.skip("no file system may be mounted");
  afterwards(() => spawnSync("umount", ["-l", small]));
  const down: string[] = [];
  const users_dir = join(data_dir, "users");
  const kept = await KeptNatsCluster.start({
    data_dir,
    servers: 3,
    port: 0,
    users_dir,
    tls_dir: join(data_dir, "tls"),
    check_ms: 200,
    onDown: (message) => down.push(message),
    onUp: () => {},
  });
  afterwards(() => kept.stop());
  const link = await connectAs("shard", kept, users_dir);
  afterwards(() => link.close());
  const store = new JetStreamJournalStore(link, { num_replicas: 3 });
  afterwards(() => store.close());
  let journal = await store.open(0).catch(() => null);
  // They elect a leader first.
  for (; journal === null; journal = await store.open(0).catch(() => null)) await delay(100);
  const driver = await CommitDriver.start(journal, "a");
  afterwards(() => driver.committer?.abandon());
  await until("frames", () => driver.told.length > 20, WAIT_MS);
  const { bavail, bsize } = await statfs(small);
  await writeFile(join(small, "filler"), Buffer.alloc(bavail * bsize)).catch(() => {});
  await until("it is seen", () => down.some((m) => /JetStream is off/.test(m)), WAIT_MS);
  assert.equal(driver.end, null);
  driver.enough = driver.told.length + 10;
  await rm(join(small, "filler"));
  const current = async (): Promise<boolean> => {
    const info = (await link.client.request("$JS.API.STREAM.INFO.FG_J0").catch(() => null))?.json() as {
      readonly cluster?: { readonly replicas?: readonly { readonly current: boolean }[] };
    } | null;
    const replicas = info?.cluster?.replicas ?? [];
    return driver.committer?.inFlight === 0 && replicas.length === 2 && replicas.every((r) => r.current);
  };
  await until("all three have the journal", current, WAIT_MS);
  assert.equal(driver.end, null);
  await driver.check(journal);
});
