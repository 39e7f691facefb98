/**
 * Writes replies as protobuf bytes from the rows of a finished block, without an object or a string for a row. Fields
 * are written last first (see WireWriter), so each function here reads backwards.
 */
import type { RowBlock } from "../../proto/columns.ts";
import {
  DEGRADED_MODEL,
  FLAG_APPLIED,
  FLAG_HELD,
  FLAG_LATE,
  FLAG_PROVISIONAL,
  FLAG_REPEATED,
  FLAG_TEST_CARD,
  RAW_FIELDS,
  RAW_TRANSACTION,
  REASON_SLOTS,
  ROW_HISTORY,
  ROW_PAYMENT,
} from "../../proto/columns.ts";
import { DecisionState, ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { errorField, errorMessage, KIND_ENVELOPE } from "./errors.ts";
import type { DecisionTexts } from "./reason_texts.ts";
import { DEGRADED_FIELDS, LATE_FIELD, TEST_CARD_FIELD, textField } from "./reason_texts.ts";
import { WireWriter } from "./wire_writer.ts";

const writer = new WireWriter();

const NO_BYTES = Buffer.alloc(0);
/** Field 9 of a Decision for the block of the message under way; empty when not asked for. */
const timings = Buffer.alloc(64);
const timingsLength = new Int32Array(1);

/** Reply to an AnalyzeStreamRequest: results of rows [start, start + count), batch_id copied from the request. */
export function encodeStreamResponse(
  block: RowBlock,
  start: number,
  count: number,
  texts: DecisionTexts,
  withTimings: boolean,
  batchIdStart: number,
  batchIdLength: number,
): Buffer {
  writer.begin();
  writeResults(block, start, count, texts, withTimings, 0x12);
  const bytes = block.batches[block.batch[start]].bytes;
  writeBatchId(bytes, batchIdStart, batchIdLength);
  return writer.finish();
}

/** Reply to a BulkAnalyzeRequest: results of rows [start, start + count). */
export function encodeBulkResponse(
  block: RowBlock,
  start: number,
  count: number,
  texts: DecisionTexts,
  withTimings: boolean,
): Buffer {
  writer.begin();
  writeResults(block, start, count, texts, withTimings, 0x0a);
  return writer.finish();
}

/** AnalyzeResponse (and GetRiskScoreResponse) of a row without an error: one with an error is a gRPC status. */
export function encodeAnalyzeResponse(
  block: RowBlock,
  row: number,
  texts: DecisionTexts,
  withTimings: boolean,
): Buffer {
  writer.begin();
  prepareTimings(block, withTimings);
  writeDecision(block, row, block.batches[block.batch[row]].bytes, texts);
  writer.close(0x0a, 0);
  return writer.finish();
}

/** ReportOutcomeResponse of a row without an error. */
export function encodeOutcomeResponse(block: RowBlock, row: number): Buffer {
  const flags = block.flags[row];
  writer.begin();
  if ((flags & FLAG_HELD) !== 0) writer.pair(0x18, 1);
  if (block.standing[row] !== 0) {
    writer.varint(block.standing[row]);
    writer.byte(0x10);
  }
  if ((flags & FLAG_APPLIED) !== 0) writer.pair(0x08, 1);
  return writer.finish();
}

/** RecordEventResponse of a row without an error. */
export function encodeEventResponse(block: RowBlock, row: number): Buffer {
  writer.begin();
  if ((block.flags[row] & FLAG_APPLIED) !== 0) writer.pair(0x08, 1);
  return writer.finish();
}

function writeResults(
  block: RowBlock,
  start: number,
  count: number,
  texts: DecisionTexts,
  withTimings: boolean,
  tag: number,
): void {
  const bytes = block.batches[block.batch[start]].bytes;
  prepareTimings(block, withTimings);
  for (let row = start + count - 1; row >= start; row--) {
    const mark = writer.written();
    const code = block.error[row];
    if (code === 0) {
      writeDecision(block, row, bytes, texts);
      writer.close(0x0a, mark);
    } else {
      writeError(block.kind[row], code, block.errorField[row], 0);
      writer.close(0x12, mark);
    }
    writer.close(tag, mark);
  }
}

function writeDecision(block: RowBlock, row: number, bytes: Uint8Array, texts: DecisionTexts): void {
  const flags = block.flags[row];
  if ((flags & FLAG_PROVISIONAL) !== 0) {
    writeStandIn(block, row, bytes, block.outcome[row]);
    return;
  }
  if ((flags & FLAG_REPEATED) !== 0) writer.pair(0x50, 1);
  if (block.kind[row] === ROW_HISTORY) {
    writer.pair(0x40, DecisionState.RECORDED);
    writeTransaction(block, row, bytes);
    return;
  }
  if (timingsLength[0] > 0) writer.bytes(timings, 0, timingsLength[0]);
  writer.pair(0x40, DecisionState.DECIDED);
  const degraded = block.degraded[row];
  if (degraded !== 0) writer.all(DEGRADED_FIELDS[degraded & 7]);
  const version = texts.version(block.version[row]);
  writer.all(version.fields);
  if ((flags & FLAG_LATE) !== 0) writer.all(LATE_FIELD);
  if ((flags & FLAG_TEST_CARD) !== 0) writer.all(TEST_CARD_FIELD);
  if (block.reasonFeature[row * REASON_SLOTS] !== 0) writeFeatures(block, row, texts);
  const hi = block.rules.hi[row];
  const lo = block.rules.lo[row];
  if (hi !== 0) writeRules(hi, 32, version.ruleReasons);
  if (lo !== 0) writeRules(lo, 0, version.ruleReasons);
  if ((degraded & DEGRADED_MODEL) === 0) {
    writer.float(block.score[row]);
    writer.byte(0x1d);
  }
  writer.pair(0x10, block.outcome[row]);
  writeTransaction(block, row, bytes);
}

function writeTransaction(block: RowBlock, row: number, bytes: Uint8Array): void {
  const raw = row * RAW_FIELDS + RAW_TRANSACTION;
  const length = block.rawLength[raw];
  if (length === 0) return;
  writer.bytes(bytes, block.rawStart[raw], length);
  writer.varint(length);
  writer.byte(0x0a);
}

/** A rule whose reason is missing is a mistake of whoever made the version: it must not be answered without it. */
function writeRules(word: number, first: number, reasons: readonly Uint8Array[]): void {
  for (let left = word | 0; left !== 0; ) {
    const bit = 31 - Math.clz32(left);
    left ^= 1 << bit;
    const reason = reasons[first + bit];
    if (reason === undefined) throw new RangeError(`no reason text for rule ${first + bit}`);
    writer.all(reason);
  }
}

function writeFeatures(block: RowBlock, row: number, texts: DecisionTexts): void {
  const first = row * REASON_SLOTS;
  let i = 0;
  while (i < REASON_SLOTS && block.reasonFeature[first + i] !== 0) i++;
  while (i-- > 0) {
    const mark = writer.written();
    const weight = block.reasonWeight[first + i];
    if (weight !== 0) {
      writer.double(weight);
      writer.byte(0x19);
    }
    writer.all(texts.featureReason(block.reasonFeature[first + i] - 1));
    writer.close(0x22, mark);
  }
}

function prepareTimings(block: RowBlock, asked: boolean): void {
  let length = 2;
  if (asked) {
    for (let i = 0; i < block.stagesUs.length; i++) {
      let rest = block.stagesUs[i];
      if (rest === 0) continue;
      timings[length++] = (i + 1) << 3;
      for (; rest >= 0x80; rest >>>= 7) timings[length++] = (rest & 0x7f) | 0x80;
      timings[length++] = rest;
    }
    timings[0] = 0x4a;
    timings[1] = length - 2;
  }
  timingsLength[0] = asked ? length : 0;
}

function writeBatchId(bytes: Uint8Array, start: number, length: number): void {
  if (length === 0) return;
  writer.bytes(bytes, start, length);
  writer.byte(0x08);
}

// ---- Stand-in answers, at the deadline. ----

/** Codes that a row can only have from its decoding: they depend on no actor, so they may be told before any ack. */
function fromDecoding(code: number): boolean {
  return code !== 0 && (code <= ErrorCode.NOT_UTF8 || code === ErrorCode.PERMISSION_DENIED);
}

/** A Decision that is none: the tenant's stand-in outcome, PROVISIONAL. */
function writeStandIn(block: RowBlock, row: number, bytes: Uint8Array, outcome: number): void {
  writer.pair(0x40, DecisionState.PROVISIONAL);
  writer.pair(0x10, outcome);
  writeTransaction(block, row, bytes);
}

function writeStandIns(block: RowBlock, start: number, count: number, outcome: number, tag: number): void {
  const bytes = block.batches[block.batch[start]].bytes;
  for (let row = start + count - 1; row >= start; row--) {
    const mark = writer.written();
    const code = block.error[row];
    if (!fromDecoding(code) && outcome !== 0) {
      writeStandIn(block, row, bytes, outcome);
      writer.close(0x0a, mark);
    } else {
      if (fromDecoding(code)) writeError(block.kind[row], code, block.errorField[row], 0);
      else writeError(ROW_PAYMENT, ErrorCode.UNAVAILABLE, 0, 0);
      writer.close(0x12, mark);
    }
    writer.close(tag, mark);
  }
}

/**
 * The reply to a stream message whose deadline came before its rows' results: reads nothing that a shard writes. With
 * `outcome` (Tenant.stand_in_outcome) 0 each row is UNAVAILABLE with outcome_unknown. Rows refused at decode say so.
 */
export function encodeStreamStandIn(
  block: RowBlock,
  start: number,
  count: number,
  outcome: number,
  batchIdStart: number,
  batchIdLength: number,
): Buffer {
  writer.begin();
  writeStandIns(block, start, count, outcome, 0x12);
  writeBatchId(block.batches[block.batch[start]].bytes, batchIdStart, batchIdLength);
  return writer.finish();
}

/** As `encodeStreamStandIn`, for a bulk call. */
export function encodeBulkStandIn(block: RowBlock, start: number, count: number, outcome: number): Buffer {
  writer.begin();
  writeStandIns(block, start, count, outcome, 0x0a);
  return writer.finish();
}

/** AnalyzeResponse with the stand-in outcome (not 0: that is a gRPC status). */
export function encodeAnalyzeStandIn(block: RowBlock, row: number, outcome: number): Buffer {
  writer.begin();
  writeStandIn(block, row, block.batches[block.batch[row]].bytes, outcome);
  writer.close(0x0a, 0);
  return writer.finish();
}

// ---- Errors. ----

/** Fields code, field and message of an Error, by kind, code and field: a closed set, so it is never emptied. */
const heads = new Map<number, Buffer>();

function errorHead(kind: number, code: number, field: number): Buffer {
  const key = (kind * 256 + code) * 256 + field;
  let head = heads.get(key);
  if (head === undefined) {
    const name = textField(2, errorField(kind, field));
    head = Buffer.concat([Buffer.from([0x08, code]), name, textField(3, errorMessage(kind, code, field))]);
    heads.set(key, head);
  }
  return head;
}

/** The fields of an Error. `retryAfterMs` counts for RESOURCE_EXHAUSTED; UNAVAILABLE always has outcome_unknown. */
function writeError(kind: number, code: number, field: number, retryAfterMs: number): void {
  if (code === ErrorCode.UNAVAILABLE) writer.pair(0x28, 1);
  if (code === ErrorCode.RESOURCE_EXHAUSTED && retryAfterMs > 0) {
    writer.varint(Math.ceil(retryAfterMs));
    writer.byte(0x20);
  }
  writer.all(errorHead(kind, code, field));
}

/** An Error message alone: the trailer `fraudguard-error-bin`. `kind`: ROW_PAYMENT, .. or KIND_ENVELOPE. */
export function encodeError(kind: number, code: number, field: number, retryAfterMs: number): Buffer {
  writer.begin();
  writeError(kind, code, field, retryAfterMs);
  return writer.finish();
}

/** The reply to a stream message that cannot be taken as a whole: one error (see `Envelope.error`). */
export function encodeStreamError(
  bytes: Uint8Array,
  batchIdStart: number,
  batchIdLength: number,
  code: number,
  field: number,
): Buffer {
  writer.begin();
  writeError(KIND_ENVELOPE, code, field, 0);
  writer.close(0x12, 0);
  writer.close(0x12, 0);
  writeBatchId(bytes, batchIdStart, batchIdLength);
  return writer.finish();
}

/** The reply to a stream message that is shed: `count` times RESOURCE_EXHAUSTED. */
export function encodeShed(
  bytes: Uint8Array,
  batchIdStart: number,
  batchIdLength: number,
  count: number,
  retryAfterMs: number,
): Buffer {
  writer.begin();
  writeShed(count, retryAfterMs, 0x12);
  writeBatchId(bytes, batchIdStart, batchIdLength);
  return writer.finish();
}

/** As `encodeShed`, for a bulk call that is answered row by row. */
export function encodeBulkShed(count: number, retryAfterMs: number): Buffer {
  writer.begin();
  writeShed(count, retryAfterMs, 0x0a);
  return writer.finish();
}

// The result of the last shed row: the same for all rows of a message and mostly for many messages.
let shedResult: Buffer = NO_BYTES;
let shedRetryMs = -1;
let shedTag = 0;

function writeShed(count: number, retryAfterMs: number, tag: number): void {
  if (retryAfterMs !== shedRetryMs || tag !== shedTag) {
    const mark = writer.written();
    writeError(ROW_PAYMENT, ErrorCode.RESOURCE_EXHAUSTED, 0, retryAfterMs);
    writer.close(0x12, mark);
    writer.close(tag, mark);
    shedResult = Buffer.from(writer.finish());
    shedRetryMs = retryAfterMs;
    shedTag = tag;
    writer.begin();
  }
  for (let i = 0; i < count; i++) writer.all(shedResult);
}
