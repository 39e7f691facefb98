/**
 * The open loop: messages leave at their intended times whatever the server does, and a latency counts from the
 * intended time to the decision's arrival. A generator that cannot keep its times shows it as lag.
 */
import { setTimeout as delay } from "node:timers/promises";
import { WINDOWS_US } from "../../actors/features/registry.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { LatencyHistogram, type Percentiles } from "./latency_histogram.ts";
import type { MessagePool } from "./message_pool.ts";
import { MESSAGE_ROWS } from "./payment_message.ts";
import type { PaymentSource } from "./payment_source.ts";
import type { StreamSet } from "./stream_set.ts";

export interface PhaseOptions {
  readonly name: string;
  /** Payments a second. */
  readonly rate: number;
  readonly seconds: number;
  /** How long answers may come after the last message: no phase begins in the backlog of another. Default 30. */
  readonly drain_s?: number;
}

export interface PhaseResult {
  readonly name: string;
  readonly offered_per_s: number;
  readonly seconds: number;
  /** Payments that were due, that were written, that were decided, and the share of due ones decided. */
  readonly offered: number;
  readonly sent: number;
  readonly decided: number;
  readonly decided_share: number;
  readonly decisions_per_s: number;
  /** Rows by error code; provisional and unanswered ones are unknown to the client. */
  readonly errors: Readonly<Record<string, number>>;
  readonly provisional: number;
  readonly unanswered: number;
  readonly latency_ms: Percentiles;
  /** Intended send time to the write: the generator's own share of the latency. */
  readonly lag_ms: Percentiles;
  /** Payments that left one of the six windows of their user or their merchant, a second. */
  readonly expiries_per_s: number;
  /** Event time ran so many times faster than the clock. */
  readonly acceleration: number;
  readonly event_time: { readonly from: string; readonly to: string };
  /** ALLOW, CHALLENGE, REVIEW, BLOCK. */
  readonly outcomes: readonly number[];
  readonly degraded: number;
  /** Decided beyond the late tolerance (streams that ran apart): in no window. */
  readonly late: number;
  readonly client_cpu_us_per_payment: number;
}

/** Actors that keep the windows of a payment: its user and its merchant. */
const WINDOW_ACTORS = 2;
const DRAIN_S = 30;
const ERROR_NAMES = new Map(Object.entries(ErrorCode).map(([name, code]) => [code as number, name]));

export class OpenLoop {
  readonly #source: PaymentSource;
  readonly #streams: StreamSet;
  readonly #pool: MessagePool;
  readonly #latency = new LatencyHistogram();
  readonly #lag = new LatencyHistogram();
  #phase = 0;
  #decided = 0;
  #lastDecision_ms = 0;

  constructor(source: PaymentSource, streams: StreamSet, pool: MessagePool) {
    this.#source = source;
    this.#streams = streams;
    this.#pool = pool;
  }

  async run(o: PhaseOptions): Promise<PhaseResult> {
    const { found, flights } = this.#streams;
    const messages = Math.max(1, Math.round((o.rate * o.seconds) / MESSAGE_ROWS));
    const from_us = this.#source.timeline.end_us;
    const stretch = this.#source.stretch(messages * MESSAGE_ROWS);
    const phase = ++this.#phase;
    this.#latency.reset();
    this.#lag.reset();
    this.#decided = 0;
    found.clear();
    this.#streams.onAnswer = (now_ms) => {
      if (flights.phase !== phase) return;
      this.#latency.add((now_ms - flights.due_ms) * 1000, found.decided);
      if (found.decided === 0) return;
      this.#decided += found.decided;
      this.#lastDecision_ms = now_ms;
    };
    const cpu = process.cpuUsage();
    const start_ms = performance.now() + 2;
    const every_ms = (MESSAGE_ROWS * 1000) / o.rate;
    const deadline_ms = start_ms + (o.seconds + (o.drain_s ?? DRAIN_S)) * 1000;
    let sent = 0;
    for (; sent < messages; ) {
      const now_ms = performance.now();
      if (this.#streams.broken !== "") throw new Error(`the streams broke: ${this.#streams.broken}`);
      if (now_ms > deadline_ms) break;
      for (; sent < messages && start_ms + sent * every_ms <= now_ms; sent++) {
        const message = this.#pool.take();
        if (message === null) break;
        const due_ms = start_ms + sent * every_ms;
        this.#source.fill(message, stretch, sent * MESSAGE_ROWS);
        this.#lag.add((performance.now() - due_ms) * 1000);
        this.#streams.send(message, due_ms, stretch.first + sent * MESSAGE_ROWS, phase, () => this.#pool.give(message));
      }
      await delay(1);
    }
    const spent = process.cpuUsage(cpu);
    while (flights.outstanding > 0 && performance.now() < deadline_ms) {
      if (this.#streams.broken !== "") throw new Error(`the streams broke: ${this.#streams.broken}`);
      await delay(5);
    }
    const unanswered = flights.outstanding > 0 ? flights.abandon() : 0;
    const counts = {
      sent: sent * MESSAGE_ROWS,
      offered: messages * MESSAGE_ROWS,
      unanswered: unanswered * MESSAGE_ROWS,
    };
    return this.#result(o, { ...counts, start_ms, from_us, cpu_us: spent.user + spent.system });
  }

  #result(
    o: PhaseOptions,
    p: { sent: number; offered: number; unanswered: number; start_ms: number; from_us: number; cpu_us: number },
  ): PhaseResult {
    const { found } = this.#streams;
    const { timeline, ledger, options } = this.#source;
    const took_s = Math.max(o.seconds, (this.#lastDecision_ms - p.start_ms) / 1000);
    const to_us = timeline.end_us;
    const expiries = timeline.expiries(ledger.acknowledged, WINDOWS_US, p.from_us, to_us, WINDOW_ACTORS);
    const errors: Record<string, number> = {};
    found.errors.forEach((n, code) => {
      if (n > 0) errors[ERROR_NAMES.get(code) ?? String(code)] = n;
    });
    return {
      name: o.name,
      offered_per_s: o.rate,
      seconds: o.seconds,
      offered: p.offered,
      sent: p.sent,
      decided: this.#decided,
      decided_share: this.#decided / p.offered,
      decisions_per_s: Math.round(this.#decided / took_s),
      errors,
      provisional: found.provisional,
      unanswered: p.unanswered,
      latency_ms: this.#latency.summary_ms(),
      lag_ms: this.#lag.summary_ms(),
      expiries_per_s: Math.round(expiries / o.seconds),
      acceleration: Math.round((o.rate * options.event_step_us) / 1e6),
      event_time: { from: isoTime(p.from_us), to: isoTime(to_us) },
      outcomes: [...found.outcomes.subarray(1, 5)],
      degraded: found.degraded,
      late: found.late,
      client_cpu_us_per_payment: Math.round((p.cpu_us / Math.max(1, p.sent)) * 100) / 100,
    };
  }
}

function isoTime(us: number): string {
  return new Date(us / 1000).toISOString();
}
