/** The real clock and event loop of a node. */
import type { Clock, Timers } from "../../runtime/ports.ts";

export const systemClock: Clock = {
  monotonicUs: () => performance.now() * 1000,
  wallUs: () => Date.now() * 1000,
};

export const systemTimers: Timers = {
  soon: (run) => {
    setImmediate(run);
  },
  after: (delay_ms, run) => {
    setTimeout(run, delay_ms);
  },
  every: (delay_ms, run) => {
    const timer = setInterval(run, delay_ms);
    return () => clearInterval(timer);
  },
};
