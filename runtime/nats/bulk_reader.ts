/**
 * Reading a journal in bulk: an ephemeral pull consumer, two pulls outstanding, so that the network is never idle while
 * frames are folded, and memory is bounded by the pulls. Sequences are gapless: what does not come in its turn is asked
 * for by itself, and only the answer to that says whether it is gone. What is in the records is for the reader to
 * verify.
 *
 * A connection that broke ends it, though the client makes a new one within a moment and the consumer lives on: what
 * was under way is lost, and nobody sends it again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Msg, nuid } from "@nats-io/nats-core";
import { type JournalMessage, JournalUnavailable } from "../ports.ts";
import { aligned } from "./aligned.ts";
import type { NatsLink } from "./connection.ts";
import { NoAnswer, type RequestChannel } from "./request_channel.ts";

/** Records a pull asks for: at most 64 x 512 KiB wait unread for each of the two pulls. */
const PULL_RECORDS = 64;
const PULLS = 2;
const INACTIVE_NS = 30_000_000_000;
/**
 * A consumer made in a cluster may live on another server, and that pulls go there is known here only a moment later:
 * until then they come back as answered by nobody, and are sent again.
 */
const NO_RESPONDERS = 503;
const UNHEARD_TRIES = 40;
const UNHEARD_PAUSE_MS = 25;

export interface BulkRange {
  readonly stream: string;
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** Longest silence before the journal counts as unavailable. */
  readonly timeout_ms: number;
  /** Fetches one record that others overtook; rejects with why it is not there. */
  readonly missing: (sequence: number) => Promise<JournalMessage>;
}

/** Arrived and not yet read; the reader waits on `wake`. */
class Arrivals {
  #queue: Msg[] = [];
  #at = 0;
  #wake: (() => void) | null = null;
  /** The connection broke: some may be missing, and nothing more comes. */
  isCut = false;

  cut(): void {
    this.isCut = true;
    this.#wake?.();
  }

  push(message: Msg): void {
    this.#queue.push(message);
    this.#wake?.();
  }

  take(): Msg | null {
    if (this.#at === this.#queue.length) {
      this.#queue = [];
      this.#at = 0;
      return null;
    }
    return this.#queue[this.#at++];
  }

  /** Resolves at the next arrival: true; or after the silence: false. */
  wait(silenceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => done(false), silenceMs);
      const done = (arrived: boolean): void => {
        clearTimeout(timer);
        this.#wake = null;
        resolve(arrived);
      };
      this.#wake = () => done(true);
    });
  }
}

/**
 * The stream sequence from a delivered record's reply subject: $JS.ACK.<...>.<stream seq>.<consumer
 * seq>.<ts>.<pending>.
 */
function streamSequence(reply: string): number {
  const parts = reply.split(".");
  // Newer servers put domain and account hash in front, and a token behind.
  return Number(parts.length === 9 ? parts[5] : parts[7]);
}

async function createConsumer(channel: RequestChannel, range: BulkRange): Promise<string> {
  const name = `r${nuid.next()}`;
  const body = {
    stream_name: range.stream,
    config: {
      name,
      deliver_policy: "by_start_sequence",
      opt_start_seq: range.first,
      ack_policy: "none",
      replay_policy: "instant",
      max_waiting: PULLS + 1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: INACTIVE_NS,
    },
  };
  const subject = `$JS.API.CONSUMER.CREATE.${range.stream}.${name}`;
  const reply = await channel.request(subject, Buffer.from(JSON.stringify(body)));
  if (reply instanceof NoAnswer) throw new JournalUnavailable(`bulk read: ${reply.message}`);
  const answer = JSON.parse(reply.string()) as { error?: { description: string } };
  if (answer.error !== undefined) throw new JournalUnavailable(`bulk read: ${answer.error.description}`);
  return name;
}

/**
 * Records first..last in order. Rejects with JournalUnavailable on silence and when the connection breaks: start again
 * behind the last one seen.
 */
export async function* bulkRead(
  link: NatsLink,
  channel: RequestChannel,
  range: BulkRange,
): AsyncGenerator<JournalMessage> {
  const arrivals = new Arrivals();
  const inbox = link.inbox();
  const unlisten = link.listen(() => arrivals.cut());
  try {
    const consumer = await createConsumer(channel, range);
    const subscription = link.client.subscribe(inbox, {
      callback: (error, message) => {
        if (error === null) arrivals.push(message);
      },
    });
    try {
      yield* inOrder(link, arrivals, range, { inbox, consumer });
    } finally {
      if (!link.client.isClosed()) {
        subscription.unsubscribe();
        if (link.up) link.client.publish(`$JS.API.CONSUMER.DELETE.${range.stream}.${consumer}`);
      }
    }
  } finally {
    unlisten();
  }
}

async function* inOrder(
  link: NatsLink,
  arrivals: Arrivals,
  range: BulkRange,
  at: { readonly inbox: string; readonly consumer: string },
): AsyncGenerator<JournalMessage> {
  const pull = `$JS.API.CONSUMER.MSG.NEXT.${range.stream}.${at.consumer}`;
  let asked = range.first;
  const send = (batch: number): void => {
    link.client.publish(pull, JSON.stringify({ batch }), { reply: at.inbox });
  };
  const ask = (): void => {
    const batch = Math.min(PULL_RECORDS, range.last - asked + 1);
    if (batch <= 0) return;
    asked += batch;
    send(batch);
  };
  let unheard = 0;
  for (let i = 0; i < PULLS; i++) ask();
  for (let next = range.first; next <= range.last; ) {
    const message = await nextOf(arrivals, link, range.timeout_ms, next);
    if (message.headers?.code === NO_RESPONDERS) {
      if (++unheard > UNHEARD_TRIES) throw new JournalUnavailable(`bulk read: nobody answers at ${next}`);
      await delay(UNHEARD_PAUSE_MS);
      // Which of the pulls it was is not told; one that asks for more than there is only waits.
      send(PULL_RECORDS);
      continue;
    }
    const sequence = streamSequence(message.reply ?? "");
    if (sequence < next) throw new JournalUnavailable(`bulk read: ${sequence} came again at ${next}`);
    for (; next <= sequence; next++) {
      const record = next < sequence ? await range.missing(next) : { sequence, bytes: aligned(message.data) };
      if ((next + 1 - range.first) % PULL_RECORDS === 0) ask();
      yield record;
    }
  }
}

/** The next arrival, or the word that nobody heard a pull. Throws JournalUnavailable when there is none that counts. */
async function nextOf(arrivals: Arrivals, link: NatsLink, timeout_ms: number, next: number): Promise<Msg> {
  for (;;) {
    if (arrivals.isCut || !link.up) throw new JournalUnavailable(`bulk read: the connection broke at ${next}`);
    const message = arrivals.take();
    if (message !== null) {
      const { headers } = message;
      if (headers === undefined || headers.code < 400 || headers.code === NO_RESPONDERS) return message;
      throw new JournalUnavailable(`bulk read: ${headers.code} ${headers.description}`);
    }
    if (!(await arrivals.wait(timeout_ms))) {
      throw new JournalUnavailable(`bulk read: nothing for ${timeout_ms} ms at ${next}`);
    }
  }
}
