/**
 * Rows on their way from a gateway to the node that owns their shards: what came in, as columns, and the raw texts.
 * Layout: rows_layout.ts; the way back into a block: rows_reader.ts. All of it is hot: no object, closure or string a
 * row.
 */
import {
  ATTRIBUTE_SLOTS,
  BLOCK_ROWS,
  type KeyColumn,
  LOCATION_NONE,
  RAW_FIELDS,
  RAW_MESSAGE,
  type RowBlock,
} from "../../proto/columns.ts";
import { ByteWriter } from "../kernel/bytes.ts";
import { WIRE_BYTES_MAX } from "../ports.ts";
import * as L from "./rows_layout.ts";
import { finished, HEAD_BYTES, VARINT_BYTES, WIRE_ROWS, writeHead, writeText } from "./wire_head.ts";

export { readRows, readRowsHead } from "./rows_reader.ts";

/** Request, counts and head. */
const FRAME_BYTES = HEAD_BYTES + VARINT_BYTES + 4;
/** A tenant's id with its length. */
const TENANT_BYTES = 256;

// Scratch of the frame under way.
const presence = new Uint16Array(BLOCK_ROWS);
const position = new Uint16Array(BLOCK_ROWS);
/** Place of each tenant of this node in the frame's dictionary. */
const positions = new Map<number, number>();

/** How many of rows[from..n) of the block fit into one frame, at least 1. */
export function rowsFitting(b: RowBlock, rows: Uint16Array, from: number, n: number): number {
  let left = WIRE_BYTES_MAX - FRAME_BYTES;
  let last = -1;
  positions.clear();
  for (let i = from; i < n; i++) {
    const r = rows[i];
    left -= rowBytes(b, r, presenceOf(b, r));
    const tenant = b.tenant[r];
    if (tenant !== last && !positions.has(tenant)) {
      positions.set(tenant, 0);
      left -= TENANT_BYTES;
    }
    last = tenant;
    if (left < 0) return Math.max(1, i - from);
  }
  return n - from;
}

/**
 * A frame with rows[0..n) of the block: what came in, but `error`, `errorField` and `batch`.
 * @param request the sender's number of it, below 2^53
 * @param tenantId id of a tenant of this node, 1..255 bytes
 * @throws RangeError when n is not 1..BLOCK_ROWS or the rows do not fit (rowsFitting tells how many do)
 */
export function writeRows(
  b: RowBlock,
  rows: Uint16Array,
  n: number,
  from: string,
  request: number,
  tenantId: (index: number) => string,
): Uint8Array {
  if (!(n >= 1 && n <= BLOCK_ROWS)) throw new RangeError(`${n} rows, allowed 1..${BLOCK_ROWS}`);
  let bytes = 0;
  for (let i = 0; i < n; i++) {
    const p = presenceOf(b, rows[i]);
    presence[i] = p;
    bytes += rowBytes(b, rows[i], p);
  }
  findTenants(b, rows, n);
  const w = new ByteWriter(FRAME_BYTES + positions.size * TENANT_BYTES + bytes);
  writeHead(w, WIRE_ROWS, from);
  w.varint(request);
  w.u16(n);
  w.u16(positions.size);
  for (const index of positions.keys()) writeText(w, tenantId(index), 1);
  let at = w.take(bytes);
  at = writeFixed(w.numbers, at, b, rows, n);
  at = writeOptional(w.numbers, at, b, rows, n);
  at = writeLengths(w.numbers, at, b, rows, n);
  at = writeTexts(w.memory, at, b, rows, n);
  if (at !== w.length) throw new Error(`the rows took ${at - w.length} bytes more than reckoned`);
  return finished(w);
}

function presenceOf(b: RowBlock, r: number): number {
  let p = 0;
  if ((b.merchant.hi[r] | b.merchant.lo[r]) !== 0) p |= L.HAS_MERCHANT;
  if ((b.card.hi[r] | b.card.lo[r]) !== 0) p |= L.HAS_CARD;
  if ((b.device.hi[r] | b.device.lo[r]) !== 0) p |= L.HAS_DEVICE;
  if ((b.ip.hi[r] | b.ip.lo[r]) !== 0) p |= L.HAS_IP;
  if ((b.payee.hi[r] | b.payee.lo[r]) !== 0) p |= L.HAS_PAYEE;
  if ((b.attributesHash.hi[r] | b.attributesHash.lo[r]) !== 0) p |= L.HAS_ATTRIBUTES_HASH;
  const slots = b.attributes;
  for (let i = r * ATTRIBUTE_SLOTS, end = i + ATTRIBUTE_SLOTS; i < end; i++) {
    if (!Number.isNaN(slots[i])) p |= L.HAS_ATTRIBUTES;
  }
  if (b.latitudeE6[r] !== LOCATION_NONE || b.longitudeE6[r] !== LOCATION_NONE) p |= L.HAS_LOCATION;
  if (b.amountBase[r] !== b.amountMinor[r]) p |= L.HAS_BASE;
  if ((b.revision[r] | b.retracted[r]) !== 0) p |= L.HAS_REVISION;
  const lengths = b.rawLength;
  const message = r * RAW_FIELDS + RAW_MESSAGE;
  let wide = 0;
  for (let i = r * RAW_FIELDS; i < message; i++) wide |= lengths[i];
  if (wide >>> 0 > 255) p |= L.WIDE_RAW;
  if (lengths[message] !== 0) p |= L.HAS_MESSAGE;
  return p;
}

