/**
 * The columns of one tick: what a gateway decodes into, what shards read and answer in.
 *
 * A block is a fixed set of typed arrays, reused for ever. Row `r` is one payment, outcome or event. Strings never
 * enter: identifiers are keyed 64-bit hashes (hi, lo), names are 32-bit hashes of their bytes (`hash32`), and the raw
 * bytes stay where they came in (`batches[batch[r]].bytes`), reachable by offset for replies and the sealed section of
 * a frame.
 */

/** Rows a block holds; also the largest tick. Units: rows. */
export const BLOCK_ROWS = 2048;
/** Numeric attributes of a payment that a registry entry may read as features. */
export const ATTRIBUTE_SLOTS = 4;
/** Feature reasons kept for a row that is not allowed. */
export const REASON_SLOTS = 3;

export const ROW_PAYMENT = 0;
export const ROW_OUTCOME = 1;
export const ROW_EVENT = 2;
/** A payment of the past: folded like a payment, never scored or decided. */
export const ROW_HISTORY = 3;

/** Payments and payments of the past: what windows are made of. */
export function isPayment(kind: number): boolean {
  return kind === ROW_PAYMENT || kind === ROW_HISTORY;
}

/** Raw fields kept by offset; the order is the order of the sealed section. */
export const RAW_TRANSACTION = 0;
export const RAW_USER = 1;
export const RAW_MERCHANT = 2;
export const RAW_CARD = 3;
export const RAW_DEVICE = 4;
export const RAW_IP = 5;
export const RAW_PAYEE = 6;
/** The whole message as it came; kept only when it holds attributes. */
export const RAW_MESSAGE = 7;
export const RAW_FIELDS = 8;

/** Bits of `degraded`. */
export const DEGRADED_MODEL = 1;
export const DEGRADED_ENTITY = 2;
export const DEGRADED_FX = 4;

/** Bits of `flags`. */
export const FLAG_REPEATED = 1;
/** Beyond the late tolerance: decided with `late_event`, in no window. */
export const FLAG_LATE = 2;
/** An outcome that changed the standing one; an event that was new. */
export const FLAG_APPLIED = 4;
/** An outcome whose payment is still held. */
export const FLAG_HELD = 8;
/** The answer is the tenant's stand-in, never journaled. */
export const FLAG_PROVISIONAL = 16;
/** A magic test card forced the outcome. */
export const FLAG_TEST_CARD = 32;

/** Values of `labelAction`. */
export const LABEL_NONE = 0;
export const LABEL_FRAUD = 1;
export const LABEL_CLEAR = 2;
export const LABEL_REVERSAL = 3;

/**
 * Inside a cluster only, in the `error` column: the shard is served by another node, and the row was not accepted here.
 * The router asks its owner.
 */
export const ERROR_NOT_OWNER = 250;

/** A 64-bit keyed hash in two columns; (0, 0) means absent. */
export interface KeyColumn {
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
}

/** Who waits for a run of rows. */
export interface BatchSink {
  /** Called exactly once, when each row has its result in the block: rows start .. start + count. */
  done(block: RowBlock, start: number, count: number): void;
}

/** One message's rows in a block. */
export interface Batch {
  bytes: Uint8Array;
  start: number;
  count: number;
  /** Rows not yet answered. */
  pending: number;
  sink: BatchSink | null;
}

function keys(): KeyColumn {
  return { hi: new Uint32Array(BLOCK_ROWS), lo: new Uint32Array(BLOCK_ROWS) };
}

export class RowBlock {
  /** Rows written. */
  n = 0;
  /** Batches in it; the array is reused, `batchCount` says how many are live. */
  readonly batches: Batch[] = [];
  batchCount = 0;
  /** Monotonic time when the first row came, microseconds. */
  openedUs = 0;

