/**
 * The simulated journal: records in memory, and faults between them and their users. Without a world every call is
 * answered at once; with one, requests and answers travel, get lost, come late or meet a change of leader, as its seed
 * says. A stream without a leader answers nothing; what it was asked before may stand without an acknowledgement.
 */
import { epochOf, KIND_TAKEOVER, kindOf } from "../../proto/frame/frame_header.ts";
import {
  type AppendResult,
  type Journal,
  JournalDamaged,
  type JournalFacts,
  type JournalMade,
  type JournalMaintenance,
  type JournalMessage,
  JournalPurged,
  type JournalStore,
  JournalUnavailable,
} from "../ports.ts";
import { type SimWorld, seeded } from "./sim_world.ts";

/** Probabilities in [0, 1] for each request. */
export interface JournalFaults {
  /** The append never arrives. */
  lost_request: number;
  /** The append is carried out, its answer is lost. */
  lost_ack: number;
  /** The append is given up by its sender and carried out later. */
  late_request: number;
  /** A leader change: the append is refused though its conditions hold. */
  spurious_conflict: number;
  /** Reads and tails fail. */
  unavailable: number;
}

export const NO_FAULTS: JournalFaults = {
  lost_request: 0,
  lost_ack: 0,
  late_request: 0,
  spurious_conflict: 0,
  unavailable: 0,
};

const TIMEOUT_MS = 50;
/** What has a place is applied by the servers so much later. */
const REPLICAS_MS = 3;

/** The records of one shard, shared by all who opened it. */
class SimStream {
  readonly id: string;
  readonly restoreId: string;
  /** By sequence - 1; those before `first` were purged. */
  readonly records: Uint8Array[] = [];
  first = 1;
  bytes = 0;
  /** Its replicas elect a leader. */
  isLeaderless = false;
  /** Records that have a place and are not applied yet. */
  #proposed = 0;

  constructor(id: string, restoreId = "") {
    this.id = id;
    this.restoreId = restoreId;
  }

  /**
   * `later` applies a record that has its place, at once or when the replicas have it. The expected sequence is held
   * against what has a place; whose epoch is the newest, only against what is applied, as nats-server knows it.
   */
  append(frame: Uint8Array, expected: number, maxBytes: number, later: (apply: () => void) => void): AppendResult {
    const last = this.records.length + this.#proposed;
    const conflict: AppendResult = { kind: "conflict", lastSequence: last };
    if (last !== expected) return conflict;
    const applied = this.records.length;
    const newest = applied < this.first ? 0 : epochOf(this.records[applied - 1]);
    if (kindOf(frame) !== KIND_TAKEOVER && (last === 0 || newest > epochOf(frame))) return conflict;
    if (this.bytes + frame.length > maxBytes) return { kind: "full", message: "simulated byte limit" };
    const sent = frame.slice();
    this.bytes += sent.length;
    this.#proposed++;
    later(() => {
      this.#proposed--;
      this.records.push(sent);
    });
    return { kind: "appended", sequence: last + 1 };
  }
}

class SimJournal implements Journal {
  readonly shard: number;
  readonly id: string;
  readonly #store: SimJournalStore;

  constructor(shard: number, id: string, store: SimJournalStore) {
    this.shard = shard;
    this.id = id;
    this.#store = store;
  }

  get restoreId(): string {
    return this.#stream.restoreId;
  }

  get appends_max(): number {
    return this.#store.replicated ? 1 : 2;
  }

