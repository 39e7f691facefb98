/** PSI against hand-worked values and a naive oracle; nothing between halves of a sample, certain when shifted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Prng } from "../demo/prng.ts";
import { decileEdges, type Stability, stability } from "./population_stability.ts";

const sorted = (values: readonly number[]): Float32Array => Float32Array.from(values).sort();

function of(reference: readonly number[], current: readonly number[], missing: [number, number] = [0, 0]): Stability {
  return stability(sorted(reference), missing[0], sorted(current), missing[1]);
}

const close = (a: number, b: number, message?: string): void =>
  assert.ok(Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b)), `${message ?? ""} ${a} for ${b}`);

/** Every row looked at by itself, bins as a list of predicates. */
function naive(reference: readonly number[], current: readonly number[]): number {
  const [a, n] = [[...reference].filter((x) => !Number.isNaN(x)).sort((x, y) => x - y), reference.length];
  const edges: number[] = [];
  for (let k = 1; k <= 9 && a.length > 0; k++) {
    // The smallest value with at least k tenths of the values up to it.
    edges.push(a.find((x) => a.filter((y) => y <= x).length * 10 >= k * a.length)!);
  }
  const unique = [...new Set(edges)];
  type Bin = (x: number) => boolean;
  const bins: Bin[] = [(x) => Number.isNaN(x)];
  if (unique.length > 0 && unique[0] === a[0])
    bins.push(
      (x) => x < a[0],
      (x) => x === a[0],
    );
  else if (unique.length > 0) bins.push((x) => x <= unique[0]);
  for (let i = 1; i < unique.length; i++) bins.push((x) => x > unique[i - 1] && x <= unique[i]);
  bins.push(unique.length === 0 ? (x) => !Number.isNaN(x) : (x) => x > unique[unique.length - 1]);
  const held = bins.filter((bin) => reference.some(bin) || current.some(bin));
  let sum = 0;
  for (const bin of held) {
    const p = (reference.filter(bin).length + 0.5) / (n + 0.5 * held.length);
    const q = (current.filter(bin).length + 0.5) / (current.length + 0.5 * held.length);
    sum += (q - p) * Math.log(q / p);
  }
  return sum;
}

test("matches values worked by hand", () => {
  // Ten distinct values are a bin each; three of them double.
  const ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  assert.deepEqual([...decileEdges(sorted(ten))].slice(1), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.ok(decileEdges(sorted(ten))[0] < 1 && decileEdges(sorted(ten))[0] > 0.999_999);
  assert.equal(of(ten, ten).psi, 0);
  // 0/1: bins "0" and "1". 80:20 becomes 50:50 of 100: shares with a half more in each of two bins.
  const binary = (ones: number): number[] => Array.from({ length: 100 }, (_, i) => (i < ones ? 1 : 0));
  const [p, q] = [80.5 / 101, 50.5 / 101];
  const psi = (q - p) * Math.log(q / p) + (1 - q - (1 - p)) * Math.log((1 - q) / (1 - p));
  const binary_moved = of(binary(20), binary(50));
  close(binary_moved.psi, psi);
  close(binary_moved.by_chance, 1 * (1 / 100 + 1 / 100));
  assert.deepEqual(
    binary_moved.bins.map((b) => [b.reference, b.current, b.missing]),
    [
      [80, 50, false],
      [20, 50, false],
    ],
  );
  close(
    binary_moved.bins.reduce((sum, b) => sum + b.psi, 0),
    psi,
  );
});

test("missing values have a bin of their own, and an empty bin gives no infinity", () => {
  const values = Array.from({ length: 50 }, (_, i) => i);
  const { psi, bins } = of(values, [], [0, 50]);
  assert.ok(Number.isFinite(psi) && psi > 5, String(psi));
  assert.deepEqual(bins[bins.length - 1], { ...bins[bins.length - 1], missing: true, reference: 0, current: 50 });
  assert.equal(of(values, values, [50, 50]).psi, 0);
  assert.ok(of(values, values, [0, 50]).psi > 0.25);
  // A column that nobody has on either side has one bin.
  assert.deepEqual([of([], [], [5, 9]).psi, of([], [], [5, 9]).by_chance], [0, 0]);
  assert.deepEqual(of([], [], [0, 9]), { psi: 0, by_chance: 0, bins: [] });
});

test("sees what leaves a constant, on either side of it and infinitely far", () => {
  const constant = new Array<number>(100).fill(3);
  for (const other of [2, 2.999_999, 3.000_001, 4, -Infinity, Infinity]) {
    assert.ok(of(constant, new Array<number>(100).fill(other)).psi > 5, String(other));
  }
  const zero = new Array<number>(100).fill(0);
  for (const other of [-(2 ** -149), 2 ** -149]) {
    assert.ok(of(zero, new Array<number>(100).fill(other)).psi > 5, String(other));
  }
  assert.equal(of(zero, new Array<number>(100).fill(-0)).psi, 0);
  assert.ok(of(new Array<number>(100).fill(Infinity), constant).psi > 5);
});

test("matches the naive oracle, is not negative, and names its bins so that each value lies in one", () => {
  const value = fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.float({ noNaN: true, min: -100, max: 100 }),
    fc.constant(Number.NaN),
  );
  const column = fc.array(value, { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(column, column, (reference, current) => {
      // A tie that -0 and 0 make is one value.
      const [a, b] = [reference.map((x) => x + 0), current.map((x) => x + 0)];
      const has = (xs: readonly number[]): number[] => xs.filter((x) => !Number.isNaN(x));
      const missing: [number, number] = [a.length - has(a).length, b.length - has(b).length];
      const found = of(has(a), has(b), missing);
      close(found.psi, naive(a, b));
      assert.ok(found.psi >= 0 && found.bins.every((bin) => bin.psi >= 0));
      for (const bin of found.bins) {
        const isIn = (x: number): boolean =>
          bin.missing ? Number.isNaN(x) : x > (bin.above ?? -Infinity) && x <= (bin.to ?? Infinity);
        assert.deepEqual([a.filter(isIn).length, b.filter(isIn).length], [bin.reference, bin.current]);
      }
    }),
    { numRuns: 300 },
  );
});

test("two halves of one sample differ by chance only, as much as it says; a shift shows", () => {
  const random = new Prng(5, "stability");
  const draw = (n: number): number[] => Array.from({ length: n }, () => -Math.log(1 - random.float()));
  let [sum, chance] = [0, 0];
  for (let i = 0; i < 40; i++) {
    const found = of(draw(3000), draw(2000));
    assert.ok(found.psi < 0.03, String(found.psi));
    sum += found.psi;
    chance += found.by_chance;
  }
  assert.ok(sum / chance > 0.75 && sum / chance < 1.3, `${sum / chance}`);
  assert.ok(
    of(
      draw(3000),
      draw(2000).map((x) => x + 0.7),
    ).psi > 0.25,
  );
});
