/**
 * Accuracy of a run: ranking, card precision@k, calibration and recall by fraud scenario, with 95 % intervals, in the
 * shape that the accuracy command prints and writes. ranking.ts, calibration.ts, card_alerts.ts, bootstrap.ts and
 * known_cards.ts hold the definitions.
 *
 * Recall by scenario is given at three cuts. The first two match a desk of k cards a day, the third a share of genuine
 * payments stopped:
 * - `recall_alerts`: frauds whose card was among the k alerted that day, or had been found on an earlier day (a found
 *   card is blocked, so its later frauds do not happen); `found_earlier` says how many of them are of the second kind.
 * - `recall_threshold`: frauds with score >= the one threshold that lets through k cards a day on average
 *   (`thresholdOfBudget`), no card left out.
 * - `recall_at_half_percent_fpr`: frauds above the cut that lets through 0.5 % of the genuine payments.
 */

import type { RowIntervals, RowMeasures } from "./bootstrap.ts";
import { BOOTSTRAP, type BootstrapOptions, bootstrapMean, bootstrapRows, rowMeasures } from "./bootstrap.ts";
import { Calibration, type ReliabilityBin } from "./calibration.ts";
import { ALERTED, type CardAlerts, cardAlerts, FOUND_EARLIER, thresholdOfBudget } from "./card_alerts.ts";
import { type Interval, wilson } from "./interval.ts";
import { RankedCells } from "./ranked_cells.ts";
import { type Cut, cutAtFalsePositives } from "./ranking.ts";
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
  readonly recall_at_half_percent_fpr: number;
  // Wilson's intervals of the three.
  readonly recall_alerts_interval: Interval;
  readonly recall_threshold_interval: Interval;
  readonly recall_at_half_percent_fpr_interval: Interval;
}

/** Measures of a whole table that are one number each. NaN where not defined, which JSON writes as null. */
export interface Measures extends RowMeasures {
  /** Card precision@k with the k of `alerts`; k = 100 in the published tables. */
  readonly card_precision_at_100: number;
}

export interface Accuracy extends Measures {
  readonly payments: number;
  readonly frauds: number;
  readonly recall_by_scenario: readonly ScenarioRecall[];
  /** Score of the `recall_threshold` cut; -Infinity when the budget covers every card. */
  readonly threshold: number;
  readonly alerts: Pick<CardAlerts, "k" | "days">;
  /** Reliability diagram, lowest scores first; empty when the scores are no probabilities. */
  readonly reliability: readonly ReliabilityBin[];
  /** 95 %, by resampling payments; for card precision, days. */
  readonly intervals: Intervals;
}

export type Intervals = RowIntervals & { readonly card_precision_at_100: Interval };

/** Cards a desk looks at in a day. */
export const CARDS_A_DAY = 100;

/** All measures of the rows; every one is NaN without a row. */
export function accuracy(
  rows: ScoredPayments,
  k: number = CARDS_A_DAY,
  bootstrap: BootstrapOptions = BOOTSTRAP,
): Accuracy {
  const alerts = cardAlerts(rows, k);
  const threshold = thresholdOfBudget(rows, k);
  const cells = new RankedCells(rows.score, rows.fraud);
  const calibration = new Calibration(cells);
  const byDay = alerts.days.map((d) => d.precision);
  return {
    payments: rows.n,
    frauds: cells.total(cells.counts, 1),
    ...rowMeasures(cells, calibration),
    card_precision_at_100: alerts.precision,
    recall_by_scenario: recallByScenario(rows, alerts.state, threshold, cutAtFalsePositives(cells, 0.005)),
    threshold,
    alerts: { k: alerts.k, days: alerts.days },
    reliability: calibration.bins(),
    intervals: {
      ...bootstrapRows(cells, calibration, bootstrap),
      card_precision_at_100: bootstrapMean(byDay, bootstrap),
    },
  };
}

interface ScenarioCounts {
  frauds: number;
  alerted: number;
  found_earlier: number;
  above_threshold: number;
  /** Expected number, where the cut lies within a tie. */
  above_cut: number;
}

function recallByScenario(rows: ScoredPayments, state: Uint8Array, threshold: number, cut: Cut): ScenarioRecall[] {
  const { fraud, scenario, score } = rows;
  const counts = new Map<number, ScenarioCounts>();
  for (let r = 0; r < rows.n; r++) {
    if (fraud[r] === 0) continue;
    let c = counts.get(scenario[r]);
    if (c === undefined) {
      c = { frauds: 0, alerted: 0, found_earlier: 0, above_threshold: 0, above_cut: 0 };
      counts.set(scenario[r], c);
    }
    c.frauds++;
    if (state[r] === ALERTED) c.alerted++;
    if (state[r] === FOUND_EARLIER) c.found_earlier++;
    if (score[r] >= threshold) c.above_threshold++;
    if (score[r] >= cut.score) c.above_cut += score[r] > cut.score ? 1 : cut.share;
  }
  return [...counts].sort((a, b) => a[0] - b[0]).map(([number, c]) => scenarioRecall(number, c));
}

function scenarioRecall(scenario: number, { above_cut, ...c }: ScenarioCounts): ScenarioRecall {
  const desk = c.alerted + c.found_earlier;
  return {
    scenario,
    ...c,
    recall_alerts: desk / c.frauds,
    recall_threshold: c.above_threshold / c.frauds,
    recall_at_half_percent_fpr: above_cut / c.frauds,
    recall_alerts_interval: wilson(desk, c.frauds),
    recall_threshold_interval: wilson(c.above_threshold, c.frauds),
    recall_at_half_percent_fpr_interval: wilson(Math.min(above_cut, c.frauds), c.frauds),
  };
}
