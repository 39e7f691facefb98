/**
 * A real Redis or Valkey: password, persistence across a restart.
 */
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ask } from "./ports.ts";
import { startRedis } from "./redis.ts";
import { scratchDir } from "./testkit.ts";

const oneLine = (text: string): boolean => text.endsWith("\r\n");

test("redis asks for its password and keeps data and password across a restart", async (t) => {
  const data_dir = await scratchDir(t);
  const first = await startRedis({ data_dir, port: 0 });
  t.after(() => first.stop());
  assert.match(await ask(first.port, "PING\r\n", oneLine, 2_000), /^-NOAUTH/);
  const said = await ask(first.port, `AUTH ${first.password}\r\nSET a 7\r\nQUIT\r\n`, (s) => s.length >= 15, 2_000);
  assert.equal(said, "+OK\r\n+OK\r\n+OK\r\n");
  assert.equal((await stat(join(data_dir, "password"))).mode & 0o777, 0o600);
  await first.stop();
  const second = await startRedis({ data_dir, port: 0 });
  t.after(() => second.stop());
  assert.equal(second.password, first.password);
  const kept = await ask(second.port, `AUTH ${second.password}\r\nGET a\r\n`, (s) => s.includes("7\r\n"), 2_000);
  assert.equal(kept, "+OK\r\n$1\r\n7\r\n");
});
