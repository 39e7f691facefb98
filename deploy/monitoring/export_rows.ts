/**
 * One side of a comparison: the payments of a feature export, or of several as one, whose event time lies in a range.
 * What is held of all of them is a few bytes each (time, label); columns of features are read again in as many passes
 * as memory asks for, so that every quantile is exact.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as breathe } from "node:timers/promises";
import type { ExportMeta } from "../../actors/inference/feature_export.ts";
import { type ExportChunk, readExport, readMeta } from "../commands/export_reader.ts";
import { exportFolders, UnreadableExport } from "../commands/features_check.ts";

const FORMAT = 1;
const COLUMNS_MAX = 1024;

/** No payment of the export lies in the range that was asked for. */
export class EmptyRange extends Error {
  override name = "EmptyRange";
}

/** Event times [from_us, to_us). */
export interface TimeRange {
  readonly from_us: number;
  readonly to_us: number;
}

/** The payments in the range that come from one export: those from number `first` up to `end` (exclusive). */
export interface ExportPart {
  readonly first: number;
  readonly end: number;
  /**
   * Event time of the newest payment of that whole export, microseconds. What is reported later is in no label of it,
   * also when another part goes on: an outcome is told to the node that has the payment in its export.
   */
  readonly newest_us: number;
}

/** What a read may be stopped by, and who is told of the payments read so far. */
export interface ReadOptions {
  readonly signal: AbortSignal;
  readonly onRows?: (rows: number) => void;
}

/** Takes row `r` of a chunk as row number `row` of the selection. */
type TakeRow = (chunk: ExportChunk, r: number, row: number) => void;

export class ExportRows {
  readonly exports: readonly string[];
  readonly feature_names: readonly string[];
  /** One for each of `exports`. */
  readonly parts: readonly ExportPart[];
  /** Payments of the whole export: what each pass reads. */
  readonly rows_read: number;
  readonly range: TimeRange;
  /** Payments in the range. */
  readonly rows: number;
  // Columns over the payments in the range: event time (microseconds), label as feature_export.ts has it.
  readonly times_us: Float64Array;
  readonly labels: Uint8Array;

  private constructor(exports: readonly string[], metas: readonly ExportMeta[], range: TimeRange, times: ReadTimes) {
    this.exports = exports;
    this.feature_names = metas[0].feature_names;
    this.parts = metas.map((m, i) => ({ first: times.ends[i - 1] ?? 0, end: times.ends[i], newest_us: m.to_us }));
    this.rows_read = metas.reduce((sum, m) => sum + m.rows, 0);
    this.range = range;
    this.rows = times.times_us.length;
    this.times_us = times.times_us;
    this.labels = times.labels;
  }

  /**
   * Opens what `path` names: the folder of an export, a file of one, or a folder that npm run train or accuracy kept.
   * Rejects with UnreadableExport, or EmptyRange.
   */
  static async open(path: string, range: TimeRange, { signal }: Pick<ReadOptions, "signal">): Promise<ExportRows> {
    const exports = exportFolders(path);
    const metas = exports.map(checkedMeta);
    const names = metas[0].feature_names.join();
    const other = metas.findIndex((m) => m.feature_names.join() !== names);
    if (other !== -1) throw new UnreadableExport(`${exports[other]} has other features than ${exports[0]}`);
    const times = await readTimes(exports, range, { signal });
    if (times.times_us.length === 0) {
      const filled = metas.filter((m) => m.rows > 0);
      const days =
        filled.length === 0 ? "no payments" : `payments from ${dayOf(oldestOf(filled))} to ${dayOf(newestOf(filled))}`;
      throw new EmptyRange(`${path} holds ${days}, none of them in the range that was asked for`);
    }
    return new ExportRows(exports, metas, range, times);
  }

  /** Column of a feature; -1 when the export has none of that name. */
  columnOf(name: string): number {
    return this.feature_names.indexOf(name);
  }

  /** Values of some columns, one array a column over the payments in the range; NaN is missing. */
  async readColumns(columns: readonly number[], o: ReadOptions): Promise<Float32Array[]> {
    const values = columns.map(() => new Float32Array(this.rows));
    const width = this.feature_names.length;
    await readRows(this.exports, this.range, o, (c, r, row) => {
      for (let i = 0; i < columns.length; i++) values[i][row] = c.matrix[r * width + columns[i]];
    });
    return values;
  }

