import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { accuracy } from "./accuracy.ts";
import { ALERTED, cardAlerts, FOUND_EARLIER, NOT_ALERTED, thresholdOfBudget } from "./card_alerts.ts";
import { wilson } from "./interval.ts";
import { KnownCards } from "./known_cards.ts";
import { publishedTables } from "./published.ts";
import { ScoredPayments } from "./scored_payments.ts";

type Row = readonly [day: number, card: string, score: number, fraud: 0 | 1, scenario?: number];

function scored(rows: readonly Row[]): ScoredPayments {
  const table = new ScoredPayments();
  for (const [day, card, score, fraud, scenario = 0] of rows) table.add({ day, card, score, fraud, scenario });
  return table;
}

// Two days, two cards a day. Day 1: a (.9, fraud on its smaller payment) and b (.8) are alerted: 1 of 2. Day 2: a is
// left out although it leads; c (.6, fraud) and b (.5) are alerted: 1 of 2; d's fraud is missed.
const TWO_DAYS: readonly Row[] = [
  [1, "a", 0.9, 0],
  [1, "a", 0.2, 1, 1],
  [1, "b", 0.8, 0],
  [1, "c", 0.1, 0],
  [2, "a", 0.99, 1, 1],
  [2, "c", 0.6, 1, 2],
  [2, "b", 0.5, 0],
  [2, "d", 0.4, 1, 2],
];

test("card precision@2 computed by hand; found cards leave the later days", () => {
  const alerts = cardAlerts(scored(TWO_DAYS), 2);
  assert.equal(alerts.precision, 0.5);
  assert.deepEqual(alerts.days, [
    { day: 1, cards: 3, fraud_cards: 1, found: 1, precision: 0.5 },
    { day: 2, cards: 3, fraud_cards: 2, found: 1, precision: 0.5 },
  ]);
  assert.deepEqual(
    [...alerts.state],
    [ALERTED, ALERTED, ALERTED, NOT_ALERTED, FOUND_EARLIER, ALERTED, ALERTED, NOT_ALERTED],
  );
});

test("a day with fewer than k cards still divides by k", () => {
  assert.equal(cardAlerts(scored([[5, "a", 0.5, 1]]), 100).precision, 0.01);
});

test("equal card scores are ordered by first appearance", () => {
  const rows: Row[] = [
    [1, "first", 0.5, 1],
    [1, "second", 0.5, 0],
  ];
  assert.equal(cardAlerts(scored(rows), 1).precision, 1);
  assert.equal(cardAlerts(scored([rows[1], rows[0]]), 1).precision, 0);
});

test("recall by scenario at the cuts, computed by hand", () => {
  const result = accuracy(scored(TWO_DAYS), 2);
  // Card-days: .9 .8 .1 | .99 .6 .5 .4; the 4th largest is .6.
  assert.equal(result.threshold, 0.6);
  const shown = result.recall_by_scenario.map((s) => ({
    desk: [s.scenario, s.frauds, s.alerted, s.found_earlier, s.above_threshold],
    recall: [s.recall_alerts, s.recall_threshold],
  }));
  assert.deepEqual(shown, [
    { desk: [1, 2, 1, 1, 1], recall: [1, 0.5] },
    { desk: [2, 2, 1, 0, 1], recall: [0.5, 0.5] },
  ]);
  assert.deepEqual(result.recall_by_scenario[1].recall_alerts_interval, wilson(1, 2));
  // 0.5 % of the four genuine is 0.02 of the highest, .9: only the fraud above it, .99, is through.
  assert.deepEqual(
    result.recall_by_scenario.map((s) => s.recall_at_half_percent_fpr),
    [0.5, 0],
  );
  assert.equal(result.recall_at_half_percent_fpr, 0.25);
  assert.equal(result.payments, 8);
  assert.equal(result.frauds, 4);
  assert.equal(result.card_precision_at_100, 0.5);
  assert.deepEqual(result.intervals.card_precision_at_100, [0.5, 0.5], "both days have the same precision");
});

test("without a row every measure is NaN and no interval is given; bad k and NaN scores are refused", () => {
  const none = accuracy(new ScoredPayments());
  assert.deepEqual([none.payments, none.frauds, none.reliability, none.alerts.days], [0, 0, [], []]);
  const { roc_auc, average_precision, card_precision_at_100, lift_20, brier, calibration_error, f1_macro } = none;
  const numbers = [roc_auc, average_precision, card_precision_at_100, lift_20, brier, calibration_error, f1_macro];
  for (const n of numbers) assert.ok(Number.isNaN(n));
  assert.deepEqual([...new Set(Object.values(none.intervals))], [null]);
  assert.throws(() => cardAlerts(scored(TWO_DAYS), 0), /k must be/);
  assert.throws(() => scored([[1, "a", Number.NaN, 0]]), /no score/);
});

