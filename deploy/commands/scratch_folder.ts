/** A fresh folder for a command's node and exports: in the system's temporary folder, removed at the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `use` with a folder that is removed afterwards, whatever happens; `keep` names one that stays. */
export async function withFolder<T>(keep: string | undefined, use: (dir: string) => Promise<T>): Promise<T> {
  if (keep !== undefined) return use(keep);
  const dir = await mkdtemp(join(tmpdir(), "fraudguard-"));
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
