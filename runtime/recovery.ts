/**
 * How a shard comes to serve: the newest snapshot that fits the journal, a Takeover that fences every earlier owner,
 * and the fold of all frames up to it. Replay runs the same accept() as live traffic and compares the checksum of the
 * whole feature matrix, so a state that drifted is found at once. Columns that nobody could compare are not computed:
 * those of payments of the past, and of frames decided with other features.
 */

import {
  ALL_ROWS,
  BLOCK_ROWS,
  concernsMerchant,
  hasDevice,
  ROW_EVENT,
  ROW_PAYMENT,
  RowBlock,
} from "../proto/columns.ts";
import { type FrameHeader, HEADER_BYTES, KIND_RELEASE, KIND_ROWS, KIND_TAKEOVER } from "../proto/frame/frame_header.ts";
import { matrixChecksum } from "../proto/frame/rows_layout.ts";
import { type RowsFacts, RowsReader } from "../proto/frame/rows_reader.ts";
import { readOwner } from "./journal/takeover.ts";
import { JournalDamaged } from "./ports.ts";
import { ACCEPTED, type Decider, READ_AHEAD_ROWS } from "./program.ts";
import type { Shard } from "./shard.ts";

/** Told of each folded frame: its rows as decided, and their features as they were then. */
type OnFolded = (block: RowBlock, matrix: Float32Array, frame: number) => void;

/** Folds frames of one shard's journal into its actors. */
export class FrameFolder {
  readonly #shard: Shard;
  readonly #shards: number;
  readonly #decider: Decider;
  readonly #features_version: string;
  readonly #tenantIndex: (id: string) => number;
  readonly #reader: RowsReader;
  readonly #block = new RowBlock();
  readonly #matrix: Float32Array;
  readonly #bits: Uint32Array;
  frames = 0;
  rows = 0;
  /** Frames whose feature matrix could be compared (the same feature registry). */
  compared = 0;
  /** The node that the newest Takeover folded here names; empty behind a Release, null when none was folded. */
  owner: string | null = null;
  /** Null: nobody is told, and columns that are not compared are not computed. */
  onFolded: OnFolded | null = null;

  constructor(
    shard: Shard,
    shards: number,
    decider: Decider,
    features_version: string,
    tenantIndex: (id: string) => number,
  ) {
    this.#shard = shard;
    this.#shards = shards;
    this.#decider = decider;
    this.#features_version = features_version;
    this.#tenantIndex = tenantIndex;
    this.#reader = new RowsReader(decider.shape);
    this.#block.shard.fill(shard.id);
    const memory = new ArrayBuffer(BLOCK_ROWS * decider.shape.columns * 4);
    this.#matrix = new Float32Array(memory);
    this.#bits = new Uint32Array(memory);
  }

  /**
   * Folds one verified frame, behind a wait when users of it are not in memory. Throws JournalDamaged when the replayed
   * features differ from those that were decided on.
   */
  fold(header: FrameHeader, bytes: Uint8Array): Promise<void> | undefined {
    this.#shard.frameTimeUs = header.frameTimeUs;
    if (header.kind === KIND_TAKEOVER) this.owner = readOwner(bytes).node;
    else if (header.kind === KIND_RELEASE) this.owner = "";
    if (header.kind !== KIND_ROWS) return undefined;
    const body = bytes.subarray(HEADER_BYTES);
    const facts = this.#reader.read(body, header.version, this.#block, this.#matrix, this.#tenantIndex);
    const recall = this.#shard.actors.recall(this.#block, -1);
    if (recall !== null) return recall.then(() => this.#rows(facts, header));
    this.#rows(facts, header);
    return undefined;
  }

  #rows(facts: RowsFacts, header: FrameHeader): void {
    this.#shard.actors.format = header.version;
    this.#shard.foldRows(this.#reader.inbox, 0, this.#reader.inbox.n);
    const b = this.#block;
    let checksum = 0;
    const c = this.#decider.shape.columns;
    const isCompared = facts.features_version === this.#features_version;
    const isTold = this.onFolded !== null;
    const { actors } = this.#shard;
    // Owners refuse what they have no room for; what one of them took, all take. Who throws here is used no more.
    actors.isReplay = true;
    for (let r = 0; r < b.n; r++) {
      if (r % READ_AHEAD_ROWS === 0) {
        actors.readAhead(b, ALL_ROWS, r, Math.min(b.n, r + READ_AHEAD_ROWS), this.#shard.id);
      }
      const isChecked = isCompared && b.kind[r] === ROW_PAYMENT;
      actors.isUnseen = !(isTold || isChecked);
      this.#row(b, r, header.frameNumber);
      if (isChecked) checksum = matrixChecksum(this.#bits, r * c, r * c + c, checksum);
    }
    actors.isUnseen = false;
    actors.isReplay = false;
    this.frames++;
    this.rows += b.n;
    if (isCompared) this.#compare(facts, checksum, header.frameNumber);
    this.onFolded?.(b, this.#matrix, header.frameNumber);
    actors.passivate(b.n);
  }

  #compare(facts: RowsFacts, checksum: number, frame: number): void {
    this.compared++;
    if (facts.matrix_checksum === checksum) return;
    throw new JournalDamaged("the replayed features differ from those that were decided on", frame);
  }

  #row(b: RowBlock, r: number, frame: number): void {
    const { actors, id } = this.#shard;
    const m = this.#matrix;
    const code = actors.accept(b, r, m, frame);
    if (code !== ACCEPTED) throw new JournalDamaged(`row ${r} was accepted live and is ${code} in replay`, frame);
    const kind = b.kind[r];
    if (kind === ROW_PAYMENT) this.#decider.paymentColumns(b, r, m);
    const merchantHere = b.merchant.hi[r] % this.#shards === id;
    if (merchantHere && concernsMerchant(b, r)) this.#foldMerchant(b, r);
    const deviceHere = b.device.hi[r] % this.#shards === id && !this.#reader.hasDeviceColumns(r);
    if (deviceHere && kind === ROW_PAYMENT) actors.readDevice(b, r, m);
    else if (deviceHere && kind === ROW_EVENT && hasDevice(b, r)) actors.foldDevice(b, r);
  }

  /** Columns that counted rows in flight were recorded, and are not what the fold alone gives. */
  #foldMerchant(b: RowBlock, r: number): void {
    const { columns, merchant_at, merchant_columns } = this.#decider.shape;
    const from = r * columns + merchant_at;
    const recorded = this.#reader.hasMerchantColumns(r) ? this.#matrix.slice(from, from + merchant_columns) : null;
    this.#shard.actors.foldMerchant(b, r, this.#matrix);
    if (recorded !== null) this.#matrix.set(recorded, from);
  }
}
