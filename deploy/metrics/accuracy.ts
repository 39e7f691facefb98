/**
 * Accuracy of a run: ROC AUC, average precision, card precision@k and recall by fraud scenario, in the shape that the
 * accuracy command prints and writes. ranking.ts, card_alerts.ts and known_cards.ts hold the definitions.
 *
 * Recall by scenario is given at the two cuts that match a desk of k cards a day:
 * - `recall_alerts`: frauds whose card was among the k alerted that day, or had been found on an earlier day (a found
 *   card is blocked, so its later frauds do not happen); `found_earlier` says how many of them are of the second kind.
 * - `recall_threshold`: frauds with score >= the one threshold that lets through k cards a day on average
 *   (`thresholdOfBudget`), no card left out.
 */
import { ALERTED, type CardAlerts, cardAlerts, FOUND_EARLIER, thresholdOfBudget } from "./card_alerts.ts";
import { averagePrecision, rocAuc } from "./ranking.ts";
import type { ScoredPayments } from "./scored_payments.ts";

export interface ScenarioRecall {
  readonly scenario: number;
  /** Fraud payments of the scenario. */
  readonly frauds: number;
  readonly alerted: number;
  readonly found_earlier: number;
  readonly above_threshold: number;
  /** (alerted + found_earlier) / frauds. */
  readonly recall_alerts: number;
  /** above_threshold / frauds. */
  readonly recall_threshold: number;
}

export interface Accuracy {
  readonly payments: number;
  readonly frauds: number;
  /** NaN when a class is absent; JSON writes it as null. */
  readonly roc_auc: number;
  readonly average_precision: number;
  /** Card precision@k with the k of `alerts`; k = 100 in the published tables. */
  readonly card_precision_at_100: number;
  readonly recall_by_scenario: readonly ScenarioRecall[];
  /** Score of the `recall_threshold` cut; -Infinity when the budget covers every card. */
  readonly threshold: number;
  readonly alerts: Pick<CardAlerts, "k" | "days">;
}

/** Cards a desk looks at in a day. */
export const CARDS_A_DAY = 100;

/** All measures of the rows. Throws RangeError without a row. */
export function accuracy(rows: ScoredPayments, k: number = CARDS_A_DAY): Accuracy {
  if (rows.n === 0) throw new RangeError("no scored payment: nothing to measure");
  const alerts = cardAlerts(rows, k);
  const threshold = thresholdOfBudget(rows, k);
  return {
    payments: rows.n,
    frauds: rows.fraud.reduce((sum, f) => sum + f, 0),
    roc_auc: rocAuc(rows.score, rows.fraud),
    average_precision: averagePrecision(rows.score, rows.fraud),
    card_precision_at_100: alerts.precision,
    recall_by_scenario: recallByScenario(rows, alerts.state, threshold),
    threshold,
    alerts: { k: alerts.k, days: alerts.days },
  };
}

function recallByScenario(rows: ScoredPayments, state: Uint8Array, threshold: number): ScenarioRecall[] {
  const { fraud, scenario, score } = rows;
  const counts = new Map<number, { frauds: number; alerted: number; found_earlier: number; above_threshold: number }>();
  for (let r = 0; r < rows.n; r++) {
    if (fraud[r] === 0) continue;
    let c = counts.get(scenario[r]);
    if (c === undefined) {
      c = { frauds: 0, alerted: 0, found_earlier: 0, above_threshold: 0 };
      counts.set(scenario[r], c);
    }
    c.frauds++;
    if (state[r] === ALERTED) c.alerted++;
    if (state[r] === FOUND_EARLIER) c.found_earlier++;
    if (score[r] >= threshold) c.above_threshold++;
  }
  return [...counts]
    .sort((a, b) => a[0] - b[0])
    .map(([number, c]) => ({
      scenario: number,
      ...c,
      recall_alerts: (c.alerted + c.found_earlier) / c.frauds,
      recall_threshold: c.above_threshold / c.frauds,
    }));
}
