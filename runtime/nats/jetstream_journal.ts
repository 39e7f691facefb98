/**
 * Journals as JetStream streams: one stream `FG_J<shard>` a shard, one record a frame. It owns the stream's settings
 * and the meaning of the server's answers.
 *
 * Subjects are `fg.j.<shard>.<epoch>`. An append carries two conditions: the stream's last sequence is the expected
 * one, and (Takeover apart) nothing stands on the next epoch's subject. The second closes a hole of the first: with two
 * frames in flight, a rival's Takeover may take the place of the first, and the second, expecting just that sequence,
 * would land behind the Takeover. A sequence number alone cannot tell whose record it is; the subject can. Epochs rise
 * one by one, so the next epoch's subject is empty exactly as long as nobody has taken over; asking about a subject
 * without messages costs the server a failed look-up, while asking about the own subject makes it load the newest
 * record each time (measured with 100 KB frames: a third more processor time and 900 MB more memory).
 *
 * A replicated stream takes one append at a time with the same second condition, so only one is under way. Naming the
 * subject by a pattern would let two through, and be wrong: records that are proposed and not applied yet are looked up
 * by exact subject only, so that a frame would be taken behind a Takeover which is being replicated.
 *
 * Tails are read by STREAM.MSG.GET, which only the stream's leader answers; direct gets are off. What a leader that is
 * behind says is no answer (see KnownEnd). Streams refuse the deletion of single records. Purging stays possible for
 * the maintenance account (permissions decide), since nothing else can free a journal's space; `deny_purge` closes that
 * too, for ever.
 */
