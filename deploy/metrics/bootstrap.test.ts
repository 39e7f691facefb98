import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../demo/prng.ts";
import { bootstrapMean, bootstrapRows, rowMeasures } from "./bootstrap.ts";
import { Calibration } from "./calibration.ts";
import { percentiles } from "./interval.ts";
import { RankedCells } from "./ranked_cells.ts";
import { averagePrecision, rankingMeasures, rocAuc } from "./ranking.ts";

interface Columns {
  readonly score: Float64Array;
  readonly fraud: Uint8Array;
}

/** Scores in 0..1, of frauds higher; `steps` of them, so that few steps mean many ties. */
function made(rows: number, share: number, steps: number, seed: number): Columns {
  const random = new Prng(seed, "made");
  const fraud = Uint8Array.from({ length: rows }, () => (random.chance(share) ? 1 : 0));
  const score = Float64Array.from(fraud, (f) => {
    const z = random.normal() + 1.2 * f;
    return Math.round(steps / (1 + Math.exp(-z))) / steps;
  });
  return { score, fraud };
}

test("a resample measures what the rows it drew measure when they are written out", () => {
  for (const steps of [8, 1e6]) {
    const { score, fraud } = made(300, 0.1, steps, 5);
    const cells = new RankedCells(score, fraud);
    const calibration = new Calibration(cells);
    const intervals = bootstrapRows(cells, calibration, { resamples: 60, seed: 9 });
    const random = new Prng(9, "bootstrap rows");
    const written = {
      roc_auc: new Float64Array(60),
      average_precision: new Float64Array(60),
      brier: new Float64Array(60),
    };
    const lifts = new Float64Array(60);
    for (let s = 0; s < 60; s++) {
      const drawn = Array.from({ length: 300 }, () => random.below(300));
      const again = Float64Array.from(drawn, (r) => score[r]);
      const labels = Uint8Array.from(drawn, (r) => fraud[r]);
      written.roc_auc[s] = rocAuc(again, labels);
      written.average_precision[s] = averagePrecision(again, labels);
      written.brier[s] = again.reduce((sum, p, i) => sum + (p - labels[i]) ** 2, 0) / 300;
      const sorted = new RankedCells(again, labels);
      lifts[s] = rankingMeasures(sorted, sorted.counts).lift_20;
    }
    for (const [name, values] of [...Object.entries(written), ["lift_20", lifts] as const]) {
      const [got, want] = [intervals[name as keyof typeof written | "lift_20"], percentiles(values)];
      assert.ok(got !== null && want !== null);
      for (const end of [0, 1]) assert.ok(Math.abs(got[end] - want[end]) < 1e-9, `${name}: ${got}, expected ${want}`);
    }
  }
});

/** Standard error of the AUC by DeLong's structural components: no resampling in it. */
function delong({ score, fraud }: Columns): number {
  const frauds = [...score].filter((_, i) => fraud[i] === 1);
  const genuine = [...score].filter((_, i) => fraud[i] === 0);
  const wins = (f: number, g: number) => (f > g ? 1 : f === g ? 0.5 : 0);
  const variance = (values: readonly number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1);
  };
  const v10 = frauds.map((f) => genuine.reduce((sum, g) => sum + wins(f, g), 0) / genuine.length);
  const v01 = genuine.map((g) => frauds.reduce((sum, f) => sum + wins(f, g), 0) / frauds.length);
  return Math.sqrt(variance(v10) / frauds.length + variance(v01) / genuine.length);
}

test("the interval of the AUC is as wide as DeLong's formula says", () => {
  const rows = made(3000, 0.1, 1e6, 3);
  const cells = new RankedCells(rows.score, rows.fraud);
  const interval = bootstrapRows(cells, new Calibration(cells), { resamples: 2000, seed: 1 }).roc_auc;
  assert.ok(interval !== null);
  const auc = rocAuc(rows.score, rows.fraud);
  const half = 1.96 * delong(rows);
  assert.ok(Math.abs(interval[0] - (auc - half)) < 0.1 * half, `${interval} for ${auc} +- ${half}`);
  assert.ok(Math.abs(interval[1] - (auc + half)) < 0.1 * half, `${interval} for ${auc} +- ${half}`);
});

test("equal seeds give equal intervals, other seeds others, and each holds its measure", () => {
  const { score, fraud } = made(2000, 0.05, 1e6, 11);
  const cells = new RankedCells(score, fraud);
  const calibration = new Calibration(cells);
  const once = bootstrapRows(cells, calibration, { resamples: 200, seed: 1 });
  assert.deepEqual(bootstrapRows(cells, calibration, { resamples: 200, seed: 1 }), once);
  assert.notDeepEqual(bootstrapRows(cells, calibration, { resamples: 200, seed: 2 }), once);
  const measured = rowMeasures(cells, calibration);
  for (const name of Object.keys(once) as (keyof typeof once)[]) {
    const interval = once[name];
    assert.ok(interval !== null && interval[0] < interval[1], name);
    assert.ok(
      interval[0] <= measured[name] && measured[name] <= interval[1],
      `${name} ${measured[name]} in ${interval}`,
    );
  }
  assert.throws(() => bootstrapRows(cells, calibration, { resamples: 0, seed: 1 }), /0 resamples/);
});

test("one class alone has no AUC and so no interval for it, but a Brier score with one", () => {
  const cells = new RankedCells(Float64Array.of(0.1, 0.2, 0.3), Uint8Array.of(0, 0, 0));
  const intervals = bootstrapRows(cells, new Calibration(cells), { resamples: 50, seed: 1 });
  assert.equal(intervals.roc_auc, null);
  assert.equal(intervals.lift_20, null);
  assert.ok(intervals.brier !== null);
});

test("the mean of days: alike days leave no doubt, one day none to resample, many days that of the normal", () => {
  assert.deepEqual(bootstrapMean([0.5, 0.5, 0.5], { resamples: 50, seed: 1 }), [0.5, 0.5]);
  assert.equal(bootstrapMean([0.5], { resamples: 50, seed: 1 }), null);
  const random = new Prng(4, "days");
  const days = Array.from({ length: 400 }, () => random.normal());
  const interval = bootstrapMean(days, { resamples: 4000, seed: 1 });
  assert.ok(interval !== null);
  const mean = days.reduce((a, b) => a + b, 0) / 400;
  const error = Math.sqrt(days.reduce((sum, d) => sum + (d - mean) ** 2, 0)) / 400;
  assert.ok(Math.abs(interval[1] - interval[0] - 2 * 1.96 * error) < 0.3 * error, `${interval}, error ${error}`);
});
