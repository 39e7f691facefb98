/** What the tests of inference share: the shipped model, a real clock, timers fired by hand or never. */
import { fileURLToPath } from "node:url";
import type { Clock } from "../../runtime/ports.ts";
import type { BudgetTimer } from "./inference_actor.ts";

export const SHIPPED_MODEL = fileURLToPath(new URL("./models/xgboost_fraud_v1_2", import.meta.url));

export const CLOCK: Clock = { monotonicUs: () => performance.now() * 1000, wallUs: () => 0 };

/** A timer that fires when the test says so. */
export class HandTimer implements BudgetTimer {
  readonly #waiting = new Set<() => void>();

  after(_ms: number, run: () => void): () => void {
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  get armed(): number {
    return this.#waiting.size;
  }

  fire(): void {
    for (const run of [...this.#waiting]) {
      this.#waiting.delete(run);
      run();
    }
  }
}

/** Polls until `condition` holds; fails with `what` after ten seconds. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
