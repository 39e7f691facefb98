/**
 * Parquet files (any codec of hyparquet-compressors; ZSTD by Node's own decoder, which is faster). One row group of the
 * wanted columns is held at a time. Timestamps come out as microseconds since 1970-01-01 UTC (numbers): a timestamp
 * without a zone is taken as UTC.
 */
import { zstdDecompressSync } from "node:zlib";
import { type AsyncBuffer, asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetScan } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DatasetError } from "./errors.ts";
import { BATCH_ROWS, type RawSource } from "./raw_source.ts";

const PARSERS = {
  timestampFromMilliseconds: (ms: bigint) => Number(ms) * 1000,
  timestampFromMicroseconds: (us: bigint) => Number(us),
  timestampFromNanoseconds: (ns: bigint) => Number(ns / 1000n),
  dateFromDays: (days: number) => days * 86_400_000_000,
};

/** Rows of a row group, at most: it is held in memory as a whole. */
const ROW_GROUP_ROWS_MAX = 16_000_000;

/** A row group: the wanted columns in the order asked for. */
export interface RowGroup {
  readonly n: number;
  /** Number of its first row within the file. */
  readonly first_row: number;
  readonly columns: readonly ArrayLike<unknown>[];
}

export interface ParquetFile {
  readonly rows: number;
  readonly names: readonly string[];
  /** Row groups in file order. Throws DatasetError MISSING_COLUMN, UNREADABLE. */
  groups(columns: readonly string[]): AsyncGenerator<RowGroup>;
}

/** Opens a file and reads its footer. Throws DatasetError UNREADABLE. */
export async function openParquet(path: string): Promise<ParquetFile> {
  let file: AsyncBuffer;
  let metadata: FileMetaData;
  try {
    file = await asyncBufferFromFile(path);
    metadata = await parquetMetadataAsync(file);
  } catch (cause) {
    throw new DatasetError("UNREADABLE", `${path} is not a Parquet file: ${(cause as Error).message}`, { cause });
  }
  const names = metadata.row_groups[0]?.columns.map((c) => c.meta_data!.path_in_schema[0]) ?? [];
  return { rows: Number(metadata.num_rows), names, groups: (columns) => groups(path, file, metadata, names, columns) };
}

async function* groups(
  path: string,
  file: AsyncBuffer,
  metadata: FileMetaData,
  names: readonly string[],
  columns: readonly string[],
): AsyncGenerator<RowGroup> {
  if (metadata.num_rows === 0n) return;
  const absent = columns.filter((c) => !names.includes(c));
  if (absent.length > 0) {
    throw new DatasetError("MISSING_COLUMN", `${path} has no column ${absent.join(", ")}; it has ${names.join(", ")}`);
  }
  let first_row = 0;
  for (const group of metadata.row_groups) {
    const n = Number(group.num_rows);
    if (n > ROW_GROUP_ROWS_MAX) {
      const text = `${path} has a row group of ${n} rows, at most ${ROW_GROUP_ROWS_MAX} are read: write smaller ones`;
      throw new DatasetError("LIMIT", text);
    }
    yield { n, first_row, columns: await readGroup(path, file, metadata, columns, first_row, n) };
    first_row += n;
  }
}

async function readGroup(
  path: string,
  file: AsyncBuffer,
  metadata: FileMetaData,
  columns: readonly string[],
  rowStart: number,
  rows: number,
): Promise<ArrayLike<unknown>[]> {
  // A scan keeps the last chunk of every column it has read; a fresh one for each group lets the former go.
  const zstd = { ...compressors, ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) };
  const scan = await parquetScan({ file, metadata, columns: [...columns], compressors: zstd, parsers: PARSERS });
  const read: ArrayLike<unknown>[] = [];
  try {
    for (const column of columns) read.push(await scan.readColumn({ column, rowStart, rowEnd: rowStart + rows }));
  } catch (cause) {
    const where = `${path}, rows ${rowStart} to ${rowStart + rows - 1}`;
    throw new DatasetError("UNREADABLE", `${where}: ${(cause as Error).message}`, { cause });
  }
  return read;
}

/** A Parquet file as a source of raw batches. */
export async function parquetSource(path: string): Promise<RawSource> {
  const file = await openParquet(path);
  return {
    file: path,
    total: file.rows,
    total_exact: true,
    async *batches(columns) {
      for await (const group of file.groups(columns)) {
        for (let from = 0; from < group.n; from += BATCH_ROWS) {
          const n = Math.min(BATCH_ROWS, group.n - from);
          const cut = columns.map((name, c) => [name, slice(group.columns[c], from, from + n)] as const);
          yield { n, first_row: group.first_row + from, columns: new Map(cut) };
        }
      }
    },
  };
}

function slice(values: ArrayLike<unknown>, from: number, to: number): ArrayLike<unknown> {
  return (values as unknown[]).slice(from, to);
}
