/**
 * Layout of the body of a rows frame (kind 1), shared by the writer and the reader.
 *
 * Little endian, columns one after another, each with one entry for every row that has the field (presence bits), in
 * row order: counts and versions, tenant and template dictionaries, fixed columns, optional columns, entity columns of
 * other shards, sealed sections, inbox. About 75 bytes a payment, 80 more for a merchant of another shard, and the
 * sealed text.
 *
 * Format 2 differs from format 1 in three places: a sealed section begins with its random nonce (sealer.ts); a row
 * names its template by one byte where there are at most NARROW_TEMPLATES_MAX; inbox rows tell their time as an offset
 * from the earliest (f64 in front of the rows), and times and whole amounts below 2^32 in four bytes instead of eight.
 *
 * Format 3 puts in front of the entity columns how many a merchant and a device have (u16, u16), so that frames are
 * read whatever the features were. Up to format 2 they are MatrixShape.merchant_columns_2 and device_columns_2. And it
 * has one presence bit more, UNUSUAL.
 */

/** Templates of a frame that a row names by one byte. */
export const NARROW_TEMPLATES_MAX = 256;

/** Bits of an inbox row's first byte, format 2: kind, flag, and what is wide or new. */
export const INBOX_KIND = 7;
export const INBOX_FLAG_AT = 3;
export const INBOX_FLAG = 3;
export const INBOX_WIDE_TIME = 32;
export const INBOX_WIDE_AMOUNT = 64;
/** Source and frame follow; else they are those of the row before. */
export const INBOX_NEXT_FRAME = 128;

/** Presence bits of a row. */
export const HAS_MERCHANT = 1;
export const HAS_CARD = 2;
export const HAS_DEVICE = 4;
export const HAS_IP = 8;
export const HAS_PAYEE = 16;
export const HAS_LOCATION = 32;
export const HAS_ATTRIBUTES = 64;
export const HAS_RULES = 128;
export const HAS_REASONS = 256;
/** The base amount is not the amount (another currency, or no rate). */
export const HAS_BASE = 512;
/** Flags, revision, retracted, standing: outcomes, events and late payments. */
export const HAS_EXTRA = 1024;
/** Merchant columns came from another shard and are recorded. */
export const HAS_MERCHANT_COLUMNS = 2048;
/** Device columns came from another shard and are recorded. */
export const HAS_DEVICE_COLUMNS = 4096;
/** Time differs from the base by 2^32 us or more, or lies before it. */
export const WIDE_TIME = 8192;
/** Amount of 2^32 or more. */
export const WIDE_AMOUNT = 16384;

/** Format 3: a payment far above what is usual for its user. */
export const UNUSUAL = 32768;

/** Kinds of inbox rows. */
export const INBOX_MERCHANT_PAYMENT = 0;
export const INBOX_MERCHANT_LABEL = 1;
export const INBOX_MERCHANT_REVERSAL = 2;
export const INBOX_DEVICE_EVENT = 3;

/** What a frame says beside its rows. */
export interface FrameFacts {
  model_version: string;
  rule_set_version: string;
  rates_version: string;
  /** Hash of the feature registry: a replay checks the matrix only where it is the same. */
  features_version: string;
}

/** `larger`, with what the column held in front: how growable columns grow. */
export function grown<T extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(column: T, larger: T): T {
  larger.set(column);
  return larger;
}

/** Committed rows of other shards, in the order they are folded. Growable columns. */
export class InboxRows {
  n = 0;
  source = new Uint16Array(64);
  frame = new Float64Array(64);
  kind = new Uint8Array(64);
  /** Key of the entity. */
  hi = new Uint32Array(64);
  lo = new Uint32Array(64);
  /** Key of the counterparty (the user). */
  userHi = new Uint32Array(64);
  userLo = new Uint32Array(64);
  timeUs = new Float64Array(64);
  amount = new Float64Array(64);
  /** Of a label what is said, a LABEL_ value; of a payment 1: it was unusual for its user. */
  flag = new Uint8Array(64);

  /** Index of a new row; the caller fills it. */
  add(): number {
    if (this.n === this.hi.length) this.#grow(this.n * 2);
    return this.n++;
  }

  copyRow(from: InboxRows, i: number): void {
    const j = this.add();
    this.source[j] = from.source[i];
    this.frame[j] = from.frame[i];
    this.kind[j] = from.kind[i];
    this.hi[j] = from.hi[i];
    this.lo[j] = from.lo[i];
    this.userHi[j] = from.userHi[i];
    this.userLo[j] = from.userLo[i];
    this.timeUs[j] = from.timeUs[i];
    this.amount[j] = from.amount[i];
    this.flag[j] = from.flag[i];
  }

  /** Forgets the first `rows` rows. */
  dropFront(rows: number): void {
    const columns = [this.source, this.frame, this.kind, this.hi, this.lo, this.userHi, this.userLo, this.timeUs];
    for (const column of [...columns, this.amount, this.flag]) column.copyWithin(0, rows, this.n);
    this.n -= rows;
  }

  #grow(size: number): void {
    this.source = grown(this.source, new Uint16Array(size));
    this.frame = grown(this.frame, new Float64Array(size));
    this.kind = grown(this.kind, new Uint8Array(size));
    this.hi = grown(this.hi, new Uint32Array(size));
    this.lo = grown(this.lo, new Uint32Array(size));
    this.userHi = grown(this.userHi, new Uint32Array(size));
    this.userLo = grown(this.userLo, new Uint32Array(size));
    this.timeUs = grown(this.timeUs, new Float64Array(size));
    this.amount = grown(this.amount, new Float64Array(size));
    this.flag = grown(this.flag, new Uint8Array(size));
  }
}

const words = new Uint32Array(1);
const float = new Float32Array(words.buffer);

/** Bits of a float32 with one pattern for every NaN, so that two engines agree. */
export function floatBits(v: number): number {
  float[0] = v;
  const w = words[0];
  return (w & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : w;
}

/** Value of float32 bits. */
export function bitsFloat(w: number): number {
  words[0] = w;
  return float[0];
}

/**
 * Checksum of one row of the feature matrix, chained: 32 bits, a multiply-xorshift mix over the float32 bits with one
 * NaN pattern. It guards replays against drift, not against an adversary (the frame's SHA-256 chain does).
 * @param bits the matrix seen as Uint32Array
 */
export function matrixChecksum(bits: Uint32Array, from: number, to: number, seed: number): number {
  let h = seed | 0;
  for (let i = from; i < to; i++) {
    let w = bits[i];
    if ((w & 0x7fffffff) > 0x7f800000) w = 0x7fc00000;
    h = Math.imul(h ^ w, 0x9e3779b1);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

/**
 * Prediction of an entity column from those before it, so that repeated values cost one bit: a window's statistic is
 * taken as the shorter window's, a mean as sum / count, anything else as zero.
 */
export function predictColumn(m: Float32Array, at: number, c: number, windowColumns: number, stats: number): number {
  if (c >= windowColumns) return 0;
  const s = c % stats;
  if (s === 2) {
    const n = m[at + c - 2];
    return n > 0 ? Math.fround(m[at + c - 1] / n) : Number.NaN;
  }
  return c >= stats ? m[at + c - stats] : s === 0 || s === 5 ? 1 : Number.NaN;
}
