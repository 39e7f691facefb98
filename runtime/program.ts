/**
 * What the runtime asks of the actors, which it knows nothing about: per shard a fold over rows (ShardActors), per node
 * scoring and deciding (Decider). Everything here is called for rows of a block and its feature matrix; nothing awaits
 * but score().
 */
import type { RowBlock } from "../proto/columns.ts";
import type { InboxRows } from "../proto/frame/rows_layout.ts";
import type { MatrixShape } from "../proto/frame/rows_writer.ts";
import type { ByteReader, ByteWriter } from "./kernel/bytes.ts";

/** What accept() says of a row. */
export const ACCEPTED = 0;
/** The id is known: `repeatFrame` is the frame that holds its decision. */
export const REPEATED = 1;
/** No room for another event: shed. */
export const FULL = 2;
/** Refused: block.error says why; it is not journaled. */
export const REFUSED = 3;

/** Rows read ahead at a time: what they touch must stay in the second-level cache until they are accepted. */
export const READ_AHEAD_ROWS = 64;

export interface ShardActors {
  /**
   * Reads what accepting the rows order[from .. to), at most READ_AHEAD_ROWS, of this shard will read, so that it is in
   * the caches by then. A hint: it changes nothing.
   */
  readAhead(block: RowBlock, order: Uint16Array, from: number, to: number, shard: number): void;
  /**
   * Brings back the users of a block's rows, of one shard or (-1) of all, that are not in memory: null when all are,
   * else accept() must wait for it, and nothing may be made passive meanwhile. Rejects with PassiveRecordLost.
   */
  recall(block: RowBlock, shard: number): Promise<void> | null;
  /** A slice of work between ticks: users who were quiet leave memory. `rows`: of the tick before. */
  passivate(rows: number): void;
  /** While it is so, accept() is given committed rows: it answers none of them FULL, whatever memory that takes. */
  isReplay: boolean;
  /**
   * While it is so, nobody looks at feature columns: accept() and foldMerchant() need not write them. The state they
   * leave is the same.
   */
  isUnseen: boolean;
  /** Format of the frame that the rows from here on are of: what older ones cannot record is not computed for them. */
  format: number;
  /** Folds a row into its user actor and writes the user's feature columns of matrix row r. */
  accept(block: RowBlock, r: number, matrix: Float32Array, frame: number): number;
  /** Frame of the row that accept() called REPEATED. */
  readonly repeatFrame: number;
  /**
   * Folds row r into its merchant actor, which lives in this shard, and writes its columns (payments). True when the
   * columns count rows of the overlay, which replay does not have: the frame must record them.
   */
  foldMerchant(block: RowBlock, r: number, matrix: Float32Array): boolean;
  /**
   * Answers for a row of another shard: its merchant's columns over folded rows and overlay, the row joins the
   * overlay.
   */
  pendMerchant(block: RowBlock, r: number, matrix: Float32Array, source: number, frame: number): void;
  /** Folds an event row into its device actor in this shard. */
  foldDevice(block: RowBlock, r: number): void;
  pendDevice(block: RowBlock, r: number, source: number, frame: number): void;
  /** Writes the device's columns of a payment; true as for foldMerchant. */
  readDevice(block: RowBlock, r: number, matrix: Float32Array): boolean;
  /** Folds one committed row of another shard. */
  foldInbox(rows: InboxRows, i: number): void;
  /** Rows of `source` up to `frame` leave the overlay. */
  settle(source: number, frame: number): void;
  /** Rows of `source` from `frame` on leave the overlay: a later epoch took over there, they are never committed. */
  abandon(source: number, frame: number): void;
  /** Searches an id over all actors, a slice at a time: frame, 0 when not found, -1 when to be called again. */
  findFrame(userHi: number, userLo: number, idHi: number, idLo: number): number;
  scanFrame(idHi: number, idLo: number, cursor: { slot: number }): number;

  beginSnapshot(): void;
  /** True when all is written. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean;
  /** Gives up the snapshot under way and frees what it holds. */
  abandonSnapshot(): void;
  /** Begins to load a snapshot of a layout; false when this code does not read it. */
  beginLoad(layout: string): boolean;
  /** Reads what one snapshotStep() wrote into empty actors; true behind the last. Throws BytesDamaged. */
  loadPart(r: ByteReader): boolean;
  /** Canonical export for comparing states: actors by key, events in order. */
  digest(): string;
  sizes(): {
    users: number;
    /** Of `users`, in memory. */
    activeUsers: number;
    events: number;
    entities: number;
    entityEvents: number;
    bytes: Record<string, number>;
  };
}

/** Versions that made a tick's decisions. */
export interface Versions {
  readonly model: string;
  readonly rule_set: string;
}

/** A feature matrix on loan: row-major float32, one row a block row, and the same memory as bits. */
export interface Matrix {
  readonly values: Float32Array;
  readonly bits: Uint32Array;
}

export interface Decider {
  readonly shape: MatrixShape;
  /** A matrix of BLOCK_ROWS rows for one tick; never null: without a model it is one that cannot be scored. */
  acquire(): Matrix;
  /** Gives it back; not while score() is pending. */
  release(matrix: Matrix): void;
  /** Writes the payment's own columns of matrix row r. */
  paymentColumns(block: RowBlock, r: number, matrix: Float32Array): void;
  /** Scores rows 0..n into block.score. False: past the budget or failed, decide on without (degraded: model). */
  score(matrix: Matrix, n: number, block: RowBlock): Promise<boolean>;
  /** Rules, policy, reasons for the payments among rows [from, to); sets outcome, rules, reasons, version. */
  decide(block: RowBlock, from: number, to: number, matrix: Float32Array): void;
  /** Versions in force for the tick that decide() was called for last. */
  versions(): Versions;
  /** The versions with an index. */
  versionNames(index: number): Versions;
  /** Index of a pair of versions for the `version` column. */
  versionIndex(model: string, ruleSet: string): number;
}
