/**
 * The only source of chance in the demo: a seeded generator (xoshiro128**, Blackman and Vigna) with the few
 * distributions that payments need. Streams with different labels of the same seed are independent, so that a change in
 * one part of the demo leaves the others as they are.
 */

/** Scrambles 32 bits (the finaliser of MurmurHash3): the same input gives the same output everywhere. */
export function mix32(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A 32-bit number from several whole numbers. */
export function mixAll(...numbers: readonly number[]): number {
  let h = 0x9e3779b9;
  for (const n of numbers) h = mix32(h ^ mix32(n + 0x7f4a7c15)) + 0x165667b1;
  return mix32(h);
}

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number, label: string) {
    let h = mix32(seed);
    for (let i = 0; i < label.length; i++) h = mix32(h ^ Math.imul(label.charCodeAt(i) + 1, 0x9e3779b1));
    this.#a = mixAll(seed, h, 1);
    this.#b = mixAll(seed, h, 2);
    this.#c = mixAll(seed, h, 3);
    this.#d = mixAll(seed, h, 4) | 1;
  }

  /** Uniform 0..2^32 - 1. */
  next(): number {
    const x = Math.imul(this.#b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.next() / 4294967296;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.float();
  }

  /** Uniform whole number in 0..n - 1. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  /** Uniform whole number in low..high, both included. */
  whole(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with the probability p. */
  chance(p: number): boolean {
    return this.float() < p;
  }

  /** One of the values, all alike. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.float())) * Math.cos(2 * Math.PI * this.float());
  }

  /** Lognormal with this median and this spread (standard deviation of the logarithm). */
  lognormal(median: number, spread: number): number {
    return median * Math.exp(spread * this.normal());
  }

  /** Exponential with this mean. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.float());
  }

  /** Shuffles in place. */
  shuffle<T>(values: T[]): T[] {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [values[i], values[j]] = [values[j], values[i]];
    }
    return values;
  }
}
