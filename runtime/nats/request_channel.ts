/**
 * Requests to JetStream over one inbox subscription, correlated by a number. It owns the pending requests: each is
 * answered exactly once, by its reply, by its deadline, or by the loss of the connection. Nothing is ever sent twice.
 *
 * It exists beside the client's own `request` because that makes an Error with a stack, a timer and a promise race for
 * each call; here a call costs one map entry, and one sweep serves all deadlines.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import type { NatsLink } from "./connection.ts";

const SWEEP_MS = 100;
/** More pending requests than this are a leak in the caller, not load. */
const MAX_PENDING = 65_536;

/** A request without an answer: whether it had an effect is not known. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
}

interface Pending {
  readonly deadline: number;
  readonly resolve: (reply: Msg | NoAnswer) => void;
}

export class RequestChannel {
  readonly #link: NatsLink;
  readonly #timeoutMs: number;
  readonly #inbox: string;
  readonly #pending = new Map<number, Pending>();
  readonly #subscription: Subscription;
  readonly #sweeper: NodeJS.Timeout;
  readonly #unlisten: () => void;
  #next = 0;

  constructor(link: NatsLink, timeoutMs: number) {
    this.#link = link;
    this.#timeoutMs = timeoutMs;
    this.#inbox = `${link.inbox()}.`;
    this.#subscription = link.client.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#answer(message);
      },
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
    this.#unlisten = link.listen((event) => {
      if (event !== "up") this.#failAll("connection lost");
    });
  }

  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Sends once. Resolves with the reply or with why there is none; never rejects. `data` must not change until then.
   */
  request(subject: string, data: Uint8Array, headers?: MsgHdrs): Promise<Msg | NoAnswer> {
    if (!this.#link.up) return Promise.resolve(new NoAnswer("not connected"));
    if (this.#pending.size >= MAX_PENDING) return Promise.resolve(new NoAnswer("too many requests pending"));
    return new Promise((resolve) => {
      const id = this.#next++;
      this.#pending.set(id, { deadline: performance.now() + this.#timeoutMs, resolve });
      try {
        const reply = `${this.#inbox}${id}`;
        this.#link.client.publish(subject, data, headers === undefined ? { reply } : { reply, headers });
      } catch (error) {
        this.#pending.delete(id);
        resolve(new NoAnswer(`not sent: ${(error as Error).message}`));
      }
    });
  }

  close(): void {
    clearInterval(this.#sweeper);
    this.#unlisten();
    if (!this.#link.client.isClosed()) this.#subscription.unsubscribe();
    this.#failAll("channel closed");
  }

  #answer(message: Msg): void {
    const id = Number(message.subject.slice(this.#inbox.length));
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    const empty = message.data.length === 0;
    if (empty && message.headers?.code === 503) pending.resolve(new NoAnswer("no responders"));
    else pending.resolve(message);
  }

  /** Ids grow with time, so the map's order is the order of deadlines. */
  #sweep(): void {
    const now = performance.now();
    for (const [id, pending] of this.#pending) {
      if (pending.deadline > now) break;
      this.#pending.delete(id);
      pending.resolve(new NoAnswer("timed out"));
    }
  }

  #failAll(reason: string): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of all) pending.resolve(new NoAnswer(reason));
  }
}
