/**
 * A history: one or several folders of payments read as one stream in event order. Files are merged by time; of rows
 * with the same transaction id the first in time stands and the others are dropped and counted, so that folders may
 * overlap. Memory: one row group (Parquet) or one batch (text) a file; with several files also 22 bytes an id.
 */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Accounts, readAccounts } from "./accounts_file.ts";
import { type FilePart, mappedColumns, partPrefix, rowConverter } from "./convert.ts";
import { DatasetError } from "./errors.ts";
import type { HistoryRow } from "./history_row.ts";
import { IdSet } from "./id_set.ts";
import type { ColumnMapping } from "./mapping.ts";
import { parquetSource } from "./parquet_source.ts";
import { BATCH_ROWS, type RawSource } from "./raw_source.ts";
import { csvSource, jsonlSource } from "./text_source.ts";

/** Files of one history, at most: all are open at once. */
export const FILES_MAX = 64;
/** Rows of a file that is read whole because its mapping says `"order": "none"`. */
export const UNSORTED_ROWS_MAX = 5_000_000;

export interface HistoryOptions {
  /** Folders that hold the mapping's files, or files themselves. */
  readonly paths: readonly string[];
  readonly mapping: ColumnMapping;
  /** Rows before this event time, microseconds, are left out. */
  readonly from_us?: number;
  /** Rows at or after this event time, microseconds, are left out. */
  readonly to_us?: number;
}

export interface History {
  /** Name of the mapping. */
  readonly name: string;
  readonly files: readonly string[];
  /** Who is flagged, by data path; empty where labels sit on the payments. */
  readonly accounts: readonly Accounts[];
  /** Rows in all files, before duplicates and the time range are taken out: for progress. */
  readonly total: number;
  readonly total_exact: boolean;
  /** Rows read from the files so far, to set against the total. */
  readonly read: number;
  /** Rows dropped so far because their transaction id had been read. */
  readonly duplicates: number;
  /** Rows in event order, in batches of 1..4096: the fast way. Throws DatasetError. */
  batches(): AsyncGenerator<HistoryRow[]>;
  /** Rows in event order, one by one. Throws DatasetError. */
  rows(): AsyncGenerator<HistoryRow>;
}

/** Finds the files and reads their footers or counts their lines. Throws DatasetError. */
export async function openHistory(options: HistoryOptions): Promise<History> {
  const { mapping } = options;
  const files: PartFile[] = [];
  const accounts: Accounts[] = [];
  for (const { path, part } of await partsOf(options.paths, mapping)) {
    if (accounts.length === part && mapping.accounts !== undefined)
      accounts.push(await accountsOf(path, part, mapping));
    files.push({ source: await openSource(path, mapping), part, accounts: accounts[part] });
  }
  return new MergedHistory(options, files, accounts);
}

interface PartFile extends FilePart {
  readonly source: RawSource;
}

async function accountsOf(path: string, part: number, mapping: ColumnMapping): Promise<Accounts> {
  const file = join(dirname(path), mapping.accounts!.file);
  await stat(file).catch((cause) => {
    throw new DatasetError("NO_FILE", `${file} does not exist: it says which accounts of ${path} are flagged`, {
      cause,
    });
  });
  return readAccounts(await openSource(file, mapping), mapping.accounts!, partPrefix(part));
}

function openSource(file: string, mapping: ColumnMapping): Promise<RawSource> {
  const plain = file.replace(/\.gz$/, "");
  if (file.endsWith(".parquet")) return parquetSource(file);
  if (plain.endsWith(".csv") || plain.endsWith(".tsv")) return csvSource(file, mapping.delimiter);
  if (plain.endsWith(".jsonl") || plain.endsWith(".ndjson")) return jsonlSource(file);
  throw new DatasetError("UNREADABLE", `${file}: expected .parquet, .csv, .tsv, .jsonl or .ndjson (text also .gz)`);
}

/**
 * The data paths that a mapping keeps apart: where it does and a folder holds none of its files, the folders in it
 * that do stand for it, by name. Other mappings' paths stay as they are. Throws DatasetError.
 */
export async function pathsApart(paths: readonly string[], mapping: ColumnMapping): Promise<string[]> {
  if (mapping.apart_us === undefined) return [...paths];
  const apart: string[] = [];
  for (const path of paths) {
    if (!(await isFolder(path)) || (await namesIn(path, mapping.files)).length > 0) {
      apart.push(path);
      continue;
    }
    const found: string[] = [];
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const folder = join(path, entry.name);
      if (entry.isDirectory() && (await namesIn(folder, mapping.files)).length > 0) found.push(folder);
    }
    apart.push(...(found.length > 0 ? found.sort() : [path]));
  }
  return apart;
}

/** Files of the mapping in each path with the number of the path, 0 for all where the mapping keeps none apart. */
export async function partsOf(
  paths: readonly string[],
  mapping: ColumnMapping,
): Promise<{ readonly path: string; readonly part: number }[]> {
  const files: { path: string; part: number }[] = [];
  for (const [part, path] of (await pathsApart(paths, mapping)).entries()) {
    const number = mapping.apart_us === undefined ? 0 : part;
    for (const file of await filesOf(path, mapping.files)) files.push({ path: file, part: number });
  }
  if (files.length === 0) throw new DatasetError("NO_FILE", "no data folder was given");
  if (files.length > FILES_MAX) throw new DatasetError("LIMIT", `${files.length} files, at most ${FILES_MAX}`);
  return files;
}

