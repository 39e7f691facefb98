import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  DecisionSchema,
  DecisionState,
  ErrorCode,
  EventKind,
  Outcome,
  OutcomeKind,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { allow } from "../testkit/fake_intake.ts";
import { errorOf, TestClient } from "../testkit/grpc_client.ts";
import { startTestGateway, storedKey, type TestGateway, testPayment } from "../testkit/test_gateway.ts";
import { replyWithinMs } from "./unary.ts";

let t: TestGateway;
let client: TestClient;
let none: TestClient;

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => assert.fail("expected an error"),
    (error: ServiceError) => error,
  );
}

before(async () => {
  t = await startTestGateway();
  client = new TestClient(t.gateway.grpcPort, t.keys.standIn);
  none = new TestClient(t.gateway.grpcPort, t.keys.none);
});
after(async () => {
  client.close();
  none.close();
  await t.gateway.close();
});
beforeEach(() => {
  t.intake.automatic = true;
  t.intake.full = false;
  t.intake.decide = allow;
});

test("decides a payment, with timings when asked", async () => {
  const { decision } = await client.call("analyze", { payment: testPayment(1), withTimings: true });
  assert.equal(decision?.transactionId, "tx-1");
  assert.equal(decision?.outcome, Outcome.ALLOW);
  assert.equal(decision?.state, DecisionState.DECIDED);
  assert.equal(decision?.modelVersion, "test_model");
  assert.equal(decision?.timings?.inferenceUs, 30);
  const plain = await client.call("analyze", { payment: testPayment(1) });
  assert.equal(plain.decision?.timings, undefined);
});

test("names the field of a bad payment in the status and in the error trailer", async () => {
  const error = await failure(client.call("analyze", { payment: testPayment(2, { currency: "eur" }) }));
  assert.equal(error.code, status.INVALID_ARGUMENT);
  assert.match(error.details, /currency/);
  assert.equal(errorOf(error).field, "currency");
  assert.equal(errorOf(error).code, ErrorCode.INVALID);
});

test("a request without a payment and broken protobuf are INVALID_ARGUMENT", async () => {
  assert.equal((await failure(client.call("analyze", {}))).code, status.INVALID_ARGUMENT);
  const broken = await failure(client.callRaw("Analyze", Uint8Array.of(0x0a, 0x7f, 1)));
  assert.equal(broken.code, status.INVALID_ARGUMENT);
  assert.equal(errorOf(broken).code, ErrorCode.MALFORMED);
});

test("each row error has its gRPC status", async () => {
  const codes: [number, number][] = [
    [ErrorCode.ALREADY_EXISTS, status.ALREADY_EXISTS],
    [ErrorCode.INTERNAL, status.INTERNAL],
    [ErrorCode.RESOURCE_EXHAUSTED, status.RESOURCE_EXHAUSTED],
    [ErrorCode.UNAVAILABLE, status.UNAVAILABLE],
  ];
  for (const [code, expected] of codes) {
    t.intake.decide = (block, row) => {
      block.error[row] = code;
    };
    const error = await failure(client.call("analyze", { payment: testPayment(3) }));
    assert.equal(error.code, expected);
    assert.equal(errorOf(error).code, code);
  }
  const foreign = await failure(client.call("analyze", { payment: testPayment(4, { tenantId: "other" }) }));
  assert.equal(foreign.code, status.PERMISSION_DENIED);
});

test("a full mailbox sheds with the time to wait", async () => {
  t.intake.full = true;
  const error = await failure(client.call("analyze", { payment: testPayment(5) }));
  assert.equal(error.code, status.RESOURCE_EXHAUSTED);
  assert.deepEqual(error.metadata.get("retry-after"), ["2"]);
  assert.equal(errorOf(error).retryAfterMs, 1500);
});

test("unknown, missing and disabled keys are UNAUTHENTICATED", async () => {
  for (const key of [null, "fg_000000000000_x", t.keys.disabled]) {
    const other = new TestClient(t.gateway.grpcPort, key);
    const error = await failure(other.call("analyze", { payment: testPayment(6) }));
    other.close();
    assert.equal(error.code, status.UNAUTHENTICATED);
  }
});

test("answers PROVISIONAL at the tenant's deadline; the late result changes nothing", async () => {
  t.intake.automatic = false;
  const began = performance.now();
  const { decision } = await client.call("analyze", { payment: testPayment(7) });
  assert.ok(performance.now() - began >= 150);
  assert.equal(decision?.state, DecisionState.PROVISIONAL);
  assert.equal(decision?.outcome, Outcome.REVIEW);
  assert.equal(decision?.transactionId, "tx-7");
  assert.equal(t.intake.waiting, 1);
  t.intake.answerAll();
  t.intake.automatic = true;
  const again = await client.call("analyze", { payment: testPayment(7) });
  assert.equal(again.decision?.state, DecisionState.DECIDED);
});

