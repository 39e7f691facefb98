/**
 * Owns who may call: the tenants of this node and their API keys. A header is looked up once, compared in constant
 * time, and remembered, so that authentication costs one map lookup a call (and nothing for the messages of a
 * stream).
 */
import { timingSafeEqual } from "node:crypto";
import type { Tenant } from "../../proto/tenant.ts";
import { bearerKey, createApiKey, digestOf, keyId } from "./api_key.ts";
import { AuthenticationFailure, IdentityError } from "./identity_error.ts";
import { loadRateTable, type RateTable, ratesInto } from "./rate_table.ts";
import {
  readOrMakeSecrets,
  readTenants,
  standInOutcome,
  type TenantRecord,
  type TenantSecret,
  writeTenants,
} from "./tenant_file.ts";

/** Headers remembered; good keys only, so a flood of bad ones cannot fill it. */
const HEADERS_MAX = 4096;
const MISSING = new AuthenticationFailure("missing");
const MALFORMED = new AuthenticationFailure("malformed");
const UNKNOWN = new AuthenticationFailure("unknown");
const DISABLED = new AuthenticationFailure("disabled");
const NO_DIGEST = Buffer.alloc(32);

export interface Identity {
  /** By index. */
  readonly tenants: readonly Tenant[];
  /** The caller's tenant, or why there is none. `header` is the value of `authorization`. */
  authenticate(header: string | undefined): Tenant | AuthenticationFailure;
}

export interface IdentityOptions {
  readonly tenants_path: string;
  /** Made with mode 0600 when it does not exist. */
  readonly secrets_path: string;
  /** Default: the shipped illustrative table. */
  readonly rates_path?: string | URL;
}

interface Key {
  readonly digest: Buffer;
  readonly tenant: Tenant;
  readonly disabled: boolean;
}

/** Reads both files. Throws IdentityError. */
export function openIdentity(options: IdentityOptions): Identity {
  const records = readTenants(options.tenants_path);
  const secrets = readOrMakeSecrets(
    options.secrets_path,
    records.map((r) => r.id),
  );
  return makeIdentity(records, secrets, loadRateTable(options.rates_path));
}

/** An Identity from plain records: what openIdentity does after reading. */
export function makeIdentity(
  records: readonly TenantRecord[],
  secrets: Readonly<Record<string, TenantSecret>>,
  rates: RateTable,
): Identity {
  const tables = new Map<string, Float64Array>();
  const keys = new Map<string, Key>();
  const tenants = records.map((record, index) => {
    const secret = secrets[record.id];
    if (secret === undefined) throw new IdentityError(`tenant ${record.id}: no secret`);
    let table = tables.get(record.base_currency);
    if (table === undefined) {
      table = ratesInto(rates, record.base_currency);
      tables.set(record.base_currency, table);
    }
    const tenant = tenantOf(record, index, secret, rates.version, table);
    for (const key of record.keys) {
      if (keys.has(key.id)) throw new IdentityError(`key ${key.id} is listed twice`);
      keys.set(key.id, { digest: Buffer.from(key.sha256, "hex"), tenant, disabled: key.disabled === true });
    }
    return tenant;
  });
  return new KeyRing(tenants, keys);
}

class KeyRing implements Identity {
  readonly tenants: readonly Tenant[];
  readonly #keys: ReadonlyMap<string, Key>;
  readonly #byHeader = new Map<string, Tenant>();

  constructor(tenants: readonly Tenant[], keys: ReadonlyMap<string, Key>) {
    this.tenants = tenants;
    this.#keys = keys;
  }

  authenticate(header: string | undefined): Tenant | AuthenticationFailure {
    if (header === undefined || header === "") return MISSING;
    return this.#byHeader.get(header) ?? this.#lookUp(header);
  }

  #lookUp(header: string): Tenant | AuthenticationFailure {
    const key = bearerKey(header);
    if (key === null) return MALFORMED;
    const found = this.#keys.get(keyId(key) ?? "");
    // An unknown id is compared too, so that the time does not tell which ids exist.
    const equal = timingSafeEqual(digestOf(key), found?.digest ?? NO_DIGEST);
    if (found === undefined || !equal) return UNKNOWN;
    if (found.disabled) return DISABLED;
    if (this.#byHeader.size >= HEADERS_MAX) this.#byHeader.clear();
    this.#byHeader.set(header, found.tenant);
    return found.tenant;
  }
}

function tenantOf(r: TenantRecord, index: number, secret: TenantSecret, version: string, rates: Float64Array): Tenant {
  return {
    index,
    id: r.id,
    hash_key: [Number.parseInt(secret.hash_key.slice(0, 8), 16), Number.parseInt(secret.hash_key.slice(8), 16)],
    seal_key: new Uint8Array(Buffer.from(secret.seal_key, "hex")),
    base_currency: r.base_currency,
    rates_version: version,
    rates,
    attributes: new Map(r.attributes.map((a) => [a.name, a])),
    stand_in_outcome: standInOutcome(r),
    deadline_ms: r.deadline_ms,
    magic_cards: r.magic_cards,
  };
}

/** Fields of a new tenant that have no default. */
export type NewTenant = Pick<TenantRecord, "id"> & Partial<Omit<TenantRecord, "id" | "keys">>;

/**
 * Adds the tenant to the file (or a further key to the one that is there) and returns the key: the only time it is
 * seen. Fields of a tenant that exists are left as they are.
 */
export function createTenantKey(
  tenants_path: string,
  tenant: NewTenant,
): { readonly key: string; readonly id: string } {
  const records = readTenants(tenants_path);
  const made = createApiKey();
  const key = { id: made.id, sha256: made.sha256 };
  const at = records.findIndex((r) => r.id === tenant.id);
  if (at >= 0) records[at] = { ...records[at], keys: [...records[at].keys, key] };
  else {
    records.push({
      base_currency: "USD",
      attributes: [],
      stand_in: "REVIEW",
      deadline_ms: 1000,
      magic_cards: false,
      ...tenant,
      keys: [key],
    });
  }
  writeTenants(tenants_path, records);
  return { key: made.key, id: made.id };
}

/** Keys of earlier starts that still work: what was published with them waits in a stream, its senders ask again. */
const DEMO_KEYS_KEPT = 3;

/** The demo tenant: magic cards on, a few declared attributes; of the keys of earlier starts the newest still work. */
export function createDemoTenant(tenants_path: string, id = "demo"): { readonly key: string; readonly id: string } {
  const records = readTenants(tenants_path).map((r) =>
    r.id === id ? { ...r, keys: r.keys.slice(-DEMO_KEYS_KEPT) } : r,
  );
  if (records.length > 0) writeTenants(tenants_path, records);
  return createTenantKey(tenants_path, {
    id,
    magic_cards: true,
    attributes: [
      { name: "basket_items", type: "number", slot: 0 },
      { name: "account_age_days", type: "number", slot: 1 },
      { name: "express_checkout", type: "bool", slot: 2 },
      { name: "note", type: "string", slot: -1 },
    ],
  });
}
