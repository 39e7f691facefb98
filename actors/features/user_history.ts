/** The features of what a user did before X: its profile, and its newest payments one by one. */
import { type Feature, type FeatureGroup, one } from "./feature.ts";

function profileGroup(name: string): FeatureGroup {
  if (name === "device_is_new") return "device_fingerprint";
  return /^(since|gap|high_count)/.test(name) ? "transaction_velocity" : "user_behavioral";
}

/** In plain words, where the name alone does not say it. */
const PROFILE_TEXTS: Readonly<Record<string, string>> = {
  amount_over_usual: "amount against what is usual",
  usual_amount_z: "amount against the usual spread of amounts",
  amount_over_usual_max: "amount against the largest usual one",
  high_count_3d: "unusually high payments in 3 days",
  high_count_7d: "unusually high payments in 7 days",
  high_count_28d: "unusually high payments in 28 days",
  high_ratio_sum_7d: "how far payments of 7 days were above the usual",
  high_ratio_sum_28d: "how far payments of 28 days were above the usual",
  since_high_s: "time since the last unusually high payment",
  since_first_high_s: "time since unusually high payments began",
  amount_over_previous: "amount against the payment before",
  since_second_last_s: "time since the payment before the last",
  gap_over_usual: "time since the last payment against the usual",
  small_run: "a series of small payments",
  hour_share: "how usual the time of day is",
  weekday_share: "how usual the day of the week is",
  category_is_new: "a merchant category new to the user",
  country_is_new: "a country new to the user",
  device_is_new: "a device new to the user",
};

const WELFORD = "Welford 1962, Note on a method for calculating corrected sums of squares and products; usual amounts";

/** Of actors/user/profiles.ts, in its order: what is usual for the user, before X. */
export const USER_PROFILE: Feature[] = (
  [
    ["usual_amount_mean", "minor units", "mean of usual amounts: up to 3 times the mean before, from the third on"],
    ["usual_amount_std", "minor units", "population deviation of usual amounts, from the second on"],
    ["usual_amount_max", "minor units", "largest usual amount"],
    ["amount_over_usual", "ratio", "a / mean of usual amounts"],
    ["usual_amount_z", "deviations", "(a - mean) / deviation of usual amounts"],
    ["amount_over_usual_max", "ratio", "a / largest usual amount"],
    [
      "high_count_3d",
      "payments",
      "payments above 2.2 times the mean of their time, in (t - 3 d, t], the newest 16 held",
    ],
    ["high_count_7d", "payments", "the same in (t - 7 d, t]"],
    ["high_count_28d", "payments", "the same in (t - 28 d, t]"],
    ["high_ratio_sum_7d", "ratio", "sum of those payments' a / mean in (t - 7 d, t]"],
    ["high_ratio_sum_28d", "ratio", "the same in (t - 28 d, t]"],
    ["since_high_s", "s", "t - time of the newest of those payments in (t - 28 d, t]"],
    ["since_first_high_s", "s", "t - time of the oldest of those payments in (t - 28 d, t]"],
    ["previous_amount", "minor units", "amount of the payment before X"],
    ["amount_over_previous", "ratio", "a / amount of the payment before X"],
    ["since_second_last_s", "s", "t - time of the second newest payment"],
    ["gap_over_usual", "ratio", "time since the newest payment / mean time between payments"],
    ["small_run", "payments", "unbroken newest payments below half of the usual mean"],
    ["hour_share", "share", "share of earlier payments in X's two hours of the day, local time; halved at 255"],
    ["weekday_share", "share", "share of earlier payments on X's day of the week, local time; halved at 255"],
    ["category_is_new", "0 or 1", "1: not among the user's last 8 categories"],
    ["country_is_new", "0 or 1", "1: not among the user's last 4 countries"],
    ["device_is_new", "0 or 1", "1: not among the user's last 4 devices"],
  ] as const
).map(([name, unit, formula]) =>
  one(profileGroup(name), "user", `user_${name}`, unit, formula, PROFILE_TEXTS[name] ?? name.replaceAll("_", " "), {
    ...(unit === "minor units" ? { source: WELFORD } : {}),
  }),
);

const BACK = [2, 3, 4, 5, 6, 7];

/** Of actors/user/recent_payments.ts, in its order, and the hour where the user is. */
export const USER_RECENT: Feature[] = [
  ...BACK.map((k) =>
    one(
      "user_behavioral",
      "user",
      `user_amount_back_${k}`,
      "minor units",
      `amount of the payment ${k} back, X not counted, in (t - 30 d, t]`,
      "the amounts before it",
    ),
  ),
  ...BACK.map((k) =>
    one(
      "transaction_velocity",
      "user",
      `user_gap_back_${k}_s`,
      "s",
      `time from the payment ${k} back to the one after it, in (t - 30 d, t]`,
      "the time between the payments before it",
    ),
  ),
  ...(
    [
      [
        "user_behavioral",
        "merchant_payments",
        "payments",
        "payments at X's merchant among the newest 32 before X in (t - 30 d, t]",
        "payments of the user at this merchant",
      ],
      [
        "transaction_velocity",
        "since_merchant_s",
        "s",
        "t - time of the newest of those",
        "time since the user's last payment at this merchant",
      ],
      [
        "user_behavioral",
        "amount_over_merchant_last",
        "ratio",
        "a / amount of the newest of those",
        "amount against the last one at this merchant",
      ],
      [
        "user_behavioral",
        "amount_rank",
        "share",
        "share of the newest 32 payments before X in (t - 30 d, t] with a smaller amount",
        "how high the amount is among the user's last ones",
      ],
      [
        "user_behavioral",
        "same_amount_count",
        "payments",
        "those of the same amount",
        "payments of the very same amount",
      ],
      [
        "user_behavioral",
        "amount_trend",
        "ratio",
        "mean of the newest 3 of them / mean of all, from 4 on",
        "where the user's amounts are going",
      ],
      [
        "user_behavioral",
        "local_hour",
        "h",
        "hour of t by the sun at the user's place, 0..23",
        "the hour where the user is",
      ],
    ] as const
  ).map(([group, name, unit, formula, text]) => one(group, "user", `user_${name}`, unit, formula, text)),
];
