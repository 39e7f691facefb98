/**
 * What a backup holds: `backup.json` in its folder, replaced as a whole whenever something was added. A file that it
 * does not name is not part of the backup.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../engines/errors.ts";
import { writeFileAtomic } from "../engines/files.ts";
import { BackupError } from "./errors.ts";

export const MANIFEST_FORMAT = "fraudguard-backup/1";
const FILE = "backup.json";

/** Frames first..last of one journal in one file. */
export interface Segment {
  /** Path inside the backup's folder. */
  readonly file: string;
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
  readonly first_time_us: number;
  readonly last_time_us: number;
  readonly last_epoch: number;
  /** Of the last frame, hex; it vouches for all before it. */
  readonly checksum: string;
}

export interface BackedUpJournal {
  readonly shard: number;
  readonly id: string;
  /** In order, without gaps. */
  readonly segments: readonly Segment[];
}

export interface BackedUpSnapshot {
  readonly shard: number;
  /** In its store. */
  readonly name: string;
  readonly file: string;
  readonly frame: number;
  readonly frame_time_us: number;
  readonly watermarks: readonly number[];
  /** Layout that the reading code must know. */
  readonly layout: string;
  readonly bytes: number;
  /** Of the whole file. */
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  /** Version of the code that wrote it last. */
  readonly code: string;
  readonly shards: number;
  /** When something was added last, microseconds since 1970 by the clock of the machine that wrote it. */
  readonly written_us: number;
  readonly journals: readonly BackedUpJournal[];
  readonly snapshots: readonly BackedUpSnapshot[];
  /** Whether the keys are here, without which a restored cluster can open nothing. */
  readonly has_secrets: boolean;
}

/** The first frame of a journal in the backup; 1 when nothing is copied yet. */
export function firstFrame(journal: BackedUpJournal): number {
  return journal.segments[0]?.first ?? 1;
}

/** The newest frame of a journal in the backup; 0 without any. */
export function lastFrame(journal: BackedUpJournal): number {
  return journal.segments.at(-1)?.last ?? 0;
}

/** Whether a snapshot of the backup is one of that journal, and the frames behind it are there. */
export function standsIn(journal: BackedUpJournal, { shard, frame }: BackedUpSnapshot): boolean {
  return shard === journal.shard && frame + 1 >= firstFrame(journal);
}

/** The manifest of a backup's folder; null when there is none. Rejects with BackupError. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  const path = join(folder, FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  return parseManifest(text, path);
}

/** Throws BackupError naming `path`. Exported for its test. */
export function parseManifest(text: string, path: string): Manifest {
  let found: { sha256?: unknown; manifest?: Manifest };
  try {
    found = JSON.parse(text);
  } catch {
    throw new BackupError("damaged", `${path} is damaged: it is not JSON`);
  }
  const { sha256, manifest } = found ?? {};
  if (typeof manifest !== "object" || manifest === null)
    throw new BackupError("not_a_backup", `${path} is no backup's`);
  if (sha256 !== digest(manifest)) throw new BackupError("damaged", `${path} is damaged: its checksum is another one`);
  if (manifest.format !== MANIFEST_FORMAT) {
    throw new BackupError("version", `${path} has the format ${manifest.format}, this code reads ${MANIFEST_FORMAT}`);
  }
  return manifest;
}

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const text = JSON.stringify({ sha256: digest(manifest), manifest }, null, 1);
  await writeFileAtomic(join(folder, FILE), `${text}\n`, 0o600);
}

function digest(manifest: Manifest): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}
