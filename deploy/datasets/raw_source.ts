/** The port of the file readers: one file, read as batches of raw columns. */
import type { RawBatch } from "./convert.ts";

/** Rows of a batch, at most. */
export const BATCH_ROWS = 4096;
/** Bytes of one line of text, at most. */
export const LINE_BYTES_MAX = 1 << 20;

export interface RawSource {
  readonly file: string;
  /** Rows in the file. */
  readonly total: number;
  /** False when the total was counted by line ends, which over-counts quoted line ends and blank lines. */
  readonly total_exact: boolean;
  /** The named columns, in file order. Throws DatasetError MISSING_COLUMN, UNREADABLE, LIMIT. */
  batches(columns: readonly string[]): AsyncIterable<RawBatch>;
}
