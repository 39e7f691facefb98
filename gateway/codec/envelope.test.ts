import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { RowBlock } from "../../proto/columns.ts";
import type { Payment } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import {
  AnalyzeRequestSchema,
  AnalyzeStreamRequestSchema,
  BulkAnalyzeRequestSchema,
  ErrorCode,
  PaymentSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { checkRow, dirtyBlock, NOW_US, payment, paymentBytes, rowOf, SHARDS, TENANT } from "./codec_fixture.ts";
import {
  BULK_PAYMENTS_MAX,
  decodePayments,
  Envelope,
  STREAM_PAYMENTS_MAX,
  scanAnalyzeRequest,
  scanBulkRequest,
  scanStreamRequest,
} from "./envelope.ts";
import { errorField, KIND_ENVELOPE } from "./errors.ts";
import { decodeEvent, decodeOutcome, decodePayment } from "./payment_decoder.ts";

const envelope = new Envelope();
const block: RowBlock = dirtyBlock();
const many = (n: number): Payment[] => Array.from({ length: n }, (_, i) => payment(i));

function refused(): [number, string] {
  assert.equal(envelope.count, 0);
  return [envelope.error, errorField(KIND_ENVELOPE, envelope.errorField)];
}

test("a stream request: batch id, timings and every payment; a bad one spoils no other", () => {
  const payments = many(STREAM_PAYMENTS_MAX);
  payments[7] = payment(7, { currency: "QQQ" });
  const request = create(AnalyzeStreamRequestSchema, { batchId: 2n ** 63n + 5n, withTimings: true, payments });
  const bytes = Buffer.from(toBinary(AnalyzeStreamRequestSchema, request));
  assert.equal(scanStreamRequest(bytes, envelope), 512);
  assert.ok(envelope.withTimings);
  const id = bytes.subarray(envelope.batchIdStart, envelope.batchIdStart + envelope.batchIdLength);
  const echoed = fromBinary(AnalyzeStreamRequestSchema, Buffer.concat([Buffer.from([0x08]), id]));
  assert.equal(echoed.batchId, 2n ** 63n + 5n);
  assert.equal(decodePayments(bytes, envelope, block, 100, TENANT, SHARDS, NOW_US), 511);
  for (const [i, p] of payments.entries()) {
    if (i === 7) assert.deepEqual([block.error[107], block.errorField[107]], [ErrorCode.INVALID, 5]);
    else checkRow(block, 100 + i, bytes, p);
  }
});

test("too few, too many, broken", () => {
  const stream = (n: number) =>
    toBinary(AnalyzeStreamRequestSchema, create(AnalyzeStreamRequestSchema, { payments: many(n), batchId: 3n }));
  const bulk = (n: number) =>
    toBinary(BulkAnalyzeRequestSchema, create(BulkAnalyzeRequestSchema, { payments: many(n) }));
  assert.equal(scanStreamRequest(stream(0), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.REQUIRED, "payments"]);
  assert.equal(envelope.batchIdLength, 1, "the batch id is known for the reply");
  assert.equal(scanStreamRequest(stream(513), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.INVALID, "payments"]);
  assert.equal(scanBulkRequest(bulk(BULK_PAYMENTS_MAX), envelope), 1000);
  assert.equal(envelope.batchIdLength, 0);
  assert.equal(scanBulkRequest(bulk(1001), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.INVALID, "payments"]);
  assert.equal(scanStreamRequest(stream(3).subarray(0, -1), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.MALFORMED, ""]);
  assert.equal(scanStreamRequest(Buffer.from("0a0101", "hex"), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.MALFORMED, ""]);
});

test("a single request: its last payment, or REQUIRED", () => {
  const one = (i: number) =>
    toBinary(AnalyzeRequestSchema, create(AnalyzeRequestSchema, { payment: payment(i), withTimings: true }));
  const bytes = Buffer.concat([one(1), one(2)]);
  assert.equal(scanAnalyzeRequest(bytes, envelope), 1);
  assert.equal(decodePayments(bytes, envelope, block, 0, TENANT, SHARDS, NOW_US), 1);
  checkRow(block, 0, bytes, payment(2));
  assert.equal(scanAnalyzeRequest(Buffer.alloc(0), envelope), 0);
  assert.deepEqual(refused(), [ErrorCode.REQUIRED, "payment"]);
});

test("of a text that comes twice the last counts, and the first must be UTF-8 too", () => {
  const whole = paymentBytes(payment(1));
  const decode = (first: string) => {
    const bytes = Buffer.concat([Buffer.from(first, "hex"), whole]);
    return decodePayment(bytes, 0, bytes.length, block, 1, TENANT, SHARDS, NOW_US) ? 0 : block.error[1];
  };
  assert.equal(decode("0a0141"), 0);
  assert.equal(decode("0a0180"), ErrorCode.MALFORMED);
});

/** Bytes that were a message once: cut, flipped, spliced, or never were one. */
const damaged = (whole: Buffer) =>
  fc
    .record({
      flips: fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }),
      cut: fc.oneof(fc.constant(whole.length), fc.nat(whole.length)),
      insert: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 12 })),
      at: fc.nat(whole.length),
    })
    .map(({ flips, cut, insert, at }) => {
      const bytes = Buffer.from(whole);
      for (const [i, b] of flips) bytes[i] = b;
      return Buffer.concat([bytes.subarray(0, Math.min(at, cut)), insert, bytes.subarray(Math.min(at, cut), cut)]);
    });

