/**
 * The life of an engine process, with a real nats-server: readiness, stop, ports, folders held by one, and above all
 * that it ends with its parent.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { EngineError } from "./errors.ts";
import { type Lock, tryLock } from "./lock.ts";
import { startNats } from "./nats.ts";
import { holderProcess, killHard, processesWith, scratchDir, until } from "./testkit.ts";

const holderScript = (data_dir: string): string => `
  import { startNats } from "./nats.ts";
  const nats = await startNats({ data_dir: ${JSON.stringify(data_dir)}, port: 0 });
  console.log(JSON.stringify({ pid: nats.pid, port: nats.port }));
  setInterval(() => {}, 1000);`;

test("nats-server runs JetStream that syncs every write, limits payloads, and ends when stopped", async (t) => {
  const nats = await startNats({ data_dir: await scratchDir(t), port: 0, monitor_port: 0 });
  t.after(() => nats.stop());
  const varz = (await (await fetch(`${nats.monitor_url}/varz`)).json()) as {
    max_payload: number;
    host: string;
    jetstream: { config: { sync_always: boolean; sync_interval: number } };
  };
  assert.equal(varz.jetstream.config.sync_always, true);
  assert.equal(varz.max_payload, 1 << 20);
  assert.equal(varz.host, "127.0.0.1");
  const client = await connect({ servers: nats.url });
  await client.close();
  await nats.stop();
  await nats.stop();
  assert.equal((await nats.exited).code, 0);
  assert.deepEqual(await processesWith(nats.data_dir), []);
});

test("an engine and its supervisor end when the parent is killed by -9", async (t) => {
  const data_dir = await scratchDir(t);
  const { child, said } = await holderProcess<{ pid: number }>(t, holderScript(data_dir));
  assert.ok((await processesWith(data_dir)).some((p) => p.pid === said.pid));
  await killHard(child);
  await until("the engine and its supervisor are gone", async () => (await processesWith(data_dir)).length === 0);
});

test("killing the engine by -9 is reported, and the folder is free for the next start", async (t) => {
  const data_dir = await scratchDir(t);
  const first = await startNats({ data_dir, port: 0 });
  process.kill(first.pid, "SIGKILL");
  assert.equal((await first.exited).code, 137);
  const second = await startNats({ data_dir, port: first.port });
  t.after(() => second.stop());
  assert.notEqual(second.pid, first.pid);
  assert.equal(second.port, first.port);
});

test("a folder in use is refused with the process that uses it", async (t) => {
  const data_dir = await scratchDir(t);
  const { child, said } = await holderProcess<{ pid: number }>(t, holderScript(data_dir));
  await assert.rejects(startNats({ data_dir, port: 0 }), (error) => {
    assert.ok(error instanceof EngineError && error.code === "folder_held");
    assert.match(error.message, new RegExp(`process ${child.pid};`));
    return true;
  });
  assert.ok(
    (await processesWith(data_dir)).some((p) => p.pid === said.pid),
    "the running engine is untouched",
  );
});

test("an orphan that outlived parent and supervisor is ended before a new engine opens the store", async (t) => {
  const data_dir = await scratchDir(t);
  const { child, said } = await holderProcess<{ pid: number }>(t, holderScript(data_dir));
  // Stopped first: a parent that sees its supervisor end would end the engine itself.
  child.kill("SIGSTOP");
  for (const { pid } of await processesWith(data_dir)) {
    if (pid !== said.pid && pid !== child.pid) process.kill(pid, "SIGKILL");
  }
  await killHard(child);
  assert.ok(
    (await processesWith(data_dir)).some((p) => p.pid === said.pid),
    "the orphan lives",
  );
  const nats = await startNats({ data_dir, port: 0 });
  t.after(() => nats.stop());
  const live = (await processesWith(join(data_dir, "nats.conf"))).map((p) => p.pid);
  assert.ok(live.includes(nats.pid) && !live.includes(said.pid));
});

test("a taken port gives a free one", async (t) => {
  const squatter = createServer().listen({ host: "127.0.0.1", port: 0 });
  await until("the squatter listens", () => squatter.listening);
  t.after(() => squatter.close());
  const address = squatter.address();
  assert.ok(address !== null && typeof address === "object");
  const nats = await startNats({ data_dir: await scratchDir(t), port: address.port });
  t.after(() => nats.stop());
  assert.notEqual(nats.port, address.port);
});

test("an engine that cannot start fails with the end of its log, and leaves nothing behind", async (t) => {
  const data_dir = await scratchDir(t);
  await writeFile(join(data_dir, "store"), "a file where the store's folder should be");
  const broken = startNats({ data_dir, port: 0 });
  await assert.rejects(broken, (error) => {
    assert.ok(error instanceof EngineError && error.code === "exited_early", String(error));
    assert.match(error.message, /storage directory is not a directory/);
    return true;
  });
  const free: Lock | object = await tryLock(join(data_dir, "engine.lock"));
  assert.ok("release" in free);
  assert.match(await readFile(join(data_dir, "nats.log"), "utf8"), /storage directory is not a directory/);
});
