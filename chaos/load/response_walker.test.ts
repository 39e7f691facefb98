import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  AnalyzeResponseSchema,
  AnalyzeStreamResponseSchema,
  BulkAnalyzeResponseSchema,
  DecisionState,
  ErrorCode,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { ResponseWalker, ROW_DECIDED, ROW_REFUSED, ROW_UNKNOWN } from "./response_walker.ts";

const text = fc.string({ maxLength: 200 });
const decision = fc.record({
  kind: fc.constant("decision" as const),
  transactionId: text,
  outcome: fc.integer({ min: 1, max: 4 }),
  score: fc.float({ min: 0, max: 1, noNaN: true }),
  reasons: fc.array(
    fc.record({ code: fc.oneof(text, fc.constant("late_event")), text, weight: fc.double({ noNaN: true }) }),
    { maxLength: 4 },
  ),
  modelVersion: text,
  ruleSetVersion: text,
  degraded: fc.array(fc.constantFrom("model", "fx"), { maxLength: 2 }),
  state: fc.constantFrom(DecisionState.DECIDED, DecisionState.PROVISIONAL, DecisionState.RECORDED),
  repeated: fc.boolean(),
});
const error = fc.record({
  kind: fc.constant("error" as const),
  code: fc.constantFrom(ErrorCode.RESOURCE_EXHAUSTED, ErrorCode.UNAVAILABLE, ErrorCode.INVALID),
  field: text,
  message: text,
  retryAfterMs: fc.nat(),
  outcomeUnknown: fc.boolean(),
});
type Row =
  typeof decision extends fc.Arbitrary<infer D> ? (typeof error extends fc.Arbitrary<infer E> ? D | E : never) : never;
type Results = NonNullable<MessageInitShape<typeof BulkAnalyzeResponseSchema>["results"]>;

function results(rows: readonly Row[]): Results {
  return rows.map(({ kind, ...value }) => ({ result: { case: kind, value } })) as Results;
}

function expected(row: Row): number {
  if (row.kind === "error") return row.outcomeUnknown ? ROW_UNKNOWN : ROW_REFUSED;
  return row.state === DecisionState.PROVISIONAL ? ROW_UNKNOWN : ROW_DECIDED;
}

test("the walk sees what the messages hold", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(decision, error), { maxLength: 70 }), fc.nat(), fc.nat(9), (rows, batch, pad) => {
      const walker = new ResponseWalker();
      const batchId = 2n ** 28n + BigInt(batch);
      const message = create(AnalyzeStreamResponseSchema, { batchId, results: results(rows) });
      const body = toBinary(AnalyzeStreamResponseSchema, message);
      const bytes = Buffer.alloc(body.length + 2 * pad, 0xff);
      bytes.set(body, pad);
      walker.stream(bytes, pad, pad + body.length);
      assert.equal(walker.batch_id, Number(batchId));
      assert.deepEqual([...walker.row.subarray(0, walker.rows)], rows.map(expected));
      assert.equal(walker.decided, rows.filter((r) => expected(r) === ROW_DECIDED).length);
      const refused = rows.filter((r) => r.kind === "error" && r.code === ErrorCode.RESOURCE_EXHAUSTED);
      assert.equal(walker.errors[ErrorCode.RESOURCE_EXHAUSTED], refused.length);
      const provisional = rows.filter((r) => r.kind === "decision" && r.state === DecisionState.PROVISIONAL);
      assert.equal(walker.provisional, provisional.length);
      const late = rows.flatMap((r) => (r.kind === "decision" && expected(r) === ROW_DECIDED ? r.reasons : []));
      if (walker.provisional === 0) assert.equal(walker.late, late.filter((r) => r.code === "late_event").length);
      walker.clear();
      const bulk = toBinary(BulkAnalyzeResponseSchema, create(BulkAnalyzeResponseSchema, { results: results(rows) }));
      walker.bulk(bulk, 0, bulk.length);
      assert.deepEqual([...walker.row.subarray(0, walker.rows)], rows.map(expected));
    }),
  );
});

test("a unary answer is one decision", () => {
  const walker = new ResponseWalker();
  const bytes = toBinary(AnalyzeResponseSchema, create(AnalyzeResponseSchema, { decision: { outcome: 4, state: 1 } }));
  walker.unary(bytes, 0, bytes.length);
  assert.deepEqual([walker.rows, walker.decided, walker.outcomes[4]], [1, 1, 1]);
});

test("a broken response is no answer", () => {
  const walker = new ResponseWalker();
  assert.throws(() => walker.stream(Uint8Array.of(0x12, 0x7f, 0x0a), 0, 3));
  assert.throws(() => walker.stream(Uint8Array.of(0x0f), 0, 1));
});
