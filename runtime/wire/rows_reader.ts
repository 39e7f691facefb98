/** Reads a rows frame (layout: rows_layout.ts) into a block, as a gateway's decoder would have left the rows there. */
import {
  ATTRIBUTE_SLOTS,
  BLOCK_ROWS,
  DEGRADED_FX,
  isPayment,
  type KeyColumn,
  LABEL_NONE,
  LOCATION_NONE,
  RAW_FIELDS,
  RAW_MESSAGE,
  REASON_SLOTS,
  ROW_HISTORY,
  type RowBlock,
} from "../../proto/columns.ts";
import type { ByteReader } from "../kernel/bytes.ts";
import * as L from "./rows_layout.ts";
import { decoding, readText, SHARDS_MAX, WireDamaged } from "./wire_head.ts";

const CURRENCY_END = 26 ** 3;
const COUNTRY_END = 1 + 26 ** 2;

/** Presence bits of the frame under way. */
const presence = new Uint16Array(BLOCK_ROWS);

export interface RowsHead {
  readonly from: string;
  /** The sender's number of this request. */
  readonly request: number;
  readonly rows: number;
  /** Ids, in the order of the frame's dictionary. */
  readonly tenants: readonly string[];
}

/** Reads what stands before the columns. Throws WireDamaged. */
export function readRowsHead(reader: ByteReader, from: string): RowsHead {
  return decoding(() => {
    const request = reader.varint();
    const rows = reader.u16();
    if (rows === 0 || rows > BLOCK_ROWS) throw new WireDamaged(`${rows} rows, allowed 1..${BLOCK_ROWS}`);
    const count = reader.u16();
    if (count === 0 || count > rows) throw new WireDamaged(`${count} tenants of ${rows} rows`);
    const tenants: string[] = [];
    for (let i = 0; i < count; i++) tenants.push(readText(reader, 1));
    return { from, request, rows, tenants };
  });
}

/**
 * Fills rows [first, first + head.rows) of the block, and no others: what came in, `error` and `errorField` 0, what is
 * answered as the gateway's decoder leaves it. Raw texts are offsets into the whole frame, the bytes of its batch.
 * @param reader the frame's, behind readRowsHead
 * @param tenantIndex this node's number of a tenant's id; throws when it does not know it
 * @throws WireDamaged; rows from `first` on may then hold anything. RangeError when the block has no room.
 */
export function readRows(
  reader: ByteReader,
  head: RowsHead,
  b: RowBlock,
  first: number,
  tenantIndex: (id: string) => number,
): void {
  const n = head.rows;
  if (first + n > BLOCK_ROWS) throw new RangeError(`no room for ${n} rows at ${first}`);
  const tenants = head.tenants.map((id) => indexOf(id, tenantIndex));
  decoding(() => {
    const v = reader.numbers;
    let at = reader.take(L.PRESENCE_BYTES * n);
    let bytes = (L.FIXED_BYTES - L.PRESENCE_BYTES) * n;
    for (let i = 0; i < n; i++) {
      const p = v.getUint16(at + L.PRESENCE_BYTES * i, true);
      if (p >= L.PRESENCE_END) throw new WireDamaged(`presence bits ${p} of row ${i}`);
      presence[i] = p;
      bytes += L.OPTIONAL_BYTES[p];
    }
    // From here on all columns are known to lie within the frame.
    at = reader.take(bytes);
    at = readNames(v, at, b, first, n, tenants);
    at = readNumbers(v, at, b, first, n);
    at = readOptional(v, at, b, first, n);
    readRaw(v, at, b, first, n, reader.offset, reader.end);
    reader.offset = reader.end;
  });
  emptyAnswers(b, first, first + n);
}

function indexOf(id: string, tenantIndex: (id: string) => number): number {
  let index: number;
  try {
    index = tenantIndex(id);
  } catch (e) {
    throw new WireDamaged(`unknown tenant ${id}`, { cause: e });
  }
  if (!(Number.isInteger(index) && index >= 0 && index <= 0xffff)) throw new WireDamaged(`unknown tenant ${id}`);
  return index;
}

/** This and the next few read from offset `at` on and return where they end. */
function readNames(v: DataView, at: number, b: RowBlock, first: number, n: number, tenants: readonly number[]): number {
  let p = at;
  for (let i = 0, r = first; i < n; i++, r++, p += 5) {
    const tenant = v.getUint16(p, true);
    const kind = v.getUint8(p + 2);
    const shard = v.getUint8(p + 3);
    if (tenant >= tenants.length || kind > ROW_HISTORY || shard >= SHARDS_MAX) {
      throw new WireDamaged(`row ${i} has tenant ${tenant}, kind ${kind}, shard ${shard}`);
    }
    b.tenant[r] = tenants[tenant];
    b.kind[r] = kind;
    b.shard[r] = shard;
    b.code[r] = v.getUint8(p + 4);
  }
  for (let i = 0, r = first; i < n; i++, r++, p += 12) {
    const currency = v.getUint16(p, true);
    const country = v.getUint16(p + 2, true);
    if (currency >= CURRENCY_END || country >= COUNTRY_END) {
      throw new WireDamaged(`row ${i} has currency ${currency}, country ${country}`);
    }
    b.currency[r] = currency;
    b.country[r] = country;
    b.channel[r] = v.getUint32(p + 4, true);
    b.category[r] = v.getUint32(p + 8, true);
  }
  return p;
}

