/**
 * A host's way to what lies outside of it: journals and leases through its network, snapshots on its disk. What is cut
 * is lost, never told; answers reach only the process that asked. A host whose journal server fell into the minority of
 * the replicas sees the journals as they were then, and its appends are never acknowledged.
 */
import {
  type AppendResult,
  type Journal,
  type JournalMessage,
  type JournalStore,
  JournalUnavailable,
  type Lease,
  type LeaseStore,
  type SnapshotStore,
  SnapshotUnusable,
  type SnapshotWriter,
} from "../../runtime/ports.ts";
import type { SimHost } from "./sim_host.ts";

/** After this a request without an answer is given up, milliseconds. */
const TIMEOUT_MS = 50;

/** A request over the host's network; rejects with JournalUnavailable when it or its answer is cut off. */
function over<T>(host: SimHost, call: () => Promise<T>): Promise<T> {
  const { world } = host;
  const givenUp = async (): Promise<T> => {
    await world.sleep(TIMEOUT_MS);
    throw new JournalUnavailable("simulated: no answer");
  };
  if (host.requestsCut) return host.deliver(givenUp());
  const answered = call().then(
    (value) => (host.answersCut ? givenUp() : value),
    (error: unknown) => {
      if (host.answersCut) return givenUp();
      throw error;
    },
  );
  return host.deliver(answered);
}

class HostedJournal implements Journal {
  readonly shard: number;
  readonly id: string;
  readonly appends_max: number;
  readonly #inner: Journal;
  readonly #host: SimHost;

  constructor(inner: Journal, host: SimHost) {
    this.shard = inner.shard;
    this.id = inner.id;
    this.appends_max = inner.appends_max;
    this.#inner = inner;
    this.#host = host;
  }

