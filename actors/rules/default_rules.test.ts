/** Each default rule: a row on which it fires, and changes of one value each after which it just does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRuleSet } from "./compile.ts";
import definition from "./default_rules.json" with { type: "json" };
import { type Row, RowWriter } from "./row_testkit.ts";

const set = compileRuleSet(definition);

interface Example {
  readonly fires: Row;
  /** Each replaces values of `fires`; undefined makes a value missing. */
  readonly silent: readonly Readonly<Record<string, number | boolean | string | undefined>>[];
}

const DAY_S = 86400;

const EXAMPLES: Readonly<Record<string, Example>> = {
  card_testing_burst: {
    fires: { user_count_5m: 8, user_amount_mean_5m: 500 },
    silent: [{ user_count_5m: 7 }, { user_amount_mean_5m: 501 }, { user_amount_mean_5m: undefined }],
  },
  card_testing_spread: {
    fires: { user_distinct_5m: 5, user_amount_mean_5m: 1000 },
    silent: [{ user_distinct_5m: 4 }, { user_amount_mean_5m: 1001 }],
  },
  card_testing_cash_out: {
    fires: { user_count_1h: 6, amount: 20000, user_amount_sum_1h: 22500 },
    silent: [{ user_count_1h: 5 }, { amount: 19999 }, { user_amount_sum_1h: 22501 }],
  },
  declined_burst: {
    fires: { status: "DECLINED", user_count_5m: 5 },
    silent: [{ status: "AUTHORISED" }, { status: undefined }, { user_count_5m: 4 }],
  },
  velocity_minute: { fires: { user_count_1m: 10 }, silent: [{ user_count_1m: 9 }, { user_count_1m: undefined }] },
  velocity_hour: {
    fires: { user_count_1h: 15, user_count_30d: 30, user_known_s: 7 * DAY_S },
    silent: [{ user_count_1h: 14, user_count_30d: 28 }, { user_count_30d: 31 }, { user_known_s: 7 * DAY_S - 1 }],
  },
  spend_surge: {
    fires: {
      user_count_30d: 15,
      user_amount_sum_24h: 105000,
      user_amount_sum_30d: 149999,
      user_known_s: 14 * DAY_S,
    },
    silent: [
      { user_count_30d: 14 },
      { user_amount_sum_24h: 99999, user_amount_sum_30d: 100000 },
      { user_amount_sum_30d: 150001 },
      { user_known_s: 14 * DAY_S - 1 },
    ],
  },
  amount_outlier: {
    fires: { user_amount_z_30d: 8, user_count_30d: 15, amount: 30000 },
    silent: [{ user_amount_z_30d: 7.99 }, { user_count_30d: 14 }, { amount: 29999 }],
  },
  amount_far_above_usual: {
    fires: { user_amount_ratio_30d: 20, user_count_30d: 8, amount: 100000 },
    silent: [{ user_amount_ratio_30d: 19.9 }, { user_count_30d: 7 }, { amount: 99999 }],
  },
  takeover_password_payee: {
    fires: { user_since_password_change_s: 3600, user_since_new_payee_s: 3600, amount: 20000 },
    silent: [
      { user_since_password_change_s: 3601 },
      { user_since_password_change_s: undefined },
      { user_since_new_payee_s: 3601 },
      { amount: 19999 },
      { user_amount_ratio_30d: 1.9 },
    ],
  },
  takeover_password_amount: {
    fires: { user_since_password_change_s: DAY_S, user_amount_ratio_30d: 5, amount: 20000 },
    silent: [{ user_since_password_change_s: DAY_S + 1 }, { user_amount_ratio_30d: 4.9 }, { amount: 19999 }],
  },
  takeover_new_device: {
    fires: { user_since_device_change_s: 21600, user_merchant_is_new: 1, user_amount_ratio_30d: 4, amount: 20000 },
    silent: [
      { user_since_device_change_s: 21601 },
      { user_merchant_is_new: 0 },
      { user_amount_ratio_30d: 3.9 },
      { amount: 19999 },
    ],
  },
  takeover_failed_logins: {
    fires: { user_login_failed_24h: 5, user_amount_ratio_30d: 3 },
    silent: [{ user_login_failed_24h: 4 }, { user_amount_ratio_30d: 2.9 }],
  },
  new_payee_large: {
    fires: { has_payee: true, user_since_new_payee_s: 3600, user_amount_ratio_30d: 6, amount: 50000 },
    silent: [{ has_payee: false }, { user_since_new_payee_s: 3601 }, { user_amount_ratio_30d: 5.9 }, { amount: 49999 }],
  },
  new_card_spree: {
    fires: { user_since_new_card_s: 3600, user_count_1h: 5, user_distinct_1h: 4 },
    silent: [{ user_since_new_card_s: 3601 }, { user_count_1h: 4 }, { user_distinct_1h: 3 }],
  },
  compromised_merchant: {
    fires: { merchant_risk_7d: 0.5, merchant_count_7d_delayed: 4 },
    silent: [{ merchant_risk_7d: 0.499 }, { merchant_count_7d_delayed: 3 }, { merchant_risk_7d: undefined }],
  },
  merchant_risk_rising: {
    fires: { merchant_risk_1d: 0.31, merchant_count_1d_delayed: 10, merchant_risk_7d: 0.11 },
    silent: [{ merchant_risk_1d: 0.29 }, { merchant_count_1d_delayed: 9 }, { merchant_risk_7d: 0.09 }],
  },
  impossible_travel: {
    fires: { user_speed_kmh: 1200, user_distance_km: 300, channel: "card_present" },
    silent: [
      { user_speed_kmh: 1199 },
      { user_distance_km: 299 },
      { user_distance_km: undefined },
      { channel: "ecommerce" },
      { channel: undefined },
    ],
  },
  country_hop: {
    fires: { user_country_changed: 1, user_since_last_s: 3600, channel: "atm", amount: 10000 },
    silent: [
      { user_country_changed: 0 },
      { user_since_last_s: 3601 },
      { channel: "mobile" },
      { amount: 9999 },
      { user_distance_km: 149 },
    ],
  },
  night_new_merchant: {
    fires: { is_night: 1, user_merchant_is_new: 1, user_amount_ratio_30d: 6, user_count_30d: 5, amount: 30000 },
    silent: [
      { is_night: 0 },
      { user_merchant_is_new: 0 },
      { user_amount_ratio_30d: 5.9 },
      { user_count_30d: 4 },
      { amount: 29999 },
    ],
  },
  quasi_cash_high: {
    fires: { category: "7995", user_merchant_is_new: 1, user_amount_ratio_30d: 5, amount: 30000 },
    silent: [
      { category: "5411" },
      { category: undefined },
      { user_merchant_is_new: 0 },
      { user_amount_ratio_30d: 4.9 },
      { amount: 29999 },
    ],
  },
  shared_device: {
    fires: { has_device: true, device_users_30d: 8, channel: "mobile" },
    silent: [{ has_device: false }, { device_users_30d: 7 }, { channel: "card_present" }],
  },
  mule_collect: {
    fires: {
      channel: "transfer",
      merchant_distinct_24h: 8,
      merchant_count_24h: 8,
      merchant_count_30d: 9,
      amount: 10000,
      user_known_s: 7 * DAY_S,
    },
    silent: [
      { channel: "ecommerce" },
      { merchant_distinct_24h: 7 },
      { merchant_count_30d: 11 },
      { merchant_count_24h: 501, merchant_count_30d: 501 },
      { amount: 9999 },
      { user_known_s: 7 * DAY_S - 1 },
    ],
  },
  mule_spread: {
    fires: { channel: "transfer", user_distinct_1h: 5, user_amount_sum_1h: 200000 },
    silent: [{ channel: "mobile" }, { user_distinct_1h: 4 }, { user_amount_sum_1h: 199999 }],
  },
  atm_cash_out: {
    fires: { channel: "atm", user_count_1h: 4, user_amount_sum_1h: 100000 },
    silent: [{ channel: "card_present" }, { user_count_1h: 3 }, { user_amount_sum_1h: 99999 }],
  },
  dormant_account: {
    fires: { user_since_last_s: 20 * DAY_S, user_known_s: 60 * DAY_S, user_merchant_is_new: 1, amount: 50000 },
    silent: [
      { user_since_last_s: 20 * DAY_S - 1 },
      { user_known_s: 60 * DAY_S - 1 },
      { user_merchant_is_new: 0 },
      { amount: 49999 },
      { user_amount_ratio_30d: 4.9 },
    ],
  },
  new_user_large: {
    fires: { user_known_s: DAY_S, amount: 300000, channel: "ecommerce" },
    silent: [{ user_known_s: DAY_S + 1 }, { amount: 299999 }, { channel: "card_present" }],
  },
  suspicious_and_unusual: {
    fires: { score: 0.36, user_merchant_is_new: 1, user_amount_ratio_30d: 8 },
    silent: [{ score: 0.34 }, { score: undefined }, { user_merchant_is_new: 0 }, { user_amount_ratio_30d: 7.9 }],
  },
  identical_amounts: {
    fires: { user_count_1h: 5, user_amount_std_1h: 0, amount: 1000 },
    silent: [{ user_count_1h: 4 }, { user_amount_std_1h: 1 }, { amount: 999 }],
  },
};

