import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import {
  BulkAnalyzeRequestSchema,
  ErrorCode,
  GetRiskScoreRequestSchema,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { isRefusal, messageBytes, paymentBytes } from "./json_message.ts";

const { INVALID, NOT_UTF8 } = ErrorCode;

function refused(bytes: ReturnType<typeof messageBytes>): [code: number, field: string] {
  assert.ok(isRefusal(bytes), "expected a refusal");
  assert.ok(bytes.message.length > 0 && bytes.message.length < 400, bytes.message);
  return [bytes.code, bytes.field];
}

function taken(bytes: ReturnType<typeof messageBytes>): void {
  assert.ok(!isRefusal(bytes), isRefusal(bytes) ? bytes.message : "");
}

function entries(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, i]));
}

test("integers as texts: at most 24 characters, the field named as in the proto, whichever way it was spelled", () => {
  const nines = "9".repeat(1_000_000);
  for (const text of [nines, "0".repeat(25)]) {
    assert.deepEqual(refused(paymentBytes({ amountMinor: text })), [INVALID, "amount_minor"]);
    assert.deepEqual(refused(paymentBytes({ amount_minor: text })), [INVALID, "amount_minor"]);
    assert.deepEqual(refused(paymentBytes({ eventTimeUs: text })), [INVALID, "event_time_us"]);
    assert.deepEqual(refused(messageBytes(ReportOutcomeRequestSchema, { revision: text })), [INVALID, "revision"]);
    const event = messageBytes(RecordEventRequestSchema, { eventTimeUs: text });
    assert.deepEqual(refused(event), [INVALID, "event_time_us"]);
  }
  taken(paymentBytes({ amountMinor: "9".repeat(18) }));
  taken(paymentBytes({ amountMinor: `${"0".repeat(20)}1234` }));
});

test("a value far past its limit is refused in the codec's words", () => {
  const long = paymentBytes({ amountMinor: "9".repeat(1000) });
  assert.equal(isRefusal(long) && long.message, "amount_minor must be 0 to 100000000000 minor units");
  const id = paymentBytes({ transactionId: "x".repeat(2000) });
  assert.match(isRefusal(id) ? id.message : "", /^transaction_id must be 1 to 64 bytes/);
});

test("texts: at most 1,024 characters, in every message and in what lies within it", () => {
  const long = "x".repeat(1025);
  const cases: [DescMessage | null, object, string][] = [
    [null, { userId: long }, "user_id"],
    [null, { payee_account: long }, "payee_account"],
    [null, { status: long }, "status"],
    [null, { location: { latitude: long } }, "latitude"],
    [ReportOutcomeRequestSchema, { retracted: long }, "retracted"],
    [RecordEventRequestSchema, { deviceId: long }, "device_id"],
    [GetRiskScoreRequestSchema, { transactionId: "t", userId: long }, "user_id"],
  ];
  for (const [schema, json, field] of cases) {
    const bytes = schema === null ? paymentBytes(json) : messageBytes(schema, json);
    assert.deepEqual(refused(bytes), [INVALID, field]);
  }
  taken(paymentBytes({ userId: "x".repeat(1024), unknown: long }));
});

test("attributes: at most 64, of short names and values, no lists and structs", () => {
  taken(paymentBytes({ attributes: entries(64) }));
  taken(paymentBytes({ attributes: { number: 1.5, bool: true, text: "x".repeat(1024) } }));
  const long = "x".repeat(1025);
  for (const attributes of [entries(65), { a: [1] }, { a: { b: 1 } }, { a: null }, { a: long }, { [long]: 1 }]) {
    assert.deepEqual(refused(paymentBytes({ attributes })), [INVALID, "attributes"]);
  }
  assert.deepEqual(refused(paymentBytes({ attributes: { a: "zz\ud800" } })), [NOT_UTF8, "attributes"]);
  assert.deepEqual(refused(paymentBytes({ attributes: [1] })), [INVALID, "attributes"]);
});

test("members: at most 1,024 of an object, with the unknown ones among them", () => {
  taken(paymentBytes({ ...entries(1023), userId: "u" }));
  assert.deepEqual(refused(paymentBytes({ ...entries(1024), userId: "u" })), [INVALID, ""]);
  assert.deepEqual(refused(paymentBytes({ location: entries(1025) })), [INVALID, ""]);
});

test("enum names are known ones, or numbers", () => {
  taken(paymentBytes({ status: "DECLINED" }));
  taken(paymentBytes({ status: 2 }));
  assert.deepEqual(refused(paymentBytes({ status: "SETTLED" })), [INVALID, "status"]);
  assert.deepEqual(refused(messageBytes(RecordEventRequestSchema, { kind: "" })), [INVALID, "kind"]);
});

test("what the converter says goes out short, whatever it was given", () => {
  // No limit holds for lists of messages: none of the requests that come this way has one.
  const bytes = messageBytes(BulkAnalyzeRequestSchema, { payments: [{ amountMinor: "9".repeat(5000) }] });
  assert.deepEqual(refused(bytes), [INVALID, "amount_minor"]);
  assert.ok(isRefusal(bytes) && bytes.message.length > 250, "this must be the converter's message");
});
