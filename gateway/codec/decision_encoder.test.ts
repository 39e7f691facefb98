import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  FLAG_APPLIED,
  FLAG_HELD,
  FLAG_LATE,
  FLAG_PROVISIONAL,
  FLAG_REPEATED,
  REASON_SLOTS,
  ROW_OUTCOME,
  ROW_PAYMENT,
  RowBlock,
} from "../../proto/columns.ts";
import type { Decision } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import {
  AnalyzeResponseSchema,
  AnalyzeStreamRequestSchema,
  AnalyzeStreamResponseSchema,
  BulkAnalyzeResponseSchema,
  DecisionState,
  ErrorCode,
  ErrorSchema,
  RecordEventResponseSchema,
  ReportOutcomeResponseSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { NOW_US, payment, SHARDS, TENANT, testTexts } from "./codec_fixture.ts";
import {
  encodeAnalyzeResponse,
  encodeAnalyzeStandIn,
  encodeBulkResponse,
  encodeBulkShed,
  encodeBulkStandIn,
  encodeError,
  encodeEventResponse,
  encodeOutcomeResponse,
  encodeShed,
  encodeStreamError,
  encodeStreamResponse,
  encodeStreamStandIn,
} from "./decision_encoder.ts";
import { decodePayments, Envelope, scanStreamRequest } from "./envelope.ts";
import { ENVELOPE_PAYMENTS, errorField, errorMessage, KIND_ENVELOPE } from "./errors.ts";

const texts = testTexts();
const envelope = new Envelope();

/** A block whose rows [start, start + n) came in one stream message. */
function blockOf(n: number, batchId: bigint, start = 0): RowBlock {
  const block = new RowBlock();
  const payments = Array.from({ length: n }, (_, i) => payment(i, { transactionId: `tx-é-${i}` }));
  const request = create(AnalyzeStreamRequestSchema, { batchId, payments });
  const bytes = Buffer.from(toBinary(AnalyzeStreamRequestSchema, request));
  scanStreamRequest(bytes, envelope);
  assert.equal(decodePayments(bytes, envelope, block, start, TENANT, SHARDS, NOW_US), n);
  block.addBatch(bytes, start, n, { done: () => {} });
  return block;
}

function stream(block: RowBlock, start: number, n: number, withTimings = false): Buffer {
  return encodeStreamResponse(block, start, n, texts, withTimings, envelope.batchIdStart, envelope.batchIdLength);
}

interface Answer {
  readonly score: number;
  readonly outcome: number;
  readonly degraded: number;
  readonly flags: number;
  readonly hi: number;
  readonly lo: number;
  readonly features: readonly (readonly [number, number])[];
  readonly version: number;
}

const answers: fc.Arbitrary<Answer> = fc.record({
  score: fc.float({ min: 0, max: 1, noNaN: true }),
  outcome: fc.integer({ min: 1, max: 4 }),
  degraded: fc.nat(7),
  flags: fc.constantFrom(0, FLAG_REPEATED, FLAG_LATE, FLAG_REPEATED | FLAG_LATE),
  hi: fc.oneof(fc.constant(0), fc.nat(0xffffffff)),
  lo: fc.oneof(fc.constant(0), fc.nat(0xffffffff)),
  features: fc.array(fc.tuple(fc.integer({ min: 1, max: 255 }), fc.float({ noNaN: true, noDefaultInfinity: true })), {
    maxLength: REASON_SLOTS,
  }),
  version: fc.nat(1),
});

function put(block: RowBlock, row: number, a: Answer): void {
  block.score[row] = a.score;
  block.outcome[row] = a.outcome;
  block.degraded[row] = a.degraded;
  block.flags[row] = a.flags;
  block.rules.hi[row] = a.hi;
  block.rules.lo[row] = a.lo;
  block.version[row] = a.version;
  for (const [i, [feature, weight]] of a.features.entries()) {
    block.reasonFeature[row * REASON_SLOTS + i] = feature;
    block.reasonWeight[row * REASON_SLOTS + i] = weight;
  }
}

/** What the caller must read, stated field by field. */
function expected(row: number, a: Answer): object {
  const bits = (BigInt(a.hi) << 32n) | BigInt(a.lo);
  const reasons: object[] = [];
  for (let i = 0; i < 64; i++) {
    if (((bits >> BigInt(i)) & 1n) === 0n) continue;
    reasons.push({ code: `rule_${i}`, text: `text of rule ${i}, v${a.version + 1}`, weight: i / 64 });
  }
  for (const [feature, weight] of a.features) {
    reasons.push({ code: `model:feature_${feature - 1}`, text: `about feature ${feature - 1}`, weight: weight + 0 });
  }
  if ((a.flags & FLAG_LATE) !== 0) {
    const text = "came too late for the windows: decided without changing any";
    reasons.push({ code: "late_event", text, weight: 0 });
  }
  return {
    transactionId: `tx-é-${row}`,
    outcome: a.outcome,
    score: (a.degraded & 1) !== 0 ? undefined : a.score,
    reasons,
    modelVersion: `xgboost_fraud_v${a.version + 1}_0`,
    ruleSetVersion: `5f2c${a.version + 1}`,
    degraded: ["model", "entity", "fx"].filter((_, i) => (a.degraded & (1 << i)) !== 0),
    state: DecisionState.DECIDED,
    repeated: (a.flags & FLAG_REPEATED) !== 0,
  };
}

function read(d: Decision | undefined): object {
  assert.ok(d !== undefined);
  const { transactionId, outcome, score, modelVersion, ruleSetVersion, degraded, state, repeated } = d;
  const reasons = d.reasons.map(({ code, text, weight }) => ({ code, text, weight }));
  return { transactionId, outcome, score, reasons, modelVersion, ruleSetVersion, degraded, state, repeated };
}

test("random decisions: protobuf-es reads what the columns hold, and would write the same bytes", () => {
  const batchIds = fc.bigInt(0n, 2n ** 64n - 1n);
  fc.assert(
    fc.property(fc.array(answers, { minLength: 1, maxLength: 12 }), batchIds, fc.nat(50), (list, batchId, start) => {
      const block = blockOf(list.length, batchId, start);
      for (const [i, a] of list.entries()) put(block, start + i, a);
      const bytes = stream(block, start, list.length);
      const reply = fromBinary(AnalyzeStreamResponseSchema, bytes);
      assert.equal(reply.batchId, batchId);
      assert.equal(reply.results.length, list.length);
      for (const [i, { result }] of reply.results.entries()) {
        assert.equal(result.case, "decision");
        assert.deepEqual(read(result.value as Decision), expected(i, list[i]));
      }
      assert.ok(bytes.equals(toBinary(AnalyzeStreamResponseSchema, reply)), "canonical bytes");
      const bulk = encodeBulkResponse(block, start, list.length, texts, false);
      assert.deepEqual(fromBinary(BulkAnalyzeResponseSchema, bulk).results, reply.results);
      const one = fromBinary(AnalyzeResponseSchema, encodeAnalyzeResponse(block, start, texts, false));
      assert.deepEqual(read(one.decision), expected(0, list[0]));
    }),
    { numRuns: 200 },
  );
});

test("stage timings come when asked for", () => {
  const block = blockOf(2, 9n);
  block.stagesUs.set([1, 200, 0, 70_000, 4_000_000_000]);
  const reply = fromBinary(AnalyzeStreamResponseSchema, stream(block, 0, 2, true));
  for (const { result } of reply.results) {
    const t = (result.value as Decision).timings;
    assert.deepEqual([t?.queueUs, t?.featuresUs, t?.inferenceUs, t?.rulesUs, t?.journalUs], [1, 200, 0, 70_000, 4e9]);
  }
  const without = fromBinary(AnalyzeStreamResponseSchema, stream(block, 0, 2));
  assert.equal((without.results[0].result.value as Decision).timings, undefined);
});

test("a refused row is an Error that names the field; its neighbours are decided", () => {
  const block = blockOf(3, 1n);
  block.error[1] = ErrorCode.INVALID;
  block.errorField[1] = 4;
  for (const bytes of [stream(block, 0, 3), encodeBulkResponse(block, 0, 3, texts, false)]) {
    const isStream = bytes[0] === 0x08;
    const reply = fromBinary(isStream ? AnalyzeStreamResponseSchema : BulkAnalyzeResponseSchema, bytes);
    assert.deepEqual(
      reply.results.map((r) => r.result.case),
      ["decision", "error", "decision"],
    );
    const error = reply.results[1].result.value as { code: number; field: string; message: string };
    assert.deepEqual([error.code, error.field], [ErrorCode.INVALID, "amount_minor"]);
    assert.match(error.message, /amount_minor must be 0 to 100000000000/);
  }
});

test("every code and field gives a readable Error", () => {
  const read = (kind: number, code: number, field: number) =>
    fromBinary(ErrorSchema, encodeError(kind, code, field, 1500));
  for (const code of Object.values(ErrorCode)) {
    for (let kind = ROW_PAYMENT; kind <= KIND_ENVELOPE; kind++) {
      for (let field = 0; field < 20; field++) {
        const error = read(kind, code, field);
        assert.equal(error.code, code);
        assert.equal(error.field, errorField(kind, field));
        assert.equal(error.message, errorMessage(kind, code, field));
        assert.notEqual(error.message, "");
        assert.equal(error.retryAfterMs, code === ErrorCode.RESOURCE_EXHAUSTED ? 1500 : 0);
        assert.equal(error.outcomeUnknown, code === ErrorCode.UNAVAILABLE);
      }
    }
  }
  assert.equal(read(ROW_OUTCOME, ErrorCode.REQUIRED, 5).field, "revision");
});

test("stand-in answers: provisional, or UNAVAILABLE, and nothing that a shard wrote", () => {
  const block = blockOf(3, 77n);
  block.error[0] = ErrorCode.INVALID;
  block.errorField[0] = 9;
  block.error[1] = ErrorCode.ALREADY_EXISTS;
  block.outcome[2] = 4;
  block.score[2] = 0.9;
  const bytes = encodeStreamStandIn(block, 0, 3, 2, envelope.batchIdStart, envelope.batchIdLength);
  const reply = fromBinary(AnalyzeStreamResponseSchema, bytes);
  assert.equal(reply.batchId, 77n);
  assert.deepEqual(
    reply.results.map((r) => r.result.case),
    ["error", "decision", "decision"],
  );
  for (const row of [1, 2]) {
    const d = reply.results[row].result.value as Decision;
    assert.deepEqual([d.transactionId, d.outcome, d.state], [`tx-é-${row}`, 2, DecisionState.PROVISIONAL]);
    assert.deepEqual([d.score, d.reasons.length, d.modelVersion, d.ruleSetVersion], [undefined, 0, "", ""]);
  }
  const none = fromBinary(BulkAnalyzeResponseSchema, encodeBulkStandIn(block, 0, 3, 0));
  const codes = none.results.map((r) => (r.result.value as { code: number }).code);
  assert.deepEqual(codes, [ErrorCode.INVALID, ErrorCode.UNAVAILABLE, ErrorCode.UNAVAILABLE]);
  assert.ok((none.results[2].result.value as { outcomeUnknown: boolean }).outcomeUnknown);
  const one = fromBinary(AnalyzeResponseSchema, encodeAnalyzeStandIn(block, 2, 3)).decision;
  assert.deepEqual([one?.outcome, one?.state], [3, DecisionState.PROVISIONAL]);
  block.flags[2] = FLAG_PROVISIONAL;
  const flagged = fromBinary(AnalyzeResponseSchema, encodeAnalyzeResponse(block, 2, texts, false)).decision;
  assert.deepEqual([flagged?.outcome, flagged?.state, flagged?.score], [4, DecisionState.PROVISIONAL, undefined]);
});

test("shed batches and refused messages", () => {
  const block = blockOf(1, 2n ** 64n - 1n);
  const bytes = block.batches[0].bytes;
  for (const [n, retry] of [
    [1, 20],
    [512, 20],
    [64, 700],
    [64, 0],
  ]) {
    const shed = encodeShed(bytes, envelope.batchIdStart, envelope.batchIdLength, n, retry);
    const reply = fromBinary(AnalyzeStreamResponseSchema, shed);
    assert.equal(reply.batchId, 2n ** 64n - 1n);
    assert.equal(reply.results.length, n);
    for (const { result } of reply.results) {
      const error = result.value as { code: number; retryAfterMs: number };
      assert.deepEqual([result.case, error.code, error.retryAfterMs], ["error", ErrorCode.RESOURCE_EXHAUSTED, retry]);
    }
  }
  assert.equal(fromBinary(BulkAnalyzeResponseSchema, encodeBulkShed(1000, 5)).results.length, 1000);
  const whole = encodeStreamError(
    bytes,
    envelope.batchIdStart,
    envelope.batchIdLength,
    ErrorCode.INVALID,
    ENVELOPE_PAYMENTS,
  );
  const refused = fromBinary(AnalyzeStreamResponseSchema, whole);
  assert.equal(refused.batchId, 2n ** 64n - 1n);
  assert.equal(refused.results.length, 1);
  assert.equal((refused.results[0].result.value as { field: string }).field, "payments");
});

test("outcomes and events", () => {
  const block = new RowBlock();
  block.flags[3] = FLAG_APPLIED;
  block.standing[3] = 40_000;
  const held = () => fromBinary(ReportOutcomeResponseSchema, encodeOutcomeResponse(block, 3));
  assert.deepEqual([held().applied, held().standingRevision, held().paymentHeld], [true, 40_000, false]);
  block.flags[3] = FLAG_HELD;
  block.standing[3] = 1;
  assert.deepEqual([held().applied, held().standingRevision, held().paymentHeld], [false, 1, true]);
  assert.equal(fromBinary(RecordEventResponseSchema, encodeEventResponse(block, 3)).recorded, false);
  block.flags[3] = FLAG_APPLIED;
  assert.equal(fromBinary(RecordEventResponseSchema, encodeEventResponse(block, 3)).recorded, true);
});

test("replies stay as they are while others are written, also past the end of a slab", () => {
  const held: (readonly [Buffer, string])[] = [];
  for (let i = 0; i < 60; i++) {
    const n = 1 + ((i * 37) % 400);
    const block = blockOf(n, BigInt(i));
    for (let row = 0; row < n; row++) {
      block.rules.lo[row] = i;
      block.rules.hi[row] = row;
    }
    const bytes = stream(block, 0, n);
    held.push([bytes, bytes.toString("hex")]);
    assert.equal(fromBinary(AnalyzeStreamResponseSchema, bytes).results.length, n);
  }
  for (const [bytes, hex] of held) assert.equal(bytes.toString("hex"), hex);
});

test("a rule without a text is loud, and the next message is whole", () => {
  const block = blockOf(2, 5n);
  block.rules.hi[0] = 0x80000000;
  const fields = texts.version(0).fields;
  const few = { version: () => ({ fields, ruleReasons: [] }), featureReason: texts.featureReason };
  const args = [false, envelope.batchIdStart, envelope.batchIdLength] as const;
  assert.throws(() => encodeStreamResponse(block, 0, 2, few, ...args), /no reason text for rule 63/);
  assert.equal(fromBinary(AnalyzeStreamResponseSchema, stream(block, 0, 2)).results.length, 2);
});
