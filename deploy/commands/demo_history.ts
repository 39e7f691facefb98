/**
 * Streams made-up payments, events and outcomes into a node as fast as it decides. What one user does is kept in order,
 * and all payments are; events and outcomes of a segment go out together before its payments, so that not each of them
 * costs a wait.
 */
import type { AnalyzeResult } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { FraudClient } from "../client/fraud_client.ts";
import { paymentInit } from "../demo/feed.ts";
import type { DemoItem } from "../demo/items.ts";
import { PaymentPump } from "./payment_pump.ts";

type DemoPaymentItem = Extract<DemoItem, { type: "payment" }>;

/** Calls and payments of one segment, at most. */
const SEGMENT_CALLS = 500;
const SEGMENT_PAYMENTS = 2048;

export interface DemoHistoryOptions {
  readonly client: FraudClient;
  readonly onDecided: (item: DemoPaymentItem, result: AnalyzeResult) => void;
  readonly signal: AbortSignal;
}

export class DemoHistory {
  readonly #o: DemoHistoryOptions;
  readonly #pump: PaymentPump<DemoPaymentItem>;
  #calls: DemoItem[] = [];
  #payments: DemoPaymentItem[] = [];
  /** Users with a payment in this segment: their next event begins another one. */
  readonly #users = new Set<string>();
  payments = 0;

  constructor(o: DemoHistoryOptions) {
    this.#o = o;
    this.#pump = new PaymentPump({
      client: o.client,
      onResults: (batch, results) => {
        for (const [i, { tag }] of batch.entries()) this.#o.onDecided(tag, results[i]);
      },
    });
  }

  /** Sends all items; resolves when everything is answered. */
  async run(items: Iterable<DemoItem>, progress: (payments: number) => void): Promise<void> {
    for (const item of items) {
      if (item.type === "payment") {
        this.#payments.push(item);
        this.#users.add(item.payment.userId);
        if (this.#payments.length >= SEGMENT_PAYMENTS) await this.#send(progress);
        continue;
      }
      const user = item.type === "event" ? item.event.userId : item.outcome.userId;
      if (this.#users.has(user) || this.#calls.length >= SEGMENT_CALLS) await this.#send(progress);
      this.#calls.push(item);
    }
    await this.#send(progress);
  }

  async #send(progress: (payments: number) => void): Promise<void> {
    this.#o.signal.throwIfAborted();
    // In order for one user: events of the same user keep the order of their times only if sent one after the other.
    for (const round of rounds(this.#calls)) await Promise.all(round.map((item) => this.#call(item)));
    for (const item of this.#payments) await this.#pump.add(paymentInit(item.payment), item, false);
    await this.#pump.settle();
    this.payments += this.#payments.length;
    this.#calls = [];
    this.#payments = [];
    this.#users.clear();
    progress(this.payments);
  }

  async #call(item: DemoItem): Promise<void> {
    const { client } = this.#o;
    if (item.type === "event") {
      await client.recordEvent({ ...item.event, eventTimeUs: BigInt(item.event.eventTimeUs) });
    } else if (item.type === "outcome") {
      await client.reportOutcome({ ...item.outcome, knownTimeUs: BigInt(item.outcome.knownTimeUs) });
    }
  }
}

/** Calls that may go out together: the first of each user, then the second of each, and so on. */
function rounds(items: readonly DemoItem[]): DemoItem[][] {
  const seen = new Map<string, number>();
  const out: DemoItem[][] = [];
  for (const item of items) {
    if (item.type === "payment") continue;
    const user = item.type === "event" ? item.event.userId : item.outcome.userId;
    const round = seen.get(user) ?? 0;
    seen.set(user, round + 1);
    out[round] ??= [];
    out[round].push(item);
  }
  return out;
}
