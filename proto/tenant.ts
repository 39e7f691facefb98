/** What the data plane knows of a tenant: plain data, made by identity at start, read by gateways and actors. */

export type AttributeType = "number" | "string" | "bool";

export interface AttributeDeclaration {
  readonly name: string;
  readonly type: AttributeType;
  /** 0..ATTRIBUTE_SLOTS - 1 makes a number or bool a feature (`attribute_<slot + 1>`); -1 does not. */
  readonly slot: number;
}

export interface Tenant {
  /** Position on this node, the value of the `tenant` column. */
  readonly index: number;
  readonly id: string;
  /** Secret 64-bit key of the keyed hashes, as two unsigned 32-bit words. Never logged. */
  readonly hash_key: readonly [number, number];
  /** Secret 256-bit key (AES-256-GCM) of the sealed sections. Never logged. */
  readonly seal_key: Uint8Array;
  readonly base_currency: string;
  /** Name of the rate table that `rates` was made from. */
  readonly rates_version: string;
  /** By packed currency (17,576 entries): base minor units for one minor unit of that currency; NaN without a rate. */
  readonly rates: Float64Array;
  readonly attributes: ReadonlyMap<string, AttributeDeclaration>;
  /** Outcome number answered as PROVISIONAL at the deadline, or 0: UNAVAILABLE with outcome_unknown. */
  readonly stand_in_outcome: number;
  /** Deadline of a call that names none, milliseconds. */
  readonly deadline_ms: number;
  /** Magic test cards force outcomes (demo and test tenants only). */
  readonly magic_cards: boolean;
}

/** This node's number of a tenant that a journal names; throws for one that the tenants file does not have. */
export function tenantIndex(tenants: readonly Tenant[]): (id: string) => number {
  const index = new Map(tenants.map((t) => [t.id, t.index]));
  return (id) => {
    const i = index.get(id);
    if (i === undefined) throw new Error(`the journal names tenant ${id}, which the tenants file does not have`);
    return i;
  };
}
