/** Which code made a model: the version of the package and, in a checkout that git knows, its commit. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CHECKOUT_DIR } from "../engines/files.ts";

/** As `0.1.0`, `0.1.0+2af0b91d2d1c` or, with changes that are in no commit, `0.1.0+2af0b91d2d1c.changed`. */
export async function codeVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(CHECKOUT_DIR, "package.json"), "utf8")) as { version: string };
  try {
    const commit = await git("rev-parse", "--short=12", "HEAD");
    const changes = await git("status", "--porcelain", "--untracked-files=no");
    return `${version}+${commit}${changes === "" ? "" : ".changed"}`;
  } catch {
    // No git, or no repository: a copy of the files.
    return version;
  }
}

async function git(...args: readonly string[]): Promise<string> {
  // Without the optional lock, which would get into the way of who commits at that moment.
  const { stdout } = await promisify(execFile)("git", ["--no-optional-locks", "-C", CHECKOUT_DIR, ...args]);
  return stdout.trim();
}
