/**
 * Outcomes that are not known yet: frauds of a history wait here until their time has come, then they are reported to
 * the node before any later payment.
 */
import { OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { FraudClient, OutcomeInit } from "../client/fraud_client.ts";

/** Unary calls in flight at once. */
const CALLS_MAX = 200;
/** Tries of a call that the server sheds or that meets its deadline; an outcome's revision makes a repeat harmless. */
const TRIES_MAX = 50;
const RETRY_MS = 50;
const RESOURCE_EXHAUSTED = 8;
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;

export class KnownOutcomes {
  /** Another one after the node was started again. */
  client: FraudClient;
  /** In order of known time from `#at` on. */
  #waiting: OutcomeInit[] = [];
  #at = 0;
  reported = 0;
  /** Reports about payments that the node no longer held. */
  unheld = 0;

  constructor(client: FraudClient) {
    this.client = client;
  }

  /** A payment that will turn out as fraud. Known times must not fall from call to call. */
  addFraud(transactionId: string, userId: string, known_us: number): void {
    const outcome = OutcomeKind.CHARGEBACK;
    this.#waiting.push({ transactionId, userId, outcome, knownTimeUs: BigInt(known_us), revision: 1 });
  }

  /** When the next one becomes known, microseconds; Infinity when none waits. */
  get next_us(): number {
    return this.#at < this.#waiting.length ? Number(this.#waiting[this.#at].knownTimeUs) : Number.POSITIVE_INFINITY;
  }

  /** Reports everything known at this time and resolves when all of it is acknowledged. */
  async reportUntil(now_us: number): Promise<void> {
    while (this.next_us <= now_us) {
      const due: OutcomeInit[] = [];
      while (this.next_us <= now_us && due.length < CALLS_MAX) due.push(this.#waiting[this.#at++]);
      await Promise.all(due.map((outcome) => this.#report(outcome)));
      this.reported += due.length;
    }
    if (this.#at > 10_000) {
      this.#waiting = this.#waiting.slice(this.#at);
      this.#at = 0;
    }
  }

  async #report(outcome: OutcomeInit): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        const { paymentHeld } = await this.client.reportOutcome(outcome);
        if (!paymentHeld) this.unheld++;
        return;
      } catch (error) {
        const code = (error as { code?: number }).code;
        const again = code === RESOURCE_EXHAUSTED || code === DEADLINE_EXCEEDED || code === UNAVAILABLE;
        if (!again || tries === TRIES_MAX) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}
