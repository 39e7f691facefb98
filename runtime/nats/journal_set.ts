/**
 * A whole set of journals under stream names of its own, for the maintenance account: the served one, or one that is
 * prepared beside it, or kept from before.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { type Journal, JournalDamaged, type JournalFacts, JournalUnavailable } from "../ports.ts";
import type { NatsLink } from "./connection.ts";
import { JetStreamJournalStore, type JournalSetNames } from "./jetstream_journal.ts";
import { JetStreamMaintenance } from "./journal_maintenance.ts";

const STREAM_NOT_FOUND = 10059;

export class JournalSet {
  readonly names: JournalSetNames;
  readonly #link: NatsLink;
  readonly #maintenance: JetStreamMaintenance;
  readonly #store: JetStreamJournalStore;

  constructor(link: NatsLink, names: JournalSetNames, num_replicas = 1) {
    this.names = names;
    this.#link = link;
    this.#maintenance = new JetStreamMaintenance(link, { ...names, num_replicas });
    this.#store = new JetStreamJournalStore(link, names);
  }

  /** The journals that are there, by shard. */
  list(): Promise<readonly JournalFacts[]> {
    return this.#maintenance.list();
  }

  /** One that is there. Rejects with JournalDamaged when there is none: opening would make it. */
  async open(shard: number): Promise<Journal> {
    const there = (await this.list()).some((j) => j.shard === shard);
    if (!there) throw new JournalDamaged(`there is no stream ${this.#stream(shard)}`, 0);
    return this.#store.open(shard);
  }

  async create(shard: number, id: string, shards: number): Promise<Journal> {
    await this.#maintenance.create(shard, { id, shards, firstSequence: 1 });
    return this.#store.open(shard);
  }

  /** For good. */
  async remove(shard: number): Promise<void> {
    const manager = await jetstreamManager(this.#link.client, { checkAPI: false });
    try {
      await manager.streams.delete(this.#stream(shard));
    } catch (error) {
      if ((error as { code?: unknown }).code === STREAM_NOT_FOUND) return;
      throw new JournalUnavailable(`cannot remove ${this.#stream(shard)}: ${(error as Error).message}`);
    }
  }

  /** Copies of each journal that the servers keep; 1 without a journal. */
  async replicas(): Promise<number> {
    const [first] = await this.list();
    if (first === undefined) return 1;
    const manager = await jetstreamManager(this.#link.client, { checkAPI: false });
    return (await manager.streams.info(this.#stream(first.shard))).config.num_replicas;
  }

  /** Keeps a word with a journal's stream; it survives restarts. */
  async mark(shard: number, word: string): Promise<void> {
    const manager = await jetstreamManager(this.#link.client, { checkAPI: false });
    const { config } = await manager.streams.info(this.#stream(shard));
    await manager.streams.update(this.#stream(shard), { ...config, metadata: { ...config.metadata, mark: word } });
  }

  /** The word kept with a journal; empty without. */
  async markOf(shard: number): Promise<string> {
    const manager = await jetstreamManager(this.#link.client, { checkAPI: false });
    return (await manager.streams.info(this.#stream(shard))).config.metadata?.["mark"] ?? "";
  }

  close(): void {
    this.#store.close();
  }

  #stream(shard: number): string {
    return `${this.names.prefix}${shard}`;
  }
}
