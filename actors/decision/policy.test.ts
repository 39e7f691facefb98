import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEGRADED_ENTITY, DEGRADED_MODEL, FLAG_REPEATED, FLAG_TEST_CARD, RowBlock } from "../../proto/columns.ts";
import { compileRuleSet } from "../rules/compile.ts";
import { type CardHash, Policy, TEST_CARD_TOKENS, TestCards } from "./policy.ts";

const NO_CARDS = new TestCards(1);

/** A policy over rules of the given actions and severities, whose expressions do not matter here. */
function policyOf(rules: readonly [action: string, severity: number][], over: object = {}): Policy {
  const definition = {
    name: "test",
    thresholds: { challenge: 0.5, review: 0.7, block: 0.9 },
    degraded_floor: "ALLOW",
    rules: rules.map(([action, severity], i) => ({
      id: `r${i}`,
      text: "a rule",
      reason: "a reason",
      severity,
      action,
      expression: "true",
    })),
    ...over,
  };
  return new Policy(compileRuleSet(definition));
}

/** The outcome of one row with this score and these rule bits. */
function decided(policy: Policy, score: number, bits: readonly number[] = [], degraded = 0): number {
  const b = new RowBlock();
  b.score[0] = score;
  b.degraded[0] = degraded;
  for (const bit of bits) {
    if (bit < 32) b.rules.lo[0] |= 1 << bit;
    else b.rules.hi[0] |= 1 << (bit - 32);
  }
  policy.decide(b, 0, 1, NO_CARDS);
  return b.outcome[0];
}

test("a score alone is mapped by the thresholds, each included", () => {
  const p = policyOf([]);
  const cases = [
    [0, 1],
    [0.4999, 1],
    [0.5, 2],
    [0.6999, 2],
    [0.7, 3],
    [0.8999, 3],
    [0.9, 4],
    [1, 4],
  ];
  for (const [score, outcome] of cases) assert.equal(decided(p, score), outcome, `score ${score}`);
});

test("a threshold of null is never reached", () => {
  const p = policyOf([], { thresholds: { challenge: 0.5, review: null, block: null } });
  assert.equal(decided(p, 1), 2);
});

test("a fired rule raises the outcome to its action and never lowers it", () => {
  const p = policyOf([
    ["CHALLENGE", 0.1],
    ["REVIEW", 0.1],
    ["BLOCK", 0.1],
  ]);
  assert.deepEqual([decided(p, 0, [0]), decided(p, 0, [1]), decided(p, 0, [2])], [2, 3, 4]);
  assert.deepEqual([decided(p, 0.8, [0]), decided(p, 0.95, [1]), decided(p, 0.6, [0])], [3, 4, 2]);
  assert.equal(decided(p, 0, [0, 1]), 3);
});

test("SCORE stands for a score as high as its severity", () => {
  const p = policyOf([
    ["SCORE", 0.49],
    ["SCORE", 0.5],
    ["SCORE", 0.7],
    ["SCORE", 0.9],
  ]);
  assert.deepEqual(
    [0, 1, 2, 3].map((bit) => decided(p, 0, [bit])),
    [1, 2, 3, 4],
  );
});

test("without the model the rules decide alone, above a floor", () => {
  const rules: [string, number][] = [
    ["CHALLENGE", 0.5],
    ["BLOCK", 0.5],
  ];
  const [plain, floor] = [policyOf(rules), policyOf(rules, { degraded_floor: "REVIEW" })];
  for (const [score, degraded] of [
    [Number.NaN, 0],
    [Number.NaN, DEGRADED_MODEL],
    [0.99, DEGRADED_MODEL],
  ]) {
    assert.deepEqual([decided(plain, score, [], degraded), decided(plain, score, [0], degraded)], [1, 2]);
    assert.deepEqual([decided(floor, score, [], degraded), decided(floor, score, [1], degraded)], [3, 4]);
  }
  assert.equal(decided(floor, 0.1, [], DEGRADED_ENTITY), 1);
});

test("the outcome is the greatest of all floors, for any bits of 64 rules", () => {
  const action = fc.constantFrom("CHALLENGE", "REVIEW", "BLOCK", "SCORE");
  const rules = fc.array(fc.tuple(action, fc.constantFrom(0, 0.5, 0.7, 0.9)), { minLength: 64, maxLength: 64 });
  const bits = fc.uniqueArray(fc.nat(63), { maxLength: 4 });
  const score = fc.oneof(fc.float({ min: 0, max: 1, noNaN: true }), fc.constant(Number.NaN));
  const ofScore = (s: number) => (s >= 0.9 ? 4 : s >= 0.7 ? 3 : s >= 0.5 ? 2 : 1);
  const floors: Readonly<Record<string, number>> = { CHALLENGE: 2, REVIEW: 3, BLOCK: 4 };
  fc.assert(
    fc.property(rules, bits, score, (all, fired, s) => {
      const ruled = fired.map((bit) => floors[all[bit][0]] ?? ofScore(all[bit][1]));
      assert.equal(decided(policyOf(all), s, fired), Math.max(ofScore(s), ...ruled));
    }),
    { numRuns: 100 },
  );
});

test("test cards force the outcome, in their own tenant only", () => {
  const hashes: CardHash[] = TEST_CARD_TOKENS.map((_, i) => [i, 4000000000 + i]);
  const cards = new TestCards(2);
  cards.enable(1, hashes);
  const b = new RowBlock();
  const rows = [...hashes, [9, 9] as const, [0, 0] as const];
  for (const tenant of [0, 1]) {
    for (const [r, [hi, lo]] of rows.entries()) {
      b.tenant[r] = tenant;
      b.card.hi[r] = hi;
      b.card.lo[r] = lo;
      b.score[r] = 0.75;
      b.rules.lo[r] = 1;
      b.flags[r] = 0;
    }
    policyOf([["BLOCK", 1]]).decide(b, 0, rows.length, cards);
    const wanted = tenant === 1 ? [1, 2, 3, 4, 4, 4] : [4, 4, 4, 4, 4, 4];
    const flag = tenant === 1 ? FLAG_TEST_CARD : 0;
    assert.deepEqual([...b.outcome.subarray(0, 6)], wanted);
    assert.deepEqual([...b.flags.subarray(0, 6)], [flag, flag, flag, flag, 0, 0]);
  }
});

test("test cards are refused when they could match a payment without a card", () => {
  const cards = new TestCards(1);
  const zero: CardHash[] = [
    [1, 1],
    [1, 2],
    [0, 0],
    [1, 3],
  ];
  assert.throws(() => cards.enable(0, zero), RangeError);
  assert.throws(() => cards.enable(0, zero.slice(0, 2)), RangeError);
  assert.throws(() => cards.enable(1, []), RangeError);
});

test("rows that are not to be decided keep what they have", () => {
  const b = new RowBlock();
  b.kind[1] = 1;
  b.error[2] = 3;
  b.flags[3] = FLAG_REPEATED;
  b.outcome.fill(9, 0, 6);
  policyOf([]).decide(b, 0, 5, NO_CARDS);
  assert.deepEqual([...b.outcome.subarray(0, 6)], [1, 9, 9, 9, 1, 9]);
});