  append(bytes: Uint8Array, expectedSequence: number): Promise<AppendResult> {
    // On the wire they are a copy: what the sender does with its buffer afterwards changes nothing.
    const sent = bytes.slice();
    return over(this.#host, () => this.#byMajority(sent, expectedSequence)).catch((error: Error) => {
      if (!(error instanceof JournalUnavailable)) throw error;
      return { kind: "unknown", message: error.message };
    });
  }

  tail(): Promise<JournalMessage | null> {
    const last = this.#frozen();
    if (last === null) return over(this.#host, () => this.#inner.tail());
    return last === 0 ? over(this.#host, () => Promise.resolve(null)) : this.read(last);
  }

  read(sequence: number): Promise<JournalMessage | null> {
    const last = this.#frozen() ?? Number.POSITIVE_INFINITY;
    return over(this.#host, () => (sequence > last ? Promise.resolve(null) : this.#inner.read(sequence)));
  }

  async *readFrom(first: number): AsyncIterable<JournalMessage> {
    const last = this.#frozen() ?? Number.POSITIVE_INFINITY;
    const messages = this.#inner.readFrom(first)[Symbol.asyncIterator]();
    for (let sequence = first; sequence <= last; sequence++) {
      const next = await over(this.#host, () => messages.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  async state(): Promise<{ readonly firstSequence: number; readonly lastSequence: number; readonly bytes: number }> {
    const last = this.#frozen() ?? Number.POSITIVE_INFINITY;
    const state = await over(this.#host, () => this.#inner.state());
    return { ...state, lastSequence: Math.min(last, state.lastSequence) };
  }

  /** Last sequence that the host's server knows of while it is in the minority, null else. */
  #frozen(): number | null {
    return this.#host.frozenTail?.(this.shard) ?? null;
  }

  /** What was under way when the majority was lost may stand; nobody tells this host. */
  async #byMajority(bytes: Uint8Array, expectedSequence: number): Promise<AppendResult> {
    if (this.#host.frozenTail === null) {
      const result = await this.#inner.append(bytes, expectedSequence);
      if (this.#host.frozenTail === null) return result;
    }
    await this.#host.world.sleep(TIMEOUT_MS);
    throw new JournalUnavailable("simulated: no majority");
  }
}

export function hostedJournals(store: JournalStore, host: SimHost): JournalStore {
  return {
    async open(shard) {
      for (;;) {
        try {
          return new HostedJournal(await over(host, () => store.open(shard)), host);
        } catch (error) {
          // A node that cannot reach its journals at start waits for them.
          if (!(error instanceof JournalUnavailable)) throw error;
          await host.sleep(TIMEOUT_MS);
        }
      }
    },
  };
}

/** Leases over the network; `stale` is the probability that a read gives the value before the newest. */
export class HostedLeases implements LeaseStore {
  readonly #inner: LeaseStore;
  readonly #host: SimHost;
  readonly #before = new Map<number, Lease | null>();
  readonly #newest = new Map<number, Lease | null>();
  readonly #stale: () => number;

  constructor(inner: LeaseStore, host: SimHost, stale: () => number) {
    this.#inner = inner;
    this.#host = host;
    this.#stale = stale;
  }

  read(shard: number): Promise<Lease | null> {
    return this.#ask(async () => {
      const lease = await this.#inner.read(shard);
      if (lease?.revision !== this.#newest.get(shard)?.revision) {
        this.#before.set(shard, this.#newest.get(shard) ?? null);
        this.#newest.set(shard, lease);
      }
      return this.#host.world.chance(this.#stale()) ? (this.#before.get(shard) ?? lease) : lease;
    });
  }

  update(shard: number, node: string, revision: number): Promise<Lease | null> {
    return this.#ask(() => this.#inner.update(shard, node, revision));
  }

  release(shard: number, revision: number): Promise<void> {
    return this.#ask(() => this.#inner.release(shard, revision));
  }

  heartbeat(node: string): Promise<void> {
    return this.#ask(() => this.#inner.heartbeat(node));
  }

  #ask<T>(call: () => Promise<T>): Promise<T> {
    const { world } = this.#host;
    return over(this.#host, async () => {
      if (this.#host.frozenTail !== null) throw new JournalUnavailable("simulated: no majority");
      await world.sleep(world.between(0.1, 2));
      const value = await call();
      await world.sleep(world.between(0.1, 2));
      return value;
    });
  }
}

/** A host's disk: what was published outlives its processes. */
export class SimDisk implements SnapshotStore {
  /** Every write fails, as on a full disk. */
  full = false;
  readonly #host: SimHost;
  readonly #files = new Map<string, Uint8Array>();

  constructor(host: SimHost) {
    this.#host = host;
  }

  /** Names of all snapshots, to choose one to damage. */
  get names(): readonly string[] {
    return [...this.#files.keys()].sort();
  }

  wipe(): void {
    this.#files.clear();
  }

  /** Flips one bit of a file. */
  damage(name: string, at: number): void {
    const bytes = this.#files.get(name);
    if (bytes !== undefined && bytes.length > 0) bytes[at % bytes.length] ^= 1 << (at % 8);
  }

  /** The files as they are, read by nobody's process. */
  get offline(): Pick<SnapshotStore, "list" | "read"> {
    const files = this.#files;
    return {
      list: async (shard) => this.#namesOf(shard),
      async *read(shard, name) {
        yield (files.get(`${shard}/${name}`) as Uint8Array).slice();
      },
    };
  }

  #namesOf(shard: number): string[] {
    const names = [...this.#files.keys()].filter((name) => name.startsWith(`${shard}/`));
    return names.map((name) => name.slice(name.indexOf("/") + 1)).sort();
  }

  list(shard: number): Promise<readonly string[]> {
    return this.#io(() => this.#namesOf(shard));
  }

  create(shard: number, name: string): Promise<SnapshotWriter> {
    const parts: Uint8Array[] = [];
    const io = <T>(work: () => T): Promise<T> => this.#io(work);
    const writer: SnapshotWriter = {
      write: (bytes) => this.#io(() => this.#put(parts, bytes)),
      async *readBack() {
        for (const part of parts) yield await io(() => part.slice());
      },
      publish: () =>
        this.#io(() => {
          this.#put(parts, new Uint8Array(0));
          this.#files.set(`${shard}/${name}`, Buffer.concat(parts));
        }),
      discard: () => this.#io(() => {}),
    };
    return this.#io(() => writer);
  }

  async *read(shard: number, name: string): AsyncIterable<Uint8Array> {
    const bytes = this.#files.get(`${shard}/${name}`);
    if (bytes === undefined) throw new SnapshotUnusable(`${name} is gone`);
    yield await this.#io(() => bytes.slice());
  }

  removeBefore(shard: number, name: string): Promise<void> {
    return this.#io(() => {
      for (const old of this.#namesOf(shard)) if (old < name) this.#files.delete(`${shard}/${old}`);
    });
  }

  #put(parts: Uint8Array[], bytes: Uint8Array): void {
    if (this.full) throw new Error("simulated: no space left on device");
    parts.push(bytes.slice());
  }

  #io<T>(work: () => T): Promise<T> {
    const { world } = this.#host;
    return this.#host.deliver(world.sleep(world.between(0.02, 0.5)).then(work));
  }
}
