/**
 * The clients of a drill: payments at a steady rate, whatever happens (open loop), sent to the node that answered last
 * and, when it does not, to the others with the same ids, until each has its decision. Keeps what was acknowledged.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FraudClient, type PaymentInit } from "../../deploy/client/fraud_client.ts";
import { sameness } from "../../deploy/e2e/testkit/payments.ts";
import { DecisionState, ErrorCode, PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

/** A call without an answer is given up after this and made again. */
const PATIENCE_MS = 2500;
const AGAIN_MS = 100;
const BATCH = 8;
const AGAIN_BATCH = 256;
const AGAIN_TRIES = 20;
const HOT_MERCHANT = "hot-merchant";

/** A payment and what became of it. Times in milliseconds of the monotonic clock. */
export interface DrillPayment {
  readonly payment: PaymentInit;
  readonly sent_ms: number;
  failed_ms: number | null;
  decided_ms: number | null;
  outcome: number;
  /** Null: decided without the model. */
  score: number | null;
  said: string;
}

export interface LoadOptions {
  readonly endpoints: () => readonly string[];
  readonly api_key: string;
  readonly payments_per_s: number;
  readonly users: number;
  /** Share of the payments at one merchant. */
  readonly hot: number;
  /** Payments of a call; default 8. */
  readonly batch?: number;
}

export class DrillLoad {
  readonly #o: LoadOptions;
  readonly payments: DrillPayment[] = [];
  readonly #clients = new Map<string, FraudClient>();
  #endpoint = 0;
  #timer: NodeJS.Timeout | null = null;
  #made = 0;
  #open = 0;
  provisional = 0;
  degraded = 0;
  /** Tries that were refused for want of room: to be made again, by whoever asks. */
  shed = 0;
  /** The same id was answered in two ways. */
  changed = 0;
  /** Decided payments that were asked for once more at the end, with an answer. */
  askedAgain = 0;
  /** Errors that no good payment may get. */
  readonly wrong: string[] = [];

  constructor(o: LoadOptions) {
    this.#o = o;
  }

  start(): void {
    const began = performance.now();
    const before = this.#made;
    const batch = this.#o.batch ?? BATCH;
    this.#timer = setInterval(() => {
      const due = before + ((performance.now() - began) / 1000) * this.#o.payments_per_s;
      while (this.#made + batch <= due) this.#send(Array.from({ length: batch }, () => this.#payment()));
    }, 10);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** No payment waits for its decision. */
  get settled(): boolean {
    return this.#open === 0;
  }

  get decided(): number {
    return this.payments.filter((p) => p.decided_ms !== null).length;
  }

  /** Asks for every decision once more: each must be told as it was. */
  async askAgain(): Promise<void> {
    const decided = this.payments.filter((p) => p.decided_ms !== null);
    const endpoints = this.#o.endpoints();
    for (let at = 0; at < decided.length; at += AGAIN_BATCH) {
      const batch = decided.slice(at, at + AGAIN_BATCH);
      for (let tries = 0; tries < AGAIN_TRIES; tries++) {
        const asked = this.#ask(endpoints[this.#endpoint % endpoints.length], batch);
        const isAnswered = await asked.then(
          () => true,
          () => false,
        );
        if (isAnswered) {
          this.askedAgain += batch.length;
          break;
        }
        this.#endpoint++;
        await delay(AGAIN_MS);
      }
    }
  }

