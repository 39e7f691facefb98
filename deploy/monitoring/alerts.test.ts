/** Alerts: past the limit and more than chance, the worse direction only, and in words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bySeverity, driftAlerts, labelNotes, qualityAlerts, segmentAlerts } from "./alerts.ts";
import { columnDrift } from "./column_drift.ts";
import type { ModelReport, ReportedSide } from "./monitor_report.ts";
import { quality } from "./quality.ts";

const LIMITS = { psi: 0.25, ks: 0.1, false_positive_ratio: 2 };
const rising = (n: number, add = 0): Float32Array => Float32Array.from({ length: n }, (_, i) => i / n + add);

test("alerts of drift that is past its limit, and not of what few rows do by chance", () => {
  assert.deepEqual(driftAlerts(columnDrift("x", "s", rising(1000), rising(1000)), LIMITS), []);
  const moved = driftAlerts(columnDrift("x", "s", rising(1000), rising(1000, 0.3)), LIMITS);
  assert.deepEqual(
    moved.map((a) => [a.kind, a.what, a.threshold, a.severity]),
    [
      ["psi", "x", 0.25, "critical"],
      ["ks", "x", 0.1, "critical"],
    ],
  );
  assert.match(
    moved[0].message,
    /^x is spread otherwise: PSI [\d.]+, most of it values up to 0\.099, from 10 % to 0 % of payments$/,
  );
  assert.match(moved[1].message, /KS distance 0\.3, median 0\.499 before, 0\.799 now/);
  const [little] = driftAlerts(columnDrift("x", "s", rising(1000), rising(1000, 0.15)), { ...LIMITS, psi: 9 });
  assert.deepEqual([little.kind, little.severity], ["ks", "warning"]);
  // Eight rows each: distances of a quarter are what chance gives.
  const few = columnDrift("x", "s", Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), Float32Array.of(3, 4, 5, 6, 7, 8, 9, 10));
  assert.ok(few.ks >= 0.25 && few.psi > 0.25);
  assert.deepEqual(driftAlerts(few, LIMITS), []);
  const gone = driftAlerts(columnDrift("x", "s", rising(1000), new Float32Array(1000).fill(Number.NaN)), LIMITS);
  assert.deepEqual(gone.length, 1);
  assert.match(gone[0].message, /missing values, from 0 % to 100 %/);
});

/** A model's report on 1,000 payments a side, 100 frauds; `caught` of them and `wrong` genuine ones score high. */
function report(reference: [number, number], current: [number, number]): ModelReport {
  const thresholds = [{ name: "challenge", score: 0.5 }];
  const side = ([caught, wrong]: [number, number]) => {
    const state = Uint8Array.from({ length: 1000 }, (_, r) => (r < 100 ? 1 : 0));
    const scores = Float32Array.from(state, (_, r) => (r < caught || (r >= 100 && r < 100 + wrong) ? 0.9 : 0.1));
    return quality(scores, state, { thresholds, bootstrap: { resamples: 50, seed: 1 } });
  };
  const found = { reference: side(reference), current: side(current) };
  return { quality: found, thresholds } as unknown as ModelReport;
}

test("alerts of quality that is worse by more than chance, never of what is better", () => {
  assert.deepEqual(qualityAlerts(report([80, 10], [80, 10])), []);
  assert.deepEqual(qualityAlerts(report([80, 10], [76, 12])), []);
  assert.deepEqual(qualityAlerts(report([40, 100], [90, 5])), []);
  const worse = qualityAlerts(report([90, 5], [40, 100]));
  assert.deepEqual(
    worse.map((a) => a.what),
    [
      "ROC AUC",
      "average precision",
      "Brier score",
      "precision at challenge",
      "recall at challenge",
      "false positive rate at challenge",
    ],
  );
  const recall = worse.find((a) => a.what === "recall at challenge")!;
  assert.deepEqual([recall.value, recall.severity], [0.4, "critical"]);
  assert.ok(recall.threshold > 0.8 && recall.threshold < 0.9);
  assert.match(recall.message, /got worse: 0\.9 before \(95 % 0\.\d+ to 0\.\d+\), 0\.4 now/);
});

test("alerts of segments whose genuine payments are stopped more often, if that is no chance", () => {
  const ratio = { threshold: "challenge", ratio: 3, highest: "a", lowest: "b", beyond_chance: true };
  const alerts = (change: object) => {
    const table = { segments: [], pooled: [], false_positive_ratios: [{ ...ratio, ...change }] };
    return segmentAlerts({ by: "hour", reference: table, current: table }, LIMITS);
  };
  const [found] = alerts({});
  assert.deepEqual(
    [found.what, found.value, found.threshold, found.severity],
    ["false positive rate by hour at challenge", 3, 2, "warning"],
  );
  assert.equal(found.message, "genuine payments of a are alerted at challenge, 3 times as often as those of b");
  assert.equal(alerts({ ratio: 4 })[0].severity, "critical");
  assert.equal(alerts({ ratio: null })[0].message, "genuine payments of a are alerted at challenge, those of b never");
  assert.deepEqual(
    [alerts({ beyond_chance: false }), alerts({ ratio: 1.9 }), alerts({ ratio: null, beyond_chance: false })],
    [[], [], []],
  );
  assert.deepEqual(
    bySeverity([...alerts({}), ...alerts({ ratio: 5 })]).map((a) => a.value),
    [5, 3],
  );
});

test("notes what of the labels a reader must know", () => {
  const side = { known: 500, frauds: 5, reported_early: 0 } as ReportedSide;
  assert.deepEqual(labelNotes("current", side), []);
  assert.match(labelNotes("current", { ...side, known: 0, frauds: 0 })[0], /current: no label is known yet/);
  assert.match(labelNotes("reference", { ...side, frauds: 0 })[0], /reference: no fraud is known/);
  assert.match(labelNotes("current", { ...side, known: 99 })[0], /only 99 payments/);
  assert.match(labelNotes("current", { ...side, reported_early: 7 })[0], /7 payments .*--mature-only/);
});
