/** Waiting for a condition, with a deadline and with what is known when it passes. */
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 10;

/** Waits until `holds`; throws with `what` and the diagnostics when it does not within `limit_ms`. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limit_ms = 20_000,
  diagnostics: () => string | Promise<string> = () => "",
): Promise<void> {
  const end_ms = performance.now() + limit_ms;
  while (!(await holds())) {
    if (performance.now() > end_ms) throw new Error(`not within ${limit_ms} ms: ${what}\n${await diagnostics()}`);
    await delay(POLL_MS);
  }
}