/** The protocol in its own words, day by day, over plain lists. */
function naiveCardPrecision(rows: readonly Row[], k: number): number {
  const firstSeen = [...new Set(rows.map((r) => r[1]))];
  let found: string[] = [];
  const days = [...new Set(rows.map((r) => r[0]))].sort((a, b) => a - b);
  const precisions = days.map((day) => {
    const left = rows.filter((r) => r[0] === day && !found.includes(r[1]));
    const best = firstSeen
      .filter((card) => left.some((r) => r[1] === card))
      .map((card) => ({ card, score: Math.max(...left.filter((r) => r[1] === card).map((r) => r[2])) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, k);
    const hits = best.filter((b) => left.some((r) => r[1] === b.card && r[3] === 1));
    found = [...found, ...hits.map((h) => h.card)];
    return hits.length / k;
  });
  return precisions.reduce((a, b) => a + b, 0) / days.length;
}

const anyRows = fc.array(
  fc.tuple(
    fc.integer({ min: 10, max: 14 }),
    fc.constantFrom("a", "b", "c", "d", "e", "f"),
    fc.integer({ min: 0, max: 12 }),
    fc.constantFrom<0 | 1>(0, 1),
  ),
  { minLength: 1, maxLength: 50 },
);

test("property: card precision equals the protocol followed literally", () => {
  fc.assert(
    fc.property(anyRows, fc.integer({ min: 1, max: 4 }), (rows, k) => {
      assert.ok(Math.abs(cardAlerts(scored(rows), k).precision - naiveCardPrecision(rows, k)) < 1e-12);
    }),
  );
});

test("property: the threshold of a budget lets through k cards a day, and any higher one fewer", () => {
  fc.assert(
    fc.property(anyRows, fc.integer({ min: 1, max: 4 }), (rows, k) => {
      const best = new Map<string, number>();
      for (const [day, card, score] of rows) {
        best.set(`${day}/${card}`, Math.max(best.get(`${day}/${card}`) ?? 0, score));
      }
      const budget = k * new Set(rows.map((r) => r[0])).size;
      const t = thresholdOfBudget(scored(rows), k);
      assert.ok([...best.values()].filter((s) => s > t).length < budget || t === Number.NEGATIVE_INFINITY);
      if (t !== Number.NEGATIVE_INFINITY) assert.ok([...best.values()].filter((s) => s >= t).length >= budget);
    }),
  );
});

test("known cards: a fraud of day x removes its card from day x + delay + 1 on", () => {
  const known = new KnownCards({ train_from_day: 100, test_from_day: 114, test_to_day: 120, label_delay_days: 7 });
  known.learn(99, "before", true);
  known.learn(106, "trained", true);
  known.learn(107, "later", true);
  known.learn(107, "genuine", false);
  assert.equal(known.has(114, "before"), false);
  assert.equal(known.has(114, "trained"), true);
  assert.equal(known.has(114, "later"), false);
  assert.equal(known.has(115, "later"), true);
  assert.equal(known.has(120, "genuine"), false);
  assert.throws(
    () => new KnownCards({ train_from_day: 5, test_from_day: 4, test_to_day: 6, label_delay_days: 7 }),
    /out of order/,
  );
});

test("where keeps rows, scores and card numbers", () => {
  const all = scored(TWO_DAYS);
  const half = all.where(Uint8Array.of(0, 0, 1, 1, 0, 1, 0, 1));
  assert.equal(half.n, 4);
  assert.deepEqual([...half.card], [1, 2, 2, 3]);
  assert.deepEqual([...half.score], [0.8, 0.1, 0.6, 0.4]);
  assert.deepEqual([...half.scenario], [0, 0, 2, 2]);
  assert.throws(() => all.where(new Uint8Array(3)), /mask of 3/);
});

test("the table grows past its first allocation", () => {
  const table = new ScoredPayments();
  for (let i = 0; i < 5000; i++) table.add({ day: i >> 9, card: `c${i % 700}`, score: i, fraud: 0 });
  assert.equal(table.n, 5000);
  assert.equal(table.cards, 700);
  assert.equal(table.score[4999], 4999);
  assert.equal(table.card[4999], 4999 % 700);
});

test("other scores for the same rows", () => {
  const rows = scored(TWO_DAYS);
  const turned = rows.withScores(rows.score.map((s) => -s));
  assert.deepEqual(
    [...turned.score],
    TWO_DAYS.map(([, , s]) => -s),
  );
  assert.deepEqual([...turned.fraud], [...rows.fraud]);
  assert.equal(rows.score[0], 0.9, "the table they were made from keeps its own");
  assert.throws(() => rows.withScores(new Float64Array(3)), /3 scores for 8 rows/);
  assert.throws(() => rows.withScores(new Float64Array(8).fill(Number.NaN)), /payment 0 has no score/);
});

test("published rows: every format has its own, each with a source and a split; a name alone brings none", () => {
  const best = (format: string, measure: "average_precision" | "lift_20" | "roc_auc") =>
    Math.max(...publishedTables(format).flatMap((t) => (t.published ? t.rows.map((r) => r[measure] ?? 0) : [])));
  assert.equal(best("handbook", "average_precision"), 0.694);
  assert.equal(best("ucsd2009", "lift_20"), 3.566);
  assert.equal(best("s-ffsd", "average_precision"), 0.6939);
  assert.equal(best("sparkov", "roc_auc"), 0.998);
  assert.equal(best("evalml-cards", "roc_auc"), Number.NEGATIVE_INFINITY);
  assert.equal(best("amlsim", "average_precision"), Number.NEGATIVE_INFINITY);
  const week = publishedTables("handbook")[0].rows;
  assert.equal(week.find((r) => r.model.startsWith("XGBoost"))?.roc_auc, 0.862);
  for (const format of ["handbook", "ucsd2009", "s-ffsd", "sparkov", "evalml-cards", "amlsim"]) {
    for (const t of publishedTables(format)) assert.ok(t.source !== "" && t.protocol !== "", t.name);
  }
  assert.deepEqual(publishedTables("slice"), []);
  assert.deepEqual(publishedTables("constructor"), []);
});
