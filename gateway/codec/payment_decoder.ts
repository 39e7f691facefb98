/**
 * Walks one message (a payment, an outcome, an event) from protobuf bytes straight into a row of a block: no object,
 * closure or string for a payment. A row that cannot be taken gets an error of its own and the others go on.
 */
import type { RowBlock } from "../../proto/columns.ts";
import {
  DEGRADED_FX,
  hash32,
  RAW_CARD,
  RAW_DEVICE,
  RAW_FIELDS,
  RAW_IP,
  RAW_MERCHANT,
  RAW_MESSAGE,
  RAW_PAYEE,
  RAW_TRANSACTION,
  RAW_USER,
  ROW_EVENT,
  ROW_OUTCOME,
  ROW_PAYMENT,
} from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { decodeAttributes } from "./attribute_decoder.ts";
import {
  HOLDS_ENTRY,
  HOLDS_LOCATION,
  HOLDS_NUMBER,
  HOLDS_TEXT,
  lengths,
  location,
  numbers,
  shapeOf,
  starts,
  walkFields,
} from "./fields.ts";
import { COUNTRY_KNOWN, CURRENCY_KNOWN } from "./iso_codes.ts";
import { ID_BYTES, isText, KEY_BYTES, refuse, resetRow, takeKey, takeTenant, takeTime } from "./row.ts";
import type { TenantCodec } from "./tenant_codec.ts";
import { codecOf } from "./tenant_codec.ts";
import { isCardNumber, isIpText } from "./text_forms.ts";

const { MALFORMED, REQUIRED, INVALID, NOT_UTF8 } = ErrorCode;
/** Minor units. */
export const AMOUNT_MAX = 100_000_000_000;
/** Base minor units that a window holds in 40 bits. */
const BASE_AMOUNT_MAX = 2 ** 40 - 1;
const NAME_BYTES = 32;
/** A payment with attributes, whose message is kept whole: above what 64 attributes of full length take. */
const MESSAGE_BYTES = 32 * 1024;

// Field numbers of Payment.
const TRANSACTION = 1;
const USER = 2;
const MERCHANT = 3;
const AMOUNT = 4;
const CURRENCY = 5;
const EVENT_TIME = 6;
const CARD = 7;
const DEVICE = 8;
const IP = 9;
const COUNTRY = 10;
const LOCATION = 11;
const CHANNEL = 12;
const CATEGORY = 13;
const PAYEE = 14;
const STATUS = 15;
const ATTRIBUTES = 16;
const TENANT = 17;

const N = HOLDS_NUMBER;
const T = HOLDS_TEXT;
// biome-ignore format: one line a group of fields reads better.
const PAYMENT_SHAPE = shapeOf(
  T, T, T, N, T, N, // transaction, user, merchant, amount, currency, time
  T, T, T, T, HOLDS_LOCATION, // card, device, ip, country, location
  T, T, T, N, HOLDS_ENTRY, T, // channel, category, payee, status, attributes, tenant
);

/**
 * Decodes the Payment in [start, end) of `bytes` into `row`. `shards`: how many there are; `nowUs`: the server's wall
 * clock. Returns false when the row was refused (`block.error`, `block.errorField`). Offsets of raw fields count from
 * the start of `bytes`, which must be the bytes of the row's batch.
 */
export function decodePayment(
  bytes: Uint8Array,
  start: number,
  end: number,
  block: RowBlock,
  row: number,
  tenant: Tenant,
  shards: number,
  nowUs: number,
): boolean {
  resetRow(block, row, ROW_PAYMENT, tenant.index);
  const seen = walkFields(bytes, start, end, PAYMENT_SHAPE);
  if (seen < 0) return refuse(block, row, MALFORMED, 0);
  const codec = codecOf(tenant);
  if (!takeTenant(bytes, seen, TENANT, block, row, codec)) return false;
  if (!takeParties(bytes, seen, block, row, codec)) return false;
  if (!takeMoney(bytes, seen, block, row, tenant)) return false;
  if (!takeTime(seen, EVENT_TIME, block, row, nowUs)) return false;
  if (!takeMeans(bytes, seen, block, row, codec)) return false;
  if (!takeNames(bytes, seen, block, row)) return false;
  if (!takePlace(bytes, seen, block, row)) return false;
  if ((seen & (1 << ATTRIBUTES)) !== 0) {
    // Unknown fields may make it longer than a frame: it would be shed, and sent again, for ever.
    if (end - start > MESSAGE_BYTES) return refuse(block, row, INVALID, ATTRIBUTES);
    const code = decodeAttributes(bytes, block, row, codec);
    if (code !== 0) return refuse(block, row, code, ATTRIBUTES);
    block.rawStart[row * RAW_FIELDS + RAW_MESSAGE] = start;
    block.rawLength[row * RAW_FIELDS + RAW_MESSAGE] = end - start;
  }
  block.shard[row] = block.user.hi[row] % shards;
  return true;
}

