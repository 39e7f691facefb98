/** The streaming profile against a naive one: every column and pair in two passes over all rows. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../demo/prng.ts";
import { FeatureProfile, PAIR_ROWS_MIN } from "./features_profile.ts";

const ROWS = 9000;
const NONE = Number.NaN;

/** Columns of a made matrix; the comments of the tests name those that are special. */
type Column = (row: number) => number;

function matrixOf(columns: readonly Column[], rows: number): Float32Array {
  const matrix = new Float32Array(rows * columns.length);
  for (let r = 0; r < rows; r++) {
    for (const [c, column] of columns.entries()) matrix[r * columns.length + c] = column(r);
  }
  return matrix;
}

/** Profiles a matrix in blocks of the sizes given, over and over. */
function profiled(matrix: Float32Array, columns: number, blocks: readonly number[]): FeatureProfile {
  const profile = new FeatureProfile(columns);
  const rows = matrix.length / columns;
  for (let r = 0, i = 0; r < rows; i++) {
    const n = Math.min(blocks[i % blocks.length], rows - r);
    profile.add(matrix.subarray(r * columns), n);
    r += n;
  }
  return profile;
}

/** Pearson's correlation the plain way, in two passes over the rows that have both; NaN where it is not defined. */
function plainCorrelation(x: readonly number[], y: readonly number[]): { r: number; n: number } {
  const rows = x.map((_, i) => i).filter((i) => Number.isFinite(x[i]) && Number.isFinite(y[i]));
  const n = rows.length;
  const [px, py] = [rows.map((i) => x[i]), rows.map((i) => y[i])];
  if (n < PAIR_ROWS_MIN || new Set(px).size === 1 || new Set(py).size === 1) return { r: NONE, n };
  const mean = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / n;
  const [mx, my] = [mean(px), mean(py)];
  const sum = (f: (i: number) => number): number => px.reduce((s, _, i) => s + f(i), 0);
  const sxy = sum((i) => (px[i] - mx) * (py[i] - my));
  return { r: sxy / Math.sqrt(sum((i) => (px[i] - mx) ** 2) * sum((i) => (py[i] - my) ** 2)), n };
}

function assertAsPlain(columns: readonly Column[], matrix: Float32Array, profile: FeatureProfile): void {
  const k = columns.length;
  const values = columns.map((_, c) => Array.from({ length: matrix.length / k }, (_, r) => matrix[r * k + c]));
  values.forEach((column, c) => {
    const held = column.filter(Number.isFinite);
    const got = profile.column(c);
    assert.equal(got.present, held.length);
    assert.equal(got.infinite, column.filter((x) => Math.abs(x) === Number.POSITIVE_INFINITY).length);
    assert.equal(got.minimum, held.length === 0 ? null : held.reduce((a, b) => Math.min(a, b)));
    assert.equal(got.maximum, held.length === 0 ? null : held.reduce((a, b) => Math.max(a, b)));
    assert.equal(got.is_constant, new Set(held).size === 1);
    if (held.length === 0) assert.equal(got.mean, null);
    else {
      const mean = held.reduce((a, b) => a + b, 0) / held.length;
      assert.ok(Math.abs(got.mean! - mean) <= 1e-12 * Math.max(1, Math.abs(mean)), `mean of column ${c}`);
    }
    for (let d = c + 1; d < k; d++) {
      const plain = plainCorrelation(column, values[d]);
      assert.equal(profile.rowsOfPair(c, d), plain.n);
      const r = profile.correlation(c, d);
      assert.equal(profile.correlation(d, c), r);
      assert.ok(Number.isNaN(plain.r) ? Number.isNaN(r) : Math.abs(r - plain.r) < 1e-9, `${c}, ${d}: ${r}, ${plain.r}`);
    }
  });
}

/** The same numbers for the same row, whatever column asks. */
function noise(label: string): Column {
  const from = new Prng(11, label);
  const values = Float64Array.from({ length: ROWS }, () => from.float() - 0.5);
  return (r) => values[r];
}

