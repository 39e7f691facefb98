/**
 * Writes features as the actors computed them, with their labels, for training: the only way into the training data, so
 * that no second implementation of a feature exists. One export is a folder of little-endian files:
 *   features.f32  rows x features, row-major float32, NaN = missing
 *   labels.u8     0 legitimate, 1 fraud, 255 not labelled
 *   times.f64     event times, microseconds
 *   ids.u32       keyed hash of the transaction id: (hi, lo) a row
 *   meta.json     what the files are, and their SHA-256; written last, an export without it is unfinished
 */
import { createHash, type Hash } from "node:crypto";
import { endianness } from "node:os";
import type { KeyColumn } from "../../proto/columns.ts";
import { FEATURES } from "../features/registry.ts";

export const LABEL_LEGITIMATE = 0;
export const LABEL_FRAUD = 1;
export const LABEL_NONE = 255;

/** Rows an export may hold. */
export const EXPORT_ROWS_MAX = 20_000_000;
const FORMAT = 1;
const LABELS_START = 1 << 16;

/** Where the files go: a folder's adapter. The bytes are the caller's again when a call returns. */
export interface ExportFiles {
  /** Appends to a file, which is created empty by its first call. */
  append(name: string, bytes: Uint8Array): void;
}

export interface ExportMeta {
  readonly format: number;
  readonly rows: number;
  readonly labelled: number;
  readonly positives: number;
  readonly feature_names: readonly string[];
  readonly from_us: number;
  readonly to_us: number;
  /** In words: where the payments came from. */
  readonly source: string;
  /** SHA-256 over the lines "name sha256\n" of the files by name. */
  readonly data_sha256: string;
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly bytes: number }>>;
}

/** The export has no more room, or is finished. Start another. */
export class ExportClosed extends Error {
  override name = "ExportClosed";
}

class FileRecord {
  readonly hash: Hash = createHash("sha256");
  bytes = 0;
}

export class FeatureExport {
  readonly #files: ExportFiles;
  readonly #source: string;
  readonly #names: readonly string[];
  readonly #records = new Map<string, FileRecord>();
  #labels = new Uint8Array(LABELS_START);
  #rows = 0;
  #from_us = Number.POSITIVE_INFINITY;
  #to_us = Number.NEGATIVE_INFINITY;
  #finished = false;
  // Staging for the rows of one append, grown to the largest.
  #matrix = new Float32Array(0);
  #times = new Float64Array(0);
  #ids = new Uint32Array(0);

  constructor(files: ExportFiles, source: string, featureNames: readonly string[] = FEATURES.map((f) => f.name)) {
    if (endianness() !== "LE") throw new Error("exports are little-endian, this machine is not");
    this.#files = files;
    this.#source = source;
    this.#names = featureNames;
  }

  /** Rows appended so far; the number of the next row. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Appends the first `rows` rows of `matrix` (row-major, rows x features) with their event times (microseconds) and
   * ids; only those with take[r] !== 0 where `take` is given. Rows are unlabelled until label(). Returns the first
   * row's number; taken rows count up from it.
   */
  append(matrix: Float32Array, rows: number, timesUs: Float64Array, ids: KeyColumn, take?: Uint8Array): number {
    if (this.#finished) throw new ExportClosed("the export is finished");
    const features = this.#names.length;
    if (matrix.length < rows * features) throw new RangeError(`the matrix is shorter than ${rows} x ${features}`);
    this.#stage(rows);
    let n = 0;
    for (let r = 0; r < rows; r++) {
      if (take !== undefined && take[r] === 0) continue;
      this.#matrix.set(matrix.subarray(r * features, (r + 1) * features), n * features);
      this.#times[n] = timesUs[r];
      this.#ids[2 * n] = ids.hi[r];
      this.#ids[2 * n + 1] = ids.lo[r];
      this.#from_us = Math.min(this.#from_us, timesUs[r]);
      this.#to_us = Math.max(this.#to_us, timesUs[r]);
      n++;
    }
    const first = this.#rows;
    if (first + n > EXPORT_ROWS_MAX) throw new ExportClosed(`an export holds at most ${EXPORT_ROWS_MAX} rows`);
    this.#write("features.f32", this.#matrix.subarray(0, n * features));
    this.#write("times.f64", this.#times.subarray(0, n));
    this.#write("ids.u32", this.#ids.subarray(0, 2 * n));
    this.#growLabels(first + n);
    this.#rows = first + n;
    return first;
  }

  /** Labels a row that was appended: LABEL_LEGITIMATE, LABEL_FRAUD, or LABEL_NONE again. The last one counts. */
  label(row: number, label: number): void {
    if (this.#finished) throw new ExportClosed("the export is finished");
    if (!(row >= 0 && row < this.#rows)) throw new RangeError(`row ${row} of ${this.#rows}`);
    if (label !== LABEL_LEGITIMATE && label !== LABEL_FRAUD && label !== LABEL_NONE) {
      throw new RangeError(`label ${label} is none of 0, 1, 255`);
    }
    this.#labels[row] = label;
  }

  /** Writes labels and meta.json; nothing can be appended afterwards. */
  finish(): ExportMeta {
    if (this.#finished) throw new ExportClosed("the export is finished");
    const labels = this.#labels.subarray(0, this.#rows);
    this.#write("labels.u8", labels);
    this.#finished = true;
    let labelled = 0;
    let positives = 0;
    for (const label of labels) {
      if (label !== LABEL_NONE) labelled++;
      if (label === LABEL_FRAUD) positives++;
    }
    const files: Record<string, { sha256: string; bytes: number }> = {};
    const data = createHash("sha256");
    for (const [name, record] of [...this.#records].sort(([a], [b]) => (a < b ? -1 : 1))) {
      files[name] = { sha256: record.hash.digest("hex"), bytes: record.bytes };
      data.update(`${name} ${files[name].sha256}\n`);
    }
    const meta: ExportMeta = {
      format: FORMAT,
      rows: this.#rows,
      labelled,
      positives,
      feature_names: this.#names,
      from_us: this.#rows === 0 ? 0 : this.#from_us,
      to_us: this.#rows === 0 ? 0 : this.#to_us,
      source: this.#source,
      data_sha256: data.digest("hex"),
      files,
    };
    this.#files.append("meta.json", new TextEncoder().encode(`${JSON.stringify(meta, null, 2)}\n`));
    return meta;
  }

  #stage(rows: number): void {
    if (this.#times.length >= rows) return;
    this.#matrix = new Float32Array(rows * this.#names.length);
    this.#times = new Float64Array(rows);
    this.#ids = new Uint32Array(rows * 2);
  }

  #growLabels(rows: number): void {
    if (rows > this.#labels.length) {
      const grown = new Uint8Array(Math.max(rows, this.#labels.length * 2));
      grown.set(this.#labels.subarray(0, this.#rows));
      this.#labels = grown;
    }
    this.#labels.fill(LABEL_NONE, this.#rows, rows);
  }

  #write(name: string, values: Float32Array | Float64Array | Uint32Array | Uint8Array): void {
    let record = this.#records.get(name);
    if (record === undefined) {
      record = new FileRecord();
      this.#records.set(name, record);
    }
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    record.hash.update(bytes);
    record.bytes += bytes.byteLength;
    this.#files.append(name, bytes);
  }
}
