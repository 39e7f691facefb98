/** Journals of one nats-server are not those of three: neither is started over the other's. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WrongArgument } from "./arguments.ts";
import { LocalNats } from "./local_nats.ts";

for (const { there, has, asked } of [
  { there: "store", has: "one nats-server: start it with --nats 1", asked: 3 },
  { there: "server-1", has: "3 nats-servers: start it with --nats 3", asked: 1 },
]) {
  test(`${asked} asked for over nats/${there}: refused before anything is made`, async (t) => {
    const data_dir = mkdtempSync(join(tmpdir(), "fraudguard-local-nats-"));
    t.after(() => rmSync(data_dir, { recursive: true, force: true }));
    mkdirSync(join(data_dir, "nats", there), { recursive: true });
    const starting = LocalNats.start({ data_dir, servers: asked, port: 0, say: () => {} });
    // Were it started, it would have to be ended.
    void starting.then((nats) => nats.stop()).catch(() => {});
    await assert.rejects(starting, (e: Error) => e instanceof WrongArgument && e.message.endsWith(has));
    assert.deepEqual(readdirSync(data_dir), ["nats"]);
    assert.deepEqual(readdirSync(join(data_dir, "nats")), [there]);
  });
}
