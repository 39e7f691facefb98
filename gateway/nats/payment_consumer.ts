/**
 * Owns the payments published to NATS: each message is decided through the same desk as every other call and
 * acknowledged only when its decisions are committed and its answer is stored. A refused payment goes to the dead
 * letters with its error; what may succeed later is asked for again, and a payment decided before gets its decision
 * again.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type AnalyzeResult,
  AnalyzeResultSchema,
  AnalyzeStreamResponseSchema,
  ErrorCode,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import { KIND_STREAM } from "../calls/kinds.ts";
import { type Refusal, refusal } from "../calls/reply.ts";
import type { Identity } from "../identity/identity.ts";
import { AuthenticationFailure } from "../identity/identity_error.ts";
import type { Logger } from "../log.ts";
import type { EndpointMetrics, GatewayMetrics } from "../metrics/gateway_metrics.ts";
import { errorName } from "../rest/problem.ts";
import { DecisionPublisher } from "./decision_publisher.ts";
import type { PublicMessage, PublicStreams } from "./ports.ts";
import { type PublishedRequest, readPublished } from "./published_request.ts";

export interface PaymentConsumerOptions {
  readonly desk: CallDesk;
  readonly identity: Identity;
  readonly streams: PublicStreams;
  readonly log: Logger;
  readonly metrics: GatewayMetrics;
}

/** Wait before a message is delivered again when nothing says how long, milliseconds. */
const RETRY_MS = 500;
/** Deliveries after which a payment that an actor fails on is given up. */
const INTERNAL_DELIVERIES_MAX = 5;

export class PaymentConsumer {
  readonly #options: PaymentConsumerOptions;
  readonly #publisher: DecisionPublisher;
  readonly #metrics: EndpointMetrics;
  #stop: (() => Promise<void>) | null = null;
  #working = 0;
  #idle: (() => void) | null = null;

  private constructor(options: PaymentConsumerOptions) {
    this.#options = options;
    this.#publisher = new DecisionPublisher(options.streams);
    this.#metrics = options.metrics.endpoint("NATS", "fraud.transaction.events");
  }

  static async start(options: PaymentConsumerOptions): Promise<PaymentConsumer> {
    const consumer = new PaymentConsumer(options);
    consumer.#stop = await options.streams.consume((message) => consumer.#take(message));
    return consumer;
  }

