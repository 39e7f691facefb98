/**
 * Sends payments in their order over one stream: batches are filled, a few are in flight at once, and their answers
 * are handed on in the same order. A shed row would be sent again behind later ones, so the batches in flight stay
 * within what the mailbox of one node holds.
 */
import type { AnalyzeResult } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { FraudClient, PaymentInit } from "../client/fraud_client.ts";

/** Payments of one message: the API's limit. */
export const BATCH_ROWS = 512;
const IN_FLIGHT = 10;

/** A payment to send, and what it is to the caller. */
export interface Sent<T> {
  readonly payment: PaymentInit;
  readonly tag: T;
}

export interface PumpOptions<T> {
  readonly client: FraudClient;
  /** Answers of one batch, in the order of the payments. An error that it throws stops the pump. */
  readonly onResults: (batch: readonly Sent<T>[], results: readonly AnalyzeResult[], latency_ms: number) => void;
  readonly batch_rows?: number;
}

export class PaymentPump<T> {
  readonly #o: PumpOptions<T>;
  readonly #rows: number;
  #batch: Sent<T>[] = [];
  #history = false;
  /** In the order sent. */
  readonly #flying: Promise<void>[] = [];

  constructor(o: PumpOptions<T>) {
    this.#o = o;
    this.#rows = o.batch_rows ?? BATCH_ROWS;
  }

  /** Takes one payment; waits only while too many batches are in flight. Rejects when an earlier batch failed. */
  add(payment: PaymentInit, tag: T, history: boolean): Promise<void> | undefined {
    if (this.#batch.length > 0 && history !== this.#history) this.#send();
    this.#history = history;
    this.#batch.push({ payment, tag });
    if (this.#batch.length < this.#rows) return undefined;
    this.#send();
    return this.#flying.length > IN_FLIGHT ? this.#landed(IN_FLIGHT) : undefined;
  }

  /** Sends what waits; its answers may still be outstanding. */
  async flush(): Promise<void> {
    if (this.#batch.length > 0) this.#send();
    if (this.#flying.length > IN_FLIGHT) await this.#landed(IN_FLIGHT);
  }

  /** Sends what waits and resolves when everything is answered. */
  async settle(): Promise<void> {
    if (this.#batch.length > 0) this.#send();
    await this.#landed(0);
  }

  async #landed(left: number): Promise<void> {
    while (this.#flying.length > left) await this.#flying.shift();
  }

  #send(): void {
    const batch = this.#batch;
    this.#batch = [];
    const from = performance.now();
    const sent = this.#o.client.analyze(
      batch.map((s) => s.payment),
      this.#history,
    );
    const done = sent.then((results) => this.#o.onResults(batch, results, performance.now() - from));
    // Seen by whoever awaits it next; until then it is no unhandled rejection.
    done.catch(() => {});
    this.#flying.push(done);
  }
}
