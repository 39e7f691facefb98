/**
 * Snapshots as files, in a folder of this node or one that all nodes see: one folder a shard, each written beside and
 * renamed when it is whole, synced and read back.
 */
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type SnapshotStore,
  SnapshotsUnavailable,
  SnapshotUnusable,
  type SnapshotWriter,
} from "../../runtime/ports.ts";

const SUFFIX = ".snapshot";
const PARTIAL = ".partial";
const READ_BYTES = 1 << 20;
/** Errors that are the file's own, not the folder's: it is gone, or the disk cannot read it any more. */
const OWN_ERRORS: readonly (string | undefined)[] = ["ENOENT", "EIO"];

export class SnapshotFiles implements SnapshotStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async list(shard: number): Promise<readonly string[]> {
    const files = await this.#files(shard);
    return files.filter((f) => f.endsWith(SUFFIX)).map((f) => f.slice(0, -SUFFIX.length));
  }

  async create(shard: number, name: string): Promise<SnapshotWriter> {
    const folder = this.#folder(shard);
    const path = join(folder, name + SUFFIX);
    const partial = path + PARTIAL;
    const file = await reached(async () => {
      await mkdir(folder, { recursive: true });
      return open(partial, "w");
    });
    return {
      write: (bytes) =>
        reached(async () => {
          for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
        }),
      async *readBack() {
        await reached(async () => {
          await file.sync();
          await file.close();
        });
        yield* parts(partial);
      },
      publish: () =>
        reached(async () => {
          await rename(partial, path);
          const dir = await open(folder, "r");
          await dir.sync();
          await dir.close();
        }),
      async discard() {
        await file.close().catch(() => {});
        await rm(partial, { force: true });
      },
    };
  }

  read(shard: number, name: string): AsyncIterable<Uint8Array> {
    return parts(join(this.#folder(shard), name + SUFFIX));
  }

  async removeBefore(shard: number, name: string): Promise<void> {
    // A name sorts before its own file, and those of older ones before both.
    const old = (await this.#files(shard)).filter((f) => f < name);
    for (const file of old) await reached(() => rm(join(this.#folder(shard), file), { force: true }));
  }

  /** Published and unfinished ones, oldest first. */
  #files(shard: number): Promise<readonly string[]> {
    return reached(async () => {
      try {
        return (await readdir(this.#folder(shard))).sort();
      } catch (e) {
        // No folder yet is no snapshot; one that cannot be read must not pass for none.
        if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw e;
      }
    });
  }

  #folder(shard: number): string {
    return join(this.#dir, `shard-${shard}`);
  }
}

async function* parts(path: string): AsyncIterable<Uint8Array> {
  try {
    for await (const part of createReadStream(path, { highWaterMark: READ_BYTES })) yield part as Uint8Array;
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    throw OWN_ERRORS.includes(code) ? new SnapshotUnusable(message) : new SnapshotsUnavailable(message);
  }
}

async function reached<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (e) {
    throw new SnapshotsUnavailable((e as Error).message);
  }
}
