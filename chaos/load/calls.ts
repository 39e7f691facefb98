/**
 * Closed-loop calls through an ordinary grpc-js client: unary Analyze against the node or an echo server (same client,
 * same messages), and bulk calls of 1,000 payments.
 */
import { type CallOptions, Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Stretch } from "./event_timeline.ts";
import { LatencyHistogram, type Percentiles } from "./latency_histogram.ts";
import type { MessagePool } from "./message_pool.ts";
import { MESSAGE_ROWS, type PaymentMessage } from "./payment_message.ts";
import type { PaymentSource } from "./payment_source.ts";
import { ResponseWalker } from "./response_walker.ts";

const SERVICE = "/fraudguard.v1.FraudDetection/";
const BULK_ROWS = 1000;
const CALL_MS = 10_000;
const MAX_MESSAGE_BYTES = 8 << 20;

const same = (bytes: Buffer): Buffer => bytes;

export interface UnaryOptions {
  readonly address: string;
  /** Calls under way at any time. */
  readonly concurrency: number;
  readonly seconds: number;
  /** The other end returns the request: nothing is decided nor booked. */
  readonly echo: boolean;
}

export interface CallsResult {
  readonly calls: number;
  readonly failed: number;
  readonly per_s: number;
  readonly latency_ms: Percentiles;
  /** The last failure. */
  readonly error: string;
}

export class Calls {
  readonly #source: PaymentSource;
  readonly #pool: MessagePool;
  readonly #metadata = new Metadata();
  readonly #found = new ResponseWalker();
  readonly #latency = new LatencyHistogram();
  #error = "";
  #failed = 0;
  #calls = 0;

  constructor(source: PaymentSource, pool: MessagePool, api_key: string) {
    this.#source = source;
    this.#pool = pool;
    this.#metadata.set("authorization", `Bearer ${api_key}`);
  }

  /** `concurrency` callers, each with one call at a time, until the time is over. */
  async unary(o: UnaryOptions): Promise<CallsResult> {
    const client = this.#begin(o.address);
    const start_ms = performance.now();
    const end_ms = start_ms + o.seconds * 1000;
    const supply = new UnarySupply(this.#source, this.#pool);
    const caller = async (): Promise<void> => {
      while (performance.now() < end_ms) {
        const id = supply.next();
        const sent_ms = performance.now();
        if (!o.echo) this.#source.ledger.sent(id, 1);
        const answer = await this.#call(client, "Analyze", supply.request());
        if (answer === null) continue;
        this.#latency.add((performance.now() - sent_ms) * 1000);
        if (o.echo) continue;
        this.#found.unary(answer, 0, answer.length);
        this.#source.ledger.answered(id, 1, this.#found);
      }
    };
    await Promise.all(Array.from({ length: o.concurrency }, caller));
    client.close();
    return this.#result((performance.now() - start_ms) / 1000);
  }

  /** Calls of 1,000 payments, one after another. */
  async bulk(address: string, calls: number): Promise<CallsResult> {
    const client = this.#begin(address);
    const stretches = Array.from({ length: calls }, () => this.#source.stretch(BULK_ROWS));
    const start_ms = performance.now();
    for (const stretch of stretches) {
      const request = this.#bulkRequest(stretch);
      this.#source.ledger.sent(stretch.first, BULK_ROWS);
      const sent_ms = performance.now();
      const answer = await this.#call(client, "BulkAnalyze", request);
      if (answer === null) continue;
      this.#latency.add((performance.now() - sent_ms) * 1000);
      this.#found.bulk(answer, 0, answer.length);
      this.#source.ledger.answered(stretch.first, BULK_ROWS, this.#found);
      if (this.#found.decided < BULK_ROWS) {
        this.#failed++;
        this.#error = `${BULK_ROWS - this.#found.decided} of ${BULK_ROWS} rows were not decided`;
      }
    }
    client.close();
    return this.#result((performance.now() - start_ms) / 1000);
  }

  #begin(address: string): Client {
    this.#latency.reset();
    this.#error = "";
    this.#failed = 0;
    this.#calls = 0;
    return new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  #bulkRequest(stretch: Stretch): Buffer {
    const parts: Buffer[] = [];
    for (let from = 0; from < BULK_ROWS; from += MESSAGE_ROWS) {
      const message = taken(this.#pool);
      this.#source.fill(message, stretch, from);
      for (let i = 0; i < Math.min(MESSAGE_ROWS, BULK_ROWS - from); i++) parts.push(framed(message.payment(i)));
      this.#pool.give(message);
    }
    return Buffer.concat(parts);
  }

  /** Null when the call failed. */
  #call(client: Client, method: string, request: Buffer): Promise<Buffer | null> {
    this.#calls++;
    const options: CallOptions = { deadline: new Date(Date.now() + CALL_MS) };
    return new Promise((resolve) => {
      client.makeUnaryRequest(SERVICE + method, same, same, request, this.#metadata, options, (error, answer) => {
        if (error !== null) {
          this.#failed++;
          this.#error = error.message;
        }
        resolve(error === null ? (answer as Buffer) : null);
      });
    });
  }

  #result(seconds: number): CallsResult {
    return {
      calls: this.#calls,
      failed: this.#failed,
      per_s: Math.round((this.#calls - this.#failed) / seconds),
      latency_ms: this.#latency.summary_ms(),
      error: this.#error,
    };
  }
}

/** Single payments, out of messages that are filled when the last one is used up. */
class UnarySupply {
  readonly #source: PaymentSource;
  readonly #pool: MessagePool;
  #message: PaymentMessage | null = null;
  #first = 0;
  #row = MESSAGE_ROWS;

  constructor(source: PaymentSource, pool: MessagePool) {
    this.#source = source;
    this.#pool = pool;
  }

  /** The counter of the next payment. */
  next(): number {
    if (++this.#row >= MESSAGE_ROWS) {
      if (this.#message !== null) this.#pool.give(this.#message);
      this.#message = taken(this.#pool);
      const stretch = this.#source.stretch(MESSAGE_ROWS);
      this.#source.fill(this.#message, stretch, 0);
      this.#first = stretch.first;
      this.#row = 0;
    }
    return this.#first + this.#row;
  }

  /** Its AnalyzeRequest. */
  request(): Buffer {
    if (this.#message === null) throw new Error("next() comes first");
    return framed(this.#message.payment(this.#row));
  }
}

function taken(pool: MessagePool): PaymentMessage {
  const message = pool.take();
  if (message === null) throw new Error("no message is free between phases");
  return message;
}

/** A payment as field 1 of a message: AnalyzeRequest, or one of BulkAnalyzeRequest. A copy. */
function framed(payment: Buffer): Buffer {
  const long = payment.length > 127;
  const bytes = Buffer.allocUnsafe(payment.length + (long ? 3 : 2));
  bytes[0] = 0x0a;
  bytes[1] = long ? (payment.length & 0x7f) | 0x80 : payment.length;
  if (long) bytes[2] = payment.length >>> 7;
  bytes.set(payment, long ? 3 : 2);
  return bytes;
}