test("without a stand-in the deadline is UNAVAILABLE with outcome_unknown", async () => {
  t.intake.automatic = false;
  const error = await failure(none.call("analyze", { payment: testPayment(8) }));
  assert.equal(error.code, status.UNAVAILABLE);
  assert.equal(errorOf(error).outcomeUnknown, true);
  const outcome = { transactionId: "t", userId: "u", outcome: OutcomeKind.REFUND, revision: 1, knownTimeUs: now() };
  const late = await failure(client.call("reportOutcome", outcome));
  assert.equal(errorOf(late).outcomeUnknown, true);
  t.intake.answerAll();
});

test("a client's own deadline is answered before it passes", async () => {
  t.intake.automatic = false;
  const began = performance.now();
  const options = { deadline: Date.now() + 90 };
  const { decision } = await client.call("analyze", { payment: testPayment(9) }, options);
  assert.equal(decision?.state, DecisionState.PROVISIONAL);
  assert.ok(performance.now() - began < 90);
  t.intake.answerAll();
});

test("a cancelled call is forgotten; its rows finish", async () => {
  t.intake.automatic = false;
  await failure(client.call("analyze", { payment: testPayment(10) }, { deadline: Date.now() + 5 }));
  t.intake.answerAll();
  t.intake.automatic = true;
  assert.equal((await client.call("analyze", { payment: testPayment(10) })).decision?.transactionId, "tx-10");
});

test("bulk: bad rows have their errors, the rest is decided, in order", async () => {
  const payments = Array.from({ length: 1000 }, (_, i) => testPayment(i, i === 500 ? { amountMinor: -1n } : {}));
  const { results } = await client.call("bulkAnalyze", { payments });
  assert.equal(results.length, 1000);
  results.forEach((r, i) => {
    if (i === 500) assert.equal(r.result.case === "error" && r.result.value.field, "amount_minor");
    else assert.equal(r.result.case === "decision" && r.result.value.transactionId, `tx-${i}`);
  });
  const over = [...payments, testPayment(1001)];
  assert.equal((await failure(client.call("bulkAnalyze", { payments: over }))).code, status.INVALID_ARGUMENT);
  assert.equal((await failure(client.call("bulkAnalyze", {}))).code, status.INVALID_ARGUMENT);
});

test("bulk at the deadline: refused rows keep their errors, the others are provisional or unknown", async () => {
  t.intake.automatic = false;
  t.intake.decide = (block, row) => {
    block.error[row] = ErrorCode.ALREADY_EXISTS;
  };
  const payments = [testPayment(1, { userId: "" }), testPayment(2)];
  const { results } = await client.call("bulkAnalyze", { payments });
  assert.equal(results[0].result.case === "error" && results[0].result.value.field, "user_id");
  assert.equal(results[1].result.case === "decision" && results[1].result.value.state, DecisionState.PROVISIONAL);
  const unknown = await none.call("bulkAnalyze", { payments });
  assert.equal(unknown.results[1].result.case === "error" && unknown.results[1].result.value.outcomeUnknown, true);
  t.intake.answerAll();
});

test("outcomes and events", async () => {
  const outcome = {
    transactionId: "t",
    userId: "u",
    outcome: OutcomeKind.CHARGEBACK,
    revision: 3,
    knownTimeUs: now(),
  };
  const reported = await client.call("reportOutcome", outcome);
  assert.deepEqual([reported.applied, reported.standingRevision, reported.paymentHeld], [true, 3, true]);
  const bad = await failure(client.call("reportOutcome", { ...outcome, revision: 0 }));
  assert.equal(errorOf(bad).field, "revision");
  const event = { eventId: "e", userId: "u", kind: EventKind.LOGIN, eventTimeUs: now() };
  assert.equal((await client.call("recordEvent", event)).recorded, true);
  assert.equal(errorOf(await failure(client.call("recordEvent", { ...event, kind: 0 }))).field, "kind");
});

test("stored decisions by id, with and without the user; NOT_FOUND else", async () => {
  keyedHashText("tx-9", 0x01234567, 0x89abcdef);
  const id = [H.hi, H.lo] as const;
  keyedHashText("ann", 0x01234567, 0x89abcdef);
  const decision = create(DecisionSchema, { transactionId: "tx-9", outcome: Outcome.BLOCK });
  t.stored.set(storedKey(0, id, [H.hi, H.lo]), toBinary(DecisionSchema, decision));
  const found = await client.call("getRiskScore", { transactionId: "tx-9", userId: "ann" });
  assert.equal(found.decision?.outcome, Outcome.BLOCK);
  assert.equal((await failure(client.call("getRiskScore", { transactionId: "tx-9" }))).code, status.NOT_FOUND);
  const foreign = await failure(none.call("getRiskScore", { transactionId: "tx-9", userId: "ann" }));
  assert.equal(foreign.code, status.NOT_FOUND);
  assert.equal(errorOf(await failure(client.call("getRiskScore", {}))).field, "transaction_id");
});

test("the answer leaves a margin before the caller's deadline", () => {
  assert.equal(replyWithinMs(Number.POSITIVE_INFINITY, 700), 700);
  const left = replyWithinMs(Date.now() + 2000, 700);
  assert.ok(left > 1890 && left <= 1900, String(left));
  assert.equal(replyWithinMs(Date.now() - 5, 700), 1);
});

function now(): bigint {
  return BigInt(Date.now()) * 1000n;
}
