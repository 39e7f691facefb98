/**
 * Owns what a published message says: one payment or a batch, JSON or protobuf, each payment kept as its bytes so
 * that a refused one can be sent on alone.
 *
 * Protobuf: an AnalyzeStreamRequest or a Payment. They are told apart by field 1, which a Payment must have as a text
 * (its id) and an AnalyzeStreamRequest only ever has as a number. JSON: a payment, {payment}, {payments: [...],
 * batchId, withTimings} or a list of payments.
 */
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";
import { Envelope, STREAM_PAYMENTS_MAX, scanStreamRequest } from "../codec/envelope.ts";
import { errorField, errorMessage, KIND_ENVELOPE } from "../codec/errors.ts";
import { readTag, skipValue, varint } from "../codec/wire.ts";
import { isObject } from "../rest/json_limits.ts";
import { isRefusal, paymentBytes } from "../rest/json_message.ts";
import { frame } from "../rest/payment_frames.ts";

export const JSON_TYPE = "application/json";
export const PROTOBUF_TYPE = "application/x-protobuf";

/** Longest batchId of a JSON message: a 64-bit number. */
const BATCH_ID_CHARACTERS_MAX = 20;

/** One payment of a message. */
export interface PublishedPayment {
  /** As it was published: a Payment's protobuf bytes or its JSON text. Made when it is asked for, which is seldom. */
  readonly original: () => Uint8Array;
  /** Why its JSON is not a payment; the others are decided. */
  readonly refused: Refusal | null;
}

export interface PublishedRequest {
  readonly content_type: typeof JSON_TYPE | typeof PROTOBUF_TYPE;
  /** False: a single payment, whose answer is sent together with those of others. */
  readonly batch: boolean;
  readonly batch_id: string;
  readonly payments: readonly PublishedPayment[];
  /** An AnalyzeStreamRequest of the payments that were not refused; empty when all were. */
  readonly bytes: Uint8Array;
}

/** Reads a message, or says why it cannot be taken as a whole. Whatever the message holds, nothing is thrown. */
export function readPublished(data: Uint8Array, content_type: string | undefined): PublishedRequest | Refusal {
  const type = (content_type ?? "").split(";")[0].trim().toLowerCase();
  try {
    if (type === JSON_TYPE) return readJson(data);
    if (type === PROTOBUF_TYPE) return readProtobuf(data);
  } catch (error) {
    return refusal(ErrorCode.MALFORMED, `the message cannot be read as payments: ${(error as Error).message}`);
  }
  const known = `${JSON_TYPE} or ${PROTOBUF_TYPE}`;
  return refusal(ErrorCode.MALFORMED, `the header Content-Type must be ${known}`, { field: "Content-Type" });
}

function readProtobuf(data: Uint8Array): PublishedRequest | Refusal {
  if (isSinglePayment(data)) {
    const payments = [{ original: () => data, refused: null }];
    return { content_type: PROTOBUF_TYPE, batch: false, batch_id: "0", payments, bytes: frame(data, 2) };
  }
  const envelope = new Envelope();
  if (scanStreamRequest(data, envelope) === 0) return wholeRefusal(envelope.error as ErrorCode, envelope.errorField);
  const payments: PublishedPayment[] = [];
  for (let i = 0; i < envelope.count; i++) {
    const original = data.subarray(envelope.starts[i], envelope.ends[i]);
    payments.push({ original: () => original, refused: null });
  }
  return { content_type: PROTOBUF_TYPE, batch: true, batch_id: "", payments, bytes: data };
}

function isSinglePayment(data: Uint8Array): boolean {
  const text_tag = (1 << 3) | 2;
  for (let at = 0; at < data.length; ) {
    at = readTag(data, at, data.length);
    if (at < 0) return false;
    const tag = varint[0];
    if (tag === text_tag) return true;
    at = skipValue(data, at, data.length, tag);
    if (at < 0) return false;
  }
  return false;
}

function readJson(data: Uint8Array): PublishedRequest | Refusal {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch {
    return refusal(ErrorCode.MALFORMED, "the message is not JSON in UTF-8");
  }
  const list = Array.isArray(body) ? body : isObject(body) && Array.isArray(body.payments) ? body.payments : null;
  const single = isObject(body) && isObject(body.payment) ? body.payment : body;
  const rows = list ?? [single];
  if (rows.length === 0) return wholeRefusal(ErrorCode.REQUIRED, 1);
  if (rows.length > STREAM_PAYMENTS_MAX) return wholeRefusal(ErrorCode.INVALID, 1);
  const batch_id = batchIdOf(body);
  if (batch_id === null) {
    return refusal(ErrorCode.INVALID, "batchId must be a number or its digits as a text", { field: "batch_id" });
  }
  const payments: PublishedPayment[] = [];
  const frames: Uint8Array[] = [];
  for (const row of rows) {
    const bytes = paymentBytes(row);
    const refused = isRefusal(bytes) ? bytes : null;
    if (!isRefusal(bytes)) frames.push(frame(bytes, 2));
    payments.push({ original: () => (list === null ? data : textOf(row)), refused });
  }
  if (isObject(body) && body.withTimings === true) frames.push(Uint8Array.of(3 << 3, 1));
  return { content_type: JSON_TYPE, batch: list !== null, batch_id, payments, bytes: Buffer.concat(frames) };
}

/** Null when there is one that is no 64-bit number. */
function batchIdOf(body: unknown): string | null {
  const id = isObject(body) ? (body.batchId ?? body.batch_id ?? "0") : "0";
  if (typeof id !== "string" && typeof id !== "number") return null;
  const text = String(id);
  return text.length <= BATCH_ID_CHARACTERS_MAX && /^\d+$/.test(text) ? text : null;
}

/** The row as JSON; empty for one that is nested too deep to be written again. */
function textOf(row: unknown): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(row));
  } catch {
    return Buffer.alloc(0);
  }
}

function wholeRefusal(code: ErrorCode, field: number): Refusal {
  return refusal(code, errorMessage(KIND_ENVELOPE, code, field), { field: errorField(KIND_ENVELOPE, field) });
}
