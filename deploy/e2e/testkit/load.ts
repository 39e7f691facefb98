/**
 * Load with a memory: sends payments, events and outcomes through the real gRPC API, and keeps every decision that was
 * acknowledged, so that a later answer to the same id can be held against it.
 */
import assert from "node:assert/strict";
import { type AnalyzeResult, DecisionState, ErrorCode } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { FraudClient, type PaymentInit } from "../../client/fraud_client.ts";
import { paymentInit } from "../../demo/feed.ts";
import type { DemoItem } from "../../demo/items.ts";
import { decisionOf, sameness } from "./payments.ts";

const BATCH = 32;
/** Batches under way at once. */
const WINDOW = 6;

function isUnavailable({ result }: AnalyzeResult): boolean {
  return result.case === "error" && result.value.code === ErrorCode.UNAVAILABLE;
}

/** What is known about payments: acknowledged decisions by "user id". */
export class Acknowledged {
  readonly decisions = new Map<string, string>();
  provisional = 0;
  /** Answered UNAVAILABLE: their outcome is unknown, they are asked again. */
  unknown = 0;

  /** Takes the answers to a batch. Fails when a decision differs from an earlier one. */
  take(payments: readonly PaymentInit[], results: Awaited<ReturnType<FraudClient["analyze"]>>): void {
    assert.equal(results.length, payments.length);
    for (const [i, p] of payments.entries()) {
      if (isUnavailable(results[i])) {
        this.unknown++;
        continue;
      }
      const d = decisionOf(results[i]);
      assert.equal(d.transactionId, p.transactionId);
      if (d.state === DecisionState.PROVISIONAL) {
        this.provisional++;
        continue;
      }
      const key = `${p.userId} ${p.transactionId}`;
      const known = this.decisions.get(key);
      const same = sameness(d);
      if (known === undefined) this.decisions.set(key, same);
      else {
        assert.equal(same, known, `the decision of ${key} changed`);
        assert.equal(d.repeated, true, `${key} was decided again`);
      }
    }
  }

  has(p: PaymentInit): boolean {
    return this.decisions.has(`${p.userId} ${p.transactionId}`);
  }
}

/** Sends everything once, in order of time, several batches under way; rejects when the stream breaks. */
export async function feed(
  client: FraudClient,
  items: readonly DemoItem[],
  known = new Acknowledged(),
): Promise<Acknowledged> {
  const under: Set<Promise<void>> = new Set();
  const begin = async (work: Promise<unknown>) => {
    const done: Promise<void> = work.then(() => void under.delete(done));
    under.add(done);
    if (under.size >= WINDOW) await Promise.race(under);
  };
  let batch: PaymentInit[] = [];
  const send = async () => {
    const payments = batch;
    batch = [];
    if (payments.length > 0) await begin(client.analyze(payments).then((r) => known.take(payments, r)));
  };
  for (const item of items) {
    if (item.type === "payment") {
      batch.push(paymentInit(item.payment));
      if (batch.length === BATCH) await send();
    } else if (item.type === "event") {
      await begin(client.recordEvent({ ...item.event, eventTimeUs: BigInt(item.event.eventTimeUs) }));
    } else {
      await send();
      await begin(client.reportOutcome({ ...item.outcome, knownTimeUs: BigInt(item.outcome.knownTimeUs) }));
    }
  }
  await send();
  await Promise.all(under);
  return known;
}

/**
 * Sends payments until all have a decision, over crashes: what was under way when the stream broke is sent again. Stops
 * early at `pauseAt` acknowledged payments, without waiting for what is under way.
 */
export class PersistentLoad {
  readonly known = new Acknowledged();
  readonly #payments: readonly PaymentInit[];
  readonly key: string;
  #next = 0;
  #batch = BATCH;
  readonly #again: PaymentInit[][] = [];
  #client: FraudClient | null = null;
  #workers: Promise<void>[] = [];
  #running = false;
  /** Anything but a broken stream: the test fails with it. */
  failure: Error | null = null;
  broken = 0;

  constructor(payments: readonly PaymentInit[], key: string) {
    this.#payments = payments;
    this.key = key;
  }

  get acknowledged(): number {
    return this.known.decisions.size;
  }

  get finished(): boolean {
    return this.failure !== null || this.acknowledged === this.#payments.length;
  }

  /** Goes on against a node; workers end when the stream breaks or nothing is left. `pace` makes the load lighter. */
  run(grpc: string, pace: { workers: number; batch: number } = { workers: WINDOW, batch: BATCH }): void {
    this.#batch = pace.batch;
    this.#client = new FraudClient(grpc, this.key);
    this.#running = true;
    this.#workers = Array.from({ length: pace.workers }, () => this.#work(this.#client as FraudClient));
  }

  /** Waits for the workers and closes the connection. */
  async pause(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
    this.#client?.close();
    if (this.failure !== null) throw this.failure;
  }

  async #work(client: FraudClient): Promise<void> {
    while (this.#running && this.failure === null) {
      const batch = this.#take();
      if (batch === null) return;
      try {
        this.known.take(batch, await client.analyze(batch));
        // Provisional answers are no decisions: asked again with the same ids.
        if (!batch.every((p) => this.known.has(p))) this.#again.push(batch);
      } catch (error) {
        this.#again.push(batch);
        if ((error as Error).name === "StreamBroken") this.broken++;
        else this.failure = error as Error;
        return;
      }
    }
  }

  #take(): PaymentInit[] | null {
    const again = this.#again.shift();
    if (again !== undefined) return again;
    if (this.#next >= this.#payments.length) return null;
    const batch = this.#payments.slice(this.#next, this.#next + this.#batch);
    this.#next += this.#batch;
    return batch;
  }
}
