/**
 * Owns who may operate the cluster: operators and their keys, in a file of its own beside the tenants'. A key has the
 * form of a tenant's and is kept as its SHA-256 only; it opens no payments, and a tenant's key opens no operations.
 */
import { timingSafeEqual } from "node:crypto";
import { bearerKey, createApiKey, digestOf, keyId, type NewApiKey } from "./api_key.ts";
import { AuthenticationFailure, IdentityError } from "./identity_error.ts";
import { isKeyRecord, KEYS_MAX, type KeyRecord, readJson, writeJson } from "./tenant_file.ts";

const OPERATORS_MAX = 1000;
const NO_DIGEST = Buffer.alloc(32);

/** What an operator may do; so far there is one role that may do everything. */
type OperatorRole = "admin";

interface OperatorRecord {
  /** 1..64 of A-Z a-z 0-9 _ - . @ */
  readonly name: string;
  readonly role: OperatorRole;
  readonly keys: readonly KeyRecord[];
}

interface OperatorsFile {
  readonly format: 1;
  readonly operators: readonly OperatorRecord[];
}

export interface Operators {
  /** The operator's name, or why there is none. `header` is the value of `authorization`. */
  authenticate(header: string | undefined): string | AuthenticationFailure;
}

/** Reads the file; one that is not there has no operators. Throws IdentityError. */
export function openOperators(path: string): Operators {
  const keys = new Map<string, { name: string; digest: Buffer; disabled: boolean }>();
  for (const { name, keys: own } of readOperators(path)) {
    for (const { id, sha256, disabled } of own) {
      if (keys.has(id)) throw new IdentityError(`key ${id} is listed twice`);
      keys.set(id, { name, digest: Buffer.from(sha256, "hex"), disabled: disabled === true });
    }
  }
  return {
    authenticate(header) {
      if (header === undefined || header === "") return new AuthenticationFailure("missing");
      const key = bearerKey(header);
      if (key === null) return new AuthenticationFailure("malformed");
      const found = keys.get(keyId(key) ?? "");
      // An unknown id is compared too, so that the time does not tell which ids exist.
      const equal = timingSafeEqual(digestOf(key), found?.digest ?? NO_DIGEST);
      if (found === undefined || !equal) return new AuthenticationFailure("unknown");
      return found.disabled ? new AuthenticationFailure("disabled") : found.name;
    },
  };
}

/**
 * Gives the operator a new key in place of all earlier ones, and returns it: the only time it is seen. Nodes take it at
 * their next start.
 */
export function replaceOperatorKey(path: string, name: string): NewApiKey {
  const others = readOperators(path).filter((o) => o.name !== name);
  const made = createApiKey();
  const operator: OperatorRecord = { name, role: "admin", keys: [{ id: made.id, sha256: made.sha256 }] };
  const operators = [...others, operator];
  checkOperators(path, operators);
  writeJson(path, { format: 1, operators } satisfies OperatorsFile, 0o644);
  return made;
}

function readOperators(path: string): readonly OperatorRecord[] {
  const file = readJson(path) as OperatorsFile | null;
  if (file === null) return [];
  if (file.format !== 1 || !Array.isArray(file.operators)) throw new IdentityError(`${path}: unknown format`);
  checkOperators(path, file.operators);
  return file.operators;
}

function checkOperators(path: string, operators: readonly OperatorRecord[]): void {
  if (operators.length > OPERATORS_MAX) throw new IdentityError(`${path}: more than ${OPERATORS_MAX} operators`);
  const names = new Set<string>();
  for (const o of operators) {
    const fail = (what: string): never => {
      throw new IdentityError(`operator ${String(o?.name)}: ${what}`);
    };
    if (typeof o?.name !== "string" || !/^[A-Za-z0-9_.@-]{1,64}$/.test(o.name)) {
      fail("name must be 1..64 of A-Z a-z 0-9 _ . @ -");
    }
    if (names.has(o.name)) fail("is listed twice");
    names.add(o.name);
    if (o.role !== "admin") fail("role must be admin");
    if (!Array.isArray(o.keys) || o.keys.length > KEYS_MAX) fail(`keys must be a list of at most ${KEYS_MAX}`);
    if (!o.keys.every(isKeyRecord)) fail("a key needs a 12-digit id and a sha256");
  }
}
