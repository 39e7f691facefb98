/**
 * The account that runs PostgreSQL, which refuses to run as root: the owner of an existing data folder, else the user
 * postgres, else nobody. Where that account cannot pass through a parent folder, `setpriv` lends it only that right.
 */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { EngineError } from "./errors.ts";

/** How to run a command as an ordinary account; all absent when this process is one itself. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
  /** Runs the rest of the command line under the account; used instead of uid and gid. */
  readonly wrapper?: readonly string[];
}

const run = promisify(execFile);
const CANDIDATES = ["postgres", "nobody"];

/** Ids that own the folder of a new or existing cluster; undefined when this process is not root. */
export async function accountIds(existing: string): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(existing).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const rows = (await readFile("/etc/passwd", "utf8")).split("\n").map((row) => row.split(":"));
  for (const name of CANDIDATES) {
    const [, , uid, gid] = rows.find((row) => row[0] === name) ?? [];
    if (uid !== undefined && gid !== undefined && Number(uid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  const advice = "it cannot run as root and there is no user postgres or nobody; run as another user, or add one";
  throw new EngineError("permission", "postgres", advice);
}

/** How to run commands that must reach `paths` under these ids. */
export async function accountFor(ids: { uid: number; gid: number } | undefined, paths: string[]): Promise<Account> {
  if (ids === undefined) return {};
  const closed = (await Promise.all(paths.map((path) => closedParent(path, ids)))).find((p) => p !== undefined);
  if (closed === undefined) return ids;
  const rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
  const wrapper = ["setpriv", `--reuid=${ids.uid}`, `--regid=${ids.gid}`, "--clear-groups", ...rights, "--"];
  try {
    await run("setpriv", [...wrapper.slice(1), "true"]);
  } catch {
    const advice = `user ${ids.uid}, who must run it, cannot pass through ${closed}`;
    throw new EngineError("permission", "postgres", `${advice}; chmod o+x ${closed}, or run as another user than root`);
  }
  return { wrapper };
}

/** The first parent folder that these ids cannot pass through, from the top. */
async function closedParent(path: string, ids: { uid: number; gid: number }): Promise<string | undefined> {
  const parents: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    parents.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  for (const folder of parents) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === ids.uid ? 0o100 : gid === ids.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return folder;
  }
  return undefined;
}