/** Files of the mapping in a folder, by name, or the file itself. */
async function filesOf(path: string, patterns: readonly string[]): Promise<string[]> {
  if (!(await isFolder(path))) return [path];
  const found = await namesIn(path, patterns);
  if (found.length === 0) throw new DatasetError("NO_FILE", `${path} holds none of ${patterns.join(", ")}`);
  return found.map((name) => join(path, name));
}

/** Whether a path is a folder rather than a file. Throws DatasetError NO_FILE when it is not there. */
async function isFolder(path: string): Promise<boolean> {
  const kind = await stat(path).catch((cause) => {
    throw new DatasetError("NO_FILE", `${path} does not exist`, { cause });
  });
  return !kind.isFile();
}

async function namesIn(folder: string, patterns: readonly string[]): Promise<string[]> {
  const wanted = patterns.map((p) => new RegExp(`^${p.split("*").map(escaped).join(".*")}$`));
  return (await readdir(folder)).filter((name) => wanted.some((w) => w.test(name))).sort();
}

function escaped(text: string): string {
  return text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
}

class MergedHistory implements History {
  readonly name: string;
  readonly files: readonly string[];
  readonly total: number;
  readonly total_exact: boolean;
  read = 0;
  duplicates = 0;
  readonly #o: HistoryOptions;
  readonly accounts: readonly Accounts[];
  readonly #sources: readonly PartFile[];

  constructor(options: HistoryOptions, files: readonly PartFile[], accounts: readonly Accounts[]) {
    this.#o = options;
    this.#sources = files;
    this.accounts = accounts;
    const sources = files.map((f) => f.source);
    this.name = options.mapping.name;
    this.files = sources.map((s) => s.file);
    this.total = sources.reduce((sum, s) => sum + s.total, 0);
    this.total_exact = sources.every((s) => s.total_exact);
  }

  async *batches(): AsyncGenerator<HistoryRow[]> {
    this.read = 0;
    this.duplicates = 0;
    const seen = this.#sources.length > 1 ? new IdSet() : undefined;
    const from_us = this.#o.from_us ?? Number.NEGATIVE_INFINITY;
    const to_us = this.#o.to_us ?? Number.POSITIVE_INFINITY;
    for await (const merged of mergeByTime(this.#sources.map((s) => rowsOf(s, this.#o.mapping)))) {
      this.read += merged.length;
      const rows = merged.filter((row) => {
        if (row.eventTimeUs < from_us || row.eventTimeUs >= to_us) return false;
        if (seen === undefined || seen.add(row.transactionId)) return true;
        this.duplicates++;
        return false;
      });
      if (rows.length > 0) yield rows;
      if (merged[0].eventTimeUs >= to_us) return;
    }
  }

  async *rows(): AsyncGenerator<HistoryRow> {
    for await (const batch of this.batches()) yield* batch;
  }
}

/** One file's rows, checked to be in event order, or sorted. No empty batch. */
async function* rowsOf(file: PartFile, mapping: ColumnMapping): AsyncGenerator<HistoryRow[]> {
  const { source } = file;
  const convert = rowConverter(mapping, source.file, file);
  const sorted = mapping.order === "none";
  const all: HistoryRow[] = [];
  let last_us = Number.NEGATIVE_INFINITY;
  for await (const raw of source.batches(mappedColumns(mapping))) {
    const rows = convert(raw);
    if (sorted) {
      if (all.length + rows.length > UNSORTED_ROWS_MAX) {
        const text = `${source.file} has more than ${UNSORTED_ROWS_MAX} rows and is not in event order: sort it`;
        throw new DatasetError("LIMIT", text);
      }
      for (const row of rows) all.push(row);
      continue;
    }
    for (let i = 0; i < rows.length; i++) {
      if (rows[i].eventTimeUs < last_us) {
        const where = `${source.file}, row ${raw.first_row + i}`;
        const text = `${where}: earlier than the row before it: sort the file, or set "order": "none" in the mapping`;
        throw new DatasetError("UNSORTED", text);
      }
      last_us = rows[i].eventTimeUs;
    }
    if (rows.length > 0) yield rows;
  }
  all.sort((a, b) => a.eventTimeUs - b.eventTimeUs);
  for (let from = 0; from < all.length; from += BATCH_ROWS) yield all.slice(from, from + BATCH_ROWS);
}

interface Head {
  readonly source: AsyncGenerator<HistoryRow[]>;
  rows: HistoryRow[];
  at: number;
}

/** Merges streams in event order; of equal times the earlier stream goes first. */
async function* mergeByTime(sources: readonly AsyncGenerator<HistoryRow[]>[]): AsyncGenerator<HistoryRow[]> {
  if (sources.length === 1) return yield* sources[0];
  const heads: Head[] = [];
  try {
    for (const source of sources) {
      const first = await source.next();
      if (!first.done) heads.push({ source, rows: first.value, at: 0 });
    }
    let batch: HistoryRow[] = [];
    while (heads.length > 0) {
      const next = earliest(heads);
      batch.push(next.rows[next.at++]);
      if (next.at === next.rows.length) {
        const more = await next.source.next();
        if (more.done) heads.splice(heads.indexOf(next), 1);
        else [next.rows, next.at] = [more.value, 0];
      }
      if (batch.length === BATCH_ROWS) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0) yield batch;
  } finally {
    for (const source of sources) await source.return(undefined);
  }
}

function earliest(heads: readonly Head[]): Head {
  let best = heads[0];
  for (let i = 1; i < heads.length; i++) {
    if (heads[i].rows[heads[i].at].eventTimeUs < best.rows[best.at].eventTimeUs) best = heads[i];
  }
  return best;
}
