/** How far one column has moved between the reference and the current payments: a feature, or the score. */
import { kolmogorovSmirnov } from "./kolmogorov_smirnov.ts";
import { type StabilityBin, stability } from "./population_stability.ts";

/** A column on one side. */
export interface ColumnSide {
  /** Payments. */
  readonly rows: number;
  /** Without a value (NaN), as a share of the payments. */
  readonly missing_share: number;
  /** Of the values that are there: the least that half of them do not exceed. Null without any, or when infinite. */
  readonly median: number | null;
}

export interface ColumnDrift {
  readonly name: string;
  /** Of the values; "share" for the score. Null for a feature that this code's registry does not have. */
  readonly unit: string | null;
  readonly reference: ColumnSide;
  readonly current: ColumnSide;
  /** Population stability index, missing values included, and its mean if nothing had moved. No unit. */
  readonly psi: number;
  readonly psi_by_chance: number;
  /** Kolmogorov-Smirnov distance of the values that are there, 0..1, and its p-value; NaN when a side has none. */
  readonly ks: number;
  readonly ks_p_value: number;
  readonly bins: readonly StabilityBin[];
}

/** Compares a column's values (NaN is missing). Both arrays are sorted in place. */
export function columnDrift(
  name: string,
  unit: string | null,
  reference: Float32Array,
  current: Float32Array,
): ColumnDrift {
  const [a, b] = [sortedValues(reference), sortedValues(current)];
  const moved = stability(a, reference.length - a.length, b, current.length - b.length);
  const distance = kolmogorovSmirnov(a, b);
  return {
    name,
    unit,
    reference: sideOf(a, reference.length),
    current: sideOf(b, current.length),
    psi: moved.psi,
    psi_by_chance: moved.by_chance,
    ks: distance.statistic,
    ks_p_value: distance.p_value,
    bins: moved.bins,
  };
}

/** Sorts in place; the view of the values without the NaNs, which a sort puts last. */
function sortedValues(values: Float32Array): Float32Array {
  values.sort();
  let n = values.length;
  while (n > 0 && Number.isNaN(values[n - 1])) n--;
  return values.subarray(0, n);
}

function sideOf(sorted: Float32Array, rows: number): ColumnSide {
  const median = sorted.length === 0 ? Number.NaN : sorted[Math.ceil(sorted.length / 2) - 1];
  return {
    rows,
    missing_share: rows === 0 ? Number.NaN : (rows - sorted.length) / rows,
    median: Number.isFinite(median) ? median : null,
  };
}

/** Rows in `bins` equal parts of 0..1, the last one with 1; what lies outside of 0..1 is in the first or the last. */
export function scoreHistogram(scores: Float32Array, bins: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (const score of scores) counts[Math.max(0, Math.min(bins - 1, Math.floor(score * bins)))]++;
  return counts;
}
