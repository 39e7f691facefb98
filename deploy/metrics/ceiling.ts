/**
 * What the delay of labels leaves within reach, where a data set's process says so. In the handbook's a fraud of
 * scenario 2 (every payment at a compromised terminal, for 28 days) looks like any genuine payment, so it can be told
 * only by an earlier fraud of the same compromise whose label is known by then: at the same merchant, at least the
 * delay and less than 28 days old. Every other fraud counts as within reach.
 *
 * The ceiling is what a score would measure that is 1 for the frauds within reach and 0 for all other payments. It
 * judges, and must never be an input. A model can pass it by luck, or with what the frauds out of reach still show.
 */
import { CARDS_A_DAY } from "./accuracy.ts";
import { cardAlerts } from "./card_alerts.ts";
import { RankedCells } from "./ranked_cells.ts";
import { type RankingMeasures, rankingMeasures } from "./ranking.ts";
import type { ScoredPayments } from "./scored_payments.ts";

const DAY_US = 86_400e6;

/** Formats whose process is known: the scenario that only its place gives away, and how long a compromise lasts. */
const PROCESSES: Readonly<Record<string, { readonly scenario: number; readonly lasts_us: number }>> = {
  handbook: { scenario: 2, lasts_us: 28 * DAY_US },
};

/** A payment as `LabelReach` sees it. */
export interface LabelledPayment {
  /** Microseconds since 1970-01-01 UTC. */
  readonly eventTimeUs: number;
  readonly merchantId: string;
  readonly fraud?: 0 | 1 | undefined;
  readonly scenario?: number | undefined;
}

/** Tells which frauds are within reach. Feed it every payment of the history in event order, the test days last. */
export class LabelReach {
  readonly #delay_us: number;
  readonly #process: { readonly scenario: number; readonly lasts_us: number } | undefined;
  /** Times of the frauds that their place gives away, by merchant, rising. */
  readonly #frauds = new Map<string, number[]>();
  #scenarios = false;

  constructor(format: string, label_delay_us: number) {
    this.#process = Object.hasOwn(PROCESSES, format) ? PROCESSES[format] : undefined;
    this.#delay_us = label_delay_us;
  }

  /** Takes the next payment; true when it is a fraud within reach at its own time. */
  see(row: LabelledPayment): boolean {
    const process = this.#process;
    if (process === undefined || row.fraud !== 1) return false;
    if ((row.scenario ?? 0) !== 0) this.#scenarios = true;
    if (row.scenario !== process.scenario) return true;
    const t = row.eventTimeUs;
    const times = this.#frauds.get(row.merchantId);
    if (times === undefined) {
      this.#frauds.set(row.merchantId, [t]);
      return false;
    }
    const known = times.some((at) => at <= t - this.#delay_us && at > t - process.lasts_us);
    times.push(t);
    return known;
  }

  /** Why there is no ceiling; undefined when there is one. */
  get missing(): string | undefined {
    if (this.#process === undefined) return "nothing in this data says which frauds are out of reach";
    if (!this.#scenarios) return "the rows read do not say which scenario a fraud belongs to";
    return undefined;
  }
}

export interface CeilingMeasures extends RankingMeasures {
  readonly frauds: number;
  readonly reachable: number;
  /** reachable / frauds; NaN without a fraud. */
  readonly recall: number;
  readonly card_precision_at_100: number;
}

/** What a score of 1 for the frauds within reach, 0 for all other rows, measures. */
export function ceilingMeasures(rows: ScoredPayments): CeilingMeasures {
  const ideal = rows.withScores(rows.reachable);
  const cells = new RankedCells(ideal.score, ideal.fraud);
  const frauds = cells.total(cells.counts, 1);
  const reachable = rows.reachable.reduce((sum, r) => sum + r, 0);
  return {
    frauds,
    reachable,
    recall: reachable / frauds,
    ...rankingMeasures(cells, cells.counts),
    card_precision_at_100: cardAlerts(ideal, CARDS_A_DAY).precision,
  };
}
