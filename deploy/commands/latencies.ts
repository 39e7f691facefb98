/** Latencies of batches, counted once for each payment, in logarithmic cells 2 % wide: any number of payments. */
const CELLS = 1200;
const STEP = Math.log(1.02);
const LEAST_MS = 0.01;

export class Latencies {
  readonly #cells = new Float64Array(CELLS);
  #n = 0;

  add(latency_ms: number): void {
    const cell = Math.floor(Math.log(Math.max(latency_ms, LEAST_MS) / LEAST_MS) / STEP);
    this.#cells[Math.min(cell, CELLS - 1)]++;
    this.#n++;
  }

  /** The q-quantile, milliseconds, to 2 %; NaN without any. */
  at(q: number): number {
    let below = 0;
    for (let cell = 0; cell < CELLS; cell++) {
      below += this.#cells[cell];
      if (below > 0 && below >= q * this.#n) return LEAST_MS * Math.exp((cell + 1) * STEP);
    }
    return Number.NaN;
  }
}