function takeParties(bytes: Uint8Array, seen: number, block: RowBlock, row: number, codec: TenantCodec): boolean {
  return (
    takeKey(bytes, seen, TRANSACTION, ID_BYTES, true, block, row, block.id, RAW_TRANSACTION, codec) &&
    takeKey(bytes, seen, USER, KEY_BYTES, true, block, row, block.user, RAW_USER, codec) &&
    takeKey(bytes, seen, MERCHANT, KEY_BYTES, true, block, row, block.merchant, RAW_MERCHANT, codec)
  );
}

/** Amount and currency. proto3 does not tell an absent amount from 0, which is a valid one (a card check). */
function takeMoney(bytes: Uint8Array, seen: number, block: RowBlock, row: number, tenant: Tenant): boolean {
  const amount = (seen & (1 << AMOUNT)) === 0 ? 0 : numbers[AMOUNT];
  if (amount < 0 || amount > AMOUNT_MAX) return refuse(block, row, INVALID, AMOUNT);
  block.amountMinor[row] = amount;
  if ((seen & (1 << CURRENCY)) === 0) return refuse(block, row, REQUIRED, CURRENCY);
  const at = starts[CURRENCY];
  if (lengths[CURRENCY] !== 3) return refuse(block, row, INVALID, CURRENCY);
  const a = bytes[at] - 65;
  const b = bytes[at + 1] - 65;
  const c = bytes[at + 2] - 65;
  if (a < 0 || a > 25 || b < 0 || b > 25 || c < 0 || c > 25) return refuse(block, row, INVALID, CURRENCY);
  const packed = (a * 26 + b) * 26 + c;
  if (CURRENCY_KNOWN[packed] === 0) return refuse(block, row, INVALID, CURRENCY);
  block.currency[row] = packed;
  const converted = Math.round(amount * tenant.rates[packed]);
  // More than a window holds (a huge amount in a weak base currency) counts as no rate.
  const base = converted <= BASE_AMOUNT_MAX ? converted : Number.NaN;
  block.amountBase[row] = base;
  if (Number.isNaN(base)) block.degraded[row] = DEGRADED_FX;
  return true;
}

/** What it was paid with and from where: card, device, IP address, payee. */
function takeMeans(bytes: Uint8Array, seen: number, block: RowBlock, row: number, codec: TenantCodec): boolean {
  // First of all, so that no column ever points at a card number.
  if ((seen & (1 << CARD)) !== 0 && isCardNumber(bytes, starts[CARD], starts[CARD] + lengths[CARD])) {
    return refuse(block, row, INVALID, CARD);
  }
  if (!takeKey(bytes, seen, CARD, KEY_BYTES, false, block, row, block.card, RAW_CARD, codec)) return false;
  if (!takeKey(bytes, seen, DEVICE, KEY_BYTES, false, block, row, block.device, RAW_DEVICE, codec)) return false;
  if (!takeIp(bytes, seen, IP, block, row, codec)) return false;
  return takeKey(bytes, seen, PAYEE, KEY_BYTES, false, block, row, block.payee, RAW_PAYEE, codec);
}

function takeIp(
  bytes: Uint8Array,
  seen: number,
  field: number,
  block: RowBlock,
  row: number,
  codec: TenantCodec,
): boolean {
  if (((seen >>> field) & 1) === 0) return true;
  const start = starts[field];
  if (!isIpText(bytes, start, start + lengths[field])) return refuse(block, row, INVALID, field);
  return takeKey(bytes, seen, field, KEY_BYTES, false, block, row, block.ip, RAW_IP, codec);
}

/** Channel, category and status. */
function takeNames(bytes: Uint8Array, seen: number, block: RowBlock, row: number): boolean {
  if (!takeName(bytes, seen, CHANNEL, block, row, block.channel)) return false;
  if (!takeName(bytes, seen, CATEGORY, block, row, block.category)) return false;
  const status = (seen & (1 << STATUS)) === 0 ? 0 : numbers[STATUS];
  if (status < 0 || status > 3) return refuse(block, row, INVALID, STATUS);
  block.code[row] = status;
  return true;
}

function takeName(
  bytes: Uint8Array,
  seen: number,
  field: number,
  block: RowBlock,
  row: number,
  column: Uint32Array,
): boolean {
  if (((seen >>> field) & 1) === 0) return true;
  const start = starts[field];
  const end = start + lengths[field];
  if (end - start > NAME_BYTES) return refuse(block, row, INVALID, field);
  if (!isText(bytes, start, end)) return refuse(block, row, NOT_UTF8, field);
  column[row] = hash32(bytes, start, end);
  return true;
}