function rowBytes(b: RowBlock, r: number, p: number): number {
  let bytes = L.FIXED_BYTES + L.OPTIONAL_BYTES[p];
  const lengths = b.rawLength;
  for (let i = r * RAW_FIELDS, end = i + RAW_FIELDS; i < end; i++) bytes += lengths[i];
  return bytes;
}

/** Fills `positions` and `position`. */
function findTenants(b: RowBlock, rows: Uint16Array, n: number): void {
  positions.clear();
  let last = -1;
  let place = 0;
  for (let i = 0; i < n; i++) {
    const tenant = b.tenant[rows[i]];
    if (tenant !== last) {
      place = positions.get(tenant) ?? positions.size;
      positions.set(tenant, place);
      last = tenant;
    }
    position[i] = place;
  }
}

/** This and the next few write from offset `at` on and return where they end. */
function writeFixed(v: DataView, at: number, b: RowBlock, rows: Uint16Array, n: number): number {
  let p = at;
  for (let i = 0; i < n; i++, p += 2) v.setUint16(p, presence[i], true);
  for (let i = 0; i < n; i++, p += 5) {
    const r = rows[i];
    v.setUint16(p, position[i], true);
    v.setUint8(p + 2, b.kind[r]);
    v.setUint8(p + 3, b.shard[r]);
    v.setUint8(p + 4, b.code[r]);
  }
  for (let i = 0; i < n; i++, p += 12) {
    const r = rows[i];
    v.setUint16(p, b.currency[r], true);
    v.setUint16(p + 2, b.country[r], true);
    v.setUint32(p + 4, b.channel[r], true);
    v.setUint32(p + 8, b.category[r], true);
  }
  const { user, id } = b;
  for (let i = 0; i < n; i++, p += 16) {
    const r = rows[i];
    v.setUint32(p, user.lo[r], true);
    v.setUint32(p + 4, user.hi[r], true);
    v.setUint32(p + 8, id.lo[r], true);
    v.setUint32(p + 12, id.hi[r], true);
  }
  for (let i = 0; i < n; i++, p += 16) {
    const r = rows[i];
    v.setFloat64(p, b.eventTimeUs[r], true);
    v.setFloat64(p + 8, b.amountMinor[r], true);
  }
  return p;
}

function writeOptional(v: DataView, at: number, b: RowBlock, rows: Uint16Array, n: number): number {
  let p = at;
  p = writeKeys(v, p, b.merchant, L.HAS_MERCHANT, rows, n);
  p = writeKeys(v, p, b.card, L.HAS_CARD, rows, n);
  p = writeKeys(v, p, b.device, L.HAS_DEVICE, rows, n);
  p = writeKeys(v, p, b.ip, L.HAS_IP, rows, n);
  p = writeKeys(v, p, b.payee, L.HAS_PAYEE, rows, n);
  p = writeKeys(v, p, b.attributesHash, L.HAS_ATTRIBUTES_HASH, rows, n);
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    const has = presence[i];
    if ((has & L.HAS_LOCATION) !== 0) {
      v.setInt32(p, b.latitudeE6[r], true);
      v.setInt32(p + 4, b.longitudeE6[r], true);
      p += 8;
    }
    if ((has & L.HAS_BASE) !== 0) {
      v.setFloat64(p, b.amountBase[r], true);
      p += 8;
    }
    if ((has & L.HAS_ATTRIBUTES) !== 0) {
      const from = r * ATTRIBUTE_SLOTS;
      for (let k = 0; k < ATTRIBUTE_SLOTS; k++, p += 8) v.setFloat64(p, b.attributes[from + k], true);
    }
    if ((has & L.HAS_REVISION) !== 0) {
      v.setUint16(p, b.revision[r], true);
      v.setUint8(p + 2, b.retracted[r]);
      p += 3;
    }
  }
  return p;
}

function writeKeys(v: DataView, at: number, column: KeyColumn, bit: number, rows: Uint16Array, n: number): number {
  const { hi, lo } = column;
  let p = at;
  for (let i = 0; i < n; i++) {
    if ((presence[i] & bit) === 0) continue;
    const r = rows[i];
    v.setUint32(p, lo[r], true);
    v.setUint32(p + 4, hi[r], true);
    p += 8;
  }
  return p;
}

function writeLengths(v: DataView, at: number, b: RowBlock, rows: Uint16Array, n: number): number {
  const lengths = b.rawLength;
  let p = at;
  for (let i = 0; i < n; i++) {
    const has = presence[i];
    const message = rows[i] * RAW_FIELDS + RAW_MESSAGE;
    if ((has & L.WIDE_RAW) === 0) for (let k = message - RAW_MESSAGE; k < message; k++) v.setUint8(p++, lengths[k]);
    else for (let k = message - RAW_MESSAGE; k < message; k++, p += 4) v.setUint32(p, lengths[k], true);
    if ((has & L.HAS_MESSAGE) !== 0) {
      v.setUint32(p, lengths[message], true);
      p += 4;
    }
  }
  return p;
}

function writeTexts(memory: Uint8Array, at: number, b: RowBlock, rows: Uint16Array, n: number): number {
  const lengths = b.rawLength;
  let p = at;
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    const bytes = b.batches[b.batch[r]].bytes;
    for (let k = r * RAW_FIELDS, end = k + RAW_FIELDS; k < end; k++) {
      const length = lengths[k];
      const start = b.rawStart[k];
      if (length < 64) for (let j = 0; j < length; j++) memory[p + j] = bytes[start + j];
      else memory.set(bytes.subarray(start, start + length), p);
      p += length;
    }
  }
  return p;
}
