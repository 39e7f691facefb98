/** Names and reading of a registry's files, and its lock. */
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { RegistryError } from "../../actors/inference/registry/registry_error.ts";
import { NO_KEYS, parseTrustedKeys, type TrustedKeys } from "../../actors/inference/registry/trusted_keys.ts";
import { codeOf } from "../engines/errors.ts";
import { writeFileAtomic } from "../engines/files.ts";
import { lock } from "../engines/lock.ts";

/** Folder of the registry in a configuration folder (that of tenants.json). */
export const REGISTRY_FOLDER = "models";
export const SIGNATURE_FILE = "signature.json";
export const LOG_FILE = "registry.json";
export const KEYS_FILE = "trusted_keys.json";
const LOCK_FILE = "registry.lock";
const LOCK_WAIT_MS = 10_000;

/** The largest signature, log or list of keys that is read. */
const TEXT_BYTES_MAX = 16 * 1024 * 1024;

/** Text of a file; null when it is not there. Rejects with RegistryError("format") for one that is too large. */
export async function readText(path: string): Promise<string | null> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > TEXT_BYTES_MAX)
      throw new RegistryError("format", `${path} has ${size} bytes: it is no file of a registry`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** A file of trusted keys; none when it is not there. Rejects with RegistryError("format"). */
export async function readKeys(path: string): Promise<TrustedKeys> {
  const text = await readText(path);
  return text === null ? NO_KEYS : parseTrustedKeys(text, path);
}

export async function writeKeys(dir: string, keys: TrustedKeys): Promise<void> {
  await writeFileAtomic(join(dir, KEYS_FILE), `${JSON.stringify(keys, null, 2)}\n`);
}

/** Alone among all processes that change what is in the folder, which is made. Rejects with RegistryError("busy"). */
export async function alone<T>(dir: string, work: () => Promise<T>, wait_ms = LOCK_WAIT_MS): Promise<T> {
  await mkdir(dir, { recursive: true });
  const held = await lock(join(dir, LOCK_FILE), wait_ms);
  if (held === undefined) throw new RegistryError("busy", `another process works on ${dir}: try again when it is done`);
  try {
    return await work();
  } finally {
    await held.release();
  }
}
