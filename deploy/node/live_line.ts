/** The line a second of `npm start`: decisions, outcomes, latencies. */
import type { DemoFeed } from "../demo/feed.ts";
import type { FraudNode } from "./fraud_node.ts";

export class LiveLine {
  readonly #timer: NodeJS.Timeout;
  #last = 0;

  constructor(node: FraudNode, feed: DemoFeed, say: (line: string) => void) {
    this.#timer = setInterval(() => {
      const l = feed.take();
      const at = (q: number) =>
        l.length === 0 ? "-" : `${l[Math.min(l.length - 1, Math.floor(l.length * q))].toFixed(1)}`;
      const rate = feed.decisions - this.#last;
      this.#last = feed.decisions;
      const provisional = feed.provisional > 0 ? `  provisional ${feed.provisional}` : "";
      const trouble = provisional + (feed.errors > 0 ? `  errors ${feed.errors}` : "");
      const state = node.runtime.ready ? "" : `  NOT READY: ${node.runtime.reason}`;
      say(
        `${String(rate).padStart(6)} decisions/s  ${feed.decisions} in all  ${feed.summary()}  ` +
          `p50 ${at(0.5)} ms  p99 ${at(0.99)} ms${trouble}${state}`,
      );
    }, 1000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
