import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Calibration } from "./calibration.ts";
import { wilson } from "./interval.ts";
import { RankedCells } from "./ranked_cells.ts";

type Pair = readonly [score: number, fraud: number];

function cellsOf(pairs: readonly Pair[]): RankedCells {
  return new RankedCells(
    Float64Array.from(pairs, (p) => p[0]),
    Uint8Array.from(pairs, (p) => p[1]),
  );
}

function measures(pairs: readonly Pair[]) {
  const cells = cellsOf(pairs);
  return new Calibration(cells).measures(cells.counts);
}

const close = (got: number, want: number, what = "") =>
  assert.ok(Math.abs(got - want) < 1e-9, `${what} ${got}, expected ${want}`);

test("Brier score, log loss and F1 by hand", () => {
  const m = measures([
    [0.9, 1],
    [0.6, 0],
    [0.2, 1],
    [0.1, 0],
  ]);
  close(m.brier, (0.01 + 0.36 + 0.64 + 0.01) / 4);
  close(m.log_loss, -(Math.log(0.9) + Math.log(0.4) + Math.log(0.2) + Math.log(0.9)) / 4);
  // One hit, one false alarm, one miss; the genuine class likewise.
  close(m.f1_macro, 0.5);
});

test("a constant score of one half: Brier 1/4, log loss ln 2, error the distance to the share of frauds", () => {
  const m = measures([
    [0.5, 1],
    [0.5, 0],
    [0.5, 0],
    [0.5, 0],
  ]);
  close(m.brier, 0.25);
  close(m.log_loss, Math.LN2);
  close(m.calibration_error, 0.25);
  // Nobody is flagged: F1 is 0 for fraud, 6/7 for genuine.
  close(m.f1_macro, 3 / 7);
});

test("sure and wrong costs much but not everything", () => {
  close(measures([[0, 1]]).log_loss, -Math.log(1e-15));
  close(measures([[1, 0]]).log_loss, -Math.log(1e-15));
});

test("scores that are no probabilities have no calibration", () => {
  const cells = cellsOf([
    [1.01, 1],
    [0.2, 0],
  ]);
  const calibration = new Calibration(cells);
  for (const value of Object.values(calibration.measures(cells.counts))) assert.ok(Number.isNaN(value));
  assert.deepEqual(calibration.bins(), []);
});

test("ten bins of equal count, lowest scores first, with their Wilson interval", () => {
  // 0.00 to 0.99; the three frauds lie in the highest bin.
  const pairs = Array.from({ length: 100 }, (_, i): Pair => [i / 100, i >= 97 ? 1 : 0]);
  const bins = new Calibration(cellsOf(pairs)).bins();
  assert.equal(bins.length, 10);
  for (const [b, bin] of bins.entries()) {
    assert.equal(bin.payments, 10);
    assert.deepEqual([bin.lowest_score, bin.highest_score], [b / 10, (b * 10 + 9) / 100]);
    close(bin.mean_score, b / 10 + 0.045);
  }
  assert.equal(bins[9].fraud_share, 0.3);
  assert.deepEqual(bins[9].fraud_share_interval, wilson(3, 10));
  assert.equal(bins[8].frauds, 0);
  const off = bins.reduce((sum, bin) => sum + Math.abs(bin.mean_score - bin.fraud_share), 0);
  close(measures(pairs).calibration_error, off / 10);
});

test("a tie shares a bin, the one in the middle of its ranks", () => {
  // Ranks from below: 60 rows of 0.1, 40 of 0.9: their middles are at 30 % and 80 %.
  const pairs = Array.from({ length: 100 }, (_, i): Pair => [i < 60 ? 0.1 : 0.9, i % 2]);
  const bins = new Calibration(cellsOf(pairs)).bins();
  assert.deepEqual(
    bins.map((b) => [b.payments, b.frauds, b.mean_score.toFixed(6)]),
    [
      [60, 30, "0.100000"],
      [40, 20, "0.900000"],
    ],
  );
  // Twenty ranks: three of 0.1 (middle 7.5 %), two of 0.2 (20 %: the third bin, with rank 5), then one each.
  const edges = Array.from({ length: 20 }, (_, i): Pair => [i < 3 ? 0.1 : i < 5 ? 0.2 : 0.3 + i / 100, 0]);
  assert.deepEqual(
    new Calibration(cellsOf(edges)).bins().map((b) => b.payments),
    [3, 3, 2, 2, 2, 2, 2, 2, 2],
  );
});

const anyPairs = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 1 })), {
  minLength: 1,
  maxLength: 120,
});

test("property: bins hold every row once, and the error is that of the bins, in any order of the rows", () => {
  fc.assert(
    fc.property(anyPairs, (raw) => {
      const pairs = raw.map(([s, f]): Pair => [s / 40, f]);
      const bins = new Calibration(cellsOf(pairs)).bins();
      assert.equal(
        bins.reduce((sum, b) => sum + b.payments, 0),
        pairs.length,
      );
      for (let b = 1; b < bins.length; b++) assert.ok(bins[b].lowest_score > bins[b - 1].highest_score);
      for (const b of bins) {
        const inside = pairs.filter(([s]) => s >= b.lowest_score && s <= b.highest_score);
        assert.equal(inside.length, b.payments);
        close(b.mean_score, inside.reduce((sum, [s]) => sum + s, 0) / inside.length);
        assert.equal(b.frauds, inside.filter(([, f]) => f === 1).length);
      }
      const error = bins.reduce((sum, b) => sum + b.payments * Math.abs(b.mean_score - b.fraud_share), 0);
      const m = measures(pairs);
      close(m.calibration_error, error / pairs.length, "error");
      close(m.brier, pairs.reduce((sum, [s, f]) => sum + (s - f) ** 2, 0) / pairs.length, "brier");
      assert.deepEqual(new Calibration(cellsOf([...pairs].reverse())).bins(), bins);
    }),
  );
});
