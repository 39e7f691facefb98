/**
 * Leases in a NATS key-value bucket kept in memory: `s<shard>` holds the node's name, `n.<node>` is a node's heartbeat.
 * The bucket is disposable: when a server restart took it away, the next call makes it anew, empty.
 */
import { jetstream, StorageType } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { JournalUnavailable, type Lease, type LeaseStore } from "../ports.ts";
import type { NatsLink } from "./connection.ts";

export interface LeaseOptions {
  /** Default FG_LEASES. */
  readonly bucket?: string;
  readonly num_replicas?: number;
  /** Default 1500: a round of a LeaseKeeper must end well within the lapse of 2 s. */
  readonly timeout_ms?: number;
}

const WRONG_LAST_SEQUENCE = [10071, 10164];
const MAX_BUCKET_BYTES = 16 * 1024 * 1024;

export class KvLeaseStore implements LeaseStore {
  readonly #link: NatsLink;
  readonly #options: LeaseOptions;
  #bucket: Promise<KV> | null = null;

  constructor(link: NatsLink, options: LeaseOptions = {}) {
    this.#link = link;
    this.#options = options;
  }

  read(shard: number): Promise<Lease | null> {
    return this.#call(async (bucket) => {
      const entry = await bucket.get(`s${shard}`);
      if (entry === null || entry.operation !== "PUT") return null;
      return { node: entry.string(), revision: entry.revision };
    });
  }

  update(shard: number, node: string, revision: number): Promise<Lease | null> {
    return this.#call(async (bucket) => {
      try {
        const key = `s${shard}`;
        // create() also takes the place of a deleted lease, whose marker has a revision.
        const next = revision === 0 ? await bucket.create(key, node) : await bucket.update(key, node, revision);
        return { node, revision: next };
      } catch (error) {
        if (isConflict(error)) return null;
        throw error;
      }
    });
  }

  release(shard: number, revision: number): Promise<void> {
    return this.#call(async (bucket) => {
      try {
        await bucket.delete(`s${shard}`, { previousSeq: revision });
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    });
  }

  heartbeat(node: string): Promise<void> {
    return this.#call(async (bucket) => {
      await bucket.put(`n.${Buffer.from(node).toString("base64url")}`, "");
    });
  }

  /** One call on the bucket. A failure forgets the bucket, so that the next call opens or makes it again. */
  async #call<T>(run: (bucket: KV) => Promise<T>): Promise<T> {
    if (!this.#link.up) throw new JournalUnavailable("leases: not connected");
    this.#bucket ??= this.#open();
    const opened = this.#bucket;
    try {
      return await run(await opened);
    } catch (error) {
      if (this.#bucket === opened) this.#bucket = null;
      throw new JournalUnavailable(`leases: ${(error as Error).message}`);
    }
  }

  #open(): Promise<KV> {
    const client = jetstream(this.#link.client, { timeout: this.#options.timeout_ms ?? 1500 });
    return new Kvm(client).create(this.#options.bucket ?? "FG_LEASES", {
      storage: StorageType.Memory,
      history: 1,
      replicas: this.#options.num_replicas ?? 1,
      max_bytes: MAX_BUCKET_BYTES,
      // Direct gets may come late; a lease is read from the leader.
      allow_direct: false,
    });
  }
}

function isConflict(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === "number" && WRONG_LAST_SEQUENCE.includes(code);
}
