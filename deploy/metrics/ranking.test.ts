import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { averagePrecision, byFallingScore, rocAuc } from "./ranking.ts";

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
