/**
 * Owns the way of every call from bytes to bytes, whatever transport brought it: scan the header, ask the intake for
 * room (or shed), decode into the open block, wait for the rows' results or the deadline, encode the answer. Per
 * message it uses one pooled object and no promise; per payment it does nothing, that is the codec's.
 */
import type { RowBlock } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { Clock, Intake, Timers } from "../../runtime/ports.ts";
import { encodeShed, encodeStreamError } from "../codec/decision_encoder.ts";
import { decodePayments, Envelope, scanAnalyzeRequest, scanBulkRequest, scanStreamRequest } from "../codec/envelope.ts";
import { errorField, errorMessage, KIND_ENVELOPE } from "../codec/errors.ts";
import { decodeEvent, decodeOutcome } from "../codec/payment_decoder.ts";
import type { DecisionTexts } from "../codec/reason_texts.ts";
import type { EndpointMetrics } from "../metrics/gateway_metrics.ts";
import type { BatchTracer } from "../metrics/tracing.ts";
import type { DecisionReader } from "../ports.ts";
import { atMost } from "./alarm.ts";
import { DeadlineWheel } from "./deadline_wheel.ts";
import {
  type CallKind,
  KIND_ANALYZE,
  KIND_BULK,
  KIND_EVENT,
  KIND_OUTCOME,
  KIND_RISK_SCORE,
  KIND_STREAM,
  statusName,
} from "./kinds.ts";
import { PendingCall } from "./pending_call.ts";
import { drainingRefusal, type Reply, refusal, shedRefusal } from "./reply.ts";
import { RiskScoreReader } from "./risk_score.ts";

export interface CallDeskOptions {
  readonly intake: Intake;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly decisions: DecisionReader;
  readonly tracer: BatchTracer;
  /** The texts of answers: reasons and versions. */
  readonly texts: DecisionTexts;
  /** Told how many rows were answered PROVISIONAL. */
  readonly provisional: (rows: number) => void;
}

/** Pooled objects kept; more are made under load and dropped afterwards. */
const POOL_MAX = 4096;

export class CallDesk {
  readonly options: CallDeskOptions;
  readonly wheel: DeadlineWheel;
  readonly #pool: PendingCall[] = [];
  readonly #envelope = new Envelope();
  readonly #riskScores: RiskScoreReader;
  #draining = false;
  /** Calls without an answer now. */
  pending = 0;
  #idle: (() => void) | null = null;

  constructor(options: CallDeskOptions) {
    this.options = options;
    this.wheel = new DeadlineWheel(options.clock);
    this.#riskScores = new RiskScoreReader(options.decisions, this.wheel, options.clock);
    this.wheel.start(options.timers);
  }

  /**
   * Takes one request message. The reply is told exactly once, perhaps before this returns. `deadline_ms` 0: waits for
   * the results however long it takes. `metrics` null: the transport counts by itself.
   */
  take(
    kind: CallKind,
    bytes: Uint8Array,
    tenant: Tenant,
    deadline_ms: number,
    reply: Reply,
    metrics: EndpointMetrics | null,
  ): void {
    if (kind === KIND_RISK_SCORE) {
      this.#riskScores.read(bytes, tenant, deadline_ms, reply, metrics);
      return;
    }
    const envelope = this.#envelope;
    const rows = scan(kind, bytes, envelope);
    if (rows === 0) {
      this.#turnAway(kind, bytes, envelope.error as ErrorCode, envelope.errorField, reply, metrics);
      return;
    }
    if (this.#draining) {
      this.#turnAway(kind, bytes, ErrorCode.UNAVAILABLE, 0, reply, metrics);
      return;
    }
    const block = this.options.intake.open(rows, bytes.length);
    if (block === null) {
      this.#shed(kind, bytes, rows, reply, metrics);
      return;
    }
    this.#submit(kind, bytes, block, rows, tenant, deadline_ms, reply, metrics);
  }

  /** Refuses new calls from now on. */
  drain(): void {
    this.#draining = true;
  }

  /** True when every call taken has its answer; false when some have none after `wait_ms`. */
  async idle(wait_ms: number): Promise<boolean> {
    if (this.pending === 0) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    return atMost(this.wheel, wait_ms, promise).then(
      () => true,
      () => false,
    );
  }

  /** Ends the deadlines' timer; calls still pending stay without an answer. */
  close(): void {
    this.wheel.stop();
  }

  /** A call has its answer. */
  settled(): void {
    this.pending--;
    if (this.pending === 0 && this.#idle !== null) {
      this.#idle();
      this.#idle = null;
    }
  }

  /** Takes an object back whose rows are the block's alone again. */
  release(call: PendingCall): void {
    if (this.#pool.length < POOL_MAX) this.#pool.push(call);
  }

  #submit(
    kind: CallKind,
    bytes: Uint8Array,
    block: RowBlock,
    rows: number,
    tenant: Tenant,
    deadline_ms: number,
    reply: Reply,
    metrics: EndpointMetrics | null,
  ): void {
    const { intake, clock } = this.options;
    const row = block.n;
    const now_us = clock.wallUs();
    if (kind === KIND_OUTCOME) decodeOutcome(bytes, 0, bytes.length, block, row, tenant, intake.shards, now_us);
    else if (kind === KIND_EVENT) decodeEvent(bytes, 0, bytes.length, block, row, tenant, intake.shards, now_us);
    else decodePayments(bytes, this.#envelope, block, row, tenant, intake.shards, now_us);
    const call = this.#pool.pop() ?? new PendingCall(this);
    call.open(kind, this.#envelope, block, rows, tenant, reply, metrics, clock.monotonicUs());
    this.pending++;
    if (deadline_ms > 0) this.wheel.add(call, deadline_ms);
    intake.submit(block, rows, bytes, call);
  }

  /** Answers a message that cannot be taken as a whole. A stream gets a batch with one error, the others a refusal. */
  #turnAway(
    kind: CallKind,
    bytes: Uint8Array,
    code: ErrorCode,
    field: number,
    reply: Reply,
    metrics: EndpointMetrics | null,
  ): void {
    metrics?.answered(statusName(code), 0);
    const { batchIdStart, batchIdLength } = this.#envelope;
    if (kind === KIND_STREAM) reply.answer(encodeStreamError(bytes, batchIdStart, batchIdLength, code, field));
    else if (code === ErrorCode.UNAVAILABLE) reply.refuse(drainingRefusal());
    else {
      const message = errorMessage(KIND_ENVELOPE, code, field);
      reply.refuse(refusal(code, message, { field: errorField(KIND_ENVELOPE, field) }));
    }
  }

  #shed(kind: CallKind, bytes: Uint8Array, rows: number, reply: Reply, metrics: EndpointMetrics | null): void {
    metrics?.answered("RESOURCE_EXHAUSTED", 0);
    const retry_ms = this.options.intake.retryAfterMs();
    if (kind !== KIND_STREAM) {
      reply.refuse(shedRefusal(retry_ms));
      return;
    }
    const { batchIdStart, batchIdLength } = this.#envelope;
    reply.answer(encodeShed(bytes, batchIdStart, batchIdLength, rows, retry_ms));
  }
}

/** Rows in the message; 0 when it cannot be taken as a whole (`envelope.error`). */
function scan(kind: CallKind, bytes: Uint8Array, envelope: Envelope): number {
  switch (kind) {
    case KIND_STREAM:
      return scanStreamRequest(bytes, envelope);
    case KIND_BULK:
      return scanBulkRequest(bytes, envelope);
    case KIND_ANALYZE:
      return scanAnalyzeRequest(bytes, envelope);
    default:
      return 1;
  }
}
