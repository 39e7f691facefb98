/**
 * The connection to NATS: how it is made, kept alive and closed. Everything else in runtime/nats is given one of these.
 *
 * A dead peer is noticed within two pings; reconnecting never ends. While it is down every request is answered
 * "unknown" at once instead of being queued, because only the journal protocol may decide what to send again.
 */
import type { NatsConnection, Status } from "@nats-io/nats-core";
import { connect as dial } from "@nats-io/transport-node";

export interface NatsOptions {
  /** host:port, or several of one cluster. */
  readonly servers: string | readonly string[];
  readonly name?: string;
  /** Default 1000; two missed pings are a dead connection. */
  readonly ping_ms?: number;
  readonly reconnect_wait_ms?: number;
  /** How long the first connect may take before it rejects; default 5000. */
  readonly connect_timeout_ms?: number;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

export type LinkEvent = "up" | "down" | "closed";

/** A NATS connection that knows whether it is up, and tells listeners when that changes. */
export class NatsLink {
  readonly client: NatsConnection;
  #up = true;
  readonly #listeners = new Set<(event: LinkEvent) => void>();

  constructor(client: NatsConnection) {
    this.client = client;
    this.#watch(client.status()).catch((error: unknown) => {
      throw error;
    });
  }

  get up(): boolean {
    return this.#up && !this.client.isClosed();
  }

  /** Returns the function that ends the listening. */
  listen(listener: (event: LinkEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.client.close();
    this.#tell("closed");
  }

  async #watch(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) {
      if (status.type === "disconnect" || status.type === "staleConnection") {
        this.#up = false;
        this.#tell("down");
      } else if (status.type === "reconnect") {
        this.#up = true;
        this.#tell("up");
      }
    }
  }

  #tell(event: LinkEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Connects; rejects when no server answers in time. Once connected it reconnects for ever. */
export async function connectNats(options: NatsOptions): Promise<NatsLink> {
  const servers = typeof options.servers === "string" ? options.servers : [...options.servers];
  const client = await dial({
    servers,
    name: options.name ?? "fraudguard",
    pingInterval: options.ping_ms ?? 1000,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectTimeWait: options.reconnect_wait_ms ?? 200,
    reconnectJitter: 50,
    timeout: options.connect_timeout_ms ?? 5000,
    ignoreAuthErrorAbort: true,
    ...(options.user === undefined ? {} : { user: options.user }),
    ...(options.password === undefined ? {} : { pass: options.password }),
    ...(options.token === undefined ? {} : { token: options.token }),
  });
  return new NatsLink(client);
}
