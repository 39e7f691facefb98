/**
 * Owns the form of an API key: `fg_<id>_<secret>`, an id of 12 hex digits that may be logged and 32 random bytes that
 * may not. Only the SHA-256 of the whole key is stored: 256 random bits need no slow hash.
 */
import { createHash, randomBytes } from "node:crypto";

const KEY_FORM = /^fg_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;
const BEARER_FORM = /^bearer +(\S+)$/i;
/** Longest header looked at, bytes. */
const HEADER_BYTES_MAX = 256;

export interface NewApiKey {
  /** The whole key: shown once, never stored. */
  readonly key: string;
  readonly id: string;
  readonly sha256: string;
}

export function createApiKey(): NewApiKey {
  const id = randomBytes(6).toString("hex");
  const key = `fg_${id}_${randomBytes(32).toString("base64url")}`;
  return { key, id, sha256: digestOf(key).toString("hex") };
}

export function digestOf(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

/** The key in an authorization header, or null when it is not `Bearer <key>`. */
export function bearerKey(header: string): string | null {
  if (header.length > HEADER_BYTES_MAX) return null;
  return BEARER_FORM.exec(header)?.[1] ?? null;
}

/** The public id in a key, or null when it does not have a key's form. */
export function keyId(key: string): string | null {
  return KEY_FORM.exec(key)?.[1] ?? null;
}