  /** The stream of that name, which may have been made anew since it was opened. */
  get #stream(): SimStream {
    return this.#store.streams.get(this.shard) as SimStream;
  }

  append(bytes: Uint8Array, expectedSequence: number): Promise<AppendResult> {
    const { world, faults } = this.#store;
    const replicas_ms = this.#store.replicated ? REPLICAS_MS : 0;
    const later = (run: () => void): void =>
      world === null || replicas_ms === 0 ? run() : world.after(replicas_ms, run);
    const apply = (): AppendResult => this.#stream.append(bytes, expectedSequence, this.#store.max_bytes, later);
    if (this.#isDown) return Promise.resolve({ kind: "unknown", message: "simulated outage" });
    if (world === null) return Promise.resolve(apply());
    const timeout: AppendResult = { kind: "unknown", message: "simulated timeout" };
    return new Promise((resolve) => {
      if (world.chance(faults.lost_request)) return world.after(TIMEOUT_MS, () => resolve(timeout));
      if (world.chance(faults.late_request)) {
        world.after(TIMEOUT_MS, () => resolve(timeout));
        return world.after(TIMEOUT_MS + world.between(0, 100), apply);
      }
      world.after(world.between(0.1, 2), () => {
        if (this.#isDown) {
          // The majority has what the old leader sent it, and acknowledges it to nobody.
          if (this.#stream.isLeaderless && world.chance(0.5)) apply();
          return world.after(TIMEOUT_MS, () => resolve(timeout));
        }
        const refused = world.chance(faults.spurious_conflict);
        const result: AppendResult = refused
          ? { kind: "conflict", lastSequence: this.#stream.records.length }
          : apply();
        if (world.chance(faults.lost_ack)) return world.after(TIMEOUT_MS, () => resolve(timeout));
        world.after(replicas_ms + world.between(0.1, 2), () => resolve(result));
      });
    });
  }

  async tail(): Promise<JournalMessage | null> {
    await this.#travel();
    const last = this.#stream.records.length;
    const message = last < this.#stream.first ? null : this.#message(last);
    await this.#travel();
    return message;
  }

  async read(sequence: number): Promise<JournalMessage | null> {
    await this.#travel();
    const { first, records } = this.#stream;
    return sequence >= first && sequence <= records.length ? this.#message(sequence) : null;
  }

  async *readFrom(first: number): AsyncIterable<JournalMessage> {
    await this.#travel();
    this.#checkId();
    const last = this.#stream.records.length;
    if (first > last + 1) throw new JournalDamaged("records are gone from the tail", last);
    if (first <= last && first < this.#stream.first) throw new JournalPurged(first, this.#stream.first);
    for (let sequence = first; sequence <= last; sequence++) {
      if (this.#isDown) throw new JournalUnavailable("simulated outage");
      yield this.#message(sequence);
    }
  }

  async state(): Promise<{ firstSequence: number; lastSequence: number; bytes: number }> {
    await this.#travel();
    this.#checkId();
    const { first, records, bytes } = this.#stream;
    return { firstSequence: records.length === 0 ? 0 : first, lastSequence: records.length, bytes };
  }

  get #isDown(): boolean {
    return this.#store.down || this.#stream.isLeaderless;
  }

  #checkId(): void {
    const { id, records } = this.#stream;
    if (id !== this.id) throw new JournalDamaged("the stream has another journal id", records.length);
  }

  #message(sequence: number): JournalMessage {
    return { sequence, bytes: this.#stream.records[sequence - 1].slice() };
  }

  async #travel(): Promise<void> {
    const { world, faults } = this.#store;
    if (this.#isDown) throw new JournalUnavailable("simulated outage");
    if (world === null) return;
    await world.sleep(world.between(0.1, 2));
    if (this.#isDown || world.chance(faults.unavailable)) throw new JournalUnavailable("simulated fault");
  }
}

/** Streams outlive the store: pass another store's `streams` to model a second node, or a restart. */
export class SimJournalStore implements JournalStore {
  readonly world: SimWorld | null;
  faults: JournalFaults = { ...NO_FAULTS };
  max_bytes = Number.POSITIVE_INFINITY;
  /** Several servers keep the journals. */
  replicated = false;
  /** An outage: nothing is answered. */
  down = false;
  readonly streams: Map<number, SimStream>;

  constructor(world: SimWorld | null = null, streams: Map<number, SimStream> = new Map()) {
    this.world = world;
    this.streams = streams;
  }

  open(shard: number): Promise<Journal> {
    if (this.down) return Promise.reject(new JournalUnavailable("simulated outage"));
    const { id } = this.streams.get(shard) ?? this.recreate(shard);
    return Promise.resolve(new SimJournal(shard, id, this));
  }

  /** An empty stream with an id of its own takes the place of the shard's, if there is one. */
  recreate(shard: number): { readonly id: string } {
    const random = this.world?.random ?? seeded(shard + 1);
    const digit = (): string => Math.floor(random() * 16).toString(16);
    const stream = new SimStream(Array.from({ length: 32 }, digit).join(""));
    this.streams.set(shard, stream);
    return stream;
  }

  /** The shard's replicas lose their leader, or have elected one. */
  elect(shard: number, isLeaderless: boolean): void {
    const stream = this.streams.get(shard);
    if (stream !== undefined) stream.isLeaderless = isLeaderless;
  }

  /** Number of the shard's records, 0 before its stream is made. */
  length(shard: number): number {
    return this.streams.get(shard)?.records.length ?? 0;
  }

  /** The raw records, to look at or to damage in place. */
  records(shard: number): Uint8Array[] {
    const stream = this.streams.get(shard);
    if (stream === undefined) throw new Error(`no simulated journal ${shard}`);
    return stream.records;
  }

  /** A leader that lost acknowledged records: the newest `count` are gone. */
  loseTail(shard: number, count: number): void {
    const records = this.records(shard);
    records.length = Math.max(0, records.length - count);
  }
}

/** Maintenance of the same streams; it meets no faults. */
export class SimMaintenance implements JournalMaintenance {
  readonly #streams: Map<number, SimStream>;

  constructor(streams: Map<number, SimStream>) {
    this.#streams = streams;
  }

  list(): Promise<readonly JournalFacts[]> {
    const facts = (shard: number, { id, first, records, bytes }: SimStream): JournalFacts => ({
      shard,
      id,
      shards: null,
      firstSequence: first,
      lastSequence: records.length,
      bytes,
    });
    const all = [...this.#streams].map(([shard, stream]) => facts(shard, stream));
    return Promise.resolve(all.sort((a, b) => a.shard - b.shard));
  }

  purge(shard: number, sequence: number): Promise<number> {
    const stream = this.#streams.get(shard);
    if (stream === undefined) return Promise.reject(new JournalUnavailable(`no journal ${shard}`));
    if (sequence > stream.records.length) return Promise.reject(new RangeError(`purge to ${sequence}`));
    const before = stream.first;
    for (let s = stream.first; s < sequence; s++) {
      stream.bytes -= stream.records[s - 1].length;
      stream.records[s - 1] = new Uint8Array(0);
      stream.first = s + 1;
    }
    return Promise.resolve(stream.first - before);
  }

  create(shard: number, as: Omit<JournalMade, "shards">): Promise<void> {
    if (this.#streams.has(shard)) return Promise.reject(new JournalDamaged(`journal ${shard} is there`, 0));
    const stream = new SimStream(as.id, as.restoreId);
    for (let s = 1; s < as.firstSequence; s++) stream.records.push(new Uint8Array(0));
    stream.first = as.firstSequence;
    this.#streams.set(shard, stream);
    return Promise.resolve();
  }
}
