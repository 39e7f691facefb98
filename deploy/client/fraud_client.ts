/**
 * A client of the public API for our own commands (demo, replay, import, accuracy): batches over one bidirectional
 * stream, unary calls for outcomes and events. Shed rows are sent again after the time the server names.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import {
  type AnalyzeResult,
  AnalyzeStreamRequestSchema,
  AnalyzeStreamResponseSchema,
  ErrorCode,
  type PaymentSchema,
  RecordEventRequestSchema,
  type RecordEventResponse,
  RecordEventResponseSchema,
  ReportOutcomeRequestSchema,
  type ReportOutcomeResponse,
  ReportOutcomeResponseSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

export type PaymentInit = MessageInitShape<typeof PaymentSchema>;
export type OutcomeInit = MessageInitShape<typeof ReportOutcomeRequestSchema>;
export type EventInit = MessageInitShape<typeof RecordEventRequestSchema>;

const raw = (b: Buffer) => b;
const SERVICE = "/fraudguard.v1.FraudDetection/";
/** Tries of rows that the server sheds before the batch fails. */
const TRIES_MAX = 600;

/** The stream broke or the server is gone: what was in flight is unknown; connect again and send the same ids. */
export class StreamBroken extends Error {
  override name = "StreamBroken";
}

interface Waiting {
  resolve(results: AnalyzeResult[]): void;
  reject(error: Error): void;
}

const bytes = (b: Uint8Array) => Buffer.from(b.buffer, b.byteOffset, b.byteLength);

export class FraudClient {
  readonly #client: grpc.Client;
  readonly #metadata = new grpc.Metadata();
  #stream: grpc.ClientDuplexStream<Buffer, Buffer> | null = null;
  readonly #waiting = new Map<bigint, Waiting>();
  #next = 0n;
  /** Rows sent again because they were shed. */
  resent = 0;

  /** `address` is host:port; the key goes into `authorization: Bearer`. */
  constructor(address: string, api_key: string) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": 64 << 20,
      "grpc.max_send_message_length": 64 << 20,
      // A node that comes back is found again soon, not after the minutes that grpc-js grows its pauses to.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
    });
    this.#metadata.set("authorization", `Bearer ${api_key}`);
  }

  /** Results in the order of the payments (1..512). Rejects with StreamBroken. */
  async analyze(payments: readonly PaymentInit[], history = false): Promise<AnalyzeResult[]> {
    const results = await this.#batch(payments, history);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const shed: number[] = [];
      let retry_ms = 20;
      for (const [i, { result }] of results.entries()) {
        if (result.case !== "error" || result.value.code !== ErrorCode.RESOURCE_EXHAUSTED) continue;
        shed.push(i);
        retry_ms = Math.max(retry_ms, result.value.retryAfterMs);
      }
      if (shed.length === 0) return results;
      this.resent += shed.length;
      await new Promise((resolve) => setTimeout(resolve, Math.min(retry_ms, 1000)));
      const again = await this.#batch(
        shed.map((i) => payments[i]),
        history,
      );
      for (const [k, i] of shed.entries()) results[i] = again[k];
    }
    return results;
  }

  reportOutcome(outcome: OutcomeInit): Promise<ReportOutcomeResponse> {
    const request = toBinary(ReportOutcomeRequestSchema, create(ReportOutcomeRequestSchema, outcome));
    return this.#unary("ReportOutcome", request, (b) => fromBinary(ReportOutcomeResponseSchema, b));
  }

  recordEvent(event: EventInit): Promise<RecordEventResponse> {
    const request = toBinary(RecordEventRequestSchema, create(RecordEventRequestSchema, event));
    return this.#unary("RecordEvent", request, (b) => fromBinary(RecordEventResponseSchema, b));
  }

  close(): void {
    this.#stream?.end();
    this.#client.close();
  }

  #batch(payments: readonly PaymentInit[], history: boolean): Promise<AnalyzeResult[]> {
    const stream = this.#open();
    const batchId = ++this.#next;
    const message = create(AnalyzeStreamRequestSchema, { batchId, payments: [...payments], history });
    return new Promise((resolve, reject) => {
      this.#waiting.set(batchId, { resolve, reject });
      stream.write(bytes(toBinary(AnalyzeStreamRequestSchema, message)));
    });
  }

  #open(): grpc.ClientDuplexStream<Buffer, Buffer> {
    if (this.#stream !== null) return this.#stream;
    const stream = this.#client.makeBidiStreamRequest(`${SERVICE}AnalyzeStream`, raw, raw, this.#metadata, {});
    this.#stream = stream;
    const broken = (message: string) => {
      if (this.#stream === stream) this.#stream = null;
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const w of waiting) w.reject(new StreamBroken(message));
    };
    stream.on("data", (b: Buffer) => {
      const { batchId, results } = fromBinary(AnalyzeStreamResponseSchema, b);
      this.#waiting.get(batchId)?.resolve(results);
      this.#waiting.delete(batchId);
    });
    stream.on("error", (e) => broken(e.message));
    stream.on("end", () => broken("the server ended the stream"));
    return stream;
  }

  #unary<T>(method: string, request: Uint8Array, read: (b: Buffer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const deadline = new Date(Date.now() + 20_000);
      this.#client.makeUnaryRequest(
        SERVICE + method,
        raw,
        raw,
        bytes(request),
        this.#metadata,
        { deadline },
        (error, reply) => {
          if (error !== null) reject(error);
          else resolve(read(reply as Buffer));
        },
      );
    });
  }
}
