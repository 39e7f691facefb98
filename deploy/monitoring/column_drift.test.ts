/** What a column's comparison says of each side, and histograms of scores. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { columnDrift, scoreHistogram } from "./column_drift.ts";

const NONE = Number.NaN;

test("says the share missing and the median of each side", () => {
  const drift = columnDrift("x", "s", Float32Array.of(5, NONE, 1, 3), Float32Array.of(2, 8, NONE, NONE, NONE));
  assert.deepEqual(drift.reference, { rows: 4, missing_share: 0.25, median: 3 });
  assert.deepEqual(drift.current, { rows: 5, missing_share: 0.6, median: 2 });
  assert.ok(Math.abs(drift.ks - 0.5) < 1e-12);
  const none = columnDrift("x", null, Float32Array.of(NONE), Float32Array.of(Infinity));
  assert.deepEqual([none.reference.median, none.current.median, none.ks], [null, null, NONE]);
});

test("counts scores in equal parts of 0..1, the last with 1, and what lies outside at the ends", () => {
  const scores = Float32Array.of(0, 0.2, 0.249, 0.25, 0.5, 0.74, 0.75, 1, -1, 2);
  assert.deepEqual(scoreHistogram(scores, 4), [4, 1, 2, 3]);
  assert.deepEqual(scoreHistogram(new Float32Array(0), 2), [0, 0]);
});
