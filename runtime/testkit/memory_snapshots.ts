/** Snapshots in memory. */
import { type SnapshotStore, SnapshotsUnavailable, SnapshotUnusable, type SnapshotWriter } from "../ports.ts";

export class MemorySnapshots implements SnapshotStore {
  /** By shard and name, in the order of publishing. */
  readonly published = new Map<string, Uint8Array>();
  readonly #unfinished = new Map<string, Uint8Array[]>();
  /** Bytes of a part that is read. */
  readonly #partBytes: number;
  /** Every call fails. */
  isAway = false;

  constructor(partBytes = 1 << 20) {
    this.#partBytes = partBytes;
  }

  async list(shard: number): Promise<readonly string[]> {
    this.#reach();
    const names = [...this.published.keys()].filter((k) => k.startsWith(`${shard}/`));
    return names.map((k) => k.slice(k.indexOf("/") + 1)).sort();
  }

  async create(shard: number, name: string): Promise<SnapshotWriter> {
    this.#reach();
    const key = `${shard}/${name}`;
    const parts: Uint8Array[] = [];
    this.#unfinished.set(key, parts);
    return {
      write: async (bytes) => {
        this.#reach();
        parts.push(bytes.slice());
      },
      readBack: () => this.#cut(Buffer.concat(parts)),
      publish: async () => {
        this.#reach();
        if (this.#unfinished.get(key) !== parts) throw new SnapshotsUnavailable(`${name} was removed`);
        this.#unfinished.delete(key);
        this.published.set(key, Buffer.concat(parts));
      },
      discard: async () => void this.#unfinished.delete(key),
    };
  }

  async *read(shard: number, name: string): AsyncIterable<Uint8Array> {
    this.#reach();
    const bytes = this.published.get(`${shard}/${name}`);
    if (bytes === undefined) throw new SnapshotUnusable(`${name} is gone`);
    yield* this.#cut(bytes);
  }

  async removeBefore(shard: number, name: string): Promise<void> {
    this.#reach();
    for (const all of [this.published, this.#unfinished]) {
      for (const key of all.keys()) if (key.startsWith(`${shard}/`) && key < `${shard}/${name}`) all.delete(key);
    }
  }

  async *#cut(bytes: Uint8Array): AsyncIterable<Uint8Array> {
    for (let at = 0; at < bytes.length; at += this.#partBytes) yield bytes.slice(at, at + this.#partBytes);
  }

  #reach(): void {
    if (this.isAway) throw new SnapshotsUnavailable("the memory is away");
  }
}