import { randomBytes } from "node:crypto";
import {
  DiscardPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { headers, type Msg } from "@nats-io/nats-core";
import { epochOf, KIND_TAKEOVER, kindOf } from "../../proto/frame/frame_header.ts";
import { MAX_IN_FLIGHT } from "../journal/committer.ts";
import {
  type AppendResult,
  type Journal,
  JournalDamaged,
  type JournalMessage,
  JournalPurged,
  type JournalStore,
  JournalUnavailable,
} from "../ports.ts";
import { aligned } from "./aligned.ts";
import { bulkRead } from "./bulk_reader.ts";
import type { NatsLink } from "./connection.ts";
import { BEHIND_MS, KnownEnd } from "./known_end.ts";
import { NoAnswer, RequestChannel } from "./request_channel.ts";

export interface JournalOptions {
  /** Stream names are `<prefix><shard>`; default FG_J. */
  readonly prefix?: string;
  /** Subjects are `<subject>.<shard>.<epoch>`; default fg.j. */
  readonly subject?: string;
  /** The journal is full beyond this; default unlimited (-1). */
  readonly max_bytes?: number;
  /** Of a stream that is made (default 1); one that is there must have as many. Absent: any number will do. */
  readonly num_replicas?: number;
  readonly deny_purge?: boolean;
  /** Shards of the whole: kept with each journal, and compared when it is opened. */
  readonly shards?: number;
  /** How long an append or read may take before it is unknown; default 3000. */
  readonly timeout_ms?: number;
}

const WRONG_LAST_SEQUENCE = [10071, 10164];
const STREAM_NOT_FOUND = 10059;
const STREAM_NAME_IN_USE = 10058;
const NO_MESSAGE_FOUND = 10037;
const RESOURCES_EXCEEDED = [10002, 10023, 10028, 10047];
const STORE_FAILED = 10077;
const LOOK_AGAIN_MS = 50;
const JOURNAL_ID = /^[0-9a-f]{32}$/;
const EXPECTED_LAST = "Nats-Expected-Last-Sequence";
const EXPECTED_LAST_OF_SUBJECT = "Nats-Expected-Last-Subject-Sequence";
const SUBJECT_MEANT = "Nats-Expected-Last-Subject-Sequence-Subject";

interface ApiError {
  readonly code: number;
  readonly err_code: number;
  readonly description: string;
}
interface PubAck {
  readonly seq?: number;
  readonly error?: ApiError;
}
interface MsgGetReply {
  readonly error?: ApiError;
  readonly message?: { readonly seq: number; readonly data?: string };
}
interface InfoReply {
  readonly error?: ApiError;
  readonly config: { readonly metadata?: Record<string, string> };
  readonly state: { readonly first_seq: number; readonly last_seq: number; readonly bytes: number };
}

function json<T>(message: Msg): T {
  return JSON.parse(message.string()) as T;
}

/** What the server's answer to a conditional append means. Exported for its test. */
export function appendResult(ack: PubAck): AppendResult {
  const error = ack.error;
  if (error === undefined) {
    if (typeof ack.seq === "number") return { kind: "appended", sequence: ack.seq };
    return { kind: "unknown", message: "an answer without a sequence" };
  }
  if (WRONG_LAST_SEQUENCE.includes(error.err_code)) {
    const said = /(\d+)\s*$/.exec(error.description);
    return { kind: "conflict", lastSequence: said === null ? 0 : Number(said[1]) };
  }
  const message = `${error.err_code} ${error.description}`;
  if (RESOURCES_EXCEEDED.includes(error.err_code)) return { kind: "full", message };
  if (error.err_code === STORE_FAILED && /maximum|space|exceeded/i.test(error.description)) {
    return { kind: "full", message };
  }
  return { kind: "unknown", message };
}

/** What opening finds out about a stream. */
interface Opened {
  readonly id: string;
  readonly restoreId: string;
  readonly replicas: number;
}

class JetStreamJournal implements Journal {
  readonly shard: number;
  readonly id: string;
  readonly restoreId: string;
  readonly #link: NatsLink;
  readonly #channel: RequestChannel;
  readonly #stream: string;
  readonly #subject: string;
  readonly #timeoutMs: number;
  readonly #end: KnownEnd;
  readonly appends_max: number;

  constructor(
    link: NatsLink,
    channel: RequestChannel,
    at: Opened & { shard: number; stream: string; subject: string; timeoutMs: number },
  ) {
    this.shard = at.shard;
    this.id = at.id;
    this.restoreId = at.restoreId;
    this.#link = link;
    this.#channel = channel;
    this.#stream = at.stream;
    this.#subject = at.subject;
    this.#timeoutMs = at.timeoutMs;
    this.#end = new KnownEnd(at.replicas, () => performance.now());
    this.appends_max = at.replicas === 1 ? MAX_IN_FLIGHT : 1;
  }

  async append(bytes: Uint8Array, expectedSequence: number): Promise<AppendResult> {
    const takeover = kindOf(bytes) === KIND_TAKEOVER;
    // A journal begins with a Takeover; the server does not know that.
    if (!takeover && expectedSequence === 0) return { kind: "conflict", lastSequence: 0 };
    const epoch = epochOf(bytes);
    const conditions = headers();
    conditions.set(EXPECTED_LAST, String(expectedSequence));
    if (!takeover) {
      conditions.set(EXPECTED_LAST_OF_SUBJECT, "0");
      conditions.set(SUBJECT_MEANT, `${this.#subject}.${epoch + 1}`);
    }
    const reply = await this.#channel.request(`${this.#subject}.${epoch}`, bytes, conditions);
    if (reply instanceof NoAnswer) {
      this.#end.unanswered();
      return { kind: "unknown", message: reply.message };
    }
    const result = appendResult(json<PubAck>(reply));
    if (result.kind === "appended") this.#end.stands(result.sequence);
    return result;
  }

  async tail(): Promise<JournalMessage | null> {
    const asked = this.#end.sequence;
    const message = await this.#get({ last_by_subj: `${this.#subject}.*` });
    this.#checkBehind(message === null ? 0 : message.sequence, asked);
    return message;
  }

  async read(sequence: number, isKnown = false): Promise<JournalMessage | null> {
    if (isKnown) this.#end.know(sequence);
    const message = await this.#get({ seq: sequence });
    if (message !== null || sequence > this.#end.sequence) return message;
    // It stood. Whoever does not have it was asked too early, or it is gone from one of the ends.
    const { firstSequence, lastSequence } = await this.state();
    return firstSequence <= sequence && sequence <= lastSequence ? this.#get({ seq: sequence }) : null;
  }

  async *readFrom(first: number): AsyncIterable<JournalMessage> {
    const state = await this.state();
    if (first > state.lastSequence + 1) throw new JournalDamaged("records are gone from the tail", state.lastSequence);
    if (first > state.lastSequence) return;
    if (first < state.firstSequence) throw new JournalPurged(first, state.firstSequence);
    yield* bulkRead(this.#link, this.#channel, {
      stream: this.#stream,
      first,
      last: state.lastSequence,
      timeout_ms: this.#timeoutMs,
      missing: (sequence) => this.#missing(sequence),
    });
  }

  /** A record that did not come in its turn; it may be lost on the way only. */
  async #missing(sequence: number): Promise<JournalMessage> {
    const message = await this.read(sequence, true);
    if (message !== null) return message;
    const { firstSequence } = await this.state();
    if (sequence < firstSequence) throw new JournalPurged(sequence, firstSequence);
    throw new JournalDamaged("missing record", sequence);
  }

  async state(): Promise<{ firstSequence: number; lastSequence: number; bytes: number }> {
    const asked = this.#end.sequence;
    const info = await this.#api<InfoReply>(`STREAM.INFO.${this.#stream}`, "");
    if (info.error !== undefined) throw this.#unavailable(`${this.#stream}: ${info.error.description}`);
    // A stream can be made anew under the same name; its records would be another history.
    if (info.config.metadata?.["journal_id"] !== this.id) {
      throw new JournalDamaged(`stream ${this.#stream} has another journal id`, info.state.last_seq);
    }
    this.#checkBehind(info.state.last_seq, asked);
    return { firstSequence: info.state.first_seq, lastSequence: info.state.last_seq, bytes: info.state.bytes };
  }

  /** Throws JournalUnavailable unless the tail is an answer. `asked`: what was known when the question went out. */
  #checkBehind(last: number, asked: number): void {
    if (this.#end.isAnswer(last, asked)) return;
    throw new JournalUnavailable(`${this.#stream}: a server that is behind answered, ${last} after ${asked}`);
  }

  async #get(which: { seq: number } | { last_by_subj: string }): Promise<JournalMessage | null> {
    const reply = await this.#api<MsgGetReply>(`STREAM.MSG.GET.${this.#stream}`, JSON.stringify(which));
    if (reply.error?.err_code === NO_MESSAGE_FOUND) return null;
    if (reply.error !== undefined || reply.message === undefined) {
      throw this.#unavailable(`${this.#stream}: ${reply.error?.description ?? "no message in the answer"}`);
    }
    return { sequence: reply.message.seq, bytes: aligned(Buffer.from(reply.message.data ?? "", "base64")) };
  }

  async #api<T>(verb: string, body: string): Promise<T> {
    const reply = await this.#channel.request(`$JS.API.${verb}`, Buffer.from(body));
    if (reply instanceof NoAnswer) throw this.#unavailable(`${verb}: ${reply.message}`);
    return json<T>(reply);
  }

  #unavailable(message: string): JournalUnavailable {
    this.#end.unanswered();
    return new JournalUnavailable(message);
  }
}

