/** Segments and their quality against naive counts; pooling; ratios of false positive rates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Prng } from "../demo/prng.ts";
import { averagePrecision, rocAuc } from "../metrics/ranking.ts";
import { FRAUD, GENUINE, UNKNOWN } from "./label_delay.ts";
import { quality } from "./quality.ts";
import { byFeature, byWeekday, OTHER, type Segmentation, segmentTable } from "./segments.ts";
import { DAY_US, START_US } from "./testkit.ts";

const NONE = Number.NaN;
const OPTIONS = { thresholds: [{ name: "challenge", score: 0.5 }], bootstrap: { resamples: 5, seed: 1 } };
const columns = (...values: number[]): Float32Array => Float32Array.from(values);

test("quality counts known payments alone, as a naive oracle does, with intervals round each share", () => {
  const row = fc.tuple(fc.integer({ min: 0, max: 10 }), fc.constantFrom(GENUINE, FRAUD, UNKNOWN), fc.nat({ max: 2 }));
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 80 }), (rows) => {
      const scores = Float32Array.from(rows, ([s]) => s / 10);
      const state = Uint8Array.from(rows, ([, label]) => label);
      const codes = Uint16Array.from(rows, ([, , code]) => code);
      const thresholds = [0.3, 0.5, 0.7].map((score) => ({ name: String(score), score }));
      for (const only of [undefined, 1]) {
        const found = quality(scores, state, { ...OPTIONS, thresholds }, only === undefined ? undefined : codes, only);
        const mine = rows.filter(([, , code]) => only === undefined || code === only);
        const known = mine.filter(([, label]) => label !== UNKNOWN);
        const frauds = known.filter(([, label]) => label === FRAUD);
        assert.deepEqual([found.payments, found.known, found.frauds], [mine.length, known.length, frauds.length]);
        assert.equal(found.fraud_share, frauds.length / known.length);
        const score = Float64Array.from(known, ([s]) => Math.fround(s / 10));
        const fraud = Uint8Array.from(known, ([, label]) => (label === FRAUD ? 1 : 0));
        assert.deepEqual(found.measures.roc_auc, rocAuc(score, fraud));
        assert.deepEqual(found.measures.average_precision, averagePrecision(score, fraud));
        const brier = known.reduce((sum, _, i) => sum + (score[i] - fraud[i]) ** 2, 0) / known.length;
        assert.ok(known.length === 0 || Math.abs(found.measures.brier - brier) < 1e-12);
        found.thresholds.forEach((t, i) => {
          const past = known.filter(([s]) => s >= [3, 5, 7][i]);
          const caught = past.filter(([, label]) => label === FRAUD).length;
          assert.deepEqual([t.alerted, t.caught], [past.length, caught]);
          assert.deepEqual([t.precision, t.recall], [caught / past.length, caught / frauds.length]);
          assert.equal(t.false_positive_rate, (past.length - caught) / (known.length - frauds.length));
          for (const [share, interval] of [
            [t.precision, t.precision_interval],
            [t.recall, t.recall_interval],
            [t.false_positive_rate, t.false_positive_rate_interval],
          ] as const) {
            if (interval === null) assert.ok(Number.isNaN(share));
            else assert.ok(interval[0] <= share && share <= interval[1]);
          }
        });
      }
    }),
    { numRuns: 150 },
  );
  assert.throws(() => quality(columns(1), new Uint8Array(2), OPTIONS), RangeError);
});

const named = (s: Segmentation, side: "reference" | "current"): string[] => [...s[side]].map((code) => s.names[code]);

test("by weekday in UTC, also before 1970", () => {
  const times = Float64Array.from([START_US, START_US + DAY_US - 1, START_US + DAY_US, START_US - 1, -1, 0]);
  const expected = ["Monday", "Monday", "Tuesday", "Sunday", "Wednesday", "Thursday"];
  assert.deepEqual(named(byWeekday(times, times.slice(0, 1)), "reference"), expected);
});

test("by value where there are few or they are codes, else by the reference's quarters", () => {
  const few = byFeature("hour", columns(3, 1, NONE, 3), columns(1, 7, -0, 0));
  assert.deepEqual(named(few, "reference"), ["hour = 3", "hour = 1", "hour missing", "hour = 3"]);
  assert.deepEqual(named(few, "current"), ["hour = 1", "hour = 7", "hour = 0", "hour = 0"]);
  const many = Float32Array.from({ length: 40 }, (_, i) => i + 1);
  const quarters = byFeature("amount", many, columns(10, 10.5, 30, 31, 99, -5, NONE));
  const [first, second, third, last] = ["amount <= 10", "10 < amount <= 20", "20 < amount <= 30", "amount > 30"];
  assert.deepEqual(named(quarters, "current"), [first, second, third, last, last, first, "amount missing"]);
  assert.equal(named(quarters, "reference").filter((name) => name === second).length, 10);
  assert.deepEqual(named(byFeature("category_code", many, columns(7)), "current"), ["category_code = 7"]);
  // Quarters that fall together are one.
  const skewed = Float32Array.from({ length: 100 }, (_, i) => (i < 60 ? 0 : i));
  assert.deepEqual(new Set(named(byFeature("amount", skewed, columns(1)), "reference")).size, 3);
});

/** Scores of `genuine` and `frauds` payments of a segment, of which the first ones are alerted. */
function segment(code: number, genuine: number, alerted: number, unknown = 0) {
  return Array.from({ length: genuine + unknown }, (_, i) => ({
    code,
    state: i < genuine ? GENUINE : UNKNOWN,
    score: i < alerted ? 0.9 : 0.1,
  }));
}

