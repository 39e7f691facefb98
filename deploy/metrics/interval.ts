/** 95 % intervals: of a share by Wilson's formula, of anything by the percentiles of its resampled values. */

/** [low, high] with 95 % confidence; null where there is nothing to say. JSON writes it as a list. */
export type Interval = readonly [low: number, high: number] | null;

/** 97.5 % point of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * Wilson's score interval of a share of `hits` (may be a fraction: ties by expectation) among `of`. It stays within
 * 0..1 and says something for 0 hits too (Wilson, 1927). Null for none of none.
 */
export function wilson(hits: number, of: number): Interval {
  if (!(hits >= 0 && hits <= of)) throw new RangeError(`${hits} hits of ${of}`);
  if (of === 0) return null;
  const p = hits / of;
  const scale = 1 + (Z * Z) / of;
  const centre = (p + (Z * Z) / (2 * of)) / scale;
  const half = (Z / scale) * Math.sqrt((p * (1 - p)) / of + (Z * Z) / (4 * of * of));
  return [hits === 0 ? 0 : centre - half, hits === of ? 1 : centre + half];
}

/**
 * The 2.5 % and 97.5 % points of the values (linear between neighbours). A resample without a fraud has no recall:
 * NaN values are left out, and null is the answer when they are more than half.
 */
export function percentiles(values: Float64Array): Interval {
  const known = values.filter((v) => !Number.isNaN(v)).sort();
  if (known.length === 0 || known.length * 2 < values.length) return null;
  return [pointAt(known, 0.025), pointAt(known, 0.975)];
}

function pointAt(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}
