/** A program without fraud in it, for tests of the runtime alone: accepts every row and decides nothing. */
import { LOCATION_NONE, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import type { Sealer } from "../../proto/frame/rows_writer.ts";
import { ACCEPTED, type Decider, type ShardActors } from "../program.ts";

/** Bytes of a message that submits one row. */
const MESSAGE = new Uint8Array(64);

/** Sections of no bytes; all tenants are "a". */
export const PLAIN_SEALER: Sealer = {
  seal: (_block, _rows, _n, _tenant, _out, at) => at,
  tenantId: () => new Uint8Array([97]),
};

/** Ids given out: no payment is another one's repeat. */
let ids = 0;

export function plainDecider(over: Partial<Decider> = {}): Decider {
  const shape = {
    columns: 4,
    merchant_at: 0,
    merchant_columns: 2,
    merchant_columns_2: 2,
    merchant_window_columns: 2,
    stats: 1,
    device_at: 2,
    device_columns: 2,
    device_columns_2: 2,
  };
  return {
    shape,
    acquire: () => {
      const memory = new ArrayBuffer(2048 * shape.columns * 4);
      return { values: new Float32Array(memory), bits: new Uint32Array(memory) };
    },
    release: () => {},
    paymentColumns: () => {},
    score: async () => true,
    decide: () => {},
    versions: () => ({ model: "m", rule_set: "r" }),
    versionNames: () => ({ model: "m", rule_set: "r" }),
    versionIndex: () => 0,
    ...over,
  };
}

export function plainActors(over: Partial<ShardActors> = {}): ShardActors {
  const sizes = { users: 0, activeUsers: 0, events: 0, entities: 0, entityEvents: 0, bytes: {} };
  const actors: Partial<ShardActors> = {
    accept: () => ACCEPTED,
    readAhead: () => {},
    recall: () => null,
    passivate: () => {},
    foldMerchant: () => false,
    pendMerchant: () => {},
    foldInbox: () => {},
    readDevice: () => false,
    abandon: () => {},
    settle: () => {},
    findFrame: () => 0,
    sizes: () => sizes,
    ...over,
  };
  return actors as ShardActors;
}

/** What a mailbox or a router takes. */
interface Rows {
  open(rows: number, bytes: number): RowBlock | null;
  submit(
    b: RowBlock,
    n: number,
    bytes: Uint8Array,
    sink: { done(b: RowBlock, start: number, count: number): void },
  ): void;
}

/**
 * Submits one message with a payment for each of `shards`, whose users and merchants live there; `answered` is told
 * their errors.
 */
export function submitPayments(
  to: Rows,
  shards: readonly number[],
  answered: (errors: number[]) => void,
  amountMinor = 1,
): void {
  const b = to.open(shards.length, MESSAGE.length);
  if (b === null) throw new Error("no room for the rows of a test");
  shards.forEach((shard, i) => {
    const r = b.n + i;
    b.kind[r] = ROW_PAYMENT;
    b.shard[r] = shard;
    b.user.hi[r] = shard;
    b.merchant.hi[r] = shard;
    b.device.hi[r] = 0;
    b.device.lo[r] = 0;
    b.id.lo[r] = ++ids;
    b.amountMinor[r] = amountMinor;
    b.amountBase[r] = 1;
    b.eventTimeUs[r] = 1e15 + r;
    b.latitudeE6[r] = LOCATION_NONE;
    b.longitudeE6[r] = LOCATION_NONE;
    b.error[r] = 0;
  });
  const done = (block: RowBlock, start: number, count: number): void =>
    answered(Array.from(block.error.subarray(start, start + count)));
  to.submit(b, shards.length, MESSAGE, { done });
}
