/**
 * The Transport of nodes in one process: the same bytes as over a network, copied for each receiver, told on a later
 * turn of the event loop. A receiver that is closed by then, or was never there, loses them.
 */
import { type Transport, WIRE_BYTES_MAX } from "../ports.ts";

/**
 * Runs `run` once on a later turn, in the order of the calls: `timers.soon`. A simulation may look at the names, and
 * run it later, or never. What a listener throws comes out of `run`.
 */
export type Deliver = (run: () => void, from: string, to: string) => void;

/** What the transports of one process have in common. */
export class MemoryNetwork {
  readonly #deliver: Deliver;
  readonly #open = new Set<MemoryTransport>();

  constructor(deliver: Deliver) {
    this.#deliver = deliver;
  }

  /** A transport of a node. Several with one name all get what is sent to that name, as they would elsewhere. */
  transport(node: string): Transport {
    const transport = new MemoryTransport(
      node,
      (to, bytes) => this.#carry(transport, to, bytes),
      () => this.#open.delete(transport),
    );
    this.#open.add(transport);
    return transport;
  }

  /** `to` null: everyone but the sender. */
  #carry(from: MemoryTransport, to: string | null, bytes: Uint8Array): boolean {
    if (bytes.length > WIRE_BYTES_MAX || !this.#open.has(from)) return false;
    for (const receiver of this.#open) {
      if (to === null ? receiver === from : receiver.node !== to) continue;
      const copy = new Uint8Array(bytes);
      this.#deliver(() => receiver.receive(copy), from.node, receiver.node);
    }
    return true;
  }
}

class MemoryTransport implements Transport {
  readonly node: string;
  readonly #carry: (to: string | null, bytes: Uint8Array) => boolean;
  readonly #leave: () => void;
  #onFrame: ((bytes: Uint8Array) => void) | null = null;
  #closed = false;

  constructor(node: string, carry: (to: string | null, bytes: Uint8Array) => boolean, leave: () => void) {
    this.node = node;
    this.#carry = carry;
    this.#leave = leave;
  }

  send(to: string, bytes: Uint8Array): boolean {
    return this.#carry(to, bytes);
  }

  broadcast(bytes: Uint8Array): boolean {
    return this.#carry(null, bytes);
  }

  listen(onFrame: (bytes: Uint8Array) => void): void {
    if (this.#onFrame !== null) throw new Error(`node ${this.node} listens already`);
    this.#onFrame = onFrame;
  }

  receive(bytes: Uint8Array): void {
    if (!this.#closed) this.#onFrame?.(bytes);
  }

  close(): void {
    this.#closed = true;
    this.#leave();
  }
}
