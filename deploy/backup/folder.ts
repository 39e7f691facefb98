/** Small file work of backup and restore. */
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../engines/errors.ts";
import { syncFolder } from "./segment.ts";

/** What only who has it can open a cluster's data with. */
export const SECRET_FILES = ["tenants.json", "secrets.json", "operators.json", "cluster.key"] as const;
const READ_BYTES = 1 << 20;

/** Names in a folder; none when it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

/**
 * Copies a file and syncs it; the folder is made. False when there is none. What was there stays whole until the copy
 * is: a backup's secrets may be the only ones that are left.
 */
export async function copyKept(from: string, to: string, mode = 0o644): Promise<boolean> {
  await mkdir(dirname(to), { recursive: true });
  const partial = `${to}.partial`;
  await rm(partial, { force: true });
  try {
    await copyFile(from, partial);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
  const file = await open(partial, "r+");
  await file.chmod(mode);
  await file.sync();
  await file.close();
  await rename(partial, to);
  await syncFolder(dirname(to));
  return true;
}

/** Copies the JSON files of a folder that are not there yet. */
export async function copyMissing(from: string, to: string): Promise<void> {
  const there = new Set(await namesIn(to));
  for (const name of await namesIn(from)) {
    if (name.endsWith(".json") && !there.has(name)) await copyKept(join(from, name), join(to, name));
  }
}

/** Bytes of a file, in parts. */
export async function* partsOf(path: string): AsyncGenerator<Uint8Array> {
  for await (const part of createReadStream(path, { highWaterMark: READ_BYTES })) yield part as Uint8Array;
}
