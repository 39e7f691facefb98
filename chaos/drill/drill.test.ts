/** One drill through the real command: real processes, kill -9, and the judge's verdict. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { DRILLS } from "./drills.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const run = (...args: string[]) => promisify(execFile)(process.execPath, [MAIN, ...args]);

test("kill-owner: nothing is lost, doubled or wrong, and the follower serves", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fraudguard-drill-test-"));
  try {
    const file = join(folder, "result.json");
    const { stdout } = await run("kill-owner", "--rate", "200", "--json", file);
    const [result] = JSON.parse(await readFile(file, "utf8"));
    assert.equal(result.passed, true, stdout);
    assert.deepEqual([result.lost_acked, result.duplicated, result.wrong_windows], [0, 0, 0]);
    // A drill without load or without a failure would show nothing.
    assert.ok(result.acked > 1000 && result.unavailable_ms_p100 > 0, stdout);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the list names every drill, and a wrong name is refused", async () => {
  const { stdout } = await run("--list");
  for (const { name, what } of DRILLS) assert.match(stdout, new RegExp(`^${name} +${RegExp.escape(what)}`, "m"));
  await assert.rejects(run("no-such-drill"), { code: 2 });
});
