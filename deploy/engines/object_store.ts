/**
 * A local S3-compatible object store: `rclone serve s3` over a folder, with signed requests of one key pair.
 */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Engine, type EngineOptions, launch } from "./engine.ts";
import { DATA_DIR } from "./files.ts";
import { keptPassword } from "./password.ts";
import { LOOPBACK } from "./ports.ts";
import { provision } from "./provisioner.ts";

/** A running object store; `url` is `http://127.0.0.1:PORT`, buckets are the folders in it. */
export interface ObjectStoreEngine extends Engine {
  readonly access_key_id: string;
  readonly secret_access_key: string;
}

const DEFAULT_PORT = 9000;
const ACCESS_KEY_ID = "fraudguard";

/** Starts it (provisioned when needed) over `data_dir`, default `data/objects`, with one empty `bucket`. */
export async function startObjectStore(options: EngineOptions & { bucket: string }): Promise<ObjectStoreEngine> {
  const binary = await provision("rclone", options.progress === undefined ? {} : { progress: options.progress });
  const data_dir = resolve(options.data_dir ?? join(DATA_DIR, "objects"));
  const secret = await keptPassword(data_dir);
  const buckets = join(data_dir, "buckets");
  await mkdir(join(buckets, options.bucket), { recursive: true });
  const running = await launch({
    name: "object-store",
    data_dir,
    port: options.port ?? DEFAULT_PORT,
    ready_ms: options.ready_ms ?? 60_000,
    stopSignal: "TERM",
    async prepare(port) {
      const serve = [
        "serve",
        "s3",
        buckets,
        "--addr",
        `${LOOPBACK}:${port}`,
        "--config",
        join(data_dir, "rclone.conf"),
      ];
      // By environment, as a field of CSV: a command line can be read by every account of the machine.
      const env = { ...process.env, RCLONE_AUTH_KEY: `"${ACCESS_KEY_ID},${secret}"` };
      return { command: [binary.path, ...serve, "--vfs-cache-mode", "off"], env };
    },
    ready: async (port) => {
      const answer = await fetch(`http://${LOOPBACK}:${port}/`, { signal: AbortSignal.timeout(2000) });
      await answer.arrayBuffer();
    },
  });
  return {
    name: "object-store",
    host: LOOPBACK,
    url: `http://${LOOPBACK}:${running.port}`,
    access_key_id: ACCESS_KEY_ID,
    secret_access_key: secret,
    version: binary.version,
    data_dir,
    ...running,
  };
}
