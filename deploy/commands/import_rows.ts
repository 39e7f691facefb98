/**
 * Reads a source of an import row by row and goes on after a bad one: every row comes out as a payment of the past or
 * with the reason why it is none.
 */
import { mappedColumns, type RawBatch, rowConverter } from "../datasets/convert.ts";
import { DatasetError } from "../datasets/errors.ts";
import { UNSORTED_ROWS_MAX } from "../datasets/history.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { ColumnMapping } from "../datasets/mapping.ts";
import { parquetSource } from "../datasets/parquet_source.ts";
import type { RawSource } from "../datasets/raw_source.ts";
import { csvSource, jsonlSource } from "../datasets/text_source.ts";

/** A row of the file: its number (0-based), and either a payment or what is wrong with it. */
export type ImportRow = { readonly row: number } & (
  | { readonly payment: HistoryRow; readonly reason?: undefined }
  | { readonly payment?: undefined; readonly reason: string }
);

export interface ImportFile {
  readonly path: string;
  /** Rows in it; may count too many for text files. */
  readonly total: number;
  /** Rows in file order, or in event order where the mapping says that the file has none. Throws DatasetError. */
  batches(): AsyncGenerator<ImportRow[]>;
}

/** Opens a file by its ending; `part` as partsOf() gives it. Throws DatasetError. */
export async function openImportFile(path: string, mapping: ColumnMapping, part = 0): Promise<ImportFile> {
  const unreadable = new Map<number, string>();
  const plain = path.replace(/\.gz$/, "");
  let source: RawSource;
  if (path.endsWith(".parquet")) source = await parquetSource(path);
  else if (plain.endsWith(".csv") || plain.endsWith(".tsv")) source = await csvSource(path, mapping.delimiter, true);
  else if (plain.endsWith(".jsonl") || plain.endsWith(".ndjson")) {
    source = await jsonlSource(path, (row, reason) => unreadable.set(row, reason));
  } else {
    throw new DatasetError("UNREADABLE", `${path}: expected .parquet, .csv, .tsv, .jsonl or .ndjson (text also .gz)`);
  }
  const convert = rowConverter(mapping, path, { part });
  const inFileOrder = async function* (): AsyncGenerator<ImportRow[]> {
    for await (const raw of source.batches(mappedColumns(mapping))) yield rowsOf(raw, convert, unreadable);
  };
  const batches = mapping.order === "none" ? () => sorted(path, inFileOrder()) : inFileOrder;
  return { path, total: source.total, batches };
}

type Convert = (batch: RawBatch) => HistoryRow[];

function rowsOf(raw: RawBatch, convert: Convert, unreadable: Map<number, string>): ImportRow[] {
  if (unreadable.size === 0) {
    try {
      return convert(raw).map((payment, i) => ({ row: raw.first_row + i, payment }));
    } catch (error) {
      if (!(error instanceof DatasetError)) throw error;
    }
  }
  // A batch with a bad row: one by one.
  return Array.from({ length: raw.n }, (_, i) => one(raw, i, convert, unreadable));
}

function one(raw: RawBatch, i: number, convert: Convert, unreadable: Map<number, string>): ImportRow {
  const row = raw.first_row + i;
  const reason = unreadable.get(row);
  unreadable.delete(row);
  if (reason !== undefined) return { row, reason };
  const columns = new Map([...raw.columns].map(([name, values]) => [name, [values[i]]] as const));
  try {
    return { row, payment: convert({ n: 1, first_row: row, columns })[0] };
  } catch (error) {
    if (!(error instanceof DatasetError)) throw error;
    return { row, reason: error.message };
  }
}

/** All rows by event time; bad ones first. */
async function* sorted(path: string, batches: AsyncGenerator<ImportRow[]>): AsyncGenerator<ImportRow[]> {
  const all: ImportRow[] = [];
  for await (const rows of batches) {
    for (const row of rows) all.push(row);
    if (all.length > UNSORTED_ROWS_MAX) {
      const text = `${path} has more than ${UNSORTED_ROWS_MAX} rows and is not in event order: sort it, or split it`;
      throw new DatasetError("LIMIT", text);
    }
  }
  const time = (r: ImportRow): number => r.payment?.eventTimeUs ?? Number.NEGATIVE_INFINITY;
  all.sort((a, b) => (time(a) === time(b) ? a.row - b.row : time(a) - time(b)));
  for (let from = 0; from < all.length; from += 4096) yield all.slice(from, from + 4096);
}
