/** Snapshots as files: one folder a shard, written beside and renamed when whole and synced. */
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SnapshotStore, SnapshotWriter } from "../../runtime/ports.ts";

const SUFFIX = ".snapshot";

export class SnapshotFiles implements SnapshotStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async list(shard: number): Promise<readonly string[]> {
    const names = await readdir(this.#folder(shard)).catch((e: NodeJS.ErrnoException) => {
      // No folder yet is no snapshot; one that cannot be read must not pass for none.
      if (e.code === "ENOENT") return [] as string[];
      throw e;
    });
    return names.filter((n) => n.endsWith(SUFFIX)).sort();
  }

  async create(shard: number, name: string): Promise<SnapshotWriter> {
    const folder = this.#folder(shard);
    await mkdir(folder, { recursive: true });
    for (const old of await readdir(folder)) if (old.endsWith(".partial")) await rm(join(folder, old), { force: true });
    const partial = join(folder, `${name}.partial`);
    const file = await open(partial, "w");
    return {
      async write(bytes) {
        for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
      },
      async publish() {
        await file.sync();
        await file.close();
        await rename(partial, join(folder, name));
        const dir = await open(folder, "r");
        await dir.sync();
        await dir.close();
      },
      async discard() {
        await file.close().catch(() => {});
        await rm(partial, { force: true });
      },
    };
  }

  async *read(shard: number, name: string): AsyncIterable<Uint8Array> {
    for await (const part of createReadStream(join(this.#folder(shard), name), { highWaterMark: 1 << 22 })) {
      yield part as Uint8Array;
    }
  }

  async remove(shard: number, name: string): Promise<void> {
    await rm(join(this.#folder(shard), name), { force: true });
  }

  #folder(shard: number): string {
    return join(this.#dir, `shard-${shard}`);
  }
}