function readNumbers(v: DataView, at: number, b: RowBlock, first: number, n: number): number {
  const { user, id } = b;
  let p = at;
  for (let i = 0, r = first; i < n; i++, r++, p += 16) {
    user.lo[r] = v.getUint32(p, true);
    user.hi[r] = v.getUint32(p + 4, true);
    id.lo[r] = v.getUint32(p + 8, true);
    id.hi[r] = v.getUint32(p + 12, true);
  }
  for (let i = 0, r = first; i < n; i++, r++, p += 16) {
    const time = v.getFloat64(p, true);
    const amount = v.getFloat64(p + 8, true);
    if (!Number.isSafeInteger(time) || !Number.isSafeInteger(amount)) {
      throw new WireDamaged(`row ${i} has time ${time}, amount ${amount}`);
    }
    b.eventTimeUs[r] = time;
    b.amountMinor[r] = amount;
    b.amountBase[r] = amount;
  }
  return p;
}

function readOptional(v: DataView, at: number, b: RowBlock, first: number, n: number): number {
  let p = at;
  p = readKeys(v, p, b.merchant, L.HAS_MERCHANT, first, n);
  p = readKeys(v, p, b.card, L.HAS_CARD, first, n);
  p = readKeys(v, p, b.device, L.HAS_DEVICE, first, n);
  p = readKeys(v, p, b.ip, L.HAS_IP, first, n);
  p = readKeys(v, p, b.payee, L.HAS_PAYEE, first, n);
  p = readKeys(v, p, b.attributesHash, L.HAS_ATTRIBUTES_HASH, first, n);
  b.attributes.fill(Number.NaN, first * ATTRIBUTE_SLOTS, (first + n) * ATTRIBUTE_SLOTS);
  b.latitudeE6.fill(LOCATION_NONE, first, first + n);
  b.longitudeE6.fill(LOCATION_NONE, first, first + n);
  b.revision.fill(0, first, first + n);
  b.retracted.fill(0, first, first + n);
  for (let i = 0, r = first; i < n; i++, r++) {
    const has = presence[i];
    if ((has & L.HAS_LOCATION) !== 0) {
      b.latitudeE6[r] = v.getInt32(p, true);
      b.longitudeE6[r] = v.getInt32(p + 4, true);
      p += 8;
    }
    if ((has & L.HAS_BASE) !== 0) {
      const base = v.getFloat64(p, true);
      if (!Number.isNaN(base) && !Number.isSafeInteger(base)) throw new WireDamaged(`row ${i} has base amount ${base}`);
      b.amountBase[r] = base;
      p += 8;
    }
    if ((has & L.HAS_ATTRIBUTES) !== 0) {
      const to = r * ATTRIBUTE_SLOTS;
      for (let k = 0; k < ATTRIBUTE_SLOTS; k++, p += 8) b.attributes[to + k] = v.getFloat64(p, true);
    }
    if ((has & L.HAS_REVISION) !== 0) {
      const retracted = v.getUint8(p + 2);
      if (retracted > 1) throw new WireDamaged(`row ${i} has retracted ${retracted}`);
      b.revision[r] = v.getUint16(p, true);
      b.retracted[r] = retracted;
      p += 3;
    }
  }
  return p;
}

function readKeys(v: DataView, at: number, column: KeyColumn, bit: number, first: number, n: number): number {
  const { hi, lo } = column;
  let p = at;
  for (let i = 0, r = first; i < n; i++, r++) {
    if ((presence[i] & bit) === 0) {
      hi[r] = 0;
      lo[r] = 0;
      continue;
    }
    lo[r] = v.getUint32(p, true);
    hi[r] = v.getUint32(p + 4, true);
    p += 8;
  }
  return p;
}

/** @param texts where the raw bytes begin; they end the frame at `end` */
function readRaw(v: DataView, at: number, b: RowBlock, first: number, n: number, texts: number, end: number): void {
  const { rawStart, rawLength } = b;
  let p = at;
  let text = texts;
  for (let i = 0; i < n; i++) {
    const has = presence[i];
    const isWide = (has & L.WIDE_RAW) !== 0;
    const message = (first + i) * RAW_FIELDS + RAW_MESSAGE;
    for (let k = message - RAW_MESSAGE; k < message; k++) {
      const length = isWide ? v.getUint32(p, true) : v.getUint8(p);
      p += isWide ? 4 : 1;
      rawStart[k] = length === 0 ? 0 : text;
      rawLength[k] = length;
      text += length;
    }
    const hasMessage = (has & L.HAS_MESSAGE) !== 0;
    const length = hasMessage ? v.getUint32(p, true) : 0;
    if (hasMessage) p += 4;
    rawStart[message] = length === 0 ? 0 : text;
    rawLength[message] = length;
    text += length;
  }
  if (text !== end) throw new WireDamaged(`the texts end at ${text}, the frame at ${end}`);
}

/** The columns of the answer, as a decoder leaves them: actors count on it, and blocks are reused. */
function emptyAnswers(b: RowBlock, first: number, end: number): void {
  b.error.fill(0, first, end);
  b.errorField.fill(0, first, end);
  b.score.fill(Number.NaN, first, end);
  b.outcome.fill(0, first, end);
  b.flags.fill(0, first, end);
  b.rules.hi.fill(0, first, end);
  b.rules.lo.fill(0, first, end);
  b.reasonFeature.fill(0, first * REASON_SLOTS, end * REASON_SLOTS);
  b.reasonWeight.fill(0, first * REASON_SLOTS, end * REASON_SLOTS);
  b.version.fill(0, first, end);
  b.paymentTimeUs.fill(0, first, end);
  b.labelAction.fill(LABEL_NONE, first, end);
  b.unusual.fill(0, first, end);
  b.standing.fill(0, first, end);
  for (let r = first; r < end; r++) {
    b.degraded[r] = isPayment(b.kind[r]) && Number.isNaN(b.amountBase[r]) ? DEGRADED_FX : 0;
  }
}
