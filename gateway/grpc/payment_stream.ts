/**
 * Owns one AnalyzeStream call: authenticated once, each message decoded at once into the open block, its response
 * written when all its rows are acknowledged. A client that does not read its answers is not read from, so that
 * neither side's queue grows. One object a stream; messages make none here.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import { KIND_STREAM } from "../calls/kinds.ts";
import { drainingRefusal, type Refusal, type Reply, refusal } from "../calls/reply.ts";
import type { Identity } from "../identity/identity.ts";
import { AuthenticationFailure } from "../identity/identity_error.ts";
import type { EndpointMetrics } from "../metrics/gateway_metrics.ts";
import { statusOf } from "./status.ts";

/** Answers that may wait for the client; past it the stream is not read until they have gone out. */
export const UNSENT_MAX = 128;

export type StreamCall = ServerDuplexStream<Buffer, Uint8Array>;

export class PaymentStream implements Reply {
  readonly #call: StreamCall;
  readonly #desk: CallDesk;
  readonly #tenant: Tenant;
  readonly #metrics: EndpointMetrics;
  #waiting = 0;
  #ended = false;
  #paused = false;
  #draining = false;
  open = true;
  /** Called once when the stream is over. */
  readonly #closed: (stream: PaymentStream) => void;

  constructor(
    call: StreamCall,
    desk: CallDesk,
    tenant: Tenant,
    metrics: EndpointMetrics,
    closed: (stream: PaymentStream) => void,
  ) {
    this.#call = call;
    this.#desk = desk;
    this.#tenant = tenant;
    this.#metrics = metrics;
    this.#closed = closed;
    call.on("data", (bytes: Buffer) => this.#take(bytes));
    call.on("drain", () => this.#drained());
    call.on("end", () => {
      this.#ended = true;
      this.#finishWhenAnswered();
    });
    call.on("cancelled", () => this.#close());
    call.on("close", () => this.#close());
  }

  #take(bytes: Buffer): void {
    this.#waiting++;
    this.#desk.take(KIND_STREAM, bytes, this.#tenant, this.#tenant.deadline_ms, this, this.#metrics);
  }

  answer(bytes: Uint8Array): void {
    this.#waiting--;
    if (!this.open) return;
    const room = this.#call.write(bytes);
    if (!room && !this.#paused && this.#call.writableLength >= UNSENT_MAX) {
      this.#paused = true;
      this.#call.pause();
    }
    this.#finishWhenAnswered();
  }

  /** Ends the stream with an error: only for what concerns the stream as a whole. */
  refuse(refusal: Refusal): void {
    this.#waiting--;
    if (this.open) this.#fail(refusal);
  }

  /** Reads no more, answers what was taken, then ends with UNAVAILABLE so that the client goes to another node. */
  drain(): void {
    this.#call.pause();
    this.#draining = true;
    this.#ended = true;
    if (this.#waiting === 0 && this.open) this.#fail(drainingRefusal());
  }

  #drained(): void {
    if (!this.#paused || this.#draining) return;
    this.#paused = false;
    this.#call.resume();
  }

  #finishWhenAnswered(): void {
    if (!this.#ended || this.#waiting > 0 || !this.open) return;
    if (this.#draining) this.#fail(drainingRefusal());
    else {
      this.#call.end();
      this.#close();
    }
  }

  /** Queued answers still go out before the status. */
  #fail(refusal: Refusal): void {
    this.#call.emit("error", statusOf(refusal));
    this.#close();
  }

  #close(): void {
    if (!this.open) return;
    this.open = false;
    this.#closed(this);
  }
}

/** The handler of AnalyzeStream, with the set of its open streams. */
export class PaymentStreams {
  readonly #desk: CallDesk;
  readonly #identity: Identity;
  readonly #metrics: EndpointMetrics;
  readonly #open = new Set<PaymentStream>();

  constructor(desk: CallDesk, identity: Identity, metrics: EndpointMetrics) {
    this.#desk = desk;
    this.#identity = identity;
    this.#metrics = metrics;
  }

  get size(): number {
    return this.#open.size;
  }

  accept(call: StreamCall): void {
    const tenant = this.#identity.authenticate(call.metadata.get("authorization")[0] as string | undefined);
    if (tenant instanceof AuthenticationFailure) {
      this.#metrics.answered("UNAUTHENTICATED", 0);
      call.emit("error", statusOf(refusal(ErrorCode.UNAUTHENTICATED, tenant.message)));
      return;
    }
    this.#open.add(new PaymentStream(call, this.#desk, tenant, this.#metrics, (s) => this.#open.delete(s)));
  }

  drain(): void {
    for (const stream of this.#open) stream.drain();
  }
}
