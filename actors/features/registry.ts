/**
 * The features: what each is called, which group it is of, who computes it, in which unit, by which formula. The order
 * here is the column order of the feature matrix (row-major float32, FEATURE_COUNT columns); a missing value is NaN,
 * never zero.
 *
 * Window features of payment X at event time t use every payment of the actor accepted before X, and X itself, with
 * event time in (t - W, t]. Money is in the tenant's base currency, minor units.
 */
import { ATTRIBUTE_SLOTS } from "../../proto/columns.ts";
import { type Feature, type FeatureGroup, one } from "./feature.ts";
import { USER_PROFILE, USER_RECENT } from "./user_history.ts";

export const MINUTE_US = 60e6;
export const HOUR_US = 3600e6;
export const DAY_US = 86400e6;

/** Windows of user and merchant actors, shortest first. */
export const WINDOWS = [
  { name: "1m", us: MINUTE_US, text: "the last minute" },
  { name: "5m", us: 5 * MINUTE_US, text: "the last 5 minutes" },
  { name: "1h", us: HOUR_US, text: "the last hour" },
  { name: "24h", us: DAY_US, text: "the last 24 hours" },
  { name: "7d", us: 7 * DAY_US, text: "the last 7 days" },
  { name: "30d", us: 30 * DAY_US, text: "the last 30 days" },
] as const;
export const WINDOWS_US: readonly number[] = WINDOWS.map((w) => w.us);

/** Delay until a fraud label is taken as known, and the windows of merchant risk that end there. */
export const LABEL_DELAY_US = 7 * DAY_US;
export const RISK_WINDOWS = [
  { name: "1d", us: DAY_US },
  { name: "7d", us: 7 * DAY_US },
  { name: "30d", us: 30 * DAY_US },
] as const;
export const RISK_WINDOWS_US: readonly number[] = RISK_WINDOWS.map((w) => w.us);

/** Statistics of one window in column order; `distinct` counts counterparties. */
export const STATS = [
  { name: "count", unit: "payments", formula: "n", text: "payments" },
  { name: "amount_sum", unit: "minor units", formula: "sum(a)", text: "total amount" },
  { name: "amount_mean", unit: "minor units", formula: "sum(a) / n", text: "average amount" },
  {
    name: "amount_std",
    unit: "minor units",
    formula: "sqrt(sum(a^2)/n - mean^2), population",
    text: "spread of amounts",
  },
  { name: "amount_max", unit: "minor units", formula: "max(a)", text: "largest amount" },
  { name: "distinct", unit: "counterparties", formula: "distinct counterparties", text: "different counterparties" },
] as const;
export const STAT_COUNT = STATS.length;
export const WINDOW_COLUMNS = WINDOWS.length * STAT_COUNT;

const AGGREGATION = "Whitrow et al. 2009, Transaction aggregation as a strategy for credit card fraud detection";
const HANDBOOK =
  "Le Borgne et al. 2022, Reproducible Machine Learning for Credit Card Fraud Detection, baseline features";
const HAVERSINE = "Sinnott 1984, Virtues of the Haversine; sphere of 6371.0088 km (IUGG mean radius)";

/** A window of up to a day tells how fast a user pays, a longer one what is usual. */
function userGroup(_stat: string, window_us: number): FeatureGroup {
  return window_us <= DAY_US ? "transaction_velocity" : "user_behavioral";
}

function merchantGroup(stat: string): FeatureGroup {
  return stat === "distinct" ? "network_graph" : "merchant_risk";
}

function windows(owner: "user" | "merchant", group: (stat: string, window_us: number) => FeatureGroup): Feature[] {
  return WINDOWS.flatMap((w) =>
    STATS.map((s) => ({
      name: `${owner}_${s.name}_${w.name}`,
      group: group(s.name, w.us),
      owner,
      unit: s.unit,
      formula: `${s.formula} over (t - ${w.name}, t], X included`,
      source: AGGREGATION,
      window_us: w.us,
      text: `${s.text} of this ${owner} in ${w.text}`,
    })),
  );
}

