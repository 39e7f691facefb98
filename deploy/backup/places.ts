/** Where snapshots lie: in the folder of each node, or in one store that all share. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { SNAPSHOT_LAYOUTS } from "../../actors/decision/shard_actors.ts";
import { hex } from "../../proto/frame/frame_header.ts";
import { checkFrame } from "../../runtime/journal/checked.ts";
import { type Journal, type SnapshotStore, SnapshotUnusable } from "../../runtime/ports.ts";
import { isOfRestore, SnapshotDecoder, type SnapshotHead } from "../../runtime/snapshot_format.ts";
import { SnapshotFiles } from "../node/snapshot_files.ts";
import { snapshotStore } from "../node/snapshot_url.ts";

export interface SnapshotPlace {
  /** For messages. */
  readonly name: string;
  readonly store: Pick<SnapshotStore, "list" | "read">;
}

/** A snapshot that was read as a whole, and whose last frame stands in the journal. */
export interface VerifiedSnapshot {
  readonly name: string;
  readonly head: SnapshotHead;
}

function isNode(folder: string): boolean {
  return existsSync(join(folder, "node-id"));
}

/** Folders of nodes: the data folder itself, or those in a cluster's folder. */
export async function nodeFolders(data_dir: string): Promise<string[]> {
  const inside = await readdir(data_dir, { withFileTypes: true }).catch(() => []);
  const nodes = inside.filter((e) => e.isDirectory()).map((e) => join(data_dir, e.name));
  return [data_dir, ...nodes.sort()].filter(isNode);
}

/** Folder that the nodes of a cluster in this folder share for their snapshots, null when each has its own. */
export function sharedSnapshots(data_dir: string): string | null {
  const folder = join(data_dir, "snapshots");
  return existsSync(folder) && !isNode(data_dir) ? folder : null;
}

/** The store that nodes share, or the folder of each. `env` goes with the URL. Throws SnapshotUrlError. */
export function snapshotPlaces(
  url: string | undefined,
  data_dir: string,
  folders: readonly string[],
  env: NodeJS.ProcessEnv,
): SnapshotPlace[] {
  if (url !== undefined) return [{ name: url, store: snapshotStore(url, env) }];
  const shared = sharedSnapshots(data_dir);
  if (shared !== null) return [{ name: shared, store: new SnapshotFiles(shared) }];
  return folders.map((f) => ({ name: basename(f), store: new SnapshotFiles(join(f, "snapshots")) }));
}

/** Reads a snapshot wholly. Rejects with SnapshotUnusable. */
export async function readSnapshot(
  parts: AsyncIterable<Uint8Array>,
): Promise<{ head: SnapshotHead; checksum: string }> {
  const decoder = new SnapshotDecoder(parts);
  try {
    const head = await decoder.head();
    while ((await decoder.slice()) !== null) {
      // Each slice is verified as it is read.
    }
    return { head, checksum: (await decoder.foot()).checksum };
  } finally {
    await decoder.close();
  }
}

/** A shard's snapshots at a place that can be loaded behind its journal, oldest first; the others are told. */
export async function verifiedSnapshots(
  { name: place, store }: SnapshotPlace,
  journal: Journal,
  onUnusable: (message: string) => void,
): Promise<VerifiedSnapshot[]> {
  const found: VerifiedSnapshot[] = [];
  for (const name of await store.list(journal.shard)) {
    try {
      const { head, checksum } = await readSnapshot(store.read(journal.shard, name));
      await checkPlace(journal, head, checksum);
      found.push({ name, head });
    } catch (error) {
      if (!(error instanceof SnapshotUnusable)) throw error;
      onUnusable(`snapshot ${name} of shard ${journal.shard} at ${place} is not usable: ${error.message}`);
    }
  }
  return found.sort((a, b) => a.head.frame - b.head.frame);
}

async function checkPlace(journal: Journal, head: SnapshotHead, checksum: string): Promise<void> {
  if (!SNAPSHOT_LAYOUTS.includes(head.layout)) throw new SnapshotUnusable(`of the layout ${head.layout}`);
  if (head.shard !== journal.shard) throw new SnapshotUnusable(`of shard ${head.shard}`);
  if (head.journal_id !== journal.id) throw new SnapshotUnusable(`of another journal, ${head.journal_id}`);
  if (!isOfRestore(head, journal)) throw new SnapshotUnusable("of the journals before a restore");
  const message = await journal.read(head.frame);
  if (message === null) throw new SnapshotUnusable(`its frame ${head.frame} is not in the journal`);
  const frame = checkFrame(journal, message, { checksum: null, epoch: 0 });
  if (hex(frame.checksum) !== checksum) throw new SnapshotUnusable(`frame ${head.frame} is another one`);
}
