/**
 * The test runner on planted test files: what it counts, prints and exits with.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { differences } from "./checks.ts";

const RUNNER = join(import.meta.dirname, "run.ts");

/** A folder of test files with these bodies. */
async function planted(t: TestContext, files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "fraudguard-runner-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [path, body] of Object.entries(files)) {
    await mkdir(join(root, path, ".."), { recursive: true });
    await writeFile(join(root, path), `import { describe, test } from "node:test";\n${body}\n`);
  }
  return root;
}

function runner(...args: string[]): { code: number | null; out: string; last: string | undefined } {
  // node:test refuses to run inside a test: the variable that tells it so is taken away.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUNNER, ...args], { encoding: "utf8", env });
  return { code: status, out: stdout + stderr, last: stdout.trimEnd().split("\n").at(-1) };
}

test("passes, failures, skips, broken files and hanging tests are counted, and failures shown", async (t) => {
  const root = await planted(t, {
    "good.test.ts": 'test("a", () => {}); test("b", () => {}); test("later", (t) => t.skip("no data set X"));',
    "deep/bad.test.ts": 'describe("s", () => { test("c", () => { throw new Error("broken on purpose"); }); });',
    "broken.test.ts": 'import "./missing.ts"; test("never", () => {});',
    "hangs.test.ts": 'test("quick", () => {}); test("hangs", () => new Promise((r) => setTimeout(r, 60_000)));',
    "data/ignored.test.ts": 'test("x", () => { throw new Error("must not run"); });',
  });
  const started_ms = performance.now();
  const { code, out, last } = runner("--root", root, "--test-seconds", "2");
  assert.ok(performance.now() - started_ms < 30_000, "the hanging test's process is ended");
  assert.equal(code, 1);
  assert.equal(last, "3 passed, 3 failed", out);
  for (const part of ["broken on purpose", "no data set X", "missing.ts", "[4/4]", "failed: hangs", "1 skipped"]) {
    assert.ok(out.includes(part), `${part} in ${out}`);
  }
  assert.ok(!out.includes("must not run"));
});

test("a test may be slower than the limit of one test when it is many", async (t) => {
  const nap = "() => new Promise((r) => setTimeout(r, 700))";
  const root = await planted(t, { "slow.test.ts": `test("a", ${nap}); test("b", ${nap}); test("c", ${nap});` });
  const { code, last, out } = runner("--root", root, "--test-seconds", "1.5");
  assert.equal(last, "3 passed, 0 failed", out);
  assert.equal(code, 0);
});

test("--only chooses files, --list runs nothing, and what matches nothing is an error", async (t) => {
  const root = await planted(t, { "a/one.test.ts": 'test("1", () => {});', "b/two.test.ts": "throw new Error();" });
  assert.equal(runner("--root", root, "--only", "a/").last, "1 passed, 0 failed");
  assert.equal(runner("--root", root, "--list").out, "a/one.test.ts\nb/two.test.ts\n");
  const nothing = runner("--root", root, "--only", "zebra");
  assert.equal(nothing.code, 2);
  assert.match(nothing.out, /nothing matches/);
  assert.equal(runner("--nonsense").code, 2);
  assert.match(runner("--help").out, /usage: npm test/);
});

test("the time budget ends a run that hangs, as a failure", async (t) => {
  const root = await planted(t, { "hangs.test.ts": 'test("h", () => new Promise((r) => setTimeout(r, 60_000)));' });
  const { code, out, last } = runner("--root", root, "--minutes", "0.02");
  assert.equal(code, 1);
  assert.match(out, /time budget/);
  assert.match(last ?? "", /^0 passed, [12] failed$/);
});

test("generated code is compared by file: missing, left over, different", () => {
  const fresh = new Map([
    ["a.ts", "1"],
    ["b.ts", "2"],
  ]);
  const kept = new Map([
    ["b.ts", "3"],
    ["c.ts", "4"],
  ]);
  assert.deepEqual(differences(fresh, kept), ["missing: a.ts", "left over: c.ts", "different: b.ts"]);
  assert.deepEqual(differences(fresh, fresh), []);
});
