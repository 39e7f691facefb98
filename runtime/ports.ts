/**
 * What the runtime asks of the outside (journal, lease, clock, snapshots), and what it offers to gateways (intake).
 * Adapters live in runtime/nats and deploy; simulated ones in runtime/testkit.
 */
import type { BatchSink, RowBlock } from "../proto/columns.ts";

export type { PassiveStore } from "./kernel/windows/passive_log.ts";

/** The only sources of time. Monotonic never jumps; wall may. Microseconds both. */
export interface Clock {
  monotonicUs(): number;
  /** Microseconds since 1970-01-01 UTC. */
  wallUs(): number;
}

/** Turns of the event loop, the only way the runtime waits. */
export interface Timers {
  /** As soon as pending input was read. */
  soon(run: () => void): void;
  after(delay_ms: number, run: () => void): void;
  /** Again and again; the function returned ends it. */
  every(delay_ms: number, run: () => void): () => void;
}

/** What became of a conditional append. `unknown`: it may or may not stand; only the tail or a later append tells. */
export type AppendResult =
  | { readonly kind: "appended"; readonly sequence: number }
  | { readonly kind: "conflict"; readonly lastSequence: number }
  | { readonly kind: "full"; readonly message: string }
  | { readonly kind: "unknown"; readonly message: string };

