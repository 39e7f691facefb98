/**
 * What scores are worth as probabilities: Brier score, log loss, reliability diagram and expected calibration error. A
 * score outside 0..1 is no probability: then every measure is NaN and there are no bins.
 *
 * The diagram has ten bins of equal count by rank. Rows of one score share a bin, the one that holds the middle of
 * their ranks, so that the order of the rows changes nothing; with many ties bins are uneven, and an empty one is left
 * out.
 */
import { type Interval, wilson } from "./interval.ts";
import type { RankedCells } from "./ranked_cells.ts";

export const RELIABILITY_BINS = 10;
/** Log loss takes scores no closer to 0 and 1 than this: a sure and wrong answer costs 34.5, not infinity. */
const LOG_LOSS_MARGIN = 1e-15;
/** A score above it says fraud, for the F1. */
const HALF = 0.5;

export interface CalibrationMeasures {
  /** Mean of (score - label) squared. 0..1, less is better. */
  readonly brier: number;
  /** Mean of -ln(probability given to what happened), nats. */
  readonly log_loss: number;
  /** Mean over the bins of |mean score - share of frauds|, by their rows: 0..1. */
  readonly calibration_error: number;
  /** Mean of the F1 of both classes when a score above 0.5 says fraud; a class that is neither there nor said has 0. */
  readonly f1_macro: number;
}

export interface ReliabilityBin {
  readonly payments: number;
  readonly frauds: number;
  readonly lowest_score: number;
  readonly highest_score: number;
  readonly mean_score: number;
  /** frauds / payments, and its Wilson interval. */
  readonly fraud_share: number;
  readonly fraud_share_interval: Interval;
}

export class Calibration {
  readonly #cells: RankedCells;
  readonly #probabilities: boolean;
  // Over the cells: bin (0 the lowest scores) and cost of a row.
  readonly #bin: Uint8Array;
  readonly #brier: Float64Array;
  readonly #logLoss: Float64Array;

  constructor(cells: RankedCells) {
    const { score, fraud } = cells;
    this.#cells = cells;
    this.#probabilities = score.every((s) => s >= 0 && s <= 1);
    this.#bin = binsOf(cells);
    this.#brier = score.map((s, c) => (s - fraud[c]) ** 2);
    this.#logLoss = score.map((s, c) => -Math.log(Math.max(fraud[c] === 1 ? s : 1 - s, LOG_LOSS_MARGIN)));
  }

  /** Measures the cells with `counts` rows each; the bins stay those of the data. All NaN without a row. */
  measures(counts: Uint32Array): CalibrationMeasures {
    if (!this.#probabilities) {
      return { brier: Number.NaN, log_loss: Number.NaN, calibration_error: Number.NaN, f1_macro: Number.NaN };
    }
    const { score, fraud } = this.#cells;
    // Of each bin the frauds expected less those that happened.
    const excess = new Float64Array(RELIABILITY_BINS);
    let rows = 0;
    let frauds = 0;
    let brier = 0;
    let logLoss = 0;
    let flagged = 0;
    let caught = 0;
    for (let c = 0; c < counts.length; c++) {
      const n = counts[c];
      rows += n;
      brier += n * this.#brier[c];
      logLoss += n * this.#logLoss[c];
      excess[this.#bin[c]] += n * (score[c] - fraud[c]);
      if (fraud[c] === 1) frauds += n;
      if (score[c] <= HALF) continue;
      flagged += n;
      if (fraud[c] === 1) caught += n;
    }
    return {
      brier: brier / rows,
      log_loss: logLoss / rows,
      calibration_error: excess.reduce((sum, e) => sum + Math.abs(e), 0) / rows,
      f1_macro: rows === 0 ? Number.NaN : f1Macro(caught, flagged - caught, frauds - caught, rows),
    };
  }

  /** The reliability diagram of the data, lowest scores first. */
  bins(): ReliabilityBin[] {
    if (!this.#probabilities) return [];
    const { score, fraud, counts } = this.#cells;
    const bins: ReliabilityBin[] = [];
    // Cells stand by falling score, so a bin is a run of them.
    for (let c = counts.length - 1; c >= 0; ) {
      const bin = this.#bin[c];
      const lowest = score[c];
      let payments = 0;
      let frauds = 0;
      let sum = 0;
      for (; c >= 0 && this.#bin[c] === bin; c--) {
        payments += counts[c];
        frauds += fraud[c] * counts[c];
        sum += score[c] * counts[c];
      }
      bins.push({
        payments,
        frauds,
        lowest_score: lowest,
        highest_score: score[c + 1],
        mean_score: sum / payments,
        fraud_share: frauds / payments,
        fraud_share_interval: wilson(frauds, payments),
      });
    }
    return bins;
  }
}

function binsOf(cells: RankedCells): Uint8Array {
  const { score, counts, rows } = cells;
  const bin = new Uint8Array(counts.length);
  let above = 0;
  for (let c = 0; c < counts.length; ) {
    let end = c;
    let tied = 0;
    for (; end < counts.length && score[end] === score[c]; end++) tied += counts[end];
    // Ranks from below: the middle of the tie's.
    const middle = (rows - above - tied / 2) / rows;
    bin.fill(Math.floor(RELIABILITY_BINS * middle), c, end);
    above += tied;
    c = end;
  }
  return bin;
}

/** `caught` frauds flagged, `wrong` genuine flagged, `missed` frauds not flagged, of `rows`. */
function f1Macro(caught: number, wrong: number, missed: number, rows: number): number {
  const quiet = rows - caught - wrong - missed;
  const f1 = (hits: number) => (hits === 0 ? 0 : (2 * hits) / (2 * hits + wrong + missed));
  return (f1(caught) + f1(quiet)) / 2;
}
