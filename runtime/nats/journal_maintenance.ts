/**
 * What only the maintenance account may do to journals: list them, purge what nobody needs any more, make one anew for
 * a restored history. Nodes have no permission for it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import {
  JournalDamaged,
  type JournalFacts,
  type JournalMade,
  type JournalMaintenance,
  JournalUnavailable,
} from "../ports.ts";
import type { NatsLink } from "./connection.ts";
import { type JournalOptions, journalConfig, SERVED } from "./jetstream_journal.ts";

const NO_PEERS = 10005;
const STREAM_NAME_IN_USE = 10058;
const STREAM_NOT_FOUND = 10059;
/** Servers that start together elect a leader before it has heard of all of them. */
const PEERS_WAIT_MS = 30_000;
const PEERS_POLL_MS = 100;

export class JetStreamMaintenance implements JournalMaintenance {
  readonly #link: NatsLink;
  readonly #options: JournalOptions;
  readonly #prefix: string;

  /** `options` as of the JetStreamJournalStore. */
  constructor(link: NatsLink, options: JournalOptions = {}) {
    this.#link = link;
    this.#options = options;
    this.#prefix = options.prefix ?? SERVED.prefix;
  }

  list(): Promise<readonly JournalFacts[]> {
    return this.#asked("list the journals", async (manager) => {
      const found: JournalFacts[] = [];
      // By name, and each asked for: a list of all leaves those out whose leader does not answer.
      for await (const name of manager.streams.names()) {
        if (!name.startsWith(this.#prefix)) continue;
        const info = await infoOf(manager, name);
        const facts = info === null ? null : this.#facts(info);
        if (facts !== null) found.push(facts);
      }
      return found.sort((a, b) => a.shard - b.shard);
    });
  }

  purge(shard: number, sequence: number): Promise<number> {
    const stream = `${this.#prefix}${shard}`;
    return this.#asked(`purge ${stream}`, async (manager) => {
      const { state } = await manager.streams.info(stream);
      // The journal only grows: what is not its newest frame now, never is.
      if (sequence > state.last_seq) throw new RangeError(`purge to ${sequence}, the newest is ${state.last_seq}`);
      if (sequence <= state.first_seq) return 0;
      return (await manager.streams.purge(stream, { seq: sequence })).purged;
    });
  }

  create(shard: number, as: JournalMade): Promise<void> {
    const stream = `${this.#prefix}${shard}`;
    const subject = `${this.#options.subject ?? SERVED.subject}.${shard}`;
    const options = { ...this.#options, shards: as.shards };
    return this.#asked(`create ${stream}`, async (manager) => {
      const config = journalConfig({ stream, subject, id: as.id, restoreId: as.restoreId ?? "", options });
      const isThere = await manager.streams.info(stream).catch(() => null);
      if (isThere !== null) throw new JournalDamaged(`there is a journal ${stream} already`, isThere.state.last_seq);
      try {
        const made = { ...config, first_seq: as.firstSequence };
        const { state } = await withPeers(() => manager.streams.add(made));
        if (state.last_seq === as.firstSequence - 1) return;
        throw new JournalUnavailable(`${stream} begins behind ${state.last_seq}: nats-server is older than 2.10`);
      } catch (error) {
        if ((error as { code?: unknown }).code !== STREAM_NAME_IN_USE) throw error;
        throw new JournalDamaged(`there is a journal ${stream} already`, 0);
      }
    });
  }

  #facts(info: StreamInfo): JournalFacts | null {
    const { name, metadata } = info.config;
    const id = metadata?.["journal_id"];
    if (!name.startsWith(this.#prefix) || id === undefined) return null;
    const shard = Number(name.slice(this.#prefix.length));
    if (!Number.isInteger(shard)) return null;
    const shards = metadata?.["shards"];
    const { first_seq, last_seq, bytes } = info.state;
    return {
      shard,
      id,
      shards: shards === undefined ? null : Number(shards),
      firstSequence: first_seq,
      lastSequence: last_seq,
      bytes,
    };
  }

  async #asked<T>(what: string, call: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    try {
      return await call(await jetstreamManager(this.#link.client, { checkAPI: false }));
    } catch (error) {
      if (error instanceof JournalDamaged || error instanceof RangeError || error instanceof JournalUnavailable) {
        throw error;
      }
      throw new JournalUnavailable(`cannot ${what}: ${(error as Error).message}`);
    }
  }
}

/** Asks again while too few servers are there for the replicas; rejects as the call does after PEERS_WAIT_MS. */
async function withPeers<T>(call: () => Promise<T>): Promise<T> {
  const end_ms = performance.now() + PEERS_WAIT_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if ((error as { code?: unknown }).code !== NO_PEERS || performance.now() > end_ms) throw error;
    }
    await delay(PEERS_POLL_MS);
  }
}

/** Null when it is gone. */
async function infoOf(manager: JetStreamManager, stream: string): Promise<StreamInfo | null> {
  try {
    return await manager.streams.info(stream);
  } catch (error) {
    if ((error as { code?: unknown }).code === STREAM_NOT_FOUND) return null;
    throw error;
  }
}
