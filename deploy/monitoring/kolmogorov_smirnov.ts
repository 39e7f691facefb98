/**
 * Two-sample Kolmogorov-Smirnov test: the largest distance between two empirical distributions, and how often chance
 * alone gives one as large.
 */

export interface KolmogorovSmirnov {
  /** Largest |F(x) - G(x)|, 0..1; NaN when a side has no value. */
  readonly statistic: number;
  /** 0..1; NaN when a side has no value. */
  readonly p_value: number;
}

/**
 * Statistic and p-value of two columns of ascending values without NaN. The p-value is that of the limit for many
 * values, K(D sqrt(n m / (n + m))) (Smirnov 1948, Table for estimating the goodness of fit of empirical distributions):
 * good from some tens of values on. It is exact for continuous columns only; with ties the true one is smaller.
 */
export function kolmogorovSmirnov(a: Float32Array, b: Float32Array): KolmogorovSmirnov {
  const [n, m] = [a.length, b.length];
  if (n === 0 || m === 0) return { statistic: Number.NaN, p_value: Number.NaN };
  let [i, j, largest] = [0, 0, 0];
  while (i < n && j < m) {
    // Both step over everything that equals the smaller next value: within a tie there is no distance to take.
    const x = Math.min(a[i], b[j]);
    while (i < n && a[i] === x) i++;
    while (j < m && b[j] === x) j++;
    // In whole numbers until the end, so that equal distributions have a distance of exactly 0.
    largest = Math.max(largest, Math.abs(i * m - j * n));
  }
  const statistic = largest / (n * m);
  return { statistic, p_value: kolmogorovTail(statistic * Math.sqrt((n / (n + m)) * m)) };
}

/**
 * Chance that Kolmogorov's distribution exceeds x: 2 sum over k >= 1 of (-1)^(k-1) exp(-2 k^2 x^2). Below 1 its other
 * form converges faster: 1 - sqrt(2 pi) / x sum over k >= 1 of exp(-(2k - 1)^2 pi^2 / (8 x^2)) (Marsaglia, Tsang and
 * Wang 2003, Evaluating Kolmogorov's distribution). Four terms give all digits on either side.
 */
export function kolmogorovTail(x: number): number {
  if (x <= 0) return 1;
  let sum = 0;
  if (x < 1) {
    for (let k = 1; k <= 4; k++) sum += Math.exp((-((2 * k - 1) ** 2) * Math.PI ** 2) / (8 * x * x));
    return Math.max(0, Math.min(1, 1 - (Math.sqrt(2 * Math.PI) / x) * sum));
  }
  for (let k = 1; k <= 4; k++) sum += (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * k * k * x * x);
  return Math.max(0, Math.min(1, 2 * sum));
}
