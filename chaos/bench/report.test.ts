import assert from "node:assert/strict";
import { test } from "node:test";
import { median } from "./report.ts";

test("a median is the middle one; what was not measured does not count", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([undefined, 7, Number.NaN]), 7);
  assert.equal(median([]), null);
  assert.equal(median([undefined]), null);
});
