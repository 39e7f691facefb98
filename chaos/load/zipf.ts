/**
 * Ranks 0..n - 1 with probability proportional to 1 / (rank + 1): Zipf's law with s = 1, without a table.
 *
 * Source: W. Hoermann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions" (1996), for the exponent 1, where the integral of the hat is the logarithm.
 */
export class Zipf {
  readonly n: number;
  readonly #float: () => number;
  readonly #low: number;
  readonly #high: number;
  readonly #sure: number;

  /** `float` gives uniform numbers in [0, 1). */
  constructor(n: number, float: () => number) {
    if (!Number.isInteger(n) || n < 1) throw new RangeError(`n must be a positive whole number: ${n}`);
    this.n = n;
    this.#float = float;
    this.#low = Math.log(1.5) - 1;
    this.#high = Math.log(n + 0.5);
    this.#sure = 2 - Math.exp(Math.log(2.5) - 0.5);
  }

  next(): number {
    for (;;) {
      const u = this.#high + this.#float() * (this.#low - this.#high);
      const x = Math.exp(u);
      const k = Math.min(this.n, Math.max(1, Math.floor(x + 0.5)));
      if (k - x <= this.#sure || u >= Math.log(k + 0.5) - 1 / k) return k - 1;
    }
  }
}
