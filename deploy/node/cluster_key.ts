/** The secret that the nodes of a cluster know each other by: `cluster.key` in the folder that they share. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Made with mode 0600 when it is not there. Throws when it cannot be read. */
export function clusterKey(config_dir: string): string {
  const file = join(config_dir, "cluster.key");
  try {
    // One of several that begin at once makes it; the others read it.
    writeFileSync(file, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600, flag: "wx", flush: true });
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "EEXIST") throw e;
  }
  const key = readFileSync(file, "utf8").trim();
  if (!/^[0-9a-f]{64}$/.test(key)) throw new Error(`${file} is not a cluster's key: 64 hex digits`);
  return key;
}