  // What came in.
  readonly kind = new Uint8Array(BLOCK_ROWS);
  readonly batch = new Uint16Array(BLOCK_ROWS);
  /** ErrorCode of a row refused at decode; 0 lets it in. Later also the code of a row refused by its shard. */
  readonly error = new Uint8Array(BLOCK_ROWS);
  /** Field number (of the proto message) at fault, 0 for none. */
  readonly errorField = new Uint8Array(BLOCK_ROWS);
  /** Index of the tenant on this node. */
  readonly tenant = new Uint16Array(BLOCK_ROWS);
  readonly shard = new Uint8Array(BLOCK_ROWS);
  readonly user = keys();
  readonly merchant = keys();
  readonly card = keys();
  readonly device = keys();
  readonly ip = keys();
  readonly payee = keys();
  /** Keyed hash of the transaction or event id. */
  readonly id = keys();
  /** Keyed hash of the attributes, (0, 0) without any. */
  readonly attributesHash = keys();
  /** Microseconds since 1970-01-01 UTC. */
  readonly eventTimeUs = new Float64Array(BLOCK_ROWS);
  /** Minor units of the row's currency. */
  readonly amountMinor = new Float64Array(BLOCK_ROWS);
  /** Minor units of the tenant's base currency, an integer; NaN when no rate is known (degraded: fx). */
  readonly amountBase = new Float64Array(BLOCK_ROWS);
  /** ISO 4217 letters packed: ((c0 - 65) * 26 + (c1 - 65)) * 26 + (c2 - 65). */
  readonly currency = new Uint16Array(BLOCK_ROWS);
  /** ISO 3166 letters packed: 1 + (c0 - 65) * 26 + (c1 - 65); 0 without. */
  readonly country = new Uint16Array(BLOCK_ROWS);
  /** hash32 of the channel's bytes; 0 without. */
  readonly channel = new Uint32Array(BLOCK_ROWS);
  /** hash32 of the category's bytes; 0 without. */
  readonly category = new Uint32Array(BLOCK_ROWS);
  /** PaymentStatus, or OutcomeKind / EventKind for the other kinds. */
  readonly code = new Uint8Array(BLOCK_ROWS);
  /** Revision of an outcome. */
  readonly revision = new Uint16Array(BLOCK_ROWS);
  /** 1: a retracted outcome. */
  readonly retracted = new Uint8Array(BLOCK_ROWS);
  /** Degrees * 1e6, rounded; LOCATION_NONE without. */
  readonly latitudeE6 = new Int32Array(BLOCK_ROWS);
  readonly longitudeE6 = new Int32Array(BLOCK_ROWS);
  /** ATTRIBUTE_SLOTS numbers a row; NaN without. */
  readonly attributes = new Float64Array(BLOCK_ROWS * ATTRIBUTE_SLOTS);
  /** Offsets into the batch's bytes: RAW_FIELDS starts and lengths a row. */
  readonly rawStart = new Uint32Array(BLOCK_ROWS * RAW_FIELDS);
  readonly rawLength = new Uint32Array(BLOCK_ROWS * RAW_FIELDS);

  // What is answered.
  readonly score = new Float32Array(BLOCK_ROWS);
  readonly outcome = new Uint8Array(BLOCK_ROWS);
  readonly degraded = new Uint8Array(BLOCK_ROWS);
  readonly flags = new Uint8Array(BLOCK_ROWS);
  /** Bit i of (hi, lo): rule i of the rule set fired. */
  readonly rules = keys();
  /** Feature numbers + 1 that drove the score, strongest first; 0 ends the list. */
  readonly reasonFeature = new Uint8Array(BLOCK_ROWS * REASON_SLOTS);
  /** Their contributions to the margin, log-odds. */
  readonly reasonWeight = new Float32Array(BLOCK_ROWS * REASON_SLOTS);
  /** Index into the node's table of versions (model, rule set). */
  readonly version = new Uint16Array(BLOCK_ROWS);
  /**
   * Of an outcome row, set by its user's shard: event time of the payment it is about, and what its merchant must
   * do.
   */
  readonly paymentTimeUs = new Float64Array(BLOCK_ROWS);
  readonly labelAction = new Uint8Array(BLOCK_ROWS);
  /** 1: a payment far above what is usual for its user, who says so to its merchant. Set by its user's shard. */
  readonly unusual = new Uint8Array(BLOCK_ROWS);
  /** Standing revision of an outcome. */
  readonly standing = new Uint16Array(BLOCK_ROWS);
  /** Stages of the tick, microseconds: queue, features, inference, rules, journal. */
  readonly stagesUs = new Uint32Array(5);

