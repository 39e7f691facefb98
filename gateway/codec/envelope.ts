/**
 * The messages that hold payments: where each payment lies, what was asked beside them. The walk reads headers only, so
 * that a batch which must be shed costs next to nothing; the payments are decoded by `decodePayments` afterwards.
 */
import { ROW_HISTORY, type RowBlock } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { ENVELOPE_PAYMENT, ENVELOPE_PAYMENTS } from "./errors.ts";
import { decodePayment } from "./payment_decoder.ts";
import { readLength, readTag, readVarint, skipValue, varint, WIRE_BYTES, WIRE_VARINT } from "./wire.ts";

/** Payments of one message. */
export const STREAM_PAYMENTS_MAX = 512;
export const BULK_PAYMENTS_MAX = 1000;

/** What a walk found; reused by its owner for message after message. */
export class Envelope {
  /** Payments in the message; those beyond the limit are counted, not kept. */
  count = 0;
  /** ErrorCode of a message that cannot be taken as a whole, 0 for none; kind KIND_ENVELOPE, field `errorField`. */
  error = 0;
  errorField = 0;
  withTimings = false;
  /** The payments are history: recorded, not decided. */
  history = false;
  /** The raw varint of batch_id, to be copied into the reply; length 0 without (then it is 0). */
  batchIdStart = 0;
  batchIdLength = 0;
  readonly starts = new Int32Array(BULK_PAYMENTS_MAX);
  readonly ends = new Int32Array(BULK_PAYMENTS_MAX);
}

/** Field numbers of a message: its payments, with_timings, batch_id (0: has none). */
function scan(
  bytes: Uint8Array,
  into: Envelope,
  payments: number,
  timings: number,
  batchId: number,
  single: boolean,
  history: number,
): boolean {
  into.count = 0;
  into.error = 0;
  into.errorField = 0;
  into.withTimings = false;
  into.history = false;
  into.batchIdStart = 0;
  into.batchIdLength = 0;
  const end = bytes.length;
  let at = 0;
  while (at < end) {
    at = readTag(bytes, at, end);
    if (at < 0) return false;
    const tag = varint[0] | 0;
    const field = tag >>> 3;
    if (field === payments) {
      if ((tag & 7) !== WIRE_BYTES) return false;
      at = readLength(bytes, at, end);
      if (at < 0) return false;
      const stop = at + (varint[0] | 0);
      const n = single ? 0 : into.count;
      if (n < BULK_PAYMENTS_MAX) {
        into.starts[n] = at;
        into.ends[n] = stop;
      }
      into.count = n + 1;
      at = stop;
    } else if (field === timings || field === batchId || field === history) {
      if ((tag & 7) !== WIRE_VARINT) return false;
      const start = at;
      at = readVarint(bytes, at, end);
      if (at < 0) return false;
      if (field === timings) into.withTimings = varint[0] !== 0;
      else if (field === history) into.history = varint[0] !== 0;
      else {
        into.batchIdStart = start;
        into.batchIdLength = at - start;
      }
    } else {
      at = skipValue(bytes, at, end, tag);
      if (at < 0) return false;
    }
  }
  return true;
}

function check(whole: boolean, into: Envelope, max: number): number {
  if (!whole) {
    into.error = ErrorCode.MALFORMED;
    into.count = 0;
  } else if (into.count === 0 || into.count > max) {
    into.error = into.count === 0 ? ErrorCode.REQUIRED : ErrorCode.INVALID;
    into.errorField = max === 1 ? ENVELOPE_PAYMENT : ENVELOPE_PAYMENTS;
    into.count = 0;
  }
  return into.count;
}

/** Walks an AnalyzeStreamRequest. Returns the number of payments, 0 when `into.error` says why there are none. */
export function scanStreamRequest(bytes: Uint8Array, into: Envelope): number {
  return check(scan(bytes, into, 2, 3, 1, false, 4), into, STREAM_PAYMENTS_MAX);
}

/** Walks a BulkAnalyzeRequest; result as of `scanStreamRequest`. */
export function scanBulkRequest(bytes: Uint8Array, into: Envelope): number {
  return check(scan(bytes, into, 1, 2, 0, false, -1), into, BULK_PAYMENTS_MAX);
}

/** Walks an AnalyzeRequest; of several payments the last one counts, whole. Result as of `scanStreamRequest`. */
export function scanAnalyzeRequest(bytes: Uint8Array, into: Envelope): number {
  return check(scan(bytes, into, 1, 2, 0, true, -1), into, 1);
}

/**
 * Decodes the payments that a walk of `bytes` found into rows [row, row + envelope.count) of the block. Returns how
 * many of them were taken; the others have their error in the block.
 */
export function decodePayments(
  bytes: Uint8Array,
  envelope: Envelope,
  block: RowBlock,
  row: number,
  tenant: Tenant,
  shards: number,
  nowUs: number,
): number {
  let taken = 0;
  for (let i = 0; i < envelope.count; i++) {
    const start = envelope.starts[i];
    if (decodePayment(bytes, start, envelope.ends[i], block, row + i, tenant, shards, nowUs)) taken++;
    if (envelope.history) block.kind[row + i] = ROW_HISTORY;
  }
  return taken;
}