export interface JournalNames {
  readonly stream: string;
  readonly subject: string;
  readonly id: string;
  readonly restoreId?: string;
  readonly options: JournalOptions;
}

/** Settings of a journal's stream. */
export function journalConfig({ stream, subject, id, restoreId = "", options }: JournalNames) {
  const { shards } = options;
  return {
    name: stream,
    subjects: [`${subject}.*`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_age: 0,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    max_bytes: options.max_bytes ?? -1,
    num_replicas: options.num_replicas ?? 1,
    deny_delete: true,
    deny_purge: options.deny_purge ?? false,
    allow_direct: false,
    metadata: {
      journal_id: id,
      ...(shards === undefined ? {} : { shards: String(shards) }),
      ...(restoreId === "" ? {} : { restore_id: restoreId }),
    },
  };
}

export interface JournalSetNames {
  /** Streams are `<prefix><shard>`. */
  readonly prefix: string;
  /** Subjects are `<subject>.<shard>.<epoch>`. */
  readonly subject: string;
}

/** The journals that nodes serve. */
export const SERVED: JournalSetNames = { prefix: "FG_J", subject: "fg.j" };

export class JetStreamJournalStore implements JournalStore {
  readonly #link: NatsLink;
  readonly #channel: RequestChannel;
  readonly #options: JournalOptions;

  constructor(link: NatsLink, options: JournalOptions = {}) {
    this.#link = link;
    this.#options = options;
    this.#channel = new RequestChannel(link, options.timeout_ms ?? 3000);
  }

  async open(shard: number): Promise<Journal> {
    const stream = `${this.#options.prefix ?? SERVED.prefix}${shard}`;
    const subject = `${this.#options.subject ?? SERVED.subject}.${shard}`;
    let opened: Opened;
    try {
      const manager = await jetstreamManager(this.#link.client, { checkAPI: false });
      opened = (await found(manager, stream, this.#options)) ?? (await this.#create(manager, stream, subject));
    } catch (error) {
      if (error instanceof JournalDamaged) throw error;
      throw new JournalUnavailable(`cannot open ${stream}: ${(error as Error).message}`);
    }
    const timeoutMs = this.#options.timeout_ms ?? 3000;
    return new JetStreamJournal(this.#link, this.#channel, { shard, ...opened, stream, subject, timeoutMs });
  }

  /** Ends the store's inbox, not the connection. */
  close(): void {
    this.#channel.close();
  }

  async #create(manager: JetStreamManager, stream: string, subject: string): Promise<Opened> {
    const id = randomBytes(16).toString("hex");
    try {
      await manager.streams.add(journalConfig({ stream, subject, id, options: this.#options }));
      return { id, restoreId: "", replicas: this.#options.num_replicas ?? 1 };
    } catch (error) {
      if (errorCode(error) !== STREAM_NAME_IN_USE) throw error;
      // Another node made it a moment ago. Servers of a cluster learn of it one after the other.
      for (const deadline = performance.now() + BEHIND_MS; ; ) {
        const other = await found(manager, stream, this.#options);
        if (other !== null) return other;
        if (performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    }
  }
}

function errorCode(error: unknown): number {
  const code = (error as { code?: unknown }).code;
  return typeof code === "number" ? code : 0;
}

/** An existing journal; null when there is no such stream. */
async function found(manager: JetStreamManager, stream: string, options: JournalOptions): Promise<Opened | null> {
  try {
    const info = await manager.streams.info(stream);
    const id = info.config.metadata?.["journal_id"];
    if (id === undefined || !JOURNAL_ID.test(id)) {
      throw new JournalDamaged(`stream ${stream} is no journal: it has no journal id`, info.state.last_seq);
    }
    const made = info.config.metadata?.["shards"];
    const { shards, num_replicas } = options;
    // Users would be looked for, and decided, in journals that are not theirs.
    if (made !== undefined && shards !== undefined && made !== String(shards)) {
      throw new JournalDamaged(`stream ${stream} is one of ${made} shards, not of ${shards}`, info.state.last_seq);
    }
    const replicas = info.config.num_replicas;
    // Nobody is told that frames outlive a server when they do not. Only maintenance may change a stream.
    if (num_replicas !== undefined && num_replicas !== replicas) {
      throw new Error(`it has ${replicas} replicas, not ${num_replicas}: start with --nats-replicas ${replicas}`);
    }
    return { id, restoreId: info.config.metadata?.["restore_id"] ?? "", replicas };
  } catch (error) {
    if (errorCode(error) === STREAM_NOT_FOUND) return null;
    throw error;
  }
}