  /**
   * Gives the payments in the range to `use` in blocks: `matrix` (row-major, n x features) holds those from number
   * `first` on. It is the reader's again when the promise resolves.
   */
  async readBlocks(
    blockRows: number,
    use: (matrix: Float32Array, n: number, first: number) => Promise<void>,
    o: ReadOptions,
  ): Promise<void> {
    const width = this.feature_names.length;
    const block = new Float32Array(blockRows * width);
    let [n, first] = [0, 0];
    for (const dir of this.exports) {
      for (const c of chunksOf(dir)) {
        for (let r = 0; r < c.n; r++) {
          if (!isIn(c.times_us[r], this.range)) continue;
          block.set(c.matrix.subarray(r * width, (r + 1) * width), n * width);
          if (++n < blockRows) continue;
          await use(block, n, first);
          first += n;
          n = 0;
        }
        o.onRows?.(c.n);
        await breathe();
        o.signal.throwIfAborted();
      }
    }
    if (n > 0) await use(block, n, first);
  }
}

interface ReadTimes {
  /** Payments in the range up to the end of each export. */
  readonly ends: readonly number[];
  readonly times_us: Float64Array;
  readonly labels: Uint8Array;
}

const dayOf = (us: number): string => new Date(us / 1000).toISOString().slice(0, 10);
const newestOf = (metas: readonly ExportMeta[]): number => metas.reduce((t, m) => Math.max(t, m.to_us), 0);
const oldestOf = (metas: readonly ExportMeta[]): number =>
  metas.reduce((t, m) => Math.min(t, m.from_us), Number.POSITIVE_INFINITY);
const isIn = (t_us: number, range: TimeRange): boolean => t_us >= range.from_us && t_us < range.to_us;

/** meta.json of an export whose files are as long as it says. Throws UnreadableExport. */
function checkedMeta(dir: string): ExportMeta {
  const wrong = (what: string): UnreadableExport => new UnreadableExport(`${join(dir, "meta.json")}: ${what}`);
  let meta: Partial<ExportMeta> | null;
  try {
    meta = readMeta(dir);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (meta?.format !== FORMAT) throw wrong(`format ${meta?.format}, this program reads ${FORMAT}`);
  const names = meta.feature_names;
  const isNames = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string");
  if (!isNames || names.length > COLUMNS_MAX) throw wrong(`feature_names must be 1 to ${COLUMNS_MAX} names`);
  const { rows } = meta;
  if (rows === undefined || !Number.isSafeInteger(rows) || rows < 0) throw wrong("rows must be a whole number");
  if (!Number.isFinite(meta.from_us) || !Number.isFinite(meta.to_us)) throw wrong("from_us and to_us must be numbers");
  const row_bytes = { "features.f32": names.length * 4, "times.f64": 8, "ids.u32": 8, "labels.u8": 1 };
  for (const [name, bytes] of Object.entries(row_bytes)) {
    const file = join(dir, name);
    const held = existsSync(file) ? statSync(file).size : 0;
    if (rows > 0 && held !== rows * bytes) throw wrong(`${rows} rows, but ${name} holds ${held} bytes`);
  }
  return meta as ExportMeta;
}

/** The chunks of an export; an error of the disk is an UnreadableExport. */
function* chunksOf(dir: string): Generator<ExportChunk> {
  const chunks = readExport(dir);
  try {
    for (;;) {
      let next: IteratorResult<ExportChunk>;
      try {
        next = chunks.next();
      } catch (error) {
        throw new UnreadableExport(`${dir}: ${(error as Error).message}`);
      }
      if (next.done) return;
      yield next.value;
    }
  } finally {
    chunks.return(undefined);
  }
}

/** Reads all exports; resolves to the payments in the range up to the end of each. */
async function readRows(dirs: readonly string[], range: TimeRange, o: ReadOptions, take: TakeRow): Promise<number[]> {
  const ends: number[] = [];
  let row = 0;
  for (const dir of dirs) {
    for (const c of chunksOf(dir)) {
      for (let r = 0; r < c.n; r++) if (isIn(c.times_us[r], range)) take(c, r, row++);
      o.onRows?.(c.n);
      // Lets signals in: the work itself never waits.
      await breathe();
      o.signal.throwIfAborted();
    }
    ends.push(row);
  }
  return ends;
}

async function readTimes(dirs: readonly string[], range: TimeRange, o: ReadOptions): Promise<ReadTimes> {
  let times_us = new Float64Array(1024);
  let labels = new Uint8Array(1024);
  let rows = 0;
  const ends = await readRows(dirs, range, o, (c, r) => {
    if (rows === labels.length) {
      const [old_times_us, old_labels] = [times_us, labels];
      times_us = new Float64Array(rows * 2);
      times_us.set(old_times_us);
      labels = new Uint8Array(rows * 2);
      labels.set(old_labels);
    }
    times_us[rows] = c.times_us[r];
    labels[rows++] = c.labels[r];
  });
  return { ends, times_us: times_us.slice(0, rows), labels: labels.slice(0, rows) };
}
