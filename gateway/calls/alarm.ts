/** Owns waiting with a limit for the cold paths: a promise raced against a place in the deadline wheel. */
import type { DeadlineWheel, Expiring } from "./deadline_wheel.ts";

class Alarm implements Expiring {
  expires_slot = -1;
  before: Expiring | null = null;
  after: Expiring | null = null;
  readonly #ring: () => void;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  expire(): void {
    this.#ring();
  }
}

/** The limit passed first; the awaited work runs on. */
export class TooLate extends Error {
  override name = "TooLate";
}

/** Resolves or rejects like `work`; rejects with TooLate after `wait_ms`. */
export function atMost<T>(wheel: DeadlineWheel, wait_ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const alarm = new Alarm(() => reject(new TooLate(`not within ${wait_ms} ms`)));
    wheel.add(alarm, wait_ms);
    work.then(resolve, reject).finally(() => wheel.remove(alarm));
  });
}
