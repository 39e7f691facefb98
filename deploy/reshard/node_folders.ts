/** What nodes keep that is true of a number of shards: told the new one, with the old snapshots set aside. */
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { nodeFolders, sharedSnapshots } from "../backup/places.ts";
import { replaceText } from "../node/kept_file.ts";

/** Resolves with the folders that were changed. Those that name the number already are left alone. */
export async function tellNodeFolders(data_dir: string, shards: number): Promise<string[]> {
  const changed: string[] = [];
  // A folder that was restored names the number before a node has started on it.
  for (const folder of new Set([...(await nodeFolders(data_dir)), data_dir])) {
    const file = join(folder, "shards");
    const was = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    if (was === "" || was === String(shards)) continue;
    // Snapshots first: with the new number a node would take them for those of lost journals.
    for (const snapshots of [join(folder, "snapshots"), sharedSnapshots(data_dir)]) {
      if (snapshots === null || !existsSync(snapshots)) continue;
      renameSync(snapshots, freeName(`${snapshots}.of-${was}-shards`));
    }
    replaceText(file, `${shards}\n`);
    changed.push(folder);
  }
  return changed;
}

function freeName(path: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? path : `${path}.${i}`;
    if (!existsSync(name)) return name;
  }
}