/** Country and location. */
function takePlace(bytes: Uint8Array, seen: number, block: RowBlock, row: number): boolean {
  if ((seen & (1 << COUNTRY)) !== 0) {
    const a = bytes[starts[COUNTRY]] - 65;
    const b = bytes[starts[COUNTRY] + 1] - 65;
    if (lengths[COUNTRY] !== 2 || a < 0 || a > 25 || b < 0 || b > 25) return refuse(block, row, INVALID, COUNTRY);
    const packed = 1 + a * 26 + b;
    if (COUNTRY_KNOWN[packed] === 0) return refuse(block, row, INVALID, COUNTRY);
    block.country[row] = packed;
  }
  if ((seen & (1 << LOCATION)) !== 0) {
    const latitude = location[0];
    const longitude = location[1];
    // Written so that NaN fails too.
    if (!(latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180)) {
      return refuse(block, row, INVALID, LOCATION);
    }
    block.latitudeE6[row] = Math.round(latitude * 1e6);
    block.longitudeE6[row] = Math.round(longitude * 1e6);
  }
  return true;
}

// transaction, user, outcome, known time, revision, retracted, tenant
const OUTCOME_SHAPE = shapeOf(T, T, N, N, N, N, T);

/** Decodes a ReportOutcomeRequest; parameters and result as of `decodePayment`. The time known is in `eventTimeUs`. */
export function decodeOutcome(
  bytes: Uint8Array,
  start: number,
  end: number,
  block: RowBlock,
  row: number,
  tenant: Tenant,
  shards: number,
  nowUs: number,
): boolean {
  resetRow(block, row, ROW_OUTCOME, tenant.index);
  const seen = walkFields(bytes, start, end, OUTCOME_SHAPE);
  if (seen < 0) return refuse(block, row, MALFORMED, 0);
  const codec = codecOf(tenant);
  if (!takeTenant(bytes, seen, 7, block, row, codec)) return false;
  if (!takeKey(bytes, seen, 1, ID_BYTES, true, block, row, block.id, RAW_TRANSACTION, codec)) return false;
  if (!takeKey(bytes, seen, 2, KEY_BYTES, true, block, row, block.user, RAW_USER, codec)) return false;
  if (!takeCode(seen, 3, 5, block, row)) return false;
  if (!takeTime(seen, 4, block, row, nowUs)) return false;
  const revision = (seen & (1 << 5)) === 0 ? 0 : numbers[5];
  if (revision === 0) return refuse(block, row, REQUIRED, 5);
  if (revision < 0 || revision > 0xffff) return refuse(block, row, INVALID, 5);
  block.revision[row] = revision;
  block.retracted[row] = (seen & (1 << 6)) !== 0 && numbers[6] !== 0 ? 1 : 0;
  block.shard[row] = block.user.hi[row] % shards;
  return true;
}

// event, user, kind, time, device, ip, tenant
const EVENT_SHAPE = shapeOf(T, T, N, N, T, T, T);

/** Decodes a RecordEventRequest; parameters and result as of `decodePayment`. */
export function decodeEvent(
  bytes: Uint8Array,
  start: number,
  end: number,
  block: RowBlock,
  row: number,
  tenant: Tenant,
  shards: number,
  nowUs: number,
): boolean {
  resetRow(block, row, ROW_EVENT, tenant.index);
  const seen = walkFields(bytes, start, end, EVENT_SHAPE);
  if (seen < 0) return refuse(block, row, MALFORMED, 0);
  const codec = codecOf(tenant);
  if (!takeTenant(bytes, seen, 7, block, row, codec)) return false;
  if (!takeKey(bytes, seen, 1, ID_BYTES, true, block, row, block.id, RAW_TRANSACTION, codec)) return false;
  if (!takeKey(bytes, seen, 2, KEY_BYTES, true, block, row, block.user, RAW_USER, codec)) return false;
  if (!takeCode(seen, 3, 6, block, row)) return false;
  if (!takeTime(seen, 4, block, row, nowUs)) return false;
  if (!takeKey(bytes, seen, 5, KEY_BYTES, false, block, row, block.device, RAW_DEVICE, codec)) return false;
  if (!takeIp(bytes, seen, 6, block, row, codec)) return false;
  block.shard[row] = block.user.hi[row] % shards;
  return true;
}

/** A required enum value of 1..max, into `code`. */
function takeCode(seen: number, field: number, max: number, block: RowBlock, row: number): boolean {
  const code = ((seen >>> field) & 1) === 0 ? 0 : numbers[field];
  if (code === 0) return refuse(block, row, REQUIRED, field);
  if (code < 0 || code > max) return refuse(block, row, INVALID, field);
  block.code[row] = code;
  return true;
}

/** The value of a literal in the `channel` and `category` columns: rules and features compare with it. */
export function codeOf(text: string): number {
  const bytes = Buffer.from(text, "utf8");
  return bytes.length === 0 ? 0 : hash32(bytes, 0, bytes.length);
}
