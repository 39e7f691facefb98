/**
 * How far an import came: written whenever everything before a place is acknowledged, replaced atomically, so that an
 * import that was killed goes on there. What it sent after that place is sent again, which changes nothing.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { ColumnMapping } from "../datasets/mapping.ts";
import { writeFileAtomic } from "../engines/files.ts";

export interface ImportPlace {
  /** Files that are through. */
  files: number;
  /** Rows of the next file that are through, in the order in which they are read. */
  rows: number;
  recorded: number;
  rejected: number;
  /** Newest event time so far, microseconds. */
  newest_us: number;
  /** Length of the reject file at this place, bytes. */
  reject_bytes: number;
  done: boolean;
}

interface CheckpointFile extends ImportPlace {
  readonly format: 1;
  readonly source: string;
}

export const BEGINNING: ImportPlace = {
  files: 0,
  rows: 0,
  recorded: 0,
  rejected: 0,
  newest_us: 0,
  reject_bytes: 0,
  done: false,
};

/** What a checkpoint belongs to: files by path, size and time of change, and the mapping. */
export async function sourceOf(files: readonly string[], mapping: ColumnMapping): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(mapping));
  for (const file of files) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${file}\n${size}\n${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** The place to go on from; the beginning when there is none. Throws when it is of another source. */
export async function readCheckpoint(path: string, source: string): Promise<ImportPlace> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return { ...BEGINNING };
  const found = JSON.parse(text) as CheckpointFile;
  if (found.format !== 1 || found.source !== source) {
    throw new Error(
      `${path} is of other files or another mapping: give --restart to begin anew, or another --checkpoint`,
    );
  }
  const { files, rows, recorded, rejected, newest_us, reject_bytes, done } = found;
  return { files, rows, recorded, rejected, newest_us, reject_bytes, done };
}

export async function writeCheckpoint(path: string, source: string, place: ImportPlace): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file: CheckpointFile = { format: 1, source, ...place };
  await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`);
}
