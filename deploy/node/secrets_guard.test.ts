/** A folder with journals is not started with new secrets. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratchDir } from "../engines/testkit.ts";
import { requireSecrets } from "./secrets_guard.ts";

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
