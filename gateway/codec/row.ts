/** One row of a block as the decoders write it: emptied first, then its checked texts, then perhaps a refusal. */
import { isUtf8 } from "node:buffer";
import type { KeyColumn, RowBlock } from "../../proto/columns.ts";
import { ATTRIBUTE_SLOTS, LOCATION_NONE, RAW_FIELDS, REASON_SLOTS } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, HIGH_BITS, keyedHash } from "../../runtime/kernel/keyed_hash.ts";
import { lengths, numbers, starts } from "./fields.ts";
import type { TenantCodec } from "./tenant_codec.ts";
import { sameBytes } from "./tenant_codec.ts";

const { REQUIRED, INVALID, NOT_UTF8, PERMISSION_DENIED } = ErrorCode;

/** 2000-01-01T00:00:00Z, microseconds. */
export const TIME_MIN_US = 946_684_800_000_000;
/** How far an event may lie ahead of the server's clock, microseconds. */
export const TIME_AHEAD_US = 86_400e6;

/** Bytes of a transaction or event id, and of every other identifier. */
export const ID_BYTES = 64;
export const KEY_BYTES = 128;

/** Empties every column of a row, those of the answer too: blocks are reused. */
export function resetRow(block: RowBlock, row: number, kind: number, tenant: number): void {
  block.kind[row] = kind;
  block.error[row] = 0;
  block.errorField[row] = 0;
  block.tenant[row] = tenant;
  block.shard[row] = 0;
  resetKey(block.user, row);
  resetKey(block.merchant, row);
  resetKey(block.card, row);
  resetKey(block.device, row);
  resetKey(block.ip, row);
  resetKey(block.payee, row);
  resetKey(block.id, row);
  resetKey(block.attributesHash, row);
  block.eventTimeUs[row] = 0;
  block.amountMinor[row] = 0;
  block.amountBase[row] = Number.NaN;
  block.currency[row] = 0;
  block.country[row] = 0;
  block.channel[row] = 0;
  block.category[row] = 0;
  block.code[row] = 0;
  block.revision[row] = 0;
  block.retracted[row] = 0;
  block.latitudeE6[row] = LOCATION_NONE;
  block.longitudeE6[row] = LOCATION_NONE;
  const slots = block.attributes;
  for (let i = row * ATTRIBUTE_SLOTS, end = i + ATTRIBUTE_SLOTS; i < end; i++) slots[i] = Number.NaN;
  const rawStart = block.rawStart;
  const rawLength = block.rawLength;
  for (let i = row * RAW_FIELDS, end = i + RAW_FIELDS; i < end; i++) {
    rawStart[i] = 0;
    rawLength[i] = 0;
  }
  resetAnswer(block, row);
}

function resetAnswer(block: RowBlock, row: number): void {
  block.score[row] = Number.NaN;
  block.outcome[row] = 0;
  block.degraded[row] = 0;
  block.flags[row] = 0;
  resetKey(block.rules, row);
  const features = block.reasonFeature;
  const weights = block.reasonWeight;
  for (let i = row * REASON_SLOTS, end = i + REASON_SLOTS; i < end; i++) {
    features[i] = 0;
    weights[i] = 0;
  }
  block.version[row] = 0;
  block.standing[row] = 0;
}

function resetKey(column: KeyColumn, row: number): void {
  column.hi[row] = 0;
  column.lo[row] = 0;
}

/** Refuses a row; the first error stands. Returns false, so that a check can return it. */
export function refuse(block: RowBlock, row: number, code: number, field: number): boolean {
  if (block.error[row] === 0) {
    block.error[row] = code;
    block.errorField[row] = field;
  }
  return false;
}

/** True when `tenant_id` (field `field`) is absent or the key's tenant. */
export function takeTenant(
  bytes: Uint8Array,
  seen: number,
  field: number,
  block: RowBlock,
  row: number,
  codec: TenantCodec,
): boolean {
  if (((seen >>> field) & 1) === 0) return true;
  const start = starts[field];
  if (sameBytes(codec.id, bytes, start, start + lengths[field])) return true;
  return refuse(block, row, PERMISSION_DENIED, field);
}

/**
 * Checks an identifier of at most `max` bytes, hashes it into `column` and notes where it lies. An absent one leaves
 * (0, 0); `required` refuses that.
 */
export function takeKey(
  bytes: Uint8Array,
  seen: number,
  field: number,
  max: number,
  required: boolean,
  block: RowBlock,
  row: number,
  column: KeyColumn,
  raw: number,
  codec: TenantCodec,
): boolean {
  if (((seen >>> field) & 1) === 0) return required ? refuse(block, row, REQUIRED, field) : true;
  const start = starts[field];
  const length = lengths[field];
  if (length > max) return refuse(block, row, INVALID, field);
  const bits = keyedHash(bytes, start, start + length, codec.k0, codec.k1);
  if ((bits & HIGH_BITS) !== 0 && !isUtf8(bytes.subarray(start, start + length))) {
    return refuse(block, row, NOT_UTF8, field);
  }
  column.hi[row] = H.hi;
  column.lo[row] = H.lo;
  const at = row * RAW_FIELDS + raw;
  block.rawStart[at] = start;
  block.rawLength[at] = length;
  return true;
}

/** Checks a time that must lie between 2000-01-01 and a day after `nowUs`, into `eventTimeUs`. */
export function takeTime(seen: number, field: number, block: RowBlock, row: number, nowUs: number): boolean {
  const time = ((seen >>> field) & 1) === 0 ? 0 : numbers[field];
  if (time === 0) return refuse(block, row, REQUIRED, field);
  if (time < TIME_MIN_US || time > nowUs + TIME_AHEAD_US) return refuse(block, row, INVALID, field);
  block.eventTimeUs[row] = time;
  return true;
}

/** True when bytes [start, end) are UTF-8; looks closer only when one of them is not ASCII. */
export function isText(bytes: Uint8Array, start: number, end: number): boolean {
  let bits = 0;
  for (let at = start; at < end; at++) bits |= bytes[at];
  return bits < 0x80 || isUtf8(bytes.subarray(start, end));
}
