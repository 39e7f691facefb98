/**
 * How well scores told frauds from genuine payments, over the payments whose label is known by now: ranking and
 * calibration with bootstrap intervals (deploy/metrics), and at given thresholds precision, recall and false positive
 * rate with Wilson's intervals.
 */
import {
  type BootstrapOptions,
  bootstrapRows,
  type RowIntervals,
  type RowMeasures,
  rowMeasures,
} from "../metrics/bootstrap.ts";
import { Calibration, type ReliabilityBin } from "../metrics/calibration.ts";
import { type Interval, wilson } from "../metrics/interval.ts";
import { RankedCells } from "../metrics/ranked_cells.ts";
import { FRAUD, UNKNOWN } from "./label_delay.ts";

/** A score from which on payments are alerted. */
export interface Threshold {
  /** Of an outcome of the rule set (challenge, review, block), or the number as it was given. */
  readonly name: string;
  /** 0..1. Scores are float32: compared with it as float32, as decisions are. */
  readonly score: number;
}

/** Shares are NaN where they are of nothing, which JSON writes as null; intervals are 95 %. */
export interface ThresholdQuality extends Threshold {
  /** Known payments at or above the threshold, and the frauds among them. */
  readonly alerted: number;
  readonly caught: number;
  /** caught / alerted. */
  readonly precision: number;
  readonly precision_interval: Interval;
  /** caught / frauds. */
  readonly recall: number;
  readonly recall_interval: Interval;
  /** Genuine payments alerted / genuine payments. */
  readonly false_positive_rate: number;
  readonly false_positive_rate_interval: Interval;
}

export interface Quality {
  /** Payments: all, those whose label is known, frauds among these. */
  readonly payments: number;
  readonly known: number;
  readonly frauds: number;
  /** frauds / known. */
  readonly fraud_share: number;
  readonly fraud_share_interval: Interval;
  /** Ranking and calibration over the known payments, with their intervals. */
  readonly measures: RowMeasures;
  readonly intervals: RowIntervals;
  readonly thresholds: readonly ThresholdQuality[];
  /** Lowest scores first. */
  readonly reliability: readonly ReliabilityBin[];
}

export interface QualityOptions {
  readonly thresholds: readonly Threshold[];
  readonly bootstrap: BootstrapOptions;
}

/**
 * Quality over the payments with `take[r] === of`; over all of them without `take`. `state` is known_labels' column.
 * Throws RangeError for columns of different length and for a known payment without a score (NaN).
 */
export function quality(
  scores: Float32Array,
  state: Uint8Array,
  o: QualityOptions,
  take?: Uint16Array,
  of = 0,
): Quality {
  if (scores.length !== state.length) throw new RangeError(`${scores.length} scores for ${state.length} labels`);
  let [payments, known] = [0, 0];
  const isTaken = (r: number): boolean => take === undefined || take[r] === of;
  for (let r = 0; r < state.length; r++) {
    if (!isTaken(r)) continue;
    payments++;
    if (state[r] !== UNKNOWN) known++;
  }
  const [score, fraud] = [new Float64Array(known), new Uint8Array(known)];
  for (let r = 0, at = 0; r < state.length; r++) {
    if (!isTaken(r) || state[r] === UNKNOWN) continue;
    score[at] = scores[r];
    fraud[at++] = state[r] === FRAUD ? 1 : 0;
  }
  const cells = new RankedCells(score, fraud);
  const calibration = new Calibration(cells);
  const frauds = cells.total(cells.counts, 1);
  return {
    payments,
    known,
    frauds,
    fraud_share: frauds / known,
    fraud_share_interval: wilson(frauds, known),
    measures: rowMeasures(cells, calibration),
    intervals: bootstrapRows(cells, calibration, o.bootstrap),
    thresholds: o.thresholds.map((t) => atThreshold(t, cells)),
    reliability: calibration.bins(),
  };
}

function atThreshold(t: Threshold, cells: RankedCells): ThresholdQuality {
  const from = Math.fround(t.score);
  const { score, fraud, counts } = cells;
  let [alerted, caught] = [0, 0];
  // Cells stand by falling score.
  for (let c = 0; c < score.length && score[c] >= from; c++) {
    alerted += counts[c];
    if (fraud[c] === 1) caught += counts[c];
  }
  const frauds = cells.total(counts, 1);
  const genuine = cells.rows - frauds;
  return {
    ...t,
    alerted,
    caught,
    precision: caught / alerted,
    precision_interval: wilson(caught, alerted),
    recall: caught / frauds,
    recall_interval: wilson(caught, frauds),
    false_positive_rate: (alerted - caught) / genuine,
    false_positive_rate_interval: wilson(alerted - caught, genuine),
  };
}
