/** KS against a naive oracle, hand-worked values, and tables of Kolmogorov's distribution. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Prng } from "../demo/prng.ts";
import { kolmogorovSmirnov, kolmogorovTail } from "./kolmogorov_smirnov.ts";

const sorted = (values: readonly number[]): Float32Array => Float32Array.from(values).sort();
const distance = (a: readonly number[], b: readonly number[]): number =>
  kolmogorovSmirnov(sorted(a), sorted(b)).statistic;

test("matches values worked by hand", () => {
  assert.equal(distance([1, 2, 3, 4], [1, 2, 3, 4]), 0);
  assert.equal(distance([1, 2, 3], [4, 5]), 1);
  // At 2: 2/4 of a, none of b; at 3: 3/4 and 1/2.
  assert.equal(distance([1, 2, 3, 4], [3, 5]), 0.5);
  // Ties: half of a and none of b are 0.
  assert.equal(distance([0, 0, 1, 1], [1, 1, 1]), 0.5);
  assert.equal(distance([0, 0, 0, 1], [-0, -0, 1, 1]), 0.25);
  assert.equal(distance([-Infinity, 1], [1, Infinity]), 0.5);
  for (const [a, b] of [
    [[], [1]],
    [[1], []],
  ]) {
    assert.deepEqual(kolmogorovSmirnov(sorted(a), sorted(b)), { statistic: Number.NaN, p_value: Number.NaN });
  }
});

test("matches the naive oracle: the distance at every value, whichever side comes first", () => {
  const column = fc.array(fc.oneof(fc.integer({ min: 0, max: 6 }), fc.float({ noNaN: true, min: -10, max: 10 })), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(column, column, (a, b) => {
      const upTo = (xs: readonly number[], x: number): number => xs.filter((y) => y <= x).length / xs.length;
      const naive = Math.max(...[...a, ...b].map((x) => Math.abs(upTo(a, x) - upTo(b, x))));
      assert.ok(Math.abs(distance(a, b) - naive) < 1e-12, `${distance(a, b)} for ${naive}`);
      assert.equal(distance(a, b), distance(b, a));
      const p = kolmogorovSmirnov(sorted(a), sorted(b)).p_value;
      assert.ok(p >= 0 && p <= 1);
    }),
    { numRuns: 300 },
  );
});

test("the tail is Kolmogorov's", () => {
  // Values of the distribution, its median, and its critical values at 10, 5 and 1 %.
  const known: [number, number][] = [
    [0.5, 0.963945],
    [0.827573555, 0.5],
    [1, 0.27],
    [1.2238478702, 0.1],
    [1.3580986394, 0.05],
    [1.6276236115, 0.01],
    [2, 0.000_670_925_26],
  ];
  for (const [x, tail] of known) assert.ok(Math.abs(kolmogorovTail(x) - tail) < 1e-6, `${x}: ${kolmogorovTail(x)}`);
  // Both forms say the same where they meet, and it falls.
  assert.ok(Math.abs(kolmogorovTail(1 - 1e-12) - kolmogorovTail(1)) < 1e-11);
  assert.deepEqual([kolmogorovTail(0), kolmogorovTail(0.05), kolmogorovTail(40)], [1, 1, 0]);
  for (let x = 0.05; x < 4; x += 0.01) assert.ok(kolmogorovTail(x) <= kolmogorovTail(x - 0.01) + 1e-15);
});

test("the p-value is uniform without drift, and next to 0 with it", () => {
  const random = new Prng(11, "kolmogorov");
  const draw = (n: number, add: number): Float32Array => sorted(Array.from({ length: n }, () => random.float() + add));
  const p = Array.from({ length: 300 }, () => kolmogorovSmirnov(draw(400, 0), draw(250, 0)).p_value);
  const below = (x: number): number => p.filter((one) => one < x).length / p.length;
  assert.ok(Math.abs(below(0.5) - 0.5) < 0.09, `${below(0.5)}`);
  assert.ok(below(0.05) > 0.01 && below(0.05) < 0.09, `${below(0.05)}`);
  assert.ok(kolmogorovSmirnov(draw(400, 0), draw(250, 0.3)).p_value < 1e-8);
});
