/**
 * Population stability index (PSI): how far the shares of a column's values over fixed bins have moved,
 *   PSI = sum over the bins of (q - p) ln(q / p),
 * p the reference's share of a bin and q the current one's (Siddiqi 2006, Credit Risk Scorecards; it is the symmetric
 * divergence of Kullback and Leibler 1951). 0 for equal shares, without an upper bound; by the usage of credit scoring
 * below 0.1 is stable and from 0.25 on is a shift.
 *
 * Bins are cut at the reference's deciles; missing values (NaN) have a bin of their own. A share is
 * (rows + 1/2) / (all rows + bins / 2), Jeffreys' estimate, so that an empty bin gives no infinity. A bin that is empty
 * on both sides is left out.
 */

/** Bins of the values that are there, unless ties make them fewer. */
const BINS = 10;

export interface StabilityBin {
  /** Values above `above` and up to `to`; null: no bound. Both null with `missing`: NaN. */
  readonly above: number | null;
  readonly to: number | null;
  readonly missing: boolean;
  /** Rows. */
  readonly reference: number;
  readonly current: number;
  /** The bin's part of the PSI, not below 0. */
  readonly psi: number;
}

export interface Stability {
  readonly psi: number;
  /**
   * What the PSI would be on average if both were drawn from one population, (bins - 1) (1/n + 1/m) for n and m rows
   * (Yurdakul and Naranjo 2020, Statistical properties of the population stability index): a PSI of this size says
   * nothing.
   */
  readonly by_chance: number;
  readonly bins: readonly StabilityBin[];
}

/**
 * Where bins end, rising, each value once: the deciles of ascending values without NaN, by the inverse of their
 * distribution (the smallest value that a share of at least k/10 does not exceed). Where at least a tenth of the values
 * are the smallest one, a bin of what lies below it comes first: else a column that was always 0 could fall unseen.
 */
export function decileEdges(sorted: Float32Array): Float64Array {
  const n = sorted.length;
  const edges: number[] = [];
  for (let k = 1; k < BINS && n > 0; k++) {
    const edge = sorted[Math.ceil((k * n) / BINS) - 1];
    if (k === 1 && edge === sorted[0]) edges.push(justBelow(edge));
    if (edges.length === 0 || edge > edges[edges.length - 1]) edges.push(edge);
  }
  return Float64Array.from(edges);
}

/** A number that every float32 below x does not exceed, and x does; -Infinity has nothing below it. */
function justBelow(x: number): number {
  if (x === Number.NEGATIVE_INFINITY) return x;
  if (x === Number.POSITIVE_INFINITY) return Number.MAX_VALUE;
  return x - Math.max(Math.abs(x) * 2 ** -30, 2 ** -160);
}

/** Rows of ascending values in each bin: (-inf, e0], (e0, e1], ..., (last, inf]. */
function countBins(sorted: Float32Array, edges: Float64Array): number[] {
  const counts: number[] = [];
  let done = 0;
  for (const edge of edges) {
    const end = firstAbove(sorted, edge, done);
    counts.push(end - done);
    done = end;
  }
  counts.push(sorted.length - done);
  return counts;
}

/** Index of the first value above `edge`, looked for from `low` on. */
function firstAbove(sorted: Float32Array, edge: number, low: number): number {
  let [from, to] = [low, sorted.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle] <= edge) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * Stability of a column, from its ascending values without NaN on both sides and the rows that miss it. 0 and no bins
 * when a side has no row.
 */
export function stability(
  reference: Float32Array,
  referenceMissing: number,
  current: Float32Array,
  currentMissing: number,
): Stability {
  const [n, m] = [reference.length + referenceMissing, current.length + currentMissing];
  if (n === 0 || m === 0) return { psi: 0, by_chance: 0, bins: [] };
  const edges = decileEdges(reference);
  const p = [...countBins(reference, edges), referenceMissing];
  const q = [...countBins(current, edges), currentMissing];
  const held = p.map((_, b) => b).filter((b) => p[b] + q[b] > 0);
  const share = (rows: number, of: number): number => (rows + 0.5) / (of + held.length / 2);
  const bins = held.map((b): StabilityBin => {
    const missing = b === p.length - 1;
    const [from, to] = [share(p[b], n), share(q[b], m)];
    return {
      above: missing || b === 0 ? null : edges[b - 1],
      to: missing || b === edges.length ? null : edges[b],
      missing,
      reference: p[b],
      current: q[b],
      psi: (to - from) * Math.log(to / from),
    };
  });
  return {
    psi: bins.reduce((sum, bin) => sum + bin.psi, 0),
    by_chance: (bins.length - 1) * (1 / n + 1 / m),
    bins,
  };
}
