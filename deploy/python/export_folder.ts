/**
 * A feature export's folder on disk. Writes are synchronous: an export follows a replay, not a customer, and so needs
 * no bound on bytes in memory.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { ExportFiles } from "../../actors/inference/feature_export.ts";

export class ExportFolder implements ExportFiles {
  readonly dir: string;
  readonly #files = new Map<string, number>();

  /** Creates `dir` and removes what an earlier export left of itself there. */
  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true });
    // Without its meta.json an old export is no export, even when this one ends half-way.
    rmSync(join(dir, "meta.json"), { force: true });
  }

  append(name: string, bytes: Uint8Array): void {
    let file = this.#files.get(name);
    if (file === undefined) {
      file = openSync(join(this.dir, name), "w");
      this.#files.set(name, file);
    }
    for (let at = 0; at < bytes.byteLength; ) at += writeSync(file, bytes, at, bytes.byteLength - at);
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }
}
