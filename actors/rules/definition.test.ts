import assert from "node:assert/strict";
import { test } from "node:test";
import { RULES_MAX } from "../../proto/columns.ts";
import { Outcome } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { definitionVersion, EXPRESSION_CHARS_MAX, readDefinition } from "./definition.ts";
import { OUTCOMES } from "./outcomes.ts";
import { definitionOf } from "./row_testkit.ts";
import { RuleError, type RuleErrorCode } from "./rule_error.ts";

type Loose = Record<string, unknown> & { rules: Record<string, unknown>[] };

function refused(change: (d: Loose) => void, code: RuleErrorCode, rule_id: string, detail: RegExp): void {
  const d = structuredClone(definitionOf(["has_card", "has_ip"])) as Loose;
  change(d);
  assert.throws(
    () => readDefinition(d),
    (e) => {
      assert.ok(e instanceof RuleError, String(e));
      assert.deepEqual([e.code, e.rule_id, e.range], [code, rule_id, null]);
      assert.match(e.detail, detail);
      return true;
    },
  );
}

test("outcome numbers are those of the public API", () => {
  const { OUTCOME_UNSPECIFIED: _, ...named } = Outcome;
  assert.deepEqual({ ...OUTCOMES }, named);
});

test("a definition is read as it is", () => {
  const d = definitionOf(["has_card"]);
  assert.deepEqual(readDefinition(structuredClone(d)), d);
});

test("each fault of a definition is named", () => {
  refused((d) => Reflect.deleteProperty(d, "name"), "invalid_field", "", /lacks the field name/);
  refused((d) => Object.assign(d, { extra: 1 }), "invalid_field", "", /unknown field extra/);
  refused((d) => Object.assign(d, { degraded_floor: "toString" }), "invalid_field", "", /degraded_floor/);
  refused((d) => Object.assign(d, { rules: {} }), "invalid_field", "", /rules must be a list/);
  refused((d) => Object.assign(d.rules[1], { id: "r0" }), "duplicate_id", "r0", /two rules/);
  refused((d) => Object.assign(d.rules[1], { id: "R 1" }), "invalid_field", "", /rules\[1\]\.id/);
  refused((d) => Object.assign(d.rules[1], { id: "late_event" }), "invalid_field", "late_event", /reserved/);
  refused((d) => Object.assign(d.rules[1], { severity: 1.01 }), "invalid_field", "r1", /severity/);
  refused((d) => Object.assign(d.rules[1], { severity: Number.NaN }), "invalid_field", "r1", /severity/);
  refused((d) => Object.assign(d.rules[1], { action: "ALLOW" }), "invalid_field", "r1", /action/);
  refused((d) => Object.assign(d.rules[1], { reason: "x".repeat(201) }), "invalid_field", "r1", /reason/);
  refused((d) => Object.assign(d.rules[1], { expression: " " }), "invalid_field", "r1", /expression/);
  const long = `has_card ${" ".repeat(EXPRESSION_CHARS_MAX)}`;
  refused((d) => Object.assign(d.rules[1], { expression: long }), "limit", "r1", /characters/);
  const many = Array.from({ length: RULES_MAX + 1 }, () => "has_card");
  refused((d) => Object.assign(d, definitionOf(many)), "limit", "", /65 rules/);
});

test("thresholds ascend, lie in (0, 1], and may be null", () => {
  const bad = [
    { challenge: 0.8, review: 0.7, block: 0.9 },
    { challenge: 0.8, review: null, block: 0.7 },
    { challenge: 0, review: 0.7, block: 0.9 },
    { challenge: 0.5, review: 0.7, block: 1.1 },
    { challenge: 0.5, review: "0.7", block: 0.9 },
  ];
  for (const thresholds of bad) {
    refused((d) => Object.assign(d, { thresholds }), "invalid_field", "", /thresholds\./);
  }
  const none = { challenge: null, review: null, block: null };
  assert.deepEqual(readDefinition({ ...(definitionOf([]) as object), thresholds: none }).thresholds, none);
});

test("the version depends on every value and on no layout", () => {
  const d = readDefinition(definitionOf(["has_card"]));
  const version = definitionVersion(d);
  assert.match(version, /^[0-9a-f]{12}$/);
  const shuffled = Object.fromEntries(Object.entries(d).reverse());
  assert.equal(definitionVersion(readDefinition(shuffled)), version);
  assert.notEqual(definitionVersion({ ...d, thresholds: { ...d.thresholds, block: 0.95 } }), version);
  assert.notEqual(definitionVersion({ ...d, degraded_floor: "REVIEW" }), version);
  assert.notEqual(definitionVersion({ ...d, rules: [{ ...d.rules[0], expression: "has_ip" }] }), version);
});
