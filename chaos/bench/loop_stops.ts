/**
 * How long the event loop did not turn: between two turns of it, wall time, which holds what other processes of the
 * machine took, and processor time of the thread, which does not.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { LatencyHistogram, type Percentiles } from "../load/latency_histogram.ts";

export interface Stops {
  readonly turns: number;
  readonly wall_ms: Percentiles;
  readonly processor_ms: Percentiles;
  /** Turns of more than 20 ms. */
  readonly over_20_ms: { readonly wall: number; readonly processor: number };
  /** The turn that took the thread longest, and what of it was measured apart: processor time, milliseconds. */
  readonly longest: { readonly processor: number; readonly rows: number; readonly snapshot: number };
  /** Longest pause of V8's collector, wall time, milliseconds. */
  readonly collector_max_ms: number;
}

/** What a turn's work is told apart as. */
export type Part = "rows" | "snapshot";

const LIMIT_US = 20_000;

export class LoopStops {
  readonly #wall = new LatencyHistogram();
  readonly #processor = new LatencyHistogram();
  readonly #over = { wall: 0, processor: 0 };
  #parts = { rows: 0, snapshot: 0 };
  #longest = { processor: 0, rows: 0, snapshot: 0 };
  #collectorMs = 0;
  readonly #observer = new PerformanceObserver((seen) => {
    for (const { duration } of seen.getEntries()) this.#collectorMs = Math.max(this.#collectorMs, duration);
  });
  #turns = 0;
  #wallUs = 0;
  #processorUs = 0;

  constructor() {
    this.#observer.observe({ entryTypes: ["gc"] });
  }

  /** Does a part of the turn's work. */
  of<T>(part: Part, work: () => T): T {
    const from = process.threadCpuUsage();
    const value = work();
    const { user, system } = process.threadCpuUsage(from);
    this.#parts[part] += (user + system) / 1000;
    return value;
  }

  /** To be called once a turn. */
  turn(): void {
    const wallUs = performance.now() * 1000;
    const { user, system } = process.threadCpuUsage();
    const processorUs = user + system;
    if (this.#turns++ > 0) {
      this.#wall.add(wallUs - this.#wallUs);
      this.#processor.add(processorUs - this.#processorUs);
      if (wallUs - this.#wallUs > LIMIT_US) this.#over.wall++;
      if (processorUs - this.#processorUs > LIMIT_US) this.#over.processor++;
      const processor = (processorUs - this.#processorUs) / 1000;
      if (processor > this.#longest.processor) this.#longest = { processor, ...this.#parts };
    }
    this.#parts = { rows: 0, snapshot: 0 };
    this.#wallUs = wallUs;
    this.#processorUs = processorUs;
  }

  /** What was seen; the end of it. */
  end(): Stops {
    this.#observer.disconnect();
    return {
      turns: this.#turns,
      wall_ms: this.#wall.summary_ms(),
      processor_ms: this.#processor.summary_ms(),
      over_20_ms: this.#over,
      longest: this.#longest,
      collector_max_ms: Math.round(this.#collectorMs * 100) / 100,
    };
  }
}
