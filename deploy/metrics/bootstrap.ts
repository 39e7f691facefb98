/**
 * Bootstrap: how much a measure would move if the test were drawn again. What was measured is resampled with
 * replacement, as often as there is of it, and the 2.5 % and 97.5 % points of the resampled measures are the interval
 * (percentile method). Seeded, so that a run prints the same intervals again.
 *
 * Payments are drawn one by one. Payments of one card or merchant hang together, which this does not see: the intervals
 * say how far chance among payments reaches, not what another set of cards would do. Card precision is a mean over
 * days, so there days are drawn.
 */
import { Prng } from "../demo/prng.ts";
import type { Calibration, CalibrationMeasures } from "./calibration.ts";
import { type Interval, percentiles } from "./interval.ts";
import type { RankedCells } from "./ranked_cells.ts";
import { type RankingMeasures, rankingMeasures } from "./ranking.ts";

export interface BootstrapOptions {
  readonly resamples: number;
  readonly seed: number;
}

export const BOOTSTRAP: BootstrapOptions = { resamples: 200, seed: 1 };

/** Measures that rows are resampled for. */
export type RowMeasures = RankingMeasures & CalibrationMeasures;
export type RowIntervals = { readonly [M in keyof RowMeasures]: Interval };

/** The measures of the data themselves. */
export function rowMeasures(cells: RankedCells, calibration: Calibration): RowMeasures {
  return { ...rankingMeasures(cells, cells.counts), ...calibration.measures(cells.counts) };
}

/**
 * Intervals of every row measure, rows resampled. The bins of the calibration error stay those of the data. That error
 * is a sum of absolute differences, which chance can only add to: its interval lies high, a well calibrated model's
 * above its own value.
 */
export function bootstrapRows(cells: RankedCells, calibration: Calibration, o: BootstrapOptions): RowIntervals {
  checkOptions(o);
  const random = new Prng(o.seed, "bootstrap rows");
  const counts = new Uint32Array(cells.counts.length);
  const values = new Map<keyof RowMeasures, Float64Array>();
  for (let s = 0; s < o.resamples; s++) {
    counts.fill(0);
    for (let i = 0; i < cells.rows; i++) counts[cells.cellOf[random.below(cells.rows)]]++;
    const measured = { ...rankingMeasures(cells, counts), ...calibration.measures(counts) };
    for (const name of Object.keys(measured) as (keyof RowMeasures)[]) {
      let column = values.get(name);
      if (column === undefined) {
        column = new Float64Array(o.resamples);
        values.set(name, column);
      }
      column[s] = measured[name];
    }
  }
  return Object.fromEntries([...values].map(([name, column]) => [name, percentiles(column)])) as RowIntervals;
}

/** Interval of the mean of some values (card precision of each day), the values resampled; null for fewer than two. */
export function bootstrapMean(values: readonly number[], o: BootstrapOptions): Interval {
  checkOptions(o);
  if (values.length < 2) return null;
  const random = new Prng(o.seed, "bootstrap mean");
  const means = new Float64Array(o.resamples);
  for (let s = 0; s < o.resamples; s++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.below(values.length)];
    means[s] = sum / values.length;
  }
  return percentiles(means);
}

function checkOptions(o: BootstrapOptions): void {
  if (!Number.isInteger(o.resamples) || o.resamples < 1) throw new RangeError(`${o.resamples} resamples`);
}
