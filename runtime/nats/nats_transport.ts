/**
 * The Transport over NATS core: `fg.n.<node>` for one node, `fg.n.all.<node>.<instance>` for all, names in base64url.
 * At most once: nothing is stored, nothing is sent again, and what goes out while the link is down is lost.
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
  #listens = false;
  #closed = false;

  /** Messages without the tag of this cluster's key. */
  foreign = 0;

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
      onFrame(plain(aligned(bytes)));
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #publish(subject: string, bytes: Uint8Array): boolean {
    if (bytes.length > WIRE_BYTES_MAX || this.#closed || !this.#link.up) return false;
    try {
      const message = new Uint8Array(bytes.length + TAG_BYTES);
      message.set(bytes);
      message.set(this.#tag(subject, bytes), bytes.length);
      this.#link.client.publish(subject, message);
      return true;
    } catch (error) {
      // The server takes less than WIRE_BYTES_MAX, or the client is closing.
      this.#onError(error as Error);
      return false;
    }
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

/** The client gives Buffers, whose slice() is a view and not a copy; a listener is promised a Uint8Array. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function token(node: string): string {
  return Buffer.from(node).toString("base64url");
}
