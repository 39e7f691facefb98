/**
 * The connection to NATS: how it is made, kept alive and closed. Everything else in runtime/nats is given one of these.
 *
 * A dead peer is noticed within two pings; reconnecting never ends. While it is down every request is answered
 * "unknown" at once instead of being queued, because only the journal protocol may decide what to send again.
 */
import { createInbox, type NatsConnection, type Status } from "@nats-io/nats-core";
import { connect as dial } from "@nats-io/transport-node";

export interface NatsOptions {
  /** host:port, or several of one cluster. */
  readonly servers: string | readonly string[];
  readonly name?: string;
  /** Default 1000; two missed pings are a dead connection. */
  readonly ping_ms?: number;
  readonly reconnect_wait_ms?: number;
  /** How long a server may take to let us in, at first and when reconnecting; default 5000, 2000 of several. */
  readonly connect_timeout_ms?: number;
  readonly user?: string;
  readonly password?: string;
  /** Where answers come; default `_INBOX`. Users are allowed one of their own. */
  readonly inbox_prefix?: string;
  /** Certificates (PEM) of the authority that vouches for the servers: only such ones are spoken to, by TLS. */
  readonly tls_ca?: string;
  /** Told what the server refused this user on an open connection. */
  readonly onRefused?: (message: string) => void;
}

/**
 * Why there is no first connection. `tls`: the server's certificate is not of our authority, or one side only speaks
 * TLS; `credentials`: wrong user or password; `unreachable`: nobody answers in time.
 */
export type ConnectCode = "tls" | "credentials" | "unreachable";

export class NatsConnectError extends Error {
  readonly code: ConnectCode;

  constructor(code: ConnectCode, message: string) {
    super(message);
    this.name = "NatsConnectError";
    this.code = code;
  }
}

const DEFAULT_INBOX = "_INBOX";

export type LinkEvent = "up" | "down" | "closed";

/** A NATS connection that knows whether it is up, and tells listeners when that changes. */
export class NatsLink {
  readonly client: NatsConnection;
  readonly #inbox_prefix: string;
  readonly #onRefused: (message: string) => void;
  #up = true;
  readonly #listeners = new Set<(event: LinkEvent) => void>();

  constructor(client: NatsConnection, options: Pick<NatsOptions, "inbox_prefix" | "onRefused"> = {}) {
    this.client = client;
    this.#inbox_prefix = options.inbox_prefix ?? DEFAULT_INBOX;
    this.#onRefused = options.onRefused ?? (() => {});
    this.#watch(client.status()).catch((error: unknown) => {
      throw error;
    });
  }

  get up(): boolean {
    return this.#up && !this.client.isClosed();
  }

  /** A new subject that only this user hears. */
  inbox(): string {
    return createInbox(this.#inbox_prefix);
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
      } else if (status.type === "error") this.#onRefused(status.error.message);
    }
  }

  #tell(event: LinkEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Connects; rejects with NatsConnectError when no server lets us in. Once connected it reconnects for ever. */
export async function connectNats(options: NatsOptions): Promise<NatsLink> {
  const servers = typeof options.servers === "string" ? [options.servers] : [...options.servers];
  try {
    const client = await dial({
      servers,
      name: options.name ?? "fraudguard",
      pingInterval: options.ping_ms ?? 1000,
      maxPingOut: 2,
      maxReconnectAttempts: -1,
      reconnectTimeWait: options.reconnect_wait_ms ?? 200,
      reconnectJitter: 50,
      // One of several that takes connections and says nothing must not hold up the next.
      timeout: options.connect_timeout_ms ?? (servers.length > 1 ? 2000 : 5000),
      ignoreAuthErrorAbort: true,
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(options.password === undefined ? {} : { pass: options.password }),
      ...(options.inbox_prefix === undefined ? {} : { inboxPrefix: options.inbox_prefix }),
      ...(options.tls_ca === undefined ? {} : { tls: { ca: options.tls_ca } }),
    });
    return new NatsLink(client, options);
  } catch (error) {
    throw connectError(servers.join(), error as Error & { code?: unknown });
  }
}

function connectError(servers: string, error: Error & { code?: unknown }): NatsConnectError {
  const { message, name } = error;
  const code = String(error.code ?? "");
  if (/Authorization|Authentication/i.test(`${name} ${message}`)) {
    return new NatsConnectError("credentials", `nats-server at ${servers} does not know this user and password`);
  }
  if (/CERT|VERIFY|TLS|SSL|SELF_SIGNED/.test(code) || /\btls\b|certificate/i.test(message)) {
    const advice = "give the certificate of the authority that signed the server's (--nats-tls-ca)";
    return new NatsConnectError("tls", `nats-server at ${servers} cannot be trusted: ${message}; ${advice}`);
  }
  return new NatsConnectError("unreachable", `nats-server at ${servers} does not answer: ${message}`);
}
