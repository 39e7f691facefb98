/**
 * Owns the answers that go out to NATS: a batch's answer as one message, those of single payments gathered for a few
 * milliseconds into one message for each tenant and content type. A caller is told when its answer is stored.
 */
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { type AnalyzeResult, AnalyzeStreamResponseSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { PublicStreams } from "./ports.ts";
import { JSON_TYPE } from "./published_request.ts";

/** How long an answer to a single payment waits for company, milliseconds. */
const GATHER_MS = 5;
/** Answers in one message. */
const GATHER_MAX = 256;
/** Bytes of one message: a NATS server takes 1 MiB by default, headers included. */
const MESSAGE_BYTES_MAX = 900 * 1024;

interface Gathered {
  readonly tenant: string;
  readonly content_type: string;
  readonly results: AnalyzeResult[];
  readonly stored: Promise<void>;
  readonly settle: { resolve: () => void; reject: (error: unknown) => void };
  timer: NodeJS.Timeout;
}

export class DecisionPublisher {
  readonly #streams: PublicStreams;
  readonly #gathered = new Map<string, Gathered>();

  constructor(streams: PublicStreams) {
    this.#streams = streams;
  }

  /**
   * Publishes the answer of one batch; resolves when stored. One that is too large for a message goes in several, each
   * with the place of its first result in the header Fraud-First-Result.
   */
  publish(
    tenant: string,
    content_type: string,
    batch_id: string,
    results: AnalyzeResult[],
    sequence: number,
  ): Promise<void> {
    const of = { "Content-Type": content_type, "Fraud-Tenant": tenant, "Fraud-Request-Sequence": String(sequence) };
    return this.#send(of, batch_id, results, 0);
  }

  async #send(
    headers: Readonly<Record<string, string>>,
    batch_id: string,
    results: AnalyzeResult[],
    first: number,
  ): Promise<void> {
    const bytes = encode(headers["Content-Type"], batch_id, results);
    if (bytes.length <= MESSAGE_BYTES_MAX || results.length === 1) {
      return this.#streams.publishDecisions(bytes, { ...headers, "Fraud-First-Result": String(first) });
    }
    const half = results.length >> 1;
    await this.#send(headers, batch_id, results.slice(0, half), first);
    await this.#send(headers, batch_id, results.slice(half), first + half);
  }

  /** Adds the answer of a single payment to the next message; resolves when that is stored. */
  gather(tenant: string, content_type: string, result: AnalyzeResult): Promise<void> {
    const key = `${content_type} ${tenant}`;
    let gathered = this.#gathered.get(key);
    if (gathered === undefined) {
      const { promise: stored, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => this.#flush(key), GATHER_MS);
      gathered = { tenant, content_type, results: [], stored, settle: { resolve, reject }, timer };
      this.#gathered.set(key, gathered);
    }
    gathered.results.push(result);
    const { stored } = gathered;
    if (gathered.results.length >= GATHER_MAX) this.#flush(key);
    return stored;
  }

  #flush(key: string): void {
    const gathered = this.#gathered.get(key);
    if (gathered === undefined) return;
    this.#gathered.delete(key);
    clearTimeout(gathered.timer);
    const { tenant, content_type, results, settle } = gathered;
    const of = { "Content-Type": content_type, "Fraud-Tenant": tenant };
    this.#send(of, "0", results, 0).then(settle.resolve, settle.reject);
  }
}

function encode(content_type: string, batch_id: string, results: AnalyzeResult[]): Uint8Array {
  const message = create(AnalyzeStreamResponseSchema, { batchId: batchIdOf(batch_id), results });
  if (content_type !== JSON_TYPE) return toBinary(AnalyzeStreamResponseSchema, message);
  return Buffer.from(JSON.stringify(toJson(AnalyzeStreamResponseSchema, message, { alwaysEmitImplicit: true })));
}

function batchIdOf(text: string): bigint {
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}
