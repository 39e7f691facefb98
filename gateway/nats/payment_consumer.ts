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
import { letterBytes } from "./dead_letter.ts";
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
/** Longest such wait: it doubles with each delivery that failed. */
const RETRY_MS_MAX = 30_000;
/** Deliveries after which a payment that an actor fails on is given up, and a message that this code fails on. */
const INTERNAL_DELIVERIES_MAX = 5;
/** Says what is wrong with the message of a dead letter. */
const ERROR_HEADER = "Fraud-Error";
/** Characters kept of a content type and of an error's text in a dead letter's headers. */
const TYPE_CHARACTERS_MAX = 128;
const ERROR_CHARACTERS_MAX = 512;

/** The streams did not take an answer or a dead letter: they are away now, the message is not at fault. */
class NotStored extends Error {
  override name = "NotStored";
}

export class PaymentConsumer {
  readonly #options: PaymentConsumerOptions;
  readonly #publisher: DecisionPublisher;
  readonly #metrics: EndpointMetrics;
  #stop: (() => Promise<void>) | null = null;
  #working = 0;
  #lettersBack = 0;
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
      .catch((error: Error) => this.#failed(message, error))
      .finally(() => {
        this.#working--;
        if (this.#working === 0) this.#idle?.();
      });
  }

  /** Tries again later; a message on which this code fails each time must not keep the others waiting for ever. */
  async #failed(message: PublicMessage, error: Error): Promise<void> {
    const { sequence, deliveries } = message;
    const details = { err: error, sequence, deliveries };
    if (!(error instanceof NotStored) && deliveries >= INTERNAL_DELIVERIES_MAX) {
      this.#options.log.error(details, "a published message is given up: see the dead letters");
      const refused = refusal(ErrorCode.INTERNAL, `deciding the message failed: ${error.message}`);
      try {
        await this.#deadLetter(message.data, message.header("content-type") ?? "", refused, null, message);
        message.ack();
        return;
      } catch {
        // The streams are away: it is kept, and given up at a later delivery.
      }
    }
    // The first ones, then ever fewer: a message that fails for long must not fill the log.
    if ((deliveries & (deliveries - 1)) === 0)
      this.#options.log.warn(details, "a published message will be tried again");
    message.nak(Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(10, deliveries - 1)));
  }

  async #handle(message: PublicMessage): Promise<void> {
    const tenant = this.#options.identity.authenticate(message.header("authorization"));
    if (tenant instanceof AuthenticationFailure) {
      if (message.header(ERROR_HEADER) !== undefined) {
        this.#cameBack(message);
        return;
      }
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

  /**
   * A dead letter that somebody has delivered to the payments: letters hold no key, so it would become a letter again,
   * and again, for as long as it is delivered. The first one stays where it is.
   */
  #cameBack(message: PublicMessage): void {
    // The first ones, then ever fewer.
    if ((++this.#lettersBack & (this.#lettersBack - 1)) === 0) {
      const details = { sequence: message.sequence, in_all: this.#lettersBack };
      this.#options.log.warn(details, "a dead letter came back as a payment: it is dropped");
    }
    message.ack();
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
        ? [this.#deadLetter(request.payments[i].original(), type, r.result.value, tenant, message)]
        : [],
    );
    if (request.batch) {
      letters.push(this.#publisher.publish(tenant.id, type, batch_id, results, message.sequence));
    } else if (results[0].result.case === "decision") {
      letters.push(this.#publisher.gather(tenant.id, type, results[0]));
    }
    await Promise.all(letters).catch((error: Error) => {
      throw error instanceof NotStored ? error : new NotStored(error.message);
    });
  }

  /** The payment as it came, without the key it came with and without card numbers. */
  async #deadLetter(
    bytes: Uint8Array,
    content_type: string,
    refused: Refusal,
    tenant: Tenant | null,
    message: PublicMessage,
  ): Promise<void> {
    const letter = letterBytes(bytes);
    const type = asciiOf(content_type.slice(0, TYPE_CHARACTERS_MAX));
    const headers = {
      "Content-Type": type === "" ? "application/octet-stream" : type,
      [ERROR_HEADER]: errorHeader(refused),
      "Fraud-Request-Sequence": String(message.sequence),
      ...(tenant === null ? {} : { "Fraud-Tenant": tenant.id }),
      ...(letter.length === bytes.length ? {} : { "Fraud-Bytes": String(bytes.length) }),
    };
    await this.#options.streams.publishDeadLetter(letter, headers).catch((error: Error) => {
      throw new NotStored(`the dead letter is not stored: ${error.message}`);
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
  return asciiOf(JSON.stringify({ code: errorName(code), field, message: message.slice(0, ERROR_CHARACTERS_MAX) }));
}

function asciiOf(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