const sample = payment(3, {
  tenantId: TENANT.id,
  attributes: {
    age_days: { kind: { case: "numberValue", value: 3 } },
    note: { kind: { case: "stringValue", value: "abc" } },
    vip: { kind: { case: "boolValue", value: true } },
  },
});

test("fuzz: a payment is taken as protobuf-es reads it, or refused; bytes around it change nothing", () => {
  let taken = 0;
  let bad = 0;
  const inputs = fc.oneof(
    damaged(paymentBytes(sample)),
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
  );
  fc.assert(
    fc.property(inputs, (bytes) => {
      const rows: object[] = [];
      for (const around of [0x00, 0x7f, 0x80, 0xff]) {
        const inside = Buffer.concat([Buffer.alloc(16, around), bytes, Buffer.alloc(300, around)]);
        const ok = decodePayment(inside, 16, 16 + bytes.length, block, 1, TENANT, SHARDS, NOW_US);
        assert.equal(ok, block.error[1] === 0);
        const row = rowOf(block, 1);
        for (const [i, length] of row.rawLength.entries()) {
          assert.ok(length === 0 || (row.rawStart[i] >= 16 && row.rawStart[i] + length <= 16 + bytes.length));
        }
        rows.push(row);
      }
      for (const row of rows) assert.deepEqual(row, rows[0]);
      if (block.error[1] !== 0) {
        bad++;
        return;
      }
      taken++;
      decodePayment(bytes, 0, bytes.length, block, 1, TENANT, SHARDS, NOW_US);
      checkRow(block, 1, bytes, fromBinary(PaymentSchema, bytes));
    }),
    { numRuns: 3000 },
  );
  assert.ok(taken > 100 && bad > 1000, `${taken} taken, ${bad} refused: the fuzz no longer covers both`);
});

test("fuzz: whole messages, outcomes and events never throw and always have a verdict", () => {
  const request = create(AnalyzeStreamRequestSchema, { batchId: 300n, payments: [sample, payment(1)] });
  const whole = Buffer.from(toBinary(AnalyzeStreamRequestSchema, request));
  const verdicts = { refused: 0, rows: 0, taken: 0 };
  const inputs = fc.oneof(
    damaged(whole),
    fc.uint8Array({ maxLength: 100 }).map((b) => Buffer.from(b)),
  );
  fc.assert(
    fc.property(inputs, (bytes) => {
      for (const scan of [scanStreamRequest, scanBulkRequest, scanAnalyzeRequest]) {
        const n = scan(bytes, envelope);
        assert.equal(n, envelope.count);
        assert.equal(n === 0, envelope.error !== 0);
        let ok = 0;
        for (let i = 0; i < n; i++)
          assert.ok(envelope.starts[i] <= envelope.ends[i] && envelope.ends[i] <= bytes.length);
        const count = decodePayments(bytes, envelope, block, 0, TENANT, SHARDS, NOW_US);
        for (let row = 0; row < n; row++) ok += block.error[row] === 0 ? 1 : 0;
        assert.equal(ok, count);
        verdicts.refused += n === 0 ? 1 : 0;
        verdicts.rows += n;
        verdicts.taken += count;
      }
      for (const one of [decodeOutcome, decodeEvent]) {
        assert.equal(one(bytes, 0, bytes.length, block, 0, TENANT, SHARDS, NOW_US), block.error[0] === 0);
      }
    }),
    { numRuns: 2000 },
  );
  const { refused, rows, taken } = verdicts;
  assert.ok(refused > 1000 && taken > 100 && rows - taken > 100, JSON.stringify(verdicts));
});
