/**
 * Where a node's snapshots are kept, by URL: `file:///folder` or `s3://bucket/prefix`, with the object store's address
 * and keys from the environment, by the names that AWS's own tools use.
 */
import { fileURLToPath } from "node:url";
import { type SnapshotStore, SnapshotsUnavailable } from "../../runtime/ports.ts";
import { SnapshotBucket } from "./snapshot_bucket.ts";
import { SnapshotFiles } from "./snapshot_files.ts";

/** The URL, or the environment that goes with it, does not name a store. */
export class SnapshotUrlError extends Error {
  override name = "SnapshotUrlError";
}

const FORMS = "file:///FOLDER or s3://BUCKET/PREFIX";

/** Throws SnapshotUrlError. Nothing is asked of the store yet. */
export function snapshotStore(text: string, env: NodeJS.ProcessEnv): SnapshotStore {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === "file:" && url.host === "") return new SnapshotFiles(fileURLToPath(url));
  if (url?.protocol !== "s3:" || url.host === "") throw new SnapshotUrlError(`${text} is not ${FORMS}`);
  // Keys in an address end in logs and in the lists of processes.
  if (url.username !== "" || url.search !== "") throw new SnapshotUrlError("the address takes no keys or options");
  const prefix = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, "");
  return bucket(url.host, prefix === "" ? "" : `${prefix}/`, env);
}

function bucket(name: string, prefix: string, env: NodeJS.ProcessEnv): SnapshotBucket {
  const access_key_id = wanted(env, "AWS_ACCESS_KEY_ID");
  const secret_access_key = wanted(env, "AWS_SECRET_ACCESS_KEY");
  if ((env["AWS_SESSION_TOKEN"] ?? "") !== "") {
    throw new SnapshotUrlError("AWS_SESSION_TOKEN is set, and keys that expire are not supported");
  }
  const region = env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || "us-east-1";
  const own = env["AWS_ENDPOINT_URL_S3"] || env["AWS_ENDPOINT_URL"];
  if (own !== undefined && !/^https?:\/\/[^/]/.test(own)) throw new SnapshotUrlError(`${own} is not an http address`);
  const endpoint =
    own === undefined ? `https://${name}.s3.${region}.amazonaws.com` : `${own.replace(/\/+$/, "")}/${name}`;
  return new SnapshotBucket({ endpoint, prefix, region, access_key_id, secret_access_key });
}

function wanted(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name] ?? "";
  if (value === "") throw new SnapshotUrlError(`s3:// needs ${name} in the environment`);
  return value;
}

/** Resolves when the store answers. Throws SnapshotsUnavailable, which names it. */
export async function checkStore(store: SnapshotStore, text: string): Promise<void> {
  try {
    await store.list(0);
  } catch (e) {
    if (e instanceof SnapshotsUnavailable) e.message = `--snapshot-url ${text}: ${e.message}`;
    throw e;
  }
}
