/** A folder with journals is not started with new secrets. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratchDir } from "../engines/testkit.ts";
import { requireSecrets, requireSecretsFile } from "./secrets_guard.ts";

for (const store of ["nats/store", "nats/server-2/store"]) {
  test(`journals in ${store} need their secrets`, async (t) => {
    const dir = await scratchDir(t);
    requireSecrets(dir, dir);
    mkdirSync(join(dir, store, "jetstream/JOURNALS/streams/OTHER"), { recursive: true });
    requireSecrets(dir, dir);
    mkdirSync(join(dir, store, "jetstream/JOURNALS/streams/FG_J0"), { recursive: true });
    assert.throws(() => requireSecrets(dir, dir), /secrets.json is not there/);
    writeFileSync(join(dir, "secrets.json"), "{}");
    requireSecrets(dir, dir);
  });
}

test("reshard without secrets is refused, and makes none", async (t) => {
  const dir = await scratchDir(t);
  assert.throws(() => requireSecretsFile(dir), /secrets.json is not there/);
  const tenants = { format: 1, tenants: [] };
  writeFileSync(join(dir, "tenants.json"), JSON.stringify(tenants));
  const command = new URL("../bin/reshard.ts", import.meta.url).pathname;
  const done = spawnSync(process.execPath, [command, "--shards", "2", "--data-dir", dir], { encoding: "utf8" });
  assert.equal(done.status, 1);
  assert.match(done.stderr, /secrets.json is not there/);
  assert.deepEqual(readdirSync(dir), ["tenants.json"]);
});
