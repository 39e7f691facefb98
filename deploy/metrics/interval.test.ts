import assert from "node:assert/strict";
import { test } from "node:test";
import { percentiles, wilson } from "./interval.ts";

test("Wilson's interval at known values", () => {
  // scipy 1.17: binomtest(hits, of).proportion_ci(method="wilson").
  const known: [number, number, number, number][] = [
    [5, 10, 0.236593, 0.763407],
    [0, 10, 0, 0.277533],
    [10, 10, 0.722467, 1],
    [15, 148, 0.062386, 0.160487],
  ];
  for (const [hits, of, low, high] of known) {
    const interval = wilson(hits, of);
    assert.ok(interval !== null);
    assert.ok(Math.abs(interval[0] - low) < 1e-6 && Math.abs(interval[1] - high) < 1e-6, `${hits}/${of}: ${interval}`);
  }
  assert.equal(wilson(0, 0), null);
  assert.throws(() => wilson(3, 2), /3 hits of 2/);
});

test("percentiles lie between neighbours, and leave NaN out up to a half", () => {
  // 0..40: the 2.5 % point is the first step from 0, the 97.5 % point the last but one. numpy.percentile's rule.
  assert.deepEqual(percentiles(Float64Array.from({ length: 41 }, (_, i) => 40 - i)), [1, 39]);
  assert.deepEqual(percentiles(Float64Array.of(Number.NaN, 4, 4, Number.NaN)), [4, 4]);
  assert.equal(percentiles(Float64Array.of(Number.NaN, 4, Number.NaN)), null);
  assert.equal(percentiles(new Float64Array()), null);
});
