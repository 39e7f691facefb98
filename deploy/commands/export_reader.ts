/**
 * Reads a finished feature export row by row in chunks, and writes a labelled cut of it to train on: what was reported
 * as fraud is fraud, and what is old enough and was not is genuine.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import {
  type ExportMeta,
  FeatureExport,
  LABEL_FRAUD,
  LABEL_LEGITIMATE,
  LABEL_NONE,
} from "../../actors/inference/feature_export.ts";
import { ExportFolder } from "../python/export_folder.ts";

const CHUNK_ROWS = 4096;

/** Some rows of an export; the arrays are the reader's again when the next chunk is read. */
export interface ExportChunk {
  readonly n: number;
  readonly matrix: Float32Array;
  readonly times_us: Float64Array;
  readonly id_hi: Uint32Array;
  readonly id_lo: Uint32Array;
  readonly labels: Uint8Array;
}

/** meta.json of an export; throws when it is missing. */
export function readMeta(dir: string): ExportMeta {
  const path = join(dir, "meta.json");
  if (!existsSync(path)) throw new Error(`${path} is missing: no feature export, or one that was not finished`);
  return JSON.parse(readFileSync(path, "utf8")) as ExportMeta;
}

export function* readExport(dir: string): Generator<ExportChunk> {
  const meta = readMeta(dir);
  const features = meta.feature_names.length;
  const files = ["features.f32", "times.f64", "ids.u32", "labels.u8"].map((name) =>
    meta.rows === 0 ? -1 : openSync(join(dir, name), "r"),
  );
  const [matrix, times_us] = [new Float32Array(CHUNK_ROWS * features), new Float64Array(CHUNK_ROWS)];
  const [ids, labels] = [new Uint32Array(CHUNK_ROWS * 2), new Uint8Array(CHUNK_ROWS)];
  const [id_hi, id_lo] = [new Uint32Array(CHUNK_ROWS), new Uint32Array(CHUNK_ROWS)];
  try {
    for (let row = 0; row < meta.rows; row += CHUNK_ROWS) {
      const n = Math.min(CHUNK_ROWS, meta.rows - row);
      fill(files[0], matrix, n * features);
      fill(files[1], times_us, n);
      fill(files[2], ids, n * 2);
      fill(files[3], labels, n);
      for (let i = 0; i < n; i++) {
        id_hi[i] = ids[2 * i];
        id_lo[i] = ids[2 * i + 1];
      }
      yield { n, matrix, times_us, id_hi, id_lo, labels };
    }
  } finally {
    for (const file of files) if (file >= 0) closeSync(file);
  }
}

function fill(file: number, into: Float32Array | Float64Array | Uint32Array | Uint8Array, items: number): void {
  const bytes = new Uint8Array(into.buffer, 0, items * into.BYTES_PER_ELEMENT);
  for (let at = 0; at < bytes.length; ) {
    const read = readSync(file, bytes, at, bytes.length - at, null);
    if (read === 0) throw new Error("a feature export is shorter than its meta.json says: export again");
    at += read;
  }
}

/** One export and, where it is known better than by what was reported, the truth about its payments. */
export interface LabelledPart {
  readonly dir: string;
  /** By keyed hash of the payment's id. */
  readonly isFraud?: (hi: number, lo: number) => boolean;
  /** Payments that the data have no label for: nothing is learnt from them. By keyed hash of the payment's id. */
  readonly isUnlabelled?: (hi: number, lo: number) => boolean;
}

export interface LabelledCut {
  readonly out: string;
  /** In words: where the payments came from. */
  readonly source: string;
  /** Event times [from_us, to_us) that are taken. */
  readonly from_us: number;
  readonly to_us: number;
  /** Payments up to this event time that were not reported as fraud are genuine; later ones have no label. */
  readonly genuine_until_us: number;
}

/** Writes the cut of one or several exports, one after the other. */
export function writeLabelledCut(parts: readonly LabelledPart[], cut: LabelledCut): ExportMeta {
  const folder = new ExportFolder(cut.out);
  const labelled = new FeatureExport(folder, cut.source, readMeta(parts[0].dir).feature_names);
  const take = new Uint8Array(CHUNK_ROWS);
  for (const { dir, isFraud, isUnlabelled } of parts) {
    for (const c of readExport(dir)) {
      for (let i = 0; i < c.n; i++) take[i] = c.times_us[i] >= cut.from_us && c.times_us[i] < cut.to_us ? 1 : 0;
      let row = labelled.append(c.matrix, c.n, c.times_us, { hi: c.id_hi, lo: c.id_lo }, take);
      for (let i = 0; i < c.n; i++) {
        if (take[i] === 0) continue;
        const fraud = isFraud?.(c.id_hi[i], c.id_lo[i]) ?? c.labels[i] === LABEL_FRAUD;
        // A label counts once its delay has passed, frauds found early too: else there would be too many of them.
        const labelled_there = isUnlabelled?.(c.id_hi[i], c.id_lo[i]) !== true;
        const known = labelled_there && c.times_us[i] <= cut.genuine_until_us;
        labelled.label(row++, known ? (fraud ? LABEL_FRAUD : LABEL_LEGITIMATE) : LABEL_NONE);
      }
    }
  }
  const meta = labelled.finish();
  folder.close();
  return meta;
}
