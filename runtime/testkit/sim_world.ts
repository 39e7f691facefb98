/**
 * A simulated world: virtual time, an event queue and seeded randomness. Equal seeds give equal runs. Whatever waits,
 * waits on this queue; between two events all promises settle.
 */
import type { Clock } from "../ports.ts";

interface Event {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A small seeded generator (xorshift32): numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x6d2b79f5) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** Lets every settled promise run on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class SimWorld implements Clock {
  readonly seed: number;
  readonly random: () => number;
  #nowUs = 0;
  #order = 0;
  #events: Event[] = [];

  constructor(seed: number) {
    this.seed = seed;
    this.random = seeded(seed);
  }

  monotonicUs(): number {
    return this.#nowUs;
  }

  wallUs(): number {
    return 1_700_000_000_000_000 + this.#nowUs;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  after(ms: number, run: () => void): void {
    const event = { atUs: this.#nowUs + Math.round(ms * 1000), order: this.#order++, run };
    let at = this.#events.length;
    while (at > 0 && later(this.#events[at - 1], event)) at--;
    this.#events.splice(at, 0, event);
  }

  readonly sleep = (ms: number): Promise<void> => new Promise((resolve) => this.after(ms, resolve));

  /** A repeating timer; returns the function that ends it. */
  readonly every = (ms: number, run: () => void): (() => void) => {
    let ended = false;
    const again = (): void => {
      if (ended) return;
      run();
      this.after(ms, again);
    };
    this.after(ms, again);
    return () => {
      ended = true;
    };
  };

  /** Runs events until `done`, or throws after `maxMs` of virtual time or when nothing is left to happen. */
  async runUntil(done: () => boolean, maxMs: number, what = "condition"): Promise<void> {
    const endUs = this.#nowUs + maxMs * 1000;
    await settle();
    while (!done()) {
      const event = this.#events.shift();
      if (event === undefined) throw new Error(`simulation: nothing left to happen, ${what} not reached`);
      if (event.atUs > endUs) throw new Error(`simulation: ${what} not reached in ${maxMs} ms`);
      this.#nowUs = event.atUs;
      event.run();
      await settle();
    }
  }

  /** Lets `ms` of virtual time pass. */
  async advance(ms: number): Promise<void> {
    let reached = false;
    this.after(ms, () => {
      reached = true;
    });
    await this.runUntil(() => reached, ms + 1);
  }
}

function later(a: Event, b: Event): boolean {
  return a.atUs > b.atUs || (a.atUs === b.atUs && a.order > b.order);
}
