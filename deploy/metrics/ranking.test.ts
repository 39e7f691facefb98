import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { byFallingScore, RankedCells } from "./ranked_cells.ts";
import { averagePrecision, cutAtFalsePositives, rankingMeasures, rocAuc } from "./ranking.ts";

const columns = (pairs: readonly (readonly [number, number])[]): [Float64Array, Uint8Array] => [
  Float64Array.from(pairs, (p) => p[0]),
  Uint8Array.from(pairs, (p) => p[1]),
];

/** Every (fraud, genuine) pair compared: the definition. */
function naiveAuc(score: Float64Array, fraud: Uint8Array): number {
  let wins = 0;
  let pairs = 0;
  for (let f = 0; f < score.length; f++) {
    for (let g = 0; g < score.length; g++) {
      if (fraud[f] !== 1 || fraud[g] !== 0) continue;
      pairs++;
      wins += score[f] > score[g] ? 1 : score[f] === score[g] ? 0.5 : 0;
    }
  }
  return wins / pairs;
}

/** Recall and precision counted afresh at every distinct threshold. */
function naiveAp(score: Float64Array, fraud: Uint8Array): number {
  const frauds = fraud.reduce((a, b) => a + b, 0);
  let before = 0;
  let sum = 0;
  for (const t of [...new Set(score)].sort((a, b) => b - a)) {
    const above = [...score.keys()].filter((i) => score[i] >= t);
    const caught = above.filter((i) => fraud[i] === 1).length;
    sum += (caught / frauds - before) * (caught / above.length);
    before = caught / frauds;
  }
  return sum;
}

test("computed by hand: scores .1 .4 .35 .8 with frauds third and fourth", () => {
  const [score, fraud] = columns([
    [0.1, 0],
    [0.4, 0],
    [0.35, 1],
    [0.8, 1],
  ]);
  // Pairs: .35 > .1 yes, .35 > .4 no, .8 above both: 3 of 4. AP: 1/2 * 1/1 + 1/2 * 2/3.
  assert.equal(rocAuc(score, fraud), 0.75);
  assert.ok(Math.abs(averagePrecision(score, fraud) - (0.5 + 1 / 3)) < 1e-12);
});

test("one tied score: AUC one half, average precision the share of frauds", () => {
  const [score, fraud] = columns([
    [1, 0],
    [1, 1],
    [1, 0],
    [1, 0],
  ]);
  assert.equal(rocAuc(score, fraud), 0.5);
  assert.equal(averagePrecision(score, fraud), 0.25);
});

test("a tie across both classes counts as one threshold: .9 fraud; .5 fraud, genuine; .1 genuine", () => {
  const [score, fraud] = columns([
    [0.5, 0],
    [0.9, 1],
    [0.1, 0],
    [0.5, 1],
  ]);
  // AUC: (1 + 1 + .5 + 1) / 4. AP: 1/2 * 1 + 1/2 * 2/3.
  assert.equal(rocAuc(score, fraud), 0.875);
  assert.ok(Math.abs(averagePrecision(score, fraud) - (0.5 + 1 / 3)) < 1e-12);
});

test("an absent class gives NaN; NaN scores and odd labels are refused", () => {
  assert.ok(Number.isNaN(rocAuc(Float64Array.of(1, 2), Uint8Array.of(0, 0))));
  assert.ok(Number.isNaN(rocAuc(Float64Array.of(1, 2), Uint8Array.of(1, 1))));
  assert.ok(Number.isNaN(averagePrecision(Float64Array.of(1, 2), Uint8Array.of(0, 0))));
  assert.throws(() => rocAuc(Float64Array.of(1, Number.NaN), Uint8Array.of(0, 1)), /row 1 has no score/);
  assert.throws(() => averagePrecision(Float64Array.of(1), Uint8Array.of(2)), /row 0 has label 2/);
  assert.throws(() => rocAuc(Float64Array.of(1), Uint8Array.of(0, 1)), /1 scores for 2 labels/);
});

// Few distinct scores, so that ties are the rule.
const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 1 })), {
  minLength: 2,
  maxLength: 60,
});

test("property: equal to the quadratic definitions, whatever the order of the rows", () => {
  fc.assert(
    fc.property(rows, (pairs) => {
      const [score, fraud] = columns(pairs);
      const frauds = fraud.reduce((a, b) => a + b, 0);
      fc.pre(frauds > 0 && frauds < fraud.length);
      const [reversed, labels] = columns([...pairs].reverse());
      assert.ok(Math.abs(rocAuc(score, fraud) - naiveAuc(score, fraud)) < 1e-12);
      assert.ok(Math.abs(averagePrecision(score, fraud) - naiveAp(score, fraud)) < 1e-12);
      assert.equal(rocAuc(score, fraud), rocAuc(reversed, labels));
      assert.equal(averagePrecision(score, fraud), averagePrecision(reversed, labels));
    }),
  );
});

