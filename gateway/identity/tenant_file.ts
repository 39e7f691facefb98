/**
 * Owns the two identity files: tenants (who they are, their declarations, the SHA-256 of their keys) and secrets (hash
 * and seal keys, mode 0600). Files are replaced atomically: written beside, synced, renamed.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { ATTRIBUTE_SLOTS } from "../../proto/columns.ts";
import { Outcome } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { AttributeDeclaration } from "../../proto/tenant.ts";
import { IdentityError } from "./identity_error.ts";

export const TENANTS_MAX = 65_535;
export const KEYS_MAX = 64;
const ATTRIBUTES_MAX = 64;
const DEADLINE_MS_MAX = 60_000;

export interface KeyRecord {
  readonly id: string;
  /** Hex SHA-256 of the whole key. */
  readonly sha256: string;
  readonly disabled?: boolean;
}

export interface TenantRecord {
  readonly id: string;
  readonly base_currency: string;
  readonly attributes: readonly AttributeDeclaration[];
  /** ALLOW, CHALLENGE, REVIEW, BLOCK, or NONE: answer UNAVAILABLE at the deadline. */
  readonly stand_in: "ALLOW" | "CHALLENGE" | "REVIEW" | "BLOCK" | "NONE";
  readonly deadline_ms: number;
  readonly magic_cards: boolean;
  readonly keys: readonly KeyRecord[];
}

export interface TenantSecret {
  /** 16 hex digits. */
  readonly hash_key: string;
  /** 64 hex digits. */
  readonly seal_key: string;
}

interface TenantsFile {
  readonly format: 1;
  readonly tenants: readonly TenantRecord[];
}
interface SecretsFile {
  readonly format: 1;
  readonly secrets: Record<string, TenantSecret>;
}

export function standInOutcome(record: TenantRecord): number {
  return record.stand_in === "NONE" ? 0 : Outcome[record.stand_in];
}

/** Tenants in file order (their index); an absent file is an empty list. */
export function readTenants(path: string): TenantRecord[] {
  const file = readJson(path) as TenantsFile | null;
  if (file === null) return [];
  if (file.format !== 1 || !Array.isArray(file.tenants)) throw new IdentityError(`${path}: unknown format`);
  if (file.tenants.length > TENANTS_MAX) throw new IdentityError(`${path}: more than ${TENANTS_MAX} tenants`);
  const ids = new Set<string>();
  for (const tenant of file.tenants) {
    checkTenant(tenant);
    if (ids.has(tenant.id)) throw new IdentityError(`tenant ${tenant.id} is listed twice`);
    ids.add(tenant.id);
  }
  return [...file.tenants];
}

export function writeTenants(path: string, tenants: readonly TenantRecord[]): void {
  for (const tenant of tenants) checkTenant(tenant);
  writeJson(path, { format: 1, tenants } satisfies TenantsFile, 0o644);
}

/**
 * Secrets of the given tenants; makes those that are missing. A lost file makes every journal of its tenants
 * unreadable, so a file that exists is never replaced by one with fewer entries.
 */
export function readOrMakeSecrets(path: string, tenantIds: readonly string[]): Record<string, TenantSecret> {
  const file = readJson(path) as SecretsFile | null;
  if (file !== null) {
    if (file.format !== 1) throw new IdentityError(`${path}: unknown format`);
    if ((statSync(path).mode & 0o077) !== 0)
      throw new IdentityError(`${path} must not be readable by others: chmod 600`);
  }
  const secrets: Record<string, TenantSecret> = { ...file?.secrets };
  let made = 0;
  for (const id of tenantIds) {
    const have = secrets[id];
    if (have === undefined) {
      secrets[id] = { hash_key: randomBytes(8).toString("hex"), seal_key: randomBytes(32).toString("hex") };
      made++;
    } else if (!/^[0-9a-f]{16}$/.test(have.hash_key) || !/^[0-9a-f]{64}$/.test(have.seal_key)) {
      throw new IdentityError(`${path}: the secret of tenant ${id} is damaged`);
    }
  }
  if (made > 0) writeJson(path, { format: 1, secrets } satisfies SecretsFile, 0o600);
  return secrets;
}

function checkTenant(t: TenantRecord): void {
  const fail = (what: string): never => {
    throw new IdentityError(`tenant ${String(t?.id)}: ${what}`);
  };
  if (typeof t?.id !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(t.id)) fail("id must be 1..64 of A-Z a-z 0-9 _ -");
  if (!/^[A-Z]{3}$/.test(t.base_currency)) fail("base_currency must be three capital letters");
  if (!["ALLOW", "CHALLENGE", "REVIEW", "BLOCK", "NONE"].includes(t.stand_in))
    fail("stand_in is not an outcome or NONE");
  if (!Number.isInteger(t.deadline_ms) || t.deadline_ms < 10 || t.deadline_ms > DEADLINE_MS_MAX) {
    fail(`deadline_ms must be 10..${DEADLINE_MS_MAX}`);
  }
  if (typeof t.magic_cards !== "boolean") fail("magic_cards must be true or false");
  if (!Array.isArray(t.keys) || t.keys.length > KEYS_MAX) fail(`keys must be a list of at most ${KEYS_MAX}`);
  for (const k of t.keys) if (!isKeyRecord(k)) fail("a key needs a 12-digit id and a sha256");
  checkAttributes(t, fail);
}

export function isKeyRecord(k: KeyRecord): boolean {
  return /^[0-9a-f]{12}$/.test(k?.id) && /^[0-9a-f]{64}$/.test(k?.sha256);
}

function checkAttributes(t: TenantRecord, fail: (what: string) => never): void {
  if (!Array.isArray(t.attributes) || t.attributes.length > ATTRIBUTES_MAX) {
    fail(`attributes must be a list of at most ${ATTRIBUTES_MAX}`);
  }
  const slots = new Set<number>();
  const names = new Set<string>();
  for (const a of t.attributes) {
    if (typeof a.name !== "string" || a.name === "" || Buffer.byteLength(a.name) > 64 || names.has(a.name)) {
      fail("attribute names are 1..64 bytes and unique");
    }
    names.add(a.name);
    if (!["number", "string", "bool"].includes(a.type)) fail(`attribute ${a.name}: type is number, string or bool`);
    if (!Number.isInteger(a.slot) || a.slot < -1 || a.slot >= ATTRIBUTE_SLOTS) {
      fail(`attribute ${a.name}: slot must be -1..${ATTRIBUTE_SLOTS - 1}`);
    }
    if (a.slot >= 0 && (a.type === "string" || slots.has(a.slot))) {
      fail(`attribute ${a.name}: a slot holds one number or bool`);
    }
    if (a.slot >= 0) slots.add(a.slot);
  }
}

/** What a file holds; null when it is not there. Throws IdentityError. */
export function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new IdentityError(`cannot read ${path}: ${(cause as Error).message}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new IdentityError(`${path} is not JSON`);
  }
  // Not as if there were no file: it would be written anew, with other secrets.
  if (value === null) throw new IdentityError(`${path} holds nothing`);
  return value;
}

/** Replaces a file as a whole, also over a power cut. */
export function writeJson(path: string, value: unknown, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const beside = `${path}.new`;
  const file = openSync(beside, "w", mode);
  try {
    writeSync(file, `${JSON.stringify(value, null, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
}