  /** Takes no more messages and waits for those under way, at most `wait_ms`; the rest is delivered again later. */
  async stop(wait_ms: number): Promise<void> {
    await this.#stop?.();
    if (this.#working === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    const timer = setTimeout(resolve, wait_ms);
    await promise;
    clearTimeout(timer);
  }

  #take(message: PublicMessage): void {
    this.#working++;
    this.#handle(message)
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error, sequence: message.sequence }, "a published message will be tried again");
        message.nak(RETRY_MS);
      })
      .finally(() => {
        this.#working--;
        if (this.#working === 0) this.#idle?.();
      });
  }

  async #handle(message: PublicMessage): Promise<void> {
    const tenant = this.#options.identity.authenticate(message.header("authorization"));
    if (tenant instanceof AuthenticationFailure) {
      const refused = refusal(ErrorCode.UNAUTHENTICATED, tenant.message);
      await this.#deadLetter(message.data, message.header("content-type") ?? "", refused, null, message);
      message.ack();
      return;
    }
    const request = readPublished(message.data, message.header("content-type"));
    if (!("payments" in request)) {
      await this.#deadLetter(message.data, message.header("content-type") ?? "", request, tenant, message);
      message.ack();
      return;
    }
    const decided = await this.#decide(request, tenant);
    if (!Array.isArray(decided.results)) {
      message.nak(decided.retry_ms);
      return;
    }
    const retry_ms = retryAfter(decided.results, message.deliveries);
    if (retry_ms > 0) message.nak(retry_ms);
    else {
      await this.#publish(request, tenant, decided.results, decided.batch_id, message);
      message.ack();
    }
  }

  /** Results in request order, those refused as JSON included. */
  async #decide(request: PublishedRequest, tenant: Tenant): Promise<Decided> {
    let answered: readonly AnalyzeResult[] = [];
    let batch_id = request.batch_id;
    if (request.bytes.length > 0) {
      const bytes = await this.#ask(request.bytes, tenant);
      if (!(bytes instanceof Uint8Array)) return { results: null, batch_id, retry_ms: bytes.retryAfterMs || RETRY_MS };
      const response = fromBinary(AnalyzeStreamResponseSchema, bytes);
      answered = response.results;
      if (batch_id === "") batch_id = String(response.batchId);
    }
    let next = 0;
    const results = request.payments.map((p) => (p.refused === null ? answered[next++] : errorResult(p.refused)));
    // Fewer answers than payments: the message was answered as a whole, with one error.
    if (results.includes(undefined as never)) return { results: null, batch_id, retry_ms: RETRY_MS };
    return { results, batch_id, retry_ms: 0 };
  }

  #ask(bytes: Uint8Array, tenant: Tenant): Promise<Uint8Array | Refusal> {
    return new Promise((resolve) => {
      const reply = { open: true, answer: resolve, refuse: resolve };
      // No deadline: nobody waits in person, and an answer that is not a decision would be of no use.
      this.#options.desk.take(KIND_STREAM, bytes, tenant, 0, reply, this.#metrics);
    });
  }

  async #publish(
    request: PublishedRequest,
    tenant: Tenant,
    results: AnalyzeResult[],
    batch_id: string,
    message: PublicMessage,
  ): Promise<void> {
    const type = request.content_type;
    const letters = results.flatMap((r, i) =>
      r.result.case === "error"
        ? [this.#deadLetter(request.payments[i].original, type, r.result.value, tenant, message)]
        : [],
    );
    if (request.batch) {
      letters.push(this.#publisher.publish(tenant.id, type, batch_id, results, message.sequence));
    } else if (results[0].result.case === "decision") {
      letters.push(this.#publisher.gather(tenant.id, type, results[0]));
    }
    await Promise.all(letters);
  }

  /** The payment as it came, without the key it came with. */
  async #deadLetter(
    bytes: Uint8Array,
    content_type: string,
    refused: Refusal,
    tenant: Tenant | null,
    message: PublicMessage,
  ): Promise<void> {
    await this.#options.streams.publishDeadLetter(bytes, {
      "Content-Type": content_type === "" ? "application/octet-stream" : asciiOf(content_type),
      "Fraud-Error": errorHeader(refused),
      "Fraud-Request-Sequence": String(message.sequence),
      ...(tenant === null ? {} : { "Fraud-Tenant": tenant.id }),
    });
  }
}

interface Decided {
  readonly results: AnalyzeResult[] | null;
  readonly batch_id: string;
  readonly retry_ms: number;
}

/** Milliseconds after which the whole message is to be tried again; 0 when every row's answer is final. */
function retryAfter(results: readonly AnalyzeResult[], deliveries: number): number {
  let retry_ms = 0;
  for (const { result } of results) {
    if (result.case !== "error") continue;
    const { code, retryAfterMs } = result.value;
    const failing = code === ErrorCode.INTERNAL && deliveries < INTERNAL_DELIVERIES_MAX;
    if (failing || code === ErrorCode.RESOURCE_EXHAUSTED || code === ErrorCode.UNAVAILABLE) {
      retry_ms = Math.max(retry_ms, retryAfterMs || RETRY_MS);
    }
  }
  return retry_ms;
}

function errorResult(refused: Refusal): AnalyzeResult {
  return create(AnalyzeResultSchema, { result: { case: "error", value: refused } });
}

/** JSON {code, field, message}, in ASCII as headers must be. */
function errorHeader(refused: Refusal): string {
  const { code, field, message } = refused;
  return asciiOf(JSON.stringify({ code: errorName(code), field, message: message.slice(0, 512) }));
}

function asciiOf(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
