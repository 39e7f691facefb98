/**
 * A seeded matrix of made-up feature values with labels that depend on a few of them: for tests and benches of training
 * and inference, where what the columns mean does not matter. Not a source of payments.
 */
import type { KeyColumn } from "../../proto/columns.ts";
import { FEATURE_COUNT, featureColumn } from "../features/registry.ts";

export interface SyntheticMatrix {
  readonly rows: number;
  /** Row-major, rows x FEATURE_COUNT, with missing values. */
  readonly matrix: Float32Array;
  readonly labels: Uint8Array;
  /** Rising event times, microseconds. */
  readonly timesUs: Float64Array;
  readonly ids: KeyColumn;
}

const START_US = 1_700_000_000e6;
const STEP_US = 1_500_000;
const MISSING_SHARE = 0.05;

/** Uniform in [0, 1) from a 32-bit seed: mixes a counter, so that each seed is its own sequence. */
export function seededRandom(seed: number): () => number {
  let counter = seed | 0;
  return () => {
    counter = (counter + 0x9e3779b9) | 0;
    let x = Math.imul(counter ^ (counter >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** `rows` rows, about 1 % of them frauds. */
export function syntheticMatrix(rows: number, seed: number): SyntheticMatrix {
  const random = seededRandom(seed);
  const matrix = new Float32Array(rows * FEATURE_COUNT);
  const labels = new Uint8Array(rows);
  const timesUs = new Float64Array(rows);
  const ids = { hi: new Uint32Array(rows), lo: new Uint32Array(rows) };
  const telling = ["user_amount_ratio_30d", "user_count_5m", "merchant_risk_7d"].map(featureColumn);
  const isNew = featureColumn("user_merchant_is_new");
  for (let r = 0; r < rows; r++) {
    const at = r * FEATURE_COUNT;
    for (let f = 0; f < FEATURE_COUNT; f++) {
      // Long-tailed, like amounts and counts; the telling ones with mean 1.
      const mean = telling.includes(f) ? 1 : 1 + (f % 7) * 10;
      matrix[at + f] = random() < MISSING_SHARE ? Number.NaN : -Math.log(1 - random()) * mean;
    }
    matrix[at + isNew] = random() < 0.2 ? 1 : 0;
    let margin = 1.5 * matrix[at + isNew] - 11;
    for (const f of telling) margin += Number.isNaN(matrix[at + f]) ? 0 : 1.2 * matrix[at + f];
    labels[r] = random() < 1 / (1 + Math.exp(-margin)) ? 1 : 0;
    timesUs[r] = START_US + r * STEP_US;
    ids.hi[r] = Math.floor(random() * 2 ** 32);
    ids.lo[r] = r + 1;
  }
  return { rows, matrix, labels, timesUs, ids };
}
