/**
 * One tick: a block taken from the mailbox on its way through actors, inference, rules and journal. It owns the feature
 * matrix and the lists that tell which row went where. Ticks are pooled.
 */
import { BLOCK_ROWS, RowBlock } from "../proto/columns.ts";
import { InboxRows } from "../proto/frame/rows_layout.ts";
import type { Matrix } from "./program.ts";
import type { Shard } from "./shard.ts";
import type { RemoteEntities } from "./stage.ts";

/** A shard whose actors failed while the tick was staged: it is given up. */
export interface Failure {
  readonly shard: Shard;
  readonly error: Error;
}

/** A row whose decision stands in an earlier frame. */
export interface Repeat {
  row: number;
  /** As this node owned it then. */
  shard: Shard;
  frame: number;
}

export class Tick {
  block: RowBlock = EMPTY_BLOCK;
  /** On loan from start to the last acknowledgement. */
  matrix: Matrix;
  /** Rows of each shard's frame in the order they were accepted; `counts` says how many. */
  readonly rows: Uint16Array[];
  readonly counts: Uint32Array;
  /** Frame number of each shard in this tick, 0 for none. */
  readonly frames: Float64Array;
  /** The shard, as this node owned it then, whose frame that is. */
  readonly owners: (Shard | null)[];
  /** Bytes that rows may still take in each shard's frame. */
  readonly room: Float64Array;
  /** Tenants with rows in each shard's frame. */
  readonly tenants: Set<number>[];
  /** Bytes of each shard's frame. */
  readonly bytes: Uint32Array;
  readonly inbox: InboxRows[];
  /** 1: the columns came from another shard or count its rows in flight; the frame records them. */
  readonly remoteMerchant = new Uint8Array(BLOCK_ROWS);
  readonly remoteDevice = new Uint8Array(BLOCK_ROWS);
  /** The way to entities of other nodes; null on a node that is alone. */
  readonly remote: RemoteEntities | null;
  repeats: Repeat[] = [];
  failures: Failure[] = [];
  payments = 0;
  /** Format of its frames. */
  format = 0;
  /** Frames not yet committed, batches not yet answered. */
  framesOpen = 0;
  batchesOpen = 0;
  /** Block and buffers went back to their pools. */
  released = false;
  takenUs = 0;
  sentUs = 0;

  constructor(shards: number, matrix: Matrix, remote: RemoteEntities | null) {
    this.matrix = matrix;
    this.remote = remote;
    this.owners = Array.from({ length: shards }, () => null);
    this.rows = Array.from({ length: shards }, () => new Uint16Array(BLOCK_ROWS));
    this.counts = new Uint32Array(shards);
    this.frames = new Float64Array(shards);
    this.room = new Float64Array(shards);
    this.tenants = Array.from({ length: shards }, () => new Set<number>());
    this.bytes = new Uint32Array(shards);
    this.inbox = Array.from({ length: shards }, () => new InboxRows());
  }

  start(block: RowBlock, matrix: Matrix, format: number, nowUs: number): void {
    this.format = format;
    this.matrix = matrix;
    this.block = block;
    this.released = false;
    this.counts.fill(0);
    this.frames.fill(0);
    for (const i of this.inbox) i.n = 0;
    for (const t of this.tenants) t.clear();
    this.payments = 0;
    this.framesOpen = 0;
    this.batchesOpen = block.batchCount;
    this.takenUs = nowUs;
  }

  /** Holds nothing of what it was about: a shard that was given up since must not stay in memory. */
  clear(): void {
    this.released = true;
    this.owners.fill(null);
    this.repeats = [];
    this.failures = [];
    this.block = EMPTY_BLOCK;
  }
}

/** Stands where a tick has no mailbox rows (an inbox alone). */
export const EMPTY_BLOCK = new RowBlock();
