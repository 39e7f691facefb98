/**
 * Streams a history into a node in event order, and reports its frauds as they become known: known time = event time +
 * delay, acknowledged before the first payment at or after that time is sent.
 */
import { LABEL_DELAY_US } from "../../actors/features/registry.ts";
import type { AnalyzeResult } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { FraudClient } from "../client/fraud_client.ts";
import type { History } from "../datasets/history.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { Progress } from "../progress.ts";
import { historyPayment } from "./history_payment.ts";
import { KnownOutcomes } from "./known_outcomes.ts";
import { PaymentPump, type Sent } from "./payment_pump.ts";

export interface HistoryStreamOptions {
  readonly client: FraudClient;
  /** Delay of a label; null where nothing is reported, since the labels are not a payment's own. */
  readonly label_delay_us: number | null;
  /** Whether the rows' attributes are sent, default false: the tenant must have declared them. */
  readonly attributes?: boolean;
  /** Payments before this event time are sent as history: recorded, not decided. */
  readonly decide_from_us: number;
  /** Every decided payment in event order; `latency_ms` is its batch's. */
  readonly onDecided: (row: HistoryRow, result: AnalyzeResult, latency_ms: number) => void;
  /** Outcomes that wait from an earlier stream of the same history. */
  readonly waiting?: KnownOutcomes;
  readonly signal: AbortSignal;
}

export interface StreamCounts {
  payments: number;
  decisions: number;
  /** Seconds from the first payment to the last answer. */
  elapsed_s: number;
}

/** A payment that cannot be decided: the data is wrong, or the node is in trouble. */
export class PaymentRefused extends Error {
  override name = "PaymentRefused";
}

export class HistoryStream {
  readonly #o: HistoryStreamOptions;
  readonly #pump: PaymentPump<HistoryRow>;
  readonly #delay_us: number;
  readonly outcomes: KnownOutcomes;
  readonly counts: StreamCounts = { payments: 0, decisions: 0, elapsed_s: 0 };

  constructor(o: HistoryStreamOptions) {
    this.#o = o;
    this.#delay_us = o.label_delay_us ?? 0;
    this.outcomes = o.waiting ?? new KnownOutcomes(o.client);
    this.#pump = new PaymentPump({ client: o.client, onResults: (b, r, ms) => this.#results(b, r, ms) });
  }

  /** Sends all rows of the history, then reports what is known at `until_us`. */
  async run(history: History, until_us: number, progress: Progress): Promise<void> {
    const started = performance.now();
    for await (const rows of history.batches()) {
      this.#o.signal.throwIfAborted();
      for (const row of rows) await this.#one(row);
      progress.update(history.read, new Date(rows[0].eventTimeUs / 1000).toISOString().slice(0, 10));
    }
    await this.#pump.settle();
    await this.outcomes.reportUntil(until_us);
    if (this.#o.client.resent > 0)
      throw new PaymentRefused("the node shed payments, so their order was lost: try again");
    this.counts.elapsed_s += (performance.now() - started) / 1000;
  }

  async #one(row: HistoryRow): Promise<void> {
    const t = row.eventTimeUs;
    if (this.outcomes.next_us <= t) {
      // A label counts in windows that end LABEL_DELAY_US before a payment, so a shorter delay cannot reach payments
      // still in flight; after a longer one they must be decided first.
      if (this.#delay_us > LABEL_DELAY_US) await this.#pump.settle();
      else await this.#pump.flush();
      await this.outcomes.reportUntil(t);
    }
    const full = this.#pump.add(historyPayment(row, this.#o.attributes ?? false), row, t < this.#o.decide_from_us);
    if (full !== undefined) await full;
    const reported = row.fraud === 1 && this.#o.label_delay_us !== null;
    if (reported) this.outcomes.addFraud(row.transactionId, row.userId, t + this.#delay_us);
  }

  #results(batch: readonly Sent<HistoryRow>[], results: readonly AnalyzeResult[], latency_ms: number): void {
    this.counts.payments += batch.length;
    for (const [i, { tag: row }] of batch.entries()) {
      const { result } = results[i];
      if (result.case !== "decision") {
        const why = result.value === undefined ? "no answer" : `${result.value.field} ${result.value.message}`;
        throw new PaymentRefused(`payment ${row.transactionId} was refused: ${why}`);
      }
      if (row.eventTimeUs < this.#o.decide_from_us) continue;
      this.counts.decisions++;
      this.#o.onDecided(row, results[i], latency_ms);
    }
  }
}
