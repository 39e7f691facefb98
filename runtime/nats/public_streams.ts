/**
 * The public JetStream streams as an adapter: payments come from `fraud.transaction.events` by a durable pull
 * consumer, answers go to `fraud.analysis.events`, what cannot be answered to `fraud.transaction.dead-letter`.
 * Streams are created when they are missing and never changed when they exist: an operator may have set other limits.
 */
import {
  AckPolicy,
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { nanos, headers as newHeaders } from "@nats-io/nats-core";
import type { NatsLink } from "./connection.ts";

export const PAYMENTS_SUBJECT = "fraud.transaction.events";
export const DECISIONS_SUBJECT = "fraud.analysis.events";
export const DEAD_LETTER_SUBJECT = "fraud.transaction.dead-letter";

const PAYMENTS_STREAM = "FRAUD_TRANSACTIONS";
const DECISIONS_STREAM = "FRAUD_ANALYSIS";
const DEAD_LETTER_STREAM = "FRAUD_DEAD_LETTERS";

export interface PublicStreamsOptions {
  /** Name of the durable consumer, shared by all nodes; default `fraudguard`. */
  readonly durable?: string;
  /** Messages taken but not acknowledged, over all nodes; default 256. */
  readonly unacknowledged_max?: number;
  /** When an unacknowledged message is delivered again, milliseconds; default 30,000. */
  readonly ack_wait_ms?: number;
  /** Byte limit of the payments stream (new messages are refused past it); default 4 GiB. */
  readonly payments_bytes_max?: number;
  /** Byte limit of the other two (the oldest go); default 4 GiB. */
  readonly answers_bytes_max?: number;
  /** Of streams that are made; default 1. */
  readonly num_replicas?: number;
}

/** One message of the payments stream. One of ack() and nak() is called once. */
export interface StreamMessage {
  readonly data: Uint8Array;
  /** 1 for a message without a sequence, which does not happen in a stream. */
  readonly sequence: number;
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
  /** First value of a header, any case; undefined without. */
  header(name: string): string | undefined;
  ack(): void;
  /** Asks for it again after `delay_ms`. */
  nak(delay_ms: number): void;
}

export class PublicStreams {
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #durable: string;

  private constructor(client: JetStreamClient, manager: JetStreamManager, durable: string) {
    this.#client = client;
    this.#manager = manager;
    this.#durable = durable;
  }

  /** Makes sure that the three streams and the consumer exist. */
  static async open(link: NatsLink, options: PublicStreamsOptions = {}): Promise<PublicStreams> {
    const manager = await jetstreamManager(link.client);
    const durable = options.durable ?? "fraudguard";
    const answers_bytes_max = options.answers_bytes_max ?? 4 * 2 ** 30;
    const num_replicas = options.num_replicas ?? 1;
    await ensureStream(manager, {
      name: PAYMENTS_STREAM,
      subjects: [PAYMENTS_SUBJECT],
      // An acknowledged message is deleted: API keys in its headers do not stay on the disk.
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_bytes: options.payments_bytes_max ?? 4 * 2 ** 30,
      num_replicas,
    });
    for (const [name, subject] of [
      [DECISIONS_STREAM, DECISIONS_SUBJECT],
      [DEAD_LETTER_STREAM, DEAD_LETTER_SUBJECT],
    ]) {
      await ensureStream(manager, {
        name,
        subjects: [subject],
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.Old,
        max_bytes: answers_bytes_max,
        num_replicas,
      });
    }
    await manager.consumers.add(PAYMENTS_STREAM, {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(options.ack_wait_ms ?? 30_000),
      max_ack_pending: options.unacknowledged_max ?? 256,
    });
    return new PublicStreams(jetstream(link.client), manager, durable);
  }

  /** Delivers messages until the returned function is called; it resolves when no more come. */
  async consume(take: (message: StreamMessage) => void): Promise<() => Promise<void>> {
    const consumer = await this.#client.consumers.get(PAYMENTS_STREAM, this.#durable);
    const messages = await consumer.consume({ max_messages: 64, callback: (m) => take(new Delivered(m)) });
    return async () => {
      await messages.close();
    };
  }

  /** Resolves when the stream has stored it; rejects when that is not known. */
  async publishDecisions(bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<void> {
    await this.#publish(DECISIONS_SUBJECT, bytes, headers);
  }

  async publishDeadLetter(bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<void> {
    await this.#publish(DEAD_LETTER_SUBJECT, bytes, headers);
  }

  /**
   * Messages of the payments stream not acknowledged yet, waiting ones included. The consumer's own count of waiting
   * ones comes a moment behind the stream's acknowledgement to the publisher, so it is not asked for.
   */
  async backlog(): Promise<number> {
    const { state } = await this.#manager.streams.info(PAYMENTS_STREAM);
    const { delivered, num_ack_pending } = await this.#manager.consumers.info(PAYMENTS_STREAM, this.#durable);
    const from = Math.max(delivered.stream_seq, state.first_seq - 1);
    return Math.max(0, state.last_seq - from) + num_ack_pending;
  }

  async #publish(subject: string, bytes: Uint8Array, values: Readonly<Record<string, string>>): Promise<void> {
    const headers = newHeaders();
    for (const [name, value] of Object.entries(values)) headers.set(name, value);
    await this.#client.publish(subject, bytes, { headers });
  }
}

class Delivered implements StreamMessage {
  readonly #message: JsMsg;

  constructor(message: JsMsg) {
    this.#message = message;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get sequence(): number {
    return this.#message.seq;
  }

  get deliveries(): number {
    return this.#message.info.deliveryCount;
  }

  header(name: string): string | undefined {
    const headers = this.#message.headers;
    if (headers === undefined) return undefined;
    const key = headers.keys().find((k) => k.toLowerCase() === name.toLowerCase());
    return key === undefined ? undefined : headers.get(key);
  }

  ack(): void {
    this.#message.ack();
  }

  nak(delay_ms: number): void {
    this.#message.nak(delay_ms);
  }
}

async function ensureStream(
  manager: JetStreamManager,
  config: {
    readonly name: string;
    readonly subjects: string[];
    readonly retention: RetentionPolicy;
    readonly discard: DiscardPolicy;
    readonly max_bytes: number;
    readonly num_replicas: number;
  },
): Promise<void> {
  const names = await manager.streams.names().next();
  if (names.includes(config.name)) return;
  await manager.streams.add({ ...config, storage: StorageType.File });
}