describe("the profile of a feature matrix", () => {
  test("is that of two plain passes, with values missing and however the rows come in blocks", () => {
    const [a, b, gaps, holes] = ["a", "b", "gaps", "holes"].map(noise);
    const columns: Column[] = [
      a,
      (r) => 3 - 2 * a(r) + 0.01 * b(r),
      (r) => (gaps(r) < 0 ? NONE : b(r) + a(r)),
      // Present with hardly any row of the column before.
      (r) => (gaps(r) < 0.01 && holes(r) < 0.4 ? 1e6 * a(r) : NONE),
      (r) => (holes(r) > 0.495 ? r : NONE),
      () => NONE,
      () => 0.1,
      (r) => (gaps(r) < 0 ? -7 : NONE),
      // Infinite now and then, the one and the other way.
      (r) => (r % 1000 === 5 ? Number.POSITIVE_INFINITY : r % 1500 === 7 ? Number.NEGATIVE_INFINITY : b(r)),
      (r) => (r < 6000 ? NONE : a(r)),
    ];
    const matrix = matrixOf(columns, ROWS);
    for (const blocks of [[ROWS], [4096], [1], [1, 700, 33, 2]]) {
      assertAsPlain(columns, matrix, profiled(matrix, columns.length, blocks));
    }
  });

  test("keeps its digits where means are large against spreads, and where the first row is far off", () => {
    const [a, b] = ["a", "b"].map(noise);
    const columns: Column[] = [
      // Amounts of about 1e7 that differ by single units; float32 has no finer ones there.
      (r) => 1e7 + Math.round(8 * a(r)),
      (r) => 1e7 + Math.round(8 * a(r) + 4 * b(r)),
      (r) => -1e7 - Math.round(8 * a(r)),
      (r) => (r === 0 ? 0 : 1e7 + Math.round(8 * b(r))),
      (r) => (r === ROWS - 1 ? 3e9 : 1 + a(r)),
      // Wanders far within the export: blocks have means of their own.
      (r) => r * 1000 + a(r),
      (r) => (r < ROWS / 2 ? 1e7 + Math.round(8 * b(r)) : NONE),
    ];
    const matrix = matrixOf(columns, ROWS);
    for (const blocks of [[ROWS], [512]]) assertAsPlain(columns, matrix, profiled(matrix, columns.length, blocks));
    const profile = profiled(matrix, columns.length, [512]);
    assert.equal(profile.correlation(0, 2), -1);
  });

  test("has no correlation where a column is constant in the rows of the pair, though not in all", () => {
    const [a, gaps] = ["a", "gaps"].map(noise);
    const columns: Column[] = [
      (r) => (gaps(r) < 0 ? 0.3 : 1e6 * a(r)),
      (r) => (gaps(r) < 0 ? a(r) : NONE),
      (r) => (gaps(r) < 0 ? 1e7 : 1e7 + 1),
      (r) => (r % 4 === 0 ? 0.7 : NONE),
      // One row of all differs, by the least that a float32 can.
      (r) => (r === 4321 ? 1.0000001 : 1),
    ];
    const matrix = matrixOf(columns, ROWS);
    for (const blocks of [[ROWS], [100, 3]]) {
      const profile = profiled(matrix, columns.length, blocks);
      assertAsPlain(columns, matrix, profile);
      assert.ok(Number.isNaN(profile.correlation(0, 1)) && Number.isNaN(profile.correlation(1, 2)));
      assert.equal(profile.column(0).is_constant, false);
    }
  });
});

test("a pair of a few rows is not judged", () => {
  const line = matrixOf([(r) => r, (r) => 2 * r], PAIR_ROWS_MIN);
  assert.ok(Math.abs(profiled(line, 2, [7]).correlation(0, 1) - 1) < 1e-15);
  assert.ok(Number.isNaN(profiled(line.subarray(2), 2, [7]).correlation(0, 1)));
});

test("a matrix that is too short and a pair that is none are refused", () => {
  const profile = new FeatureProfile(3);
  assert.throws(() => profile.add(new Float32Array(8), 3), RangeError);
  assert.equal(profile.rows, 0);
  profile.add(new Float32Array(0), 0);
  for (const [a, b] of [
    [0, 0],
    [1, 3],
    [-1, 0],
  ])
    assert.throws(() => profile.correlation(a, b), RangeError);
});
