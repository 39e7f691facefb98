/**
 * Small file helpers of the local engines: where the checkout is, atomic writes, checksums.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { pipeline } from "node:stream/promises";

/** The top folder of the checkout (absolute). */
export const CHECKOUT_DIR: string = resolve(import.meta.dirname, "..", "..");
/** Where provisioned server binaries are kept (absolute, git-ignored). */
export const ENGINE_CACHE_DIR: string = resolve(CHECKOUT_DIR, ".cache", "engines");
/** Where engines keep their data by default (absolute, git-ignored). */
export const DATA_DIR: string = resolve(CHECKOUT_DIR, "data");

/** A name that no other process picks: for temporary files and generated passwords. */
export function randomName(bytes = 9): string {
  return randomBytes(bytes).toString("hex");
}

/** SHA-256 of a file, lower-case hex. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Writes a file so that a reader sees the old text or the new one, never a part, also after a power cut. */
export async function writeFileAtomic(path: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.${randomName()}.tmp`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const folder = await open(dirname(path), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