/** Ids of the rules that fire on a row. */
function firedIds(row: Row): string[] {
  const w = new RowWriter(1);
  w.write(0, row);
  set.evaluate(w.block, w.F, 0, 1);
  return set.rules.filter((rule) => w.fired(0, rule.bit)).map((rule) => rule.id);
}

test("there are at least 18 rules, each with an example", () => {
  assert.ok(set.rules.length >= 18);
  assert.deepEqual(
    set.rules.map((r) => r.id),
    Object.keys(EXAMPLES),
  );
});

for (const [id, { fires, silent }] of Object.entries(EXAMPLES)) {
  test(`${id} fires, and just does not`, () => {
    assert.ok(firedIds(fires).includes(id), "fires");
    for (const change of silent) {
      const row = Object.fromEntries(Object.entries({ ...fires, ...change }).filter(([, v]) => v !== undefined));
      assert.ok(!firedIds(row as Row).includes(id), `silent with ${JSON.stringify(change)}`);
    }
  });
}

test("an ordinary payment fires nothing, nor does one of which nothing is known", () => {
  assert.deepEqual(firedIds({}), []);
  const ordinary: Row = {
    amount: 4200,
    amount_minor: 4200,
    score: 0.02,
    channel: "ecommerce",
    category: "5411",
    country: "DE",
    status: "AUTHORISED",
    has_card: true,
    has_device: true,
    user_count_1m: 1,
    user_count_5m: 1,
    user_count_1h: 2,
    user_count_30d: 40,
    user_amount_mean_5m: 4200,
    user_amount_sum_1h: 6000,
    user_amount_sum_24h: 9000,
    user_amount_sum_30d: 160000,
    user_amount_std_1h: 1200,
    user_distinct_5m: 1,
    user_distinct_1h: 2,
    user_amount_ratio_30d: 1.05,
    user_amount_z_30d: 0.1,
    user_merchant_is_new: 1,
    user_known_s: 90 * DAY_S,
    user_since_last_s: 3000,
    user_since_password_change_s: 1000,
    is_night: 1,
    merchant_risk_1d: 0,
    merchant_risk_7d: 0.01,
    merchant_count_1d_delayed: 100,
    merchant_count_7d_delayed: 700,
    device_users_30d: 2,
  };
  assert.deepEqual(firedIds(ordinary), []);
});
