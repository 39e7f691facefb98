import assert from "node:assert/strict";
import { test } from "node:test";
import { FEATURES, featureColumn } from "../features/registry.ts";
import { compileRuleSet } from "./compile.ts";
import definition from "./default_rules.json" with { type: "json" };
import { featureReason, LATE_REASON, ruleReason, SCORE_REASON, TEST_CARD_REASON } from "./reasons.ts";

test("a rule's reason is its id, reason text and severity", () => {
  const rule = compileRuleSet(definition).rules[0];
  const wanted = { code: "card_testing_burst", text: rule.reason, weight: 0.95 };
  assert.deepEqual(ruleReason(rule), wanted);
});

test("every feature has a reason, and nothing beyond", () => {
  assert.deepEqual(featureReason(featureColumn("amount")), {
    code: "model:amount",
    text: "The model looked at the amount",
  });
  assert.throws(() => featureReason(FEATURES.length), RangeError);
});

test("all codes are distinct", () => {
  const codes = [
    ...compileRuleSet(definition).rules.map((r) => ruleReason(r).code),
    ...FEATURES.map((_, i) => featureReason(i).code),
    ...[LATE_REASON, SCORE_REASON, TEST_CARD_REASON].map((r) => r.code),
  ];
  assert.equal(new Set(codes).size, codes.length);
});
