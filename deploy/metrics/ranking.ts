/**
 * Ranking measures over (score, label) columns. Tied scores form one threshold, and where a budget ends within a tie
 * the part of it that fits counts in the proportion of the tie (the expectation over its random orders), so the order
 * of the rows never changes a result.
 */
import { RankedCells } from "./ranked_cells.ts";

/** Share of the payments that a desk reviews in `lift_20`. */
export const REVIEW_SHARE = 0.2;

export interface RankingMeasures {
  /**
   * Area under the ROC curve: the chance that a fraud scores above a genuine payment, a tie counting one half (the
   * Mann-Whitney statistic). 0..1; NaN when either class is absent.
   */
  readonly roc_auc: number;
  /**
   * Sum over the distinct thresholds n, falling, of (R_n - R_{n-1}) P_n with recall R and precision P of "score >=
   * threshold". No interpolation. 0..1; NaN without a fraud.
   */
  readonly average_precision: number;
  /** Share of all frauds among the 20 % of the rows with the highest scores, divided by 0.2. 0..5; NaN without any. */
  readonly lift_20: number;
  /** Share of the frauds above the cut that lets through this share of the genuine. NaN when a class is absent. */
  readonly recall_at_half_percent_fpr: number;
  readonly recall_at_one_percent_fpr: number;
}

/** Measures the cells with `counts` rows each; the data's own are `cells.counts`. One pass, no sorting. */
export function rankingMeasures(cells: RankedCells, counts: Uint32Array): RankingMeasures {
  const { score, fraud } = cells;
  const frauds = cells.total(counts, 1);
  const genuine = cells.total(counts, 0);
  const review = REVIEW_SHARE * (frauds + genuine);
  let caught = 0;
  let passed = 0;
  let wins = 0;
  let precisions = 0;
  let reviewed = 0;
  let atHalf = 0;
  let atOne = 0;
  for (let c = 0; c < score.length; ) {
    const at = score[c];
    let f = 0;
    let g = 0;
    for (; c < score.length && score[c] === at; c++) {
      if (fraud[c] === 1) f += counts[c];
      else g += counts[c];
    }
    if (f + g === 0) continue;
    reviewed += f * shareThatFits(review - caught - passed, f + g);
    atHalf += f * shareThatFits(0.005 * genuine - passed, g);
    atOne += f * shareThatFits(0.01 * genuine - passed, g);
    wins += g * (caught + f / 2);
    caught += f;
    passed += g;
    precisions += f * (caught / (caught + passed));
  }
  const noGenuine = genuine === 0 ? Number.NaN : 1;
  return {
    roc_auc: wins / (frauds * genuine),
    average_precision: precisions / frauds,
    lift_20: reviewed / frauds / REVIEW_SHARE,
    recall_at_half_percent_fpr: (atHalf / frauds) * noGenuine,
    recall_at_one_percent_fpr: (atOne / frauds) * noGenuine,
  };
}

/** Part of a tie of `size` rows that a budget with this room left takes, 0..1; a tie that costs nothing fits at 0. */
function shareThatFits(room: number, size: number): number {
  if (room >= size) return 1;
  return room > 0 ? room / size : 0;
}

/** A cut: rows above `score` are through, of those at it this share. */
export interface Cut {
  readonly score: number;
  readonly share: number;
}

/** The cut that lets through this share of the genuine rows; everything when there is none. */
export function cutAtFalsePositives(cells: RankedCells, rate: number): Cut {
  const { score, fraud, counts } = cells;
  const budget = rate * cells.total(counts, 0);
  let passed = 0;
  for (let c = 0; c < score.length; ) {
    const at = score[c];
    let g = 0;
    for (; c < score.length && score[c] === at; c++) if (fraud[c] === 0) g += counts[c];
    const share = shareThatFits(budget - passed, g);
    if (share < 1) return { score: at, share };
    passed += g;
  }
  return { score: Number.NEGATIVE_INFINITY, share: 1 };
}

/** See RankingMeasures. Throws RangeError as RankedCells does. */
export function rocAuc(score: Float64Array, fraud: Uint8Array): number {
  const cells = new RankedCells(score, fraud);
  return rankingMeasures(cells, cells.counts).roc_auc;
}

/** See RankingMeasures. Throws RangeError as RankedCells does. */
export function averagePrecision(score: Float64Array, fraud: Uint8Array): number {
  const cells = new RankedCells(score, fraud);
  return rankingMeasures(cells, cells.counts).average_precision;
}
