import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { KeptWeight } from "./kept_weight.ts";

test("a weight and a drain are kept over restarts; without one the command line's counts", (t) => {
  const at = mkdtempSync(join(tmpdir(), "fraudguard-weight-"));
  t.after(() => rmSync(at, { recursive: true }));
  const seen = (first: number): unknown[] => {
    const { weight, drained, announced } = new KeptWeight(at, first);
    return [weight, drained, announced];
  };
  assert.deepEqual(seen(100), [100, false, 100]);
  assert.deepEqual(readdirSync(at), [], "nothing is written before somebody decides");
  new KeptWeight(at, 100).setDrained(true);
  assert.deepEqual(
    [seen(100), seen(50)],
    [
      [100, true, 0],
      [50, true, 0],
    ],
  );
  const kept = new KeptWeight(at, 100);
  kept.setWeight(7);
  assert.deepEqual([kept.announced, seen(50)], [0, [7, true, 0]]);
  kept.setDrained(false);
  assert.deepEqual([kept.announced, seen(50)], [7, [7, false, 7]]);
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    '{"weight":"1","drained":true}',
    '{"weight":-1,"drained":true}',
    '{"weight":1}',
  ]) {
    writeFileSync(join(at, "weight.json"), text);
    assert.throws(() => new KeptWeight(at, 1), /weight\.json is not/, text);
  }
});
