/** Drawing by weight in constant time (Walker's alias table, Vose's construction), and Zipf weights. */
import type { Prng } from "./prng.ts";

export class Weighted {
  readonly #keep: Float64Array;
  readonly #other: Uint32Array;

  /** Weights are not negative and at least one is positive. */
  constructor(weights: ArrayLike<number>) {
    const n = weights.length;
    let total = 0;
    for (let i = 0; i < n; i++) total += weights[i];
    if (!(total > 0)) throw new RangeError("no positive weight");
    this.#keep = new Float64Array(n).fill(1);
    this.#other = new Uint32Array(n);
    const share = Float64Array.from(weights, (w) => (w * n) / total);
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < n; i++) (share[i] < 1 ? small : large).push(i);
    while (small.length > 0 && large.length > 0) {
      const s = small.pop()!;
      const l = large[large.length - 1];
      this.#keep[s] = share[s];
      this.#other[s] = l;
      share[l] -= 1 - share[s];
      if (share[l] < 1) small.push(large.pop()!);
    }
  }

  /** An index, by weight. */
  draw(rng: Prng): number {
    const i = rng.below(this.#keep.length);
    return rng.float() < this.#keep[i] ? i : this.#other[i];
  }
}

/** Weights 1 / rank^s for ranks 1..n. */
export function zipf(n: number, s: number): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => (i + 1) ** -s);
}
