import assert from "node:assert/strict";
import { test } from "node:test";
import { accuracy } from "./accuracy.ts";
import { ceilingMeasures } from "./ceiling.ts";
import { judge } from "./judgement.ts";
import { publishedTables } from "./published.ts";
import { ScoredPayments } from "./scored_payments.ts";

/** Ten payments on two days; the two frauds are first and last, the last one within reach. */
function table(): ScoredPayments {
  const rows = new ScoredPayments();
  for (let i = 0; i < 10; i++) {
    const fraud = i === 0 || i === 9 ? 1 : 0;
    rows.add({ day: i >> 3, card: `c${i}`, score: (10 - i) / 10, fraud, scenario: fraud * 2, reachable: i === 9 });
  }
  return rows;
}

const all = table();
const removed = all.where(Uint8Array.from({ length: 10 }, (_, r) => (r === 0 ? 0 : 1)));
const turned = {
  all: all.withScores(all.score.map((s) => 1 - s)),
  known_cards_removed: removed.withScores(removed.score.map((s) => 1 - s)),
};
const models = { booster_v1_0: { all, known_cards_removed: removed }, ensemble_v1_0: turned };

test("every model is measured on both splits, and the deciding one stands at the top", () => {
  const j = judge({ format: "ucsd2009", models, deciding: "ensemble_v1_0", no_ceiling: "unknown process" });
  assert.deepEqual(Object.keys(j.models), ["booster_v1_0", "ensemble_v1_0"]);
  assert.deepEqual(j.all, accuracy(turned.all));
  assert.deepEqual(j.models["booster_v1_0"].all, accuracy(all));
  assert.deepEqual(j.models["booster_v1_0"].known_cards_removed, accuracy(removed));
  // On all ten the two reviewed hold one fraud, whichever way round.
  assert.equal(j.lift_20, 2.5);
  assert.equal(j.models["ensemble_v1_0"].split, "all");
  assert.equal(j.models["ensemble_v1_0"].roc_auc, j.all.roc_auc);
  assert.deepEqual(j.ceiling, { reason: "unknown process" });
  assert.deepEqual(j.published, publishedTables("ucsd2009"));
});

test("the handbook is judged without the known cards, and has a ceiling on both splits", () => {
  const j = judge({ format: "handbook", models, deciding: "booster_v1_0", no_ceiling: undefined });
  const m = j.models["booster_v1_0"];
  assert.equal(m.split, "known_cards_removed");
  assert.equal(m.roc_auc, 0);
  assert.equal(m.average_precision, accuracy(removed).average_precision);
  assert.equal(j.lift_20, j.known_cards_removed.lift_20);
  assert.ok("definition" in j.ceiling);
  assert.equal(j.ceiling.all.recall, 0.5);
  assert.deepEqual(j.ceiling.known_cards_removed, ceilingMeasures(removed));
  assert.equal(j.ceiling.known_cards_removed.recall, 1);
});

test("the headline of a model holds every measure of its split that is one number", () => {
  const m = judge({ format: "s-ffsd", models, deciding: "booster_v1_0", no_ceiling: "none" }).models["booster_v1_0"];
  for (const [name, value] of Object.entries(m.all)) {
    const counted = ["payments", "frauds", "threshold"].includes(name);
    if (typeof value === "number" && !counted) assert.equal(m[name as keyof typeof m], value, name);
  }
});

test("a model that decided without scores is refused", () => {
  assert.throws(() => judge({ format: "x", models: {}, deciding: "m", no_ceiling: "none" }), /no scores of m/);
});