const USER_EXTRA: Feature[] = [
  one(
    "transaction_velocity",
    "user",
    "user_since_last_s",
    "s",
    "t - time of the newest earlier payment",
    "time since the last payment",
  ),
  one(
    "user_behavioral",
    "user",
    "user_speed_kmh",
    "km/h",
    "great-circle distance / time since the last located payment",
    "travel speed",
    { source: HAVERSINE },
  ),
  one(
    "user_behavioral",
    "user",
    "user_distance_km",
    "km",
    "great-circle distance to the last located payment",
    "distance from the last place",
    { source: HAVERSINE },
  ),
  one(
    "user_behavioral",
    "user",
    "user_amount_ratio_30d",
    "ratio",
    "a / mean of the user's 30 d without X",
    "amount against the usual",
  ),
  one(
    "user_behavioral",
    "user",
    "user_amount_z_30d",
    "deviations",
    "(a - mean) / std of the user's 30 d without X",
    "amount against the usual spread",
  ),
  one(
    "user_behavioral",
    "user",
    "user_merchant_is_new",
    "0 or 1",
    "1: no payment of this user to this merchant in 30 d",
    "a merchant new to the user",
  ),
  one(
    "user_behavioral",
    "user",
    "user_country_changed",
    "0 or 1",
    "country differs from the last payment's",
    "a change of country",
  ),
  one(
    "user_behavioral",
    "user",
    "user_known_s",
    "s",
    "t - time of the user's first payment",
    "age of the user's history",
  ),
  one(
    "user_behavioral",
    "user",
    "user_login_failed_24h",
    "events",
    "failed logins in (t - 24 h, t], the last 8 held",
    "failed logins",
    { window_us: DAY_US },
  ),
  one("user_behavioral", "user", "user_since_login_s", "s", "t - time of the last login", "time since the last login"),
  one(
    "user_behavioral",
    "user",
    "user_since_password_change_s",
    "s",
    "t - time of the last password change",
    "time since a password change",
  ),
  one(
    "device_fingerprint",
    "user",
    "user_since_device_change_s",
    "s",
    "t - time of the last device change",
    "time since a device change",
  ),
  one(
    "user_behavioral",
    "user",
    "user_since_new_payee_s",
    "s",
    "t - time of the last new payee",
    "time since a new payee",
  ),
  one(
    "user_behavioral",
    "user",
    "user_since_new_card_s",
    "s",
    "t - time of the last new card",
    "time since a new card",
  ),
];

/** Of the merchant's payments that are known by now, being a label delay old: the newest unbroken run of frauds. */
const MERCHANT_RUN: Feature[] = (
  [
    [
      "run_length",
      "payments",
      "frauds usual for their users in the run, 0 when the newest known is genuine; 64 looked at",
    ],
    ["run_since_first_s", "s", "t - time of the run's first payment"],
    ["run_since_newest_s", "s", "t - time of the run's newest payment"],
    ["run_since_genuine_s", "s", "t - time of the genuine payment before the run"],
    ["run_onset_s", "s", "time from that genuine payment to the run's first"],
    ["run_payments_since", "payments", "payments here since the run's first, known or not"],
    [
      "run_unusual_frauds",
      "payments",
      "frauds among them that are unusual for their users, which do not break the run",
    ],
  ] as const
).map(([name, unit, formula]) =>
  one("merchant_risk", "merchant", `merchant_${name}`, unit, formula, "a series of frauds at this merchant"),
);