export interface JournalMessage {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** One shard's journal: an append-only stream. Every call may reject with JournalUnavailable. */
export interface Journal {
  readonly shard: number;
  /** Random 128-bit id, hex, of the stream's metadata. */
  readonly id: string;
  /** Random id, hex, of the restore that made it and the journals beside it; absent or empty: it was never restored. */
  readonly restoreId?: string;
  /** Most appends of one owner that may be under way, each expecting its predecessor: 1 or 2. More are refused. */
  readonly appends_max: number;
  /**
   * One try to append a sealed frame; never retried inside. It stands only if the newest record has `expectedSequence`
   * and, unless the frame is a Takeover, no Takeover of a higher epoch stands: else `conflict` (lastSequence is a
   * hint). So an acknowledged Takeover refuses every frame of its predecessors that is still under way.
   */
  append(bytes: Uint8Array, expectedSequence: number): Promise<AppendResult>;
  /** The newest message from the stream leader; null for an empty journal. */
  tail(): Promise<JournalMessage | null>;
  /** One message; null when the sequence is not there. `isKnown`: it is known to have been acknowledged once. */
  read(sequence: number, isKnown?: boolean): Promise<JournalMessage | null>;
  /**
   * Messages from `first` up to the tail read at the call, in order and gapless. Rejects with JournalDamaged when one
   * is missing, or when `first` lies more than one beyond the tail; with JournalPurged when it lies before the first.
   */
  readFrom(first: number): AsyncIterable<JournalMessage>;
  state(): Promise<{ readonly firstSequence: number; readonly lastSequence: number; readonly bytes: number }>;
}

/** The journal cannot be reached now; nothing is known about the request. Try again. */
export class JournalUnavailable extends Error {
  override name = "JournalUnavailable";
}

/** A frame is damaged, missing or foreign: the shard must stop. Not retryable. */
export class JournalDamaged extends Error {
  override name = "JournalDamaged";
  readonly sequence: number;
  constructor(message: string, sequence: number) {
    super(`${message} (sequence ${sequence})`);
    this.sequence = sequence;
  }
}

/** What is asked for was purged: nothing is damaged, but only a newer snapshot or a backup can stand in for it. */
export class JournalPurged extends Error {
  override name = "JournalPurged";
  /** The first frame that is there. */
  readonly firstSequence: number;
  constructor(asked: number, firstSequence: number) {
    const advice = "take a snapshot that ends later, or restore from a backup";
    super(`frame ${asked} was purged, the journal begins at frame ${firstSequence}: ${advice}`);
    this.firstSequence = firstSequence;
  }
}

/** Newer code wrote a frame in a format that this code cannot read: nothing is damaged, but this node cannot go on. */
export class FormatUnknown extends Error {
  override name = "FormatUnknown";
  readonly sequence: number;
  constructor(message: string, sequence: number) {
    super(`${message} (sequence ${sequence}); the journal is fine, start this node with that code`);
    this.sequence = sequence;
  }
}

/** A higher epoch owns the shard: drop its state, answer NotOwner. */
export class Deposed extends Error {
  override name = "Deposed";
  readonly epoch: number;
  constructor(epoch: number) {
    super(`deposed by epoch ${epoch}`);
    this.epoch = epoch;
  }
}

export interface JournalStore {
  /** Opens the shard's journal, creating its stream (random id in the metadata) when there is none. */
  open(shard: number): Promise<Journal>;
}

/** A journal as the maintenance account sees it. */
export interface JournalFacts {
  readonly shard: number;
  /** As Journal.id. */
  readonly id: string;
  /** Shards of the whole; null when the journal does not say. */
  readonly shards: number | null;
  /** One more than lastSequence when it holds nothing. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly bytes: number;
}

/** What a journal is made with. */
export interface JournalMade {
  readonly id: string;
  /** Shards of the whole. */
  readonly shards: number;
  readonly firstSequence: number;
  /** As Journal.restoreId. */
  readonly restoreId?: string;
}

/** What only the maintenance account may do to journals. Every call may reject with JournalUnavailable. */
export interface JournalMaintenance {
  /** The journals that are there, by shard; none is made. */
  list(): Promise<readonly JournalFacts[]>;
  /**
   * Frames before `sequence` are gone for good; resolves with their number. Never the newest one: rejects with
   * RangeError when `sequence` lies beyond it.
   */
  purge(shard: number, sequence: number): Promise<number>;
  /** Makes a journal anew whose first record will have `firstSequence`. Rejects with JournalDamaged if there is one. */
  create(shard: number, as: JournalMade): Promise<void>;
}

/** A disposable hint who should try to own a shard. Every call of its store may reject with JournalUnavailable. */
export interface Lease {
  readonly node: string;
  readonly revision: number;
}
export interface LeaseStore {
  read(shard: number): Promise<Lease | null>;
  /** Takes or renews by revision (0: must not exist). Null when another was faster. */
  update(shard: number, node: string, revision: number): Promise<Lease | null>;
  release(shard: number, revision: number): Promise<void>;
  /** Writes the node's own key: resolves when the bucket took it, which shows that leases could be renewed. */
  heartbeat(node: string): Promise<void>;
}

/**
 * Snapshots of a shard, kept outside the journal. What is listed was published: whole, and read back as it was written.
 * Names sort by age and are one writer's each; nodes may share a store. Every call may reject with
 * SnapshotsUnavailable.
 */
export interface SnapshotStore {
  /** Oldest first. */
  list(shard: number): Promise<readonly string[]>;
  /** A new one, which list() shows when it is published. */
  create(shard: number, name: string): Promise<SnapshotWriter>;
  /** In parts of a few MiB at most. Rejects with SnapshotUnusable when it is gone, or cannot be read. */
  read(shard: number, name: string): AsyncIterable<Uint8Array>;
  /** Removes what is older than `name`, unfinished ones included: whoever still writes one of those fails. */
  removeBefore(shard: number, name: string): Promise<void>;
}
export interface SnapshotWriter {
  /** The bytes are the caller's again when it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** To be called behind the last write: makes it durable and gives it as the store has it. */
  readBack(): AsyncIterable<Uint8Array>;
  /** At once and for good: list() shows all of it or nothing. */
  publish(): Promise<void>;
  discard(): Promise<void>;
}

/** The snapshot is damaged, gone or of another layout: an older one, or the journal alone, has to do. */
export class SnapshotUnusable extends Error {
  override name = "SnapshotUnusable";
}

/** The snapshots cannot be reached now; nothing is known about them. Try again. */
export class SnapshotsUnavailable extends Error {
  override name = "SnapshotsUnavailable";
}

/** A row that an actor failed on: kind of row, keyed hashes of its user and of its id. */
export interface QuarantinedRow {
  readonly shard: number;
  readonly kind: number;
  readonly userHi: number;
  readonly userLo: number;
  readonly idHi: number;
  readonly idLo: number;
  /** Microseconds since 1970-01-01 UTC. */
  readonly sinceUs: number;
  readonly message: string;
}

/** Where a node keeps the rows that actors failed on, oldest first. */
export interface QuarantineStore {
  read(): readonly QuarantinedRow[];
  write(rows: readonly QuarantinedRow[]): void;
}

/**
 * Frames between the nodes of a cluster: at most once each, in order from one sender to one receiver unless some are
 * lost. Nobody may depend on one frame's arrival.
 */
export interface Transport {
  /** Name of this node. */
  readonly node: string;
  /** Sends at most WIRE_BYTES_MAX bytes, which the caller changes no more. False: known not to go out now. */
  send(to: string, bytes: Uint8Array): boolean;
  /** To all other nodes. */
  broadcast(bytes: Uint8Array): boolean;
  /** Tells each frame for this node from now on; one listener. The bytes are the listener's. */
  listen(onFrame: (bytes: Uint8Array) => void): void;
  close(): void;
}

/** Largest frame between nodes, bytes. */
export const WIRE_BYTES_MAX = 512 * 1024;

/** What a gateway sees of the runtime: room for rows, and the way in. */
export interface Intake {
  /**
   * The open block with room for `rows` more of a message of `bytes` (write at block.n onward), or null when the
   * mailbox is full: answer RESOURCE_EXHAUSTED with retryAfterMs(). Valid until the current call stack ends.
   * rows <= BLOCK_ROWS.
   */
  open(rows: number, bytes: number): RowBlock | null;
  /** Hands over rows [block.n, block.n + count) written since open(); the sink is told when all have results. */
  submit(block: RowBlock, count: number, bytes: Uint8Array, sink: BatchSink): void;
  retryAfterMs(): number;
  readonly shards: number;
}
