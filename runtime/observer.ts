/** What a tick tells whoever measures: numbers once a tick or frame, never once a payment. */
import type { RowBlock } from "../proto/columns.ts";

export interface TickObserver {
  /** A tick was staged: its rows, time in the actors, time its first row waited. */
  staged(rows: number, features_us: number, queue_us: number): void;
  /** Decisions of a tick were made: inference and rules times. */
  decided(block: RowBlock, inference_us: number, rules_us: number, form_us: number): void;
  /**
   * A frame was acknowledged: its rows and their matrix, bytes, time since it was sent, age of the tick's first
   * row.
   */
  acknowledged(
    block: RowBlock,
    rows: Uint16Array,
    n: number,
    matrix: Float32Array,
    bytes: number,
    ack_us: number,
    age_us: number,
  ): void;
}
