/**
 * The Transport over NATS core: `fg.n.<node>` for one node, `fg.n.all.<node>.<instance>` for all, names in base64url.
 * At most once: nothing is stored, nothing is sent again, and what goes out while the link is down is lost. So is what
 * goes out while the server takes less than is sent: at most PENDING_BYTES_MAX wait for it.
 *
 * Each message ends with a tag (HMAC-SHA256 over subject and bytes, 16 bytes) by the cluster's key: what others publish
 * there is dropped before anything of it is read.
 *
 * The instance is random and tells a transport its own broadcasts from those of another process with the same name,
 * which must be heard so that somebody can notice.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { nuid, type Subscription } from "@nats-io/nats-core";
import { type Transport, WIRE_BYTES_MAX } from "../ports.ts";
import { aligned } from "./aligned.ts";
import type { NatsLink } from "./connection.ts";

const PREFIX = "fg.n.";
const TAG_BYTES = 16;
/** Sent and not known to be at the server. Half a second's frames of a busy cluster. */
const PENDING_BYTES_MAX = 16 << 20;
/** The server is asked whether it has all after this many bytes; the answers bound what is pending. */
const ASK_BYTES = 256 << 10;
/** More receivers than a cluster has nodes: names that are gone are forgotten with the rest. */
const SUBJECTS_MAX = 256;

export class NatsTransport implements Transport {
  readonly node: string;
  readonly #link: NatsLink;
  readonly #onError: (error: Error) => void;
  readonly #key: string;
  readonly #everyone: string;
  readonly #subjects = new Map<string, string>();
  #subscriptions: Subscription[] = [];
  readonly #unlisten: () => void;
  #listens = false;
  #closed = false;
  /** Bytes given to the client in all, and of those, how many had arrived when the server answered last. */
  #sent = 0;
  #arrived = 0;
  /** `#sent` at the last question. */
  #asked = 0;

  /** Messages without the tag of this cluster's key. */
  foreign = 0;
  /** Messages not sent because the server was too far behind. */
  dropped = 0;

  /**
   * `key`: the secret of the cluster's nodes. `onError` is told what a listener threw, and why a frame or a
   * subscription was refused; it must not throw.
   */
  constructor(link: NatsLink, node: string, key: string, onError: (error: Error) => void) {
    this.node = node;
    this.#key = key;
    this.#link = link;
    this.#onError = onError;
    this.#everyone = `${PREFIX}all.${token(node)}.${nuid.next()}`;
    // The client forgets what it had not sent to the server that is gone; answers to old questions never come.
    this.#unlisten = link.listen((event) => {
      if (event === "down") this.#arrived = this.#asked = this.#sent;
    });
  }

  /** Bytes sent and not known to be at the server. */
  get pending_bytes(): number {
    return this.#sent - this.#arrived;
  }

  send(to: string, bytes: Uint8Array): boolean {
    return this.#publish(this.#subjectOf(to), bytes);
  }

  broadcast(bytes: Uint8Array): boolean {
    return this.#publish(this.#everyone, bytes);
  }

  listen(onFrame: (bytes: Uint8Array) => void): void {
    if (this.#listens) throw new Error(`node ${this.node} listens already`);
    this.#listens = true;
    if (this.#closed) return;
    this.#subscriptions = [this.#subjectOf(this.node), `${PREFIX}all.*.*`].map((subject) =>
      this.#link.client.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) this.#onError(error);
          else if (message.subject !== this.#everyone) this.#take(onFrame, message.subject, message.data);
        },
      }),
    );
  }

  close(): void {
    this.#closed = true;
    this.#unlisten();
    if (!this.#link.client.isClosed()) for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#subscriptions = [];
  }

  #take(onFrame: (bytes: Uint8Array) => void, subject: string, data: Uint8Array): void {
    const end = data.length - TAG_BYTES;
    const isOurs = end >= 0 && timingSafeEqual(this.#tag(subject, data.subarray(0, end)), data.subarray(end));
    if (isOurs) this.#tell(onFrame, data.subarray(0, end));
    else if (this.foreign++ === 0) this.#onError(new Error(`a message on ${subject} is not of this cluster's nodes`));
  }

  #tag(subject: string, bytes: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(subject).update(bytes).digest().subarray(0, TAG_BYTES);
  }

  /** An error that left the callback would end the client's reading, and with it everything on the link. */
  #tell(onFrame: (bytes: Uint8Array) => void, bytes: Uint8Array): void {
    try {
      onFrame(aligned(bytes));
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #publish(subject: string, bytes: Uint8Array): boolean {
    if (bytes.length > WIRE_BYTES_MAX || this.#closed || !this.#link.up) return false;
    if (this.pending_bytes + bytes.length > PENDING_BYTES_MAX) {
      this.dropped++;
      return false;
    }
    try {
      const message = new Uint8Array(bytes.length + TAG_BYTES);
      message.set(bytes);
      message.set(this.#tag(subject, bytes), bytes.length);
      this.#link.client.publish(subject, message);
      this.#sent += message.length;
      if (this.#sent - this.#asked >= ASK_BYTES) this.#ask();
      return true;
    } catch (error) {
      // The server takes less than WIRE_BYTES_MAX, or the client is closing.
      this.#onError(error as Error);
      return false;
    }
  }

  /** The server answers when it has read all that was sent before. */
  #ask(): void {
    const sent = this.#sent;
    this.#asked = sent;
    this.#link.client.flush().then(
      () => {
        this.#arrived = Math.max(this.#arrived, sent);
      },
      // The link went down: its listener has settled the account.
      () => {},
    );
  }

  #subjectOf(node: string): string {
    let subject = this.#subjects.get(node);
    if (subject === undefined) {
      if (this.#subjects.size >= SUBJECTS_MAX) this.#subjects.clear();
      subject = `${PREFIX}${token(node)}`;
      this.#subjects.set(node, subject);
    }
    return subject;
  }
}

function token(node: string): string {
  return Buffer.from(node).toString("base64url");
}
