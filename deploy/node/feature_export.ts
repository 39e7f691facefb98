/**
 * The feature export of a running node: features of decided payments after their frame is acknowledged, labelled by the
 * outcomes that the same journal acknowledges. So a label is in the export only if the node was told of it. An export
 * never stops a decision: at its limit, or when the disk refuses, it ends and says so.
 */
import {
  EXPORT_ROWS_MAX,
  type ExportMeta,
  FeatureExport,
  LABEL_FRAUD,
  LABEL_LEGITIMATE,
  LABEL_NONE,
} from "../../actors/inference/feature_export.ts";
import {
  BLOCK_ROWS,
  FLAG_APPLIED,
  FLAG_LATE,
  type KeyColumn,
  ROW_OUTCOME,
  ROW_PAYMENT,
  type RowBlock,
} from "../../proto/columns.ts";
import { OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { KeyTable } from "../../runtime/kernel/key_table.ts";
import { ExportFolder } from "../python/export_folder.ts";
import type { StatsObserver } from "./stats_observer.ts";

export interface NodeExportOptions {
  /** Folder of the export; what an earlier one left there is replaced. */
  readonly dir: string;
  /** Event times [from_us, to_us) that are exported, microseconds; everything by default. */
  readonly from_us?: number;
  readonly to_us?: number;
  /** Told once when the export ends early; what was written is kept and finished. */
  readonly onFailed: (error: Error) => void;
}

/** What the export needs from the columns of a frame. */
type Columns = Pick<RowBlock, "kind" | "flags" | "code" | "retracted" | "eventTimeUs"> & {
  readonly n: number;
  readonly id: KeyColumn;
  readonly user: KeyColumn;
};

export class NodeFeatureExport {
  readonly #o: NodeExportOptions;
  readonly #folder: ExportFolder;
  readonly #export: FeatureExport;
  /** Slot of a payment = its row in the export. */
  readonly #rowOf = new KeyTable();
  readonly #take = new Uint8Array(BLOCK_ROWS);
  #open = true;

  constructor(o: NodeExportOptions) {
    this.#o = o;
    this.#folder = new ExportFolder(o.dir);
    this.#export = new FeatureExport(this.#folder, "payments decided by a node");
  }

  /** Starts listening to acknowledged frames. */
  listen(observer: StatsObserver): void {
    observer.onCommitted = (block, rows, n, matrix) => this.committed(block, rows, n, matrix);
  }

  get rows(): number {
    return this.#export.rows;
  }

  /** Takes the rows of one acknowledged frame; `matrix` is row-major over the whole block. */
  committed(b: Columns, rows: Uint16Array, n: number, matrix: Float32Array): void {
    if (!this.#open) return;
    try {
      this.#committed(b, rows, n, matrix);
    } catch (error) {
      this.#open = false;
      this.#o.onFailed(error as Error);
    }
  }

  #committed(b: Columns, rows: Uint16Array, n: number, matrix: Float32Array): void {
    const from_us = this.#o.from_us ?? Number.NEGATIVE_INFINITY;
    const to_us = this.#o.to_us ?? Number.POSITIVE_INFINITY;
    this.#take.fill(0, 0, b.n);
    let last = -1;
    let taken = 0;
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      if (b.kind[r] !== ROW_PAYMENT || (b.flags[r] & FLAG_LATE) !== 0) continue;
      if (b.eventTimeUs[r] < from_us || b.eventTimeUs[r] >= to_us) continue;
      const row = this.#export.rows + taken;
      // A payment id may come again after the retry horizon: only the first can be told by its outcome.
      if (this.#rowOf.slot(b.id.hi[r] ^ b.user.lo[r], b.id.lo[r] ^ b.user.hi[r]) !== row) continue;
      this.#take[r] = 1;
      taken++;
      last = Math.max(last, r);
    }
    if (taken > EXPORT_ROWS_MAX - this.#export.rows) throw new RangeError(`more than ${EXPORT_ROWS_MAX} rows`);
    if (taken > 0) this.#export.append(matrix, last + 1, b.eventTimeUs as Float64Array, b.id, this.#take);
    for (let i = 0; i < n; i++) if (b.kind[rows[i]] === ROW_OUTCOME) this.#label(b, rows[i]);
  }

  #label(b: Columns, r: number): void {
    if ((b.flags[r] & FLAG_APPLIED) === 0) return;
    const row = this.#rowOf.find(b.id.hi[r] ^ b.user.lo[r], b.id.lo[r] ^ b.user.hi[r]);
    if (row >= 0) this.#export.label(row, labelOf(b.code[r], b.retracted[r] !== 0));
  }

  /** Writes labels and meta.json. Throws what the disk throws. */
  finish(): ExportMeta {
    this.#open = false;
    const meta = this.#export.finish();
    this.#folder.close();
    return meta;
  }
}

/** A reversal or refund says nothing about fraud. */
function labelOf(kind: number, retracted: boolean): number {
  if (retracted) return LABEL_NONE;
  if (kind === OutcomeKind.CHARGEBACK || kind === OutcomeKind.CONFIRMED_FRAUD) return LABEL_FRAUD;
  return kind === OutcomeKind.LEGITIMATE ? LABEL_LEGITIMATE : LABEL_NONE;
}
