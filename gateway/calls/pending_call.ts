/**
 * Owns one call between submit and answer: the sink of its rows and the holder of its deadline. Whatever comes first
 * answers it, once. After the deadline the object stays with the block until done() comes, so that it is never reused
 * while a tick still knows it; the rows are not read any more.
 */
import type { BatchSink, RowBlock } from "../../proto/columns.ts";
import type { Tenant } from "../../proto/tenant.ts";
import {
  encodeAnalyzeResponse,
  encodeAnalyzeStandIn,
  encodeBulkResponse,
  encodeBulkStandIn,
  encodeEventResponse,
  encodeOutcomeResponse,
  encodeStreamResponse,
  encodeStreamStandIn,
} from "../codec/decision_encoder.ts";
import type { Envelope } from "../codec/envelope.ts";
import type { EndpointMetrics } from "../metrics/gateway_metrics.ts";
import type { CallDesk } from "./call_desk.ts";
import type { Expiring } from "./deadline_wheel.ts";
import { type CallKind, KIND_ANALYZE, KIND_BULK, KIND_OUTCOME, KIND_STREAM, statusName } from "./kinds.ts";
import { type Refusal, type Reply, unknownRefusal } from "./reply.ts";
import { refusedAtDecode, rowRefusal } from "./row_refusal.ts";

const EMPTY = new Uint8Array(0);

export class PendingCall implements BatchSink, Expiring {
  readonly #desk: CallDesk;
  // Links of the deadline wheel.
  expires_slot = -1;
  before: Expiring | null = null;
  after: Expiring | null = null;

  #kind: CallKind = KIND_STREAM;
  #reply: Reply | null = null;
  #tenant: Tenant | null = null;
  #metrics: EndpointMetrics | null = null;
  #block: RowBlock | null = null;
  #start = 0;
  #count = 0;
  #with_timings = false;
  #batch_id_start = 0;
  #batch_id_length = 0;
  #since_us = 0;

  constructor(desk: CallDesk) {
    this.#desk = desk;
  }

  /** Begins a call whose rows will lie in [block.n, block.n + count). */
  open(
    kind: CallKind,
    envelope: Envelope,
    block: RowBlock,
    count: number,
    tenant: Tenant,
    reply: Reply,
    metrics: EndpointMetrics | null,
    now_us: number,
  ): void {
    this.#kind = kind;
    this.#reply = reply;
    this.#tenant = tenant;
    this.#metrics = metrics;
    this.#block = block;
    this.#start = block.n;
    this.#count = count;
    this.#with_timings = envelope.withTimings;
    this.#batch_id_start = envelope.batchIdStart;
    this.#batch_id_length = envelope.batchIdLength;
    this.#since_us = now_us;
  }

  /** All rows have their results. After an expiry only the object is given back. */
  done(block: RowBlock, start: number, count: number): void {
    const reply = this.#reply;
    if (reply === null) {
      this.#desk.release(this);
      return;
    }
    this.#desk.wheel.remove(this);
    const { tracer, clock } = this.#desk.options;
    if (tracer.sampled()) tracer.trace(block.stagesUs, clock.wallUs(), this.#tenant?.id ?? "", count);
    if (!reply.open) this.#answer(reply, EMPTY, "CANCELLED");
    else if (this.#kind === KIND_STREAM) this.#answer(reply, this.#streamResponse(block, start, count), "OK");
    else if (this.#kind === KIND_BULK) {
      this.#answer(reply, encodeBulkResponse(block, start, count, this.#desk.options.texts, this.#with_timings), "OK");
    } else this.#answerRow(reply, block, start);
    this.#desk.release(this);
  }

  /** The deadline has passed without an acknowledgement. */
  expire(): void {
    const reply = this.#reply;
    const block = this.#block;
    if (reply === null || block === null) return;
    const start = this.#start;
    const outcome = this.#tenant?.stand_in_outcome ?? 0;
    const error = block.error[start];
    if (!reply.open) this.#answer(reply, EMPTY, "CANCELLED");
    else if (this.#kind === KIND_STREAM) {
      const status = this.#standIn(block, outcome);
      const bytes = encodeStreamStandIn(
        block,
        start,
        this.#count,
        outcome,
        this.#batch_id_start,
        this.#batch_id_length,
      );
      this.#answer(reply, bytes, status);
    } else if (this.#kind === KIND_BULK) {
      const status = this.#standIn(block, outcome);
      this.#answer(reply, encodeBulkStandIn(block, start, this.#count, outcome), status);
    } else if (refusedAtDecode(error)) this.#refuse(reply, rowRefusal(block, start, 0));
    else if (this.#kind === KIND_ANALYZE && outcome !== 0) {
      const status = this.#standIn(block, outcome);
      this.#answer(reply, encodeAnalyzeStandIn(block, start, outcome), status);
    } else this.#refuse(reply, unknownRefusal());
  }

  /** Status label of an expired answer; counts the rows that the stand-in answered. */
  #standIn(block: RowBlock, outcome: number): string {
    if (outcome === 0) return "UNAVAILABLE";
    let rows = 0;
    for (let r = this.#start; r < this.#start + this.#count; r++) if (!refusedAtDecode(block.error[r])) rows++;
    this.#desk.options.provisional(rows);
    return "PROVISIONAL";
  }

  #streamResponse(block: RowBlock, start: number, count: number): Uint8Array {
    const { texts } = this.#desk.options;
    const id_start = this.#batch_id_start;
    return encodeStreamResponse(block, start, count, texts, this.#with_timings, id_start, this.#batch_id_length);
  }

  #answerRow(reply: Reply, block: RowBlock, row: number): void {
    if (block.error[row] !== 0) {
      this.#refuse(reply, rowRefusal(block, row, this.#desk.options.intake.retryAfterMs()));
      return;
    }
    const { texts } = this.#desk.options;
    if (this.#kind === KIND_ANALYZE) {
      this.#answer(reply, encodeAnalyzeResponse(block, row, texts, this.#with_timings), "OK");
    } else if (this.#kind === KIND_OUTCOME) this.#answer(reply, encodeOutcomeResponse(block, row), "OK");
    else this.#answer(reply, encodeEventResponse(block, row), "OK");
  }

  #answer(reply: Reply, bytes: Uint8Array, status: string): void {
    this.#settle(status);
    reply.answer(bytes);
  }

  #refuse(reply: Reply, refused: Refusal): void {
    this.#settle(statusName(refused.code));
    reply.refuse(refused);
  }

  /** Counts, and forgets everything that belongs to the caller. */
  #settle(status: string): void {
    this.#metrics?.answered(status, this.#desk.options.clock.monotonicUs() - this.#since_us);
    this.#reply = null;
    this.#tenant = null;
    this.#metrics = null;
    this.#block = null;
    this.#desk.settled();
  }
}
