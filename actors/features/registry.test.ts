import assert from "node:assert/strict";
import { test } from "node:test";
import { GROUPS } from "./feature.ts";
import {
  DEVICE_AT,
  FEATURE_COUNT,
  FEATURES,
  featureColumn,
  MERCHANT_AT,
  MERCHANT_EXTRA_AT,
  PAYMENT_AT,
  RISK_WINDOWS,
  USER_AT,
  USER_EXTRA_AT,
  WINDOWS,
} from "./registry.ts";

/** What readers of an explanation or a rule have seen so far; a new one is written here too. */
const UNITS = [
  ...["payments", "events", "users", "counterparties", "minor units", "s", "h", "km", "km/h"],
  ...["ratio", "share", "deviations", "0 or 1", "code", "as declared"],
];
/** A reason names its feature in one byte, as column + 1 (explanation.ts). */
const FEATURES_MAX = 254;

test("every feature has a name of its own, a known unit and group, a formula and words", () => {
  assert.equal(new Set(FEATURES.map((f) => f.name)).size, FEATURE_COUNT);
  assert.ok(FEATURE_COUNT <= FEATURES_MAX);
  for (const f of FEATURES) {
    assert.match(f.name, /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/);
    assert.ok(UNITS.includes(f.unit), `${f.name}: ${f.unit}`);
    assert.ok(GROUPS.includes(f.group), `${f.name}: ${f.group}`);
    for (const words of [f.formula, f.text, f.source ?? "none"]) assert.equal(words, words.trim() || "words", f.name);
  }
  for (const group of GROUPS)
    assert.ok(
      FEATURES.some((f) => f.group === group),
      group,
    );
});

test("a name is its column, and no other name has one", () => {
  for (const [column, f] of FEATURES.entries()) assert.equal(featureColumn(f.name), column);
  for (const name of ["", "Amount", "toString"]) assert.throws(() => featureColumn(name), RangeError);
});

test("the parts of the matrix lie one behind the other, each of one owner", () => {
  const starts = [USER_AT, USER_EXTRA_AT, PAYMENT_AT, MERCHANT_AT, MERCHANT_EXTRA_AT, DEVICE_AT, FEATURE_COUNT];
  const owners = ["user", "user", "payment", "merchant", "merchant", "device"];
  assert.equal(starts[0], 0);
  owners.forEach((owner, i) => {
    assert.ok(starts[i] < starts[i + 1], `part ${i}`);
    for (let c = starts[i]; c < starts[i + 1]; c++) assert.equal(FEATURES[c].owner, owner, FEATURES[c].name);
  });
});

test("a feature whose name ends in a window has that window, and its formula names it", () => {
  const lengths = new Map<string, number>([...WINDOWS, ...RISK_WINDOWS].map((w) => [w.name, w.us]));
  const windowed = FEATURES.filter((f) => f.window_us > 0);
  assert.ok(windowed.length > 70);
  for (const f of windowed) {
    const [, window] = /_(\d+[mhd])(?:_delayed)?$/.exec(f.name) ?? [];
    assert.equal(f.window_us, lengths.get(window), f.name);
    assert.ok(f.formula.replaceAll(" ", "").includes(`-${window}`), `${f.name}: ${f.formula}`);
  }
});

test("the groups are what their names say", () => {
  const groupOf = (name: string): string => FEATURES[featureColumn(name)].group;
  assert.deepEqual(
    [
      ...["user_count_24h", "user_count_7d", "user_amount_z_30d", "user_since_last_s", "user_since_device_change_s"],
      ...["merchant_amount_sum_1h", "merchant_risk_7d", "category_code", "merchant_distinct_30d", "device_users_30d"],
    ].map(groupOf),
    [
      ...["transaction_velocity", "user_behavioral", "user_behavioral", "transaction_velocity", "device_fingerprint"],
      ...["merchant_risk", "merchant_risk", "merchant_risk", "network_graph", "network_graph"],
    ],
  );
});