  close(): void {
    this.stop();
    for (const client of this.#clients.values()) client.close();
  }

  /** Longest time from a user's first failed try to its first decision after it, milliseconds. */
  unavailableMs(): number {
    const failing = new Map<string, number>();
    const events = this.payments.flatMap((p) => {
      const user = String(p.payment.userId);
      const failed = p.failed_ms === null ? [] : [{ at: p.failed_ms, user, ok: false }];
      return p.decided_ms === null ? failed : [...failed, { at: p.decided_ms, user, ok: true }];
    });
    let longest = 0;
    for (const e of events.sort((a, b) => a.at - b.at)) {
      const since = failing.get(e.user);
      if (!e.ok) failing.set(e.user, since ?? e.at);
      else if (since !== undefined) {
        longest = Math.max(longest, e.at - since);
        failing.delete(e.user);
      }
    }
    return longest;
  }

  /** From the sending to the decision, milliseconds, of the payments sent in the span. */
  latencyMs(quantile: number, from_ms: number, to_ms: number): number {
    const within = this.payments.filter((p) => p.sent_ms >= from_ms && p.sent_ms < to_ms && p.decided_ms !== null);
    const times = within.map((p) => (p.decided_ms as number) - p.sent_ms).sort((a, b) => a - b);
    return times[Math.min(times.length - 1, Math.floor(times.length * quantile))] ?? 0;
  }

  #payment(): DrillPayment {
    const i = this.#made++;
    const hot = i % 100 < this.#o.hot * 100;
    const payment = {
      transactionId: `drill-${i}`,
      userId: `user-${(i * 7919) % this.#o.users}`,
      merchantId: hot ? HOT_MERCHANT : `merchant-${(i * 31) % 97}`,
      amountMinor: BigInt(100 + ((i * 37) % 50_000)),
      currency: "USD",
      eventTimeUs: BigInt(Date.now()) * 1000n,
      deviceId: `device-${i % 50}`,
      status: PaymentStatus.AUTHORISED,
    };
    const made: DrillPayment = {
      payment,
      sent_ms: performance.now(),
      failed_ms: null,
      decided_ms: null,
      outcome: 0,
      score: null,
      said: "",
    };
    this.payments.push(made);
    return made;
  }

  #send(batch: readonly DrillPayment[]): void {
    this.#open++;
    const began_ms = performance.now();
    const endpoints = this.#o.endpoints();
    const at = this.#endpoint % endpoints.length;
    this.#ask(endpoints[at], batch)
      .then(
        () => {},
        () => {
          for (const p of batch) if (p.decided_ms === null) p.failed_ms ??= began_ms;
          // The others are tried in turn; whoever answers is asked from then on.
          if (this.#endpoint % endpoints.length === at) this.#endpoint = at + 1;
        },
      )
      .finally(() => {
        this.#open--;
        const rest = batch.filter((p) => p.decided_ms === null);
        if (rest.length === 0) return;
        this.#open++;
        setTimeout(() => {
          this.#open--;
          this.#send(rest);
        }, AGAIN_MS);
      });
  }

  async #ask(endpoint: string, batch: readonly DrillPayment[]): Promise<void> {
    let client = this.#clients.get(endpoint);
    if (client === undefined) {
      client = new FraudClient(endpoint, this.#o.api_key);
      this.#clients.set(endpoint, client);
    }
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("no answer")), PATIENCE_MS);
    const results = await Promise.race([client.analyze(batch.map((p) => p.payment)), late]).finally(() =>
      clearTimeout(timer),
    );
    let undecided = 0;
    for (const [i, p] of batch.entries()) {
      const { result } = results[i] ?? { result: { case: undefined } };
      if (result.case === "error") {
        const { code, message } = result.value;
        if (code === ErrorCode.RESOURCE_EXHAUSTED) this.shed++;
        else if (code !== ErrorCode.UNAVAILABLE) this.wrong.push(`${p.payment.transactionId}: ${message}`);
        undecided++;
      } else if (result.case === "decision") {
        const d = result.value;
        if (d.state === DecisionState.PROVISIONAL) {
          this.provisional++;
          undecided++;
          continue;
        }
        const said = sameness(d);
        if (p.said !== "" && p.said !== said) this.changed++;
        p.said = said;
        p.decided_ms ??= performance.now();
        p.outcome = d.outcome;
        p.score = d.score ?? null;
        if (d.degraded.length > 0) this.degraded++;
      }
    }
    if (undecided > 0) throw new Error(`${undecided} payments have no decision`);
  }
}
