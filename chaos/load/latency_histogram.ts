/**
 * Latencies in logarithmic buckets over one typed array: constant memory, no sorting, at most 0.8 % too high.
 */

/** Values below this have a bucket each. Power of two. */
const EXACT = 256;
const EXACT_BITS = 8;
/** Buckets of each further doubling. */
const HALF = EXACT / 2;
/** Values are held below 2^32 microseconds (71 minutes). */
const DOUBLINGS = 32 - EXACT_BITS;

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class LatencyHistogram {
  readonly #counts = new Float64Array(EXACT + DOUBLINGS * HALF);
  #total = 0;
  #max_us = 0;

  /** Values added so far. */
  get total(): number {
    return this.#total;
  }

  /** The largest value, exact. */
  get max_us(): number {
    return this.#max_us;
  }

  /** Adds `weight` values of `us` microseconds; what is negative counts as 0, what is beyond the range as its end. */
  add(us: number, weight = 1): void {
    const v = us > 0 ? Math.min(us, 4294967295) : 0;
    this.#counts[bucketOf(v >>> 0)] += weight;
    this.#total += weight;
    if (v > this.#max_us) this.#max_us = v;
  }

  /** Smallest bucket end that at least the share `q` (0..1) of the values lie at or below; 0 without values. */
  percentile_us(q: number): number {
    const rank = Math.max(1, Math.ceil(this.#total * q));
    if (this.#total === 0) return 0;
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i];
      if (seen >= rank) return Math.min(bucketEnd(i), this.#max_us);
    }
    return this.#max_us;
  }

  /** In milliseconds, rounded to hundredths. */
  summary_ms(): Percentiles {
    const at = (q: number) => Math.round(this.percentile_us(q) / 10) / 100;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: Math.round(this.#max_us / 10) / 100 };
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#max_us = 0;
  }
}

function bucketOf(v: number): number {
  if (v < EXACT) return v;
  const shift = 32 - Math.clz32(v) - EXACT_BITS;
  return shift * HALF + (v >>> shift);
}

/** The largest value of a bucket. */
function bucketEnd(i: number): number {
  if (i < EXACT) return i;
  const shift = Math.floor((i - HALF) / HALF);
  return (i - shift * HALF + 1) * 2 ** shift - 1;
}
