/** Feeds the demo stream into a running node through its public gRPC API, in real time, and keeps the latencies. */
import { Outcome } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import type { DemoItem, DemoPayment } from "./items.ts";
import { type DemoOptions, demoStream } from "./stream.ts";

export interface DemoFeedOptions {
  readonly grpc: string;
  readonly api_key: string;
  readonly seed: number;
  /** Payments a second. */
  readonly rate: number;
  /** Called when the first decision is acknowledged. */
  readonly onFirst: () => void;
}

const PULSE_MS = 20;
const BATCH_MAX = 64;
/** Latencies kept for the live line. */
const LATENCIES_MAX = 50_000;

/**
 * The payments of a live demo: stories short enough to be watched, and so many people that nobody pays faster than a
 * person can: about four times an hour.
 */
export function liveDemo(seed: number, startUs: number, rate: number): DemoOptions {
  return {
    seed,
    startUs,
    days: Number.POSITIVE_INFINITY,
    users: Math.min(1_000_000, Math.max(1000, Math.round(rate * 1000))),
    merchants: 500,
    paymentsPerSecond: rate,
    fraudShare: 0.01,
    storyScale: 0.05,
    labelDelayUs: 60e6,
  };
}

/** A payment as the API takes it. */
export function paymentInit(p: DemoPayment): PaymentInit {
  const { location, amountMinor, eventTimeUs, ...rest } = p;
  return {
    ...rest,
    amountMinor: BigInt(amountMinor),
    eventTimeUs: BigInt(eventTimeUs),
    ...(location === undefined ? {} : { location }),
  };
}

export class DemoFeed {
  readonly #o: DemoFeedOptions;
  readonly #client: FraudClient;
  readonly #items: Generator<DemoItem, void, undefined>;
  #next: DemoItem | null;
  #timer: NodeJS.Timeout | null = null;
  #first = true;
  /** Since start, by outcome number; errors apart. */
  readonly outcomes = new Float64Array(5);
  decisions = 0;
  provisional = 0;
  errors = 0;
  failed_batches = 0;
  /** Milliseconds, since the last take(). */
  #latencies_ms: number[] = [];

  constructor(o: DemoFeedOptions) {
    this.#o = o;
    this.#client = new FraudClient(o.grpc, o.api_key);
    this.#items = demoStream(liveDemo(o.seed, Date.now() * 1000, o.rate));
    this.#next = this.#items.next().value ?? null;
  }

  start(): void {
    this.#timer = setInterval(() => this.#pulse(), PULSE_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#client.close();
  }

  /** Latencies since the last call, ascending, milliseconds. */
  take(): number[] {
    const l = this.#latencies_ms.sort((a, b) => a - b);
    this.#latencies_ms = [];
    return l;
  }

  #pulse(): void {
    const nowUs = Date.now() * 1000;
    const due: DemoPayment[] = [];
    while (this.#next !== null && this.#next.timeUs <= nowUs) {
      const item = this.#next;
      if (item.type === "payment") due.push(item.payment);
      else if (item.type === "event")
        this.#client
          .recordEvent({ ...item.event, eventTimeUs: BigInt(item.event.eventTimeUs) })
          .catch(() => this.errors++);
      else
        this.#client
          .reportOutcome({ ...item.outcome, knownTimeUs: BigInt(item.outcome.knownTimeUs) })
          .catch(() => this.errors++);
      this.#next = this.#items.next().value ?? null;
    }
    for (let i = 0; i < due.length; i += BATCH_MAX) void this.#send(due.slice(i, i + BATCH_MAX));
  }

  async #send(payments: DemoPayment[]): Promise<void> {
    const from = performance.now();
    try {
      const results = await this.#client.analyze(payments.map(paymentInit));
      const took_ms = performance.now() - from;
      for (const { result } of results) {
        if (result.case !== "decision") this.errors++;
        else if (result.value.state === 2) this.provisional++;
        else {
          this.decisions++;
          this.outcomes[result.value.outcome]++;
          if (this.#latencies_ms.length < LATENCIES_MAX) this.#latencies_ms.push(took_ms);
        }
      }
    } catch {
      this.failed_batches++;
    }
    if (this.#first && this.decisions > 0) {
      this.#first = false;
      this.#o.onFirst();
    }
  }

  /** Outcome counts by name. */
  summary(): string {
    const n = (o: Outcome) => this.outcomes[o];
    const kind = (name: string, o: Outcome) => `${name} ${n(o)}`;
    const worst = `${kind("review", Outcome.REVIEW)}  ${kind("block", Outcome.BLOCK)}`;
    return `${kind("allow", Outcome.ALLOW)}  ${kind("challenge", Outcome.CHALLENGE)}  ${worst}`;
  }
}