const PAYMENT: Feature[] = [
  one("user_behavioral", "payment", "amount", "minor units", "a", "the amount"),
  one("user_behavioral", "payment", "hour", "h", "hour of t, UTC, 0..23", "the hour"),
  one("user_behavioral", "payment", "is_night", "0 or 1", "hour <= 6", "a payment at night", { source: HANDBOOK }),
  one("user_behavioral", "payment", "is_weekend", "0 or 1", "Saturday or Sunday, UTC", "a payment at the weekend", {
    source: HANDBOOK,
  }),
  one("user_behavioral", "payment", "channel_code", "code", "position in CHANNELS, NaN when other", "the channel"),
  one("merchant_risk", "payment", "category_code", "code", "the four digits, NaN when other", "the merchant category"),
  one("device_fingerprint", "payment", "has_device", "0 or 1", "a device id was given", "a device id"),
  ...Array.from({ length: ATTRIBUTE_SLOTS }, (_, i) =>
    one(
      "user_behavioral",
      "payment",
      `attribute_${i + 1}`,
      "as declared",
      `the tenant's attribute declared for slot ${i + 1}`,
      `attribute ${i + 1}`,
    ),
  ),
  one("user_behavioral", "payment", "amount_cents", "minor units", "a modulo 100", "the cents of the amount"),
];

const MERCHANT_EXTRA: Feature[] = [
  one(
    "merchant_risk",
    "merchant",
    "merchant_since_last_s",
    "s",
    "t - time of its newest earlier payment",
    "time since its last payment",
  ),
  ...RISK_WINDOWS.flatMap((w) => [
    one(
      "merchant_risk",
      "merchant",
      `merchant_count_${w.name}_delayed`,
      "payments",
      `n over (t - 7 d - ${w.name}, t - 7 d]`,
      "payments a week ago",
      { window_us: w.us, source: HANDBOOK },
    ),
    one(
      "merchant_risk",
      "merchant",
      `merchant_risk_${w.name}`,
      "share",
      `confirmed frauds / n over (t - 7 d - ${w.name}, t - 7 d], 0 when n = 0`,
      "confirmed fraud at this merchant",
      { window_us: w.us, source: HANDBOOK },
    ),
  ]),
];

const DEVICE: Feature[] = [
  one(
    "device_fingerprint",
    "device",
    "device_events_24h",
    "events",
    "events of this device in (t - 24 h, t]",
    "events of this device",
    { window_us: DAY_US },
  ),
  one(
    "network_graph",
    "device",
    "device_users_30d",
    "users",
    "distinct users of its events in (t - 30 d, t]",
    "users of this device",
    { window_us: 30 * DAY_US },
  ),
  one(
    "device_fingerprint",
    "device",
    "device_since_event_s",
    "s",
    "t - time of its newest event",
    "time since this device's last event",
  ),
];

/** Channels the model knows, in the order of `channel_code`. */
export const CHANNELS = ["card_present", "ecommerce", "mobile", "atm", "transfer", "moto"] as const;

export const FEATURES: readonly Feature[] = [
  ...windows("user", userGroup),
  ...USER_EXTRA,
  ...USER_PROFILE,
  ...USER_RECENT,
  ...PAYMENT,
  ...windows("merchant", merchantGroup),
  ...MERCHANT_EXTRA,
  ...MERCHANT_RUN,
  ...DEVICE,
];
export const FEATURE_COUNT = FEATURES.length;

/** First column of each part of the matrix: who writes it writes the whole part. */
export const USER_AT = 0;
export const USER_EXTRA_AT = USER_AT + WINDOW_COLUMNS;
export const USER_PROFILE_AT = USER_EXTRA_AT + USER_EXTRA.length;
export const USER_RECENT_AT = USER_PROFILE_AT + USER_PROFILE.length;
export const PAYMENT_AT = USER_RECENT_AT + USER_RECENT.length;
export const MERCHANT_AT = PAYMENT_AT + PAYMENT.length;
export const MERCHANT_EXTRA_AT = MERCHANT_AT + WINDOW_COLUMNS;
export const MERCHANT_RUN_AT = MERCHANT_EXTRA_AT + MERCHANT_EXTRA.length;
export const DEVICE_AT = MERCHANT_RUN_AT + MERCHANT_RUN.length;

const INDEX = new Map(FEATURES.map((f, i) => [f.name, i]));

/** Column of a feature. Throws RangeError for a name that is not in the registry. */
export function featureColumn(name: string): number {
  const i = INDEX.get(name);
  if (i === undefined) throw new RangeError(`no feature named ${name}`);
  return i;
}
