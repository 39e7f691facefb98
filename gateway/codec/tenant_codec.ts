/**
 * A tenant as the decoder needs it: its id and attribute names as bytes, its key as words that fit a small integer.
 * Made once a tenant, on first use; a changed tenant is another object and gets another codec.
 */
import type { Tenant } from "../../proto/tenant.ts";
import { H, keyedHash } from "../../runtime/kernel/keyed_hash.ts";

/** Kinds of google.protobuf.Value, by field number; the types that a tenant may declare among them. */
export const VALUE_NUMBER = 2;
export const VALUE_STRING = 3;
export const VALUE_BOOL = 4;
const VALUE_KINDS = { number: VALUE_NUMBER, string: VALUE_STRING, bool: VALUE_BOOL } as const;

export class TenantCodec {
  readonly tenant: Tenant;
  readonly id: Buffer;
  /** The words of the hash key, signed: unsigned ones would be allocated at each call. */
  readonly k0: number;
  readonly k1: number;
  /** Declared attributes, by position. */
  readonly names: readonly Buffer[];
  readonly kinds: Uint8Array;
  readonly slots: Int8Array;
  /** Open addressing by the low word of the name's hash: position + 1, 0 for a free place. */
  private readonly places: Uint16Array;

  constructor(tenant: Tenant) {
    this.tenant = tenant;
    this.id = Buffer.from(tenant.id, "utf8");
    this.k0 = tenant.hash_key[0] | 0;
    this.k1 = tenant.hash_key[1] | 0;
    const declared = [...tenant.attributes.values()];
    this.names = declared.map((a) => Buffer.from(a.name, "utf8"));
    this.kinds = Uint8Array.from(declared, (a) => VALUE_KINDS[a.type]);
    this.slots = Int8Array.from(declared, (a) => a.slot);
    this.places = new Uint16Array(2 ** Math.ceil(Math.log2(2 * declared.length + 1)));
    const mask = this.places.length - 1;
    for (const [i, name] of this.names.entries()) {
      keyedHash(name, 0, name.length, this.k0, this.k1);
      let place = H.lo & mask;
      while (this.places[place] !== 0) place = (place + 1) & mask;
      this.places[place] = i + 1;
    }
  }

  /** Position of the attribute named by bytes [start, end), whose hash ends in `lo`; -1 when it is not declared. */
  find(bytes: Uint8Array, start: number, end: number, lo: number): number {
    const mask = this.places.length - 1;
    for (let place = lo & mask; this.places[place] !== 0; place = (place + 1) & mask) {
      const i = this.places[place] - 1;
      if (sameBytes(this.names[i], bytes, start, end)) return i;
    }
    return -1;
  }
}

/** True when bytes [start, end) are all of `name`. */
export function sameBytes(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}

const codecs = new WeakMap<Tenant, TenantCodec>();
let lastTenant: Tenant | null = null;
let lastCodec: TenantCodec | null = null;

/** The codec of a tenant; the same object as last time costs one comparison. */
export function codecOf(tenant: Tenant): TenantCodec {
  if (tenant === lastTenant && lastCodec !== null) return lastCodec;
  let codec = codecs.get(tenant);
  if (codec === undefined) {
    codec = new TenantCodec(tenant);
    codecs.set(tenant, codec);
  }
  lastTenant = tenant;
  lastCodec = codec;
  return codec;
}
