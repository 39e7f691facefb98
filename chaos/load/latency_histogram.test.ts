import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LatencyHistogram } from "./latency_histogram.ts";

test("percentiles are those of the sorted values, at most 0.8 % too high and never too low", () => {
  const value = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 4_000_000_000 }));
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (v, q) => {
        const histogram = new LatencyHistogram();
        for (const us of v) histogram.add(us);
        const sorted = [...v].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(v.length * q)) - 1];
        const got = histogram.percentile_us(q);
        assert.ok(got >= exact && got <= exact * 1.008 + 0.5, `${got} for ${exact}`);
        assert.equal(histogram.max_us, sorted.at(-1));
      },
    ),
  );
});

test("weights count as that many values; reset forgets", () => {
  const histogram = new LatencyHistogram();
  histogram.add(1000, 98);
  histogram.add(90_000, 2);
  assert.equal(histogram.total, 100);
  assert.ok(histogram.percentile_us(0.98) < 1010);
  assert.ok(histogram.percentile_us(0.99) >= 90_000 - 1);
  assert.deepEqual(histogram.summary_ms().max, 90);
  histogram.reset();
  assert.deepEqual(histogram.summary_ms(), { p50: 0, p95: 0, p99: 0, p999: 0, max: 0 });
});

test("beyond its range a value counts at the end", () => {
  const histogram = new LatencyHistogram();
  histogram.add(1e15);
  histogram.add(-5);
  assert.equal(histogram.percentile_us(0.5), 0);
  assert.equal(histogram.percentile_us(1), 4294967295);
});
