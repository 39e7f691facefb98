/** A local nats-server that is kept running: what ends and what hangs is started again, where clients look for it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { KeptNats } from "./kept_nats.ts";
import { scratchDir, until } from "./testkit.ts";

const WAIT_MS = 60_000;

for (const [what, signal] of [
  ["is killed", "SIGKILL"],
  ["runs and answers nothing", "SIGSTOP"],
] as const) {
  test(`a server that ${what} is started again on its port`, async (t) => {
    const down: string[] = [];
    const up: number[] = [];
    const kept = await KeptNats.start({
      data_dir: join(await scratchDir(t), "nats"),
      port: 0,
      check_ms: 50,
      onDown: (message) => down.push(message),
      onUp: ({ pid }) => up.push(pid),
    });
    t.after(() => kept.stop());
    const [url, pid] = [kept.url, kept.pid];
    process.kill(pid, signal);
    await until("it serves again", () => up.length > 0, WAIT_MS);
    assert.deepEqual([kept.url, up], [url, [kept.pid]]);
    assert.notEqual(kept.pid, pid);
    assert.match(down[0], signal === "SIGSTOP" ? /not ready/ : /nats-server ended/);
  });
}