function tableOf(rows: ReturnType<typeof segment>, names = ["a", "b", "c", "d"]) {
  const codes = Uint16Array.from(rows, (r) => r.code);
  const state = Uint8Array.from(rows, (r) => r.state);
  const scores = Float32Array.from(rows, (r) => r.score);
  return segmentTable(names, codes, scores, { state }, OPTIONS);
}

test("pools segments below 100 known payments, however many there are of unknown label", () => {
  const table = tableOf([...segment(0, 100, 0), ...segment(1, 99, 9, 500), ...segment(2, 20, 0)]);
  assert.deepEqual(
    table.segments.map((s) => [s.name, s.payments, s.known]),
    [
      ["a", 100, 100],
      [OTHER, 619, 119],
    ],
  );
  assert.deepEqual(table.pooled, ["b", "c"]);
  assert.equal(table.segments[1].thresholds[0].alerted, 9);
  // Nothing to compare: one segment, and what is pooled is none.
  assert.deepEqual(table.false_positive_ratios, []);
  assert.deepEqual(tableOf([]).segments, []);
});

test("names the segments with the largest and the smallest false positive rate, and says whether it is chance", () => {
  const rows = [...segment(0, 1000, 100), ...segment(1, 1000, 20), ...segment(2, 200, 4), ...segment(3, 50, 50)];
  const [ratio] = tableOf(rows).false_positive_ratios;
  assert.deepEqual(ratio, {
    threshold: "challenge",
    ratio: 0.1 / 0.02,
    highest: "a",
    lowest: "b",
    beyond_chance: true,
  });
  const [close] = tableOf([...segment(0, 100, 10), ...segment(1, 100, 6)]).false_positive_ratios;
  assert.deepEqual([close.highest, close.beyond_chance], ["a", false]);
  const [never] = tableOf([...segment(0, 500, 100), ...segment(1, 500, 0)]).false_positive_ratios;
  assert.deepEqual([never.ratio, never.lowest, never.beyond_chance], [null, "b", true]);
  // 500 times 12 segments of one rate: taken for two that nobody picked, a fifth of the extremes differ.
  const random = new Prng(4, "segments");
  const twelve = Array.from({ length: 12 }, (_, s) => String(s));
  let beyond = 0;
  for (let i = 0; i < 500; i++) {
    const rows = twelve.flatMap((_, s) => {
      const alerted = Array.from({ length: 300 }).filter(() => random.float() < 0.05).length;
      return segment(s, 300, alerted);
    });
    if (tableOf(rows, twelve).false_positive_ratios[0].beyond_chance) beyond++;
  }
  assert.ok(beyond < 25, `${beyond} of 500`);
  const [same] = tableOf([...segment(0, 100, 0), ...segment(1, 100, 0)]).false_positive_ratios;
  assert.deepEqual([same.ratio, same.beyond_chance], [1, false]);
});