test("property: a monotone change of the scores changes nothing", () => {
  fc.assert(
    fc.property(rows, (pairs) => {
      const [score, fraud] = columns(pairs);
      const frauds = fraud.reduce((a, b) => a + b, 0);
      fc.pre(frauds > 0 && frauds < fraud.length);
      const squashed = score.map((s) => Math.exp(s / 3) - 7);
      assert.equal(rocAuc(score, fraud), rocAuc(squashed, fraud));
      assert.equal(averagePrecision(score, fraud), averagePrecision(squashed, fraud));
    }),
  );
});

test("byFallingScore ranks a row of infinities too", () => {
  assert.deepEqual(
    [...byFallingScore(Float64Array.of(Number.NEGATIVE_INFINITY, 1, Number.POSITIVE_INFINITY))],
    [2, 1, 0],
  );
});

function measures(pairs: readonly (readonly [number, number])[]) {
  const cells = new RankedCells(...columns(pairs));
  return rankingMeasures(cells, cells.counts);
}

const close = (got: number, want: number, what = "") =>
  assert.ok(Math.abs(got - want) < 1e-9, `${what} ${got}, expected ${want}`);

test("lift at 20 % review by hand: ten rows, two reviewed; a tie across the edge counts its expectation", () => {
  const falling = (frauds: readonly number[]) => measures(frauds.map((f, i) => [10 - i, f] as const));
  // One of the two frauds is among the two highest: half of them, over a fifth.
  close(falling([1, 0, 0, 0, 0, 1, 0, 0, 0, 0]).lift_20, 2.5);
  close(falling([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]).lift_20, 5, "the most there is");
  close(falling([0, 0, 1, 0, 0, 0, 0, 0, 0, 1]).lift_20, 0);
  // Scores 9, then three of 5 with one fraud among them: the second place is each one's in a third of the orders.
  const tie = [9, 5, 5, 5, 1, 1, 1, 1, 1, 1].map((s, i) => [s, i === 0 || i === 2 ? 1 : 0] as const);
  close(measures(tie).lift_20, (1 + 1 / 3) / 2 / 0.2);
  // All alike is a random order.
  close(measures(tie.map(([, f]) => [0, f] as const)).lift_20, 1);
  // Of 7 rows 1.4 are reviewed: the first whole, the second by 0.4.
  close(falling([0, 1, 0, 0, 0, 0, 0]).lift_20, 0.4 / 0.2);
});

test("recall at a false positive rate by hand: 200 genuine, so 0.5 % is one of them and 1 % two", () => {
  const rows = Array.from({ length: 200 }, (_, i) => [200 - i, 0] as [number, number]);
  rows.push([300, 1], [199.5, 1], [198.5, 1], [0, 1]);
  const m = measures(rows);
  close(m.recall_at_half_percent_fpr, 2 / 4);
  close(m.recall_at_one_percent_fpr, 3 / 4);
  const [score, fraud] = columns(rows);
  assert.deepEqual(cutAtFalsePositives(new RankedCells(score, fraud), 0.005), { score: 199, share: 0 });
});

/** Share of the frauds that a budget takes, score by score over plain lists; a tie in proportion to what is left. */
function naiveBudget(pairs: readonly (readonly [number, number])[], cost: (f: number) => number, room: number): number {
  const frauds = pairs.filter(([, f]) => f === 1).length;
  let taken = 0;
  for (const score of new Set(pairs.map(([s]) => s))) {
    const above = pairs.filter(([s]) => s > score).reduce((sum, [, f]) => sum + cost(f), 0);
    const tied = pairs.filter(([s]) => s === score);
    const size = tied.reduce((sum, [, f]) => sum + cost(f), 0);
    const part = above + size <= room ? 1 : Math.max(0, (room - above) / size);
    taken += part * tied.filter(([, f]) => f === 1).length;
  }
  return taken / frauds;
}

test("property: budgets equal their definition, and the cut at a rate gives the recall at that rate", () => {
  fc.assert(
    fc.property(rows, (pairs) => {
      const frauds = pairs.filter(([, f]) => f === 1).length;
      fc.pre(frauds > 0 && frauds < pairs.length);
      const genuine = pairs.length - frauds;
      const m = measures(pairs);
      close(m.lift_20, naiveBudget(pairs, () => 1, 0.2 * pairs.length) / 0.2, "lift");
      close(
        m.recall_at_one_percent_fpr,
        naiveBudget(pairs, (f) => 1 - f, 0.01 * genuine),
        "recall",
      );
      const cut = cutAtFalsePositives(new RankedCells(...columns(pairs)), 0.01);
      const through = pairs.reduce((sum, [s, f]) => sum + f * (s > cut.score ? 1 : s === cut.score ? cut.share : 0), 0);
      close(through / frauds, m.recall_at_one_percent_fpr, "cut");
    }),
  );
});
