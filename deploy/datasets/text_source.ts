/**
 * CSV files with a header line and JSON Lines, plain or gzip (.gz), UTF-8. Both are streamed. The total is counted in a
 * first pass over the bytes.
 */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { parse } from "csv-parse";
import type { RawBatch } from "./convert.ts";
import { DatasetError } from "./errors.ts";
import { BATCH_ROWS, LINE_BYTES_MAX, type RawSource } from "./raw_source.ts";

/** Columns of a CSV file, at most. */
const COLUMNS_MAX = 1024;

function open(path: string): Readable {
  const raw = createReadStream(path, { highWaterMark: 1 << 18 });
  if (!path.endsWith(".gz")) return raw;
  const unzipped = createGunzip();
  raw.on("error", (error) => unzipped.destroy(error));
  return raw.pipe(unzipped);
}

/** Lines in a file; a last line without a line end counts. */
async function countLines(path: string): Promise<number> {
  let lines = 0;
  let last = 10;
  for await (const chunk of open(path) as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++;
    last = chunk[chunk.length - 1];
  }
  return last === 10 ? lines : lines + 1;
}

function asDatasetError(path: string, cause: unknown): DatasetError {
  if (cause instanceof DatasetError) return cause;
  return new DatasetError("UNREADABLE", `${path}: ${(cause as Error).message}`, { cause });
}

/** Collects values by column and cuts them into batches. */
class Collector {
  readonly #names: readonly string[];
  #values: unknown[][];
  #n = 0;
  #first_row = 0;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#values = names.map(() => []);
  }

  /** Number of the next row within the file. */
  get row(): number {
    return this.#first_row + this.#n;
  }

  get full(): boolean {
    return this.#n === BATCH_ROWS;
  }

  add(value: (column: number) => unknown): void {
    for (let c = 0; c < this.#names.length; c++) this.#values[c].push(value(c));
    this.#n++;
  }

  take(): RawBatch {
    const columns = new Map(this.#names.map((name, c) => [name, this.#values[c]] as const));
    const batch = { n: this.#n, first_row: this.#first_row, columns };
    this.#first_row += this.#n;
    this.#n = 0;
    this.#values = this.#names.map(() => []);
    return batch;
  }
}

/** Told of a row that cannot be read (0-based, and why); it stays in the batch as a row without values. */
export type UnreadableRow = (row: number, reason: string) => void;

/**
 * A CSV file (RFC 4180; the first line names the columns). With `relaxed` a row with too few columns has missing values
 * instead of ending the file.
 */
export async function csvSource(path: string, delimiter = ",", relaxed = false): Promise<RawSource> {
  const lines = await countLines(path).catch((cause) => {
    throw asDatasetError(path, cause);
  });
  return {
    file: path,
    total: Math.max(lines - 1, 0),
    total_exact: false,
    async *batches(names) {
      const collector = new Collector(names);
      const parser = parse({
        delimiter,
        bom: true,
        skip_empty_lines: true,
        max_record_size: LINE_BYTES_MAX,
        relax_column_count: relaxed,
      });
      const bytes = open(path);
      bytes.on("error", (error) => parser.destroy(error));
      let at: number[] | undefined;
      try {
        for await (const record of bytes.pipe(parser) as AsyncIterable<string[]>) {
          if (at === undefined) {
            at = positions(path, record, names);
            continue;
          }
          const where = at;
          collector.add((c) => record[where[c]]);
          if (collector.full) yield collector.take();
        }
      } catch (cause) {
        throw asDatasetError(path, cause);
      } finally {
        bytes.destroy();
      }
      if (at === undefined) throw new DatasetError("UNREADABLE", `${path} is empty: expected a header line`);
      yield collector.take();
    },
  };
}

function positions(path: string, header: readonly string[], names: readonly string[]): number[] {
  if (header.length > COLUMNS_MAX) throw new DatasetError("LIMIT", `${path} has more than ${COLUMNS_MAX} columns`);
  return names.map((name) => {
    const at = header.indexOf(name);
    if (at >= 0) return at;
    throw new DatasetError("MISSING_COLUMN", `${path} has no column ${name}; it has ${header.join(", ")}`);
  });
}

/**
 * A file of JSON objects, one a line. A column is a key, or a path of keys joined by dots. A line that is no JSON
 * object ends the file with an error, or is told to `unreadable`.
 */
export async function jsonlSource(path: string, unreadable?: UnreadableRow): Promise<RawSource> {
  const total = await countLines(path).catch((cause) => {
    throw asDatasetError(path, cause);
  });
  return {
    file: path,
    total,
    total_exact: false,
    async *batches(names) {
      const collector = new Collector(names);
      const paths = names.map((name) => name.split("."));
      try {
        for await (const line of linesOf(path)) {
          if (line.trim() === "") continue;
          const object = parseLine(path, line, collector.row, unreadable);
          collector.add((c) => (names[c] in object ? object[names[c]] : reach(object, paths[c])));
          if (collector.full) yield collector.take();
        }
      } catch (cause) {
        throw asDatasetError(path, cause);
      }
      yield collector.take();
    },
  };
}

function parseLine(path: string, line: string, row: number, unreadable?: UnreadableRow): Record<string, unknown> {
  let reason = "expected a JSON object";
  let cause: unknown;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    reason = (error as Error).message;
    cause = error;
  }
  if (unreadable === undefined) throw new DatasetError("UNREADABLE", `${path}, row ${row}: ${reason}`, { cause });
  unreadable(row, reason);
  return {};
}

function reach(object: Record<string, unknown>, path: readonly string[]): unknown {
  let value: unknown = object;
  for (const key of path) value = typeof value === "object" && value !== null ? (value as never)[key] : undefined;
  return value;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of open(path) as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    if (rest.length > LINE_BYTES_MAX) {
      throw new DatasetError("LIMIT", `${path} has a line of more than ${LINE_BYTES_MAX} characters`);
    }
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