  /** Empties the block for its next tick. */
  reset(): void {
    this.n = 0;
    for (let i = 0; i < this.batchCount; i++) {
      const b = this.batches[i];
      b.sink = null;
      b.bytes = EMPTY;
    }
    this.batchCount = 0;
  }

  /** Adds a batch record for rows [start, start + count) and sets n; allocates only while the block is young. */
  addBatch(bytes: Uint8Array, start: number, count: number, sink: BatchSink): void {
    const i = this.batchCount++;
    let b = this.batches[i];
    if (b === undefined) {
      b = { bytes, start, count, pending: count, sink };
      this.batches.push(b);
    } else {
      b.bytes = bytes;
      b.start = start;
      b.count = count;
      b.pending = count;
      b.sink = sink;
    }
    for (let r = start; r < start + count; r++) this.batch[r] = i;
    this.n = start + count;
  }
}

/** Latitude and longitude of a row without a location. */
export const LOCATION_NONE = 0x7fffffff;
const EMPTY = new Uint8Array(0);

/** Every row of a block, in order: the list of rows of whoever means all. Never written to. */
export const ALL_ROWS = Uint16Array.from({ length: BLOCK_ROWS }, (_, r) => r);

/** Whether row r changes its merchant's state: a payment, or an outcome that labels one. */
export function concernsMerchant(b: RowBlock, r: number): boolean {
  const kind = b.kind[r];
  return isPayment(kind) || (kind === ROW_OUTCOME && b.labelAction[r] !== LABEL_NONE);
}

export function hasDevice(b: RowBlock, r: number): boolean {
  return (b.device.hi[r] | b.device.lo[r]) !== 0;
}

/** Copies what was decided of row `from[i]` to row `to[r]`: all of the decision but its version. */
export function copyDecided(from: RowBlock, i: number, to: RowBlock, r: number): void {
  to.score[r] = from.score[i];
  to.outcome[r] = from.outcome[i];
  to.degraded[r] = from.degraded[i];
  to.flags[r] = from.flags[i];
  to.rules.hi[r] = from.rules.hi[i];
  to.rules.lo[r] = from.rules.lo[i];
  for (let k = 0; k < REASON_SLOTS; k++) {
    to.reasonFeature[r * REASON_SLOTS + k] = from.reasonFeature[i * REASON_SLOTS + k];
    to.reasonWeight[r * REASON_SLOTS + k] = from.reasonWeight[i * REASON_SLOTS + k];
  }
}

/** Rules a rule set may hold: two 32-bit words of `rules`. */
export const RULES_MAX = 64;

/** FNV-1a over bytes [start, end), never 0: the code of a name (channel, category) in a column or a compiled rule. */
export function hash32(bytes: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  return h >>> 0 || 1;
}

/** Packs an ISO 3166 code as in the `country` column. */
export function packCountry(code: string): number {
  return 1 + (code.charCodeAt(0) - 65) * 26 + (code.charCodeAt(1) - 65);
}

/** Packs an ISO 4217 code as in the `currency` column. */
export function packCurrency(code: string): number {
  return ((code.charCodeAt(0) - 65) * 26 + (code.charCodeAt(1) - 65)) * 26 + (code.charCodeAt(2) - 65);
}
