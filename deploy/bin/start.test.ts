/** What a start leaves alone: the data folder of a node that runs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NodeProcess } from "../e2e/testkit/node_process.ts";

test("a second start on the folder of a running node says so, and ready.json stays the first one's", async (t) => {
  const node = await NodeProcess.launch({});
  t.after(() => node.dispose());
  const ready_file = join(node.data_dir, "ready.json");
  const before = readFileSync(ready_file, "utf8");
  const start = new URL("start.ts", import.meta.url).pathname;
  const ports = ["--grpc-port", "0", "--rest-port", "0", "--nats-port", "0"];
  const second = spawnSync(process.execPath, [start, "--no-demo", "--data-dir", node.data_dir, ...ports], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(second.status, 1, second.stdout + second.stderr);
  assert.match(second.stdout + second.stderr, /in use by process \d+/);
  assert.equal(readFileSync(ready_file, "utf8"), before);
});
