/** The public API through gRPC, on one real node: every defined answer, one test each. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { errorOf, TestClient } from "../../gateway/testkit/grpc_client.ts";
import {
  AnalyzeResponseSchema,
  AnalyzeStreamRequestSchema,
  AnalyzeStreamResponseSchema,
  DecisionState,
  ErrorCode,
  EventKind,
  Outcome,
  OutcomeKind,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { decisionOf, freshId, payment, rowError, START_US, sameness } from "./testkit/payments.ts";

let node: NodeProcess;
let calls: TestClient;
let strict: TestClient;
let stream: FraudClient;

before(async () => {
  node = await NodeProcess.launch();
  calls = new TestClient(node.grpcPort, node.keys.acme);
  strict = new TestClient(node.grpcPort, node.keys.strict);
  stream = new FraudClient(node.ready.grpc, node.keys.acme);
});

after(async () => {
  stream?.close();
  calls?.close();
  strict?.close();
  await node?.dispose();
});

async function analyze(p: PaymentInit) {
  const { decision } = await calls.call("analyze", { payment: p });
  assert.ok(decision);
  return decision;
}

async function refused(call: Promise<unknown>, code: status, error: ErrorCode, field: string): Promise<void> {
  await assert.rejects(call, (e: Error & { code: number }) => {
    assert.equal(e.code, code, e.message);
    const detail = errorOf(e);
    assert.deepEqual([detail.code, detail.field], [error, field], detail.message);
    return true;
  });
}

test("a payment is decided by the model and the rules", async () => {
  const p = payment();
  const decision = await analyze(p);
  assert.equal(decision.transactionId, p.transactionId);
  assert.equal(decision.state, DecisionState.DECIDED);
  assert.equal(decision.repeated, false);
  assert.equal(decision.modelVersion, "xgboost_fraud_v1_2");
  assert.match(decision.ruleSetVersion, /^[0-9a-f]{12}$/);
  assert.ok(decision.score !== undefined && decision.score >= 0 && decision.score <= 1, `score ${decision.score}`);
  assert.deepEqual(decision.degraded, []);
  assert.equal(decision.timings, undefined);
});

test("timings are given on request", async () => {
  const { decision } = await calls.call("analyze", { payment: payment(), withTimings: true });
  const t = decision?.timings;
  assert.ok(t !== undefined && t.journalUs > 0 && t.featuresUs + t.inferenceUs + t.rulesUs > 0, JSON.stringify(t));
});

test("the same payment again gets the same decision, marked repeated", async () => {
  const p = payment({ deviceId: "d1", ip: "192.0.2.7", country: "DE", location: { latitude: 52.5, longitude: 13.4 } });
  const first = await analyze(p);
  const again = await analyze(p);
  assert.equal(again.repeated, true);
  assert.equal(sameness(again), sameness(first));
});

test("the same id with any other known field different is ALREADY_EXISTS and names the field", async () => {
  const p = payment({
    cardToken: "card-1",
    deviceId: "d1",
    ip: "192.0.2.7",
    country: "DE",
    location: { latitude: 52.5, longitude: 13.4 },
    channel: "ecommerce",
    merchantCategory: "5411",
    payeeAccount: "payee-1",
    attributes: { note: { kind: { case: "stringValue", value: "a" } } },
  });
  const first = await analyze(p);
  const other: [string, PaymentInit][] = [
    ["merchant_id", { merchantId: "another" }],
    ["amount_minor", { amountMinor: 1251n }],
    ["currency", { currency: "EUR" }],
    ["event_time_us", { eventTimeUs: BigInt(START_US + 1) }],
    ["card_token", { cardToken: "card-2" }],
    ["device_id", { deviceId: "" }],
    ["ip", { ip: "192.0.2.8" }],
    ["country", { country: "FR" }],
    ["location", { location: { latitude: 52.6, longitude: 13.4 } }],
    ["channel", { channel: "mobile" }],
    ["merchant_category", { merchantCategory: "5412" }],
    ["payee_account", { payeeAccount: "payee-2" }],
    ["status", { status: 3 }],
    ["attributes", { attributes: { note: { kind: { case: "stringValue", value: "b" } } } }],
  ];
  for (const [field, over] of other) {
    const call = calls.call("analyze", { payment: { ...p, ...over } as PaymentInit });
    await refused(call, status.ALREADY_EXISTS, ErrorCode.ALREADY_EXISTS, field);
  }
  assert.equal(sameness(await analyze(p)), sameness(first));
});

test("the same id of another user, and of another tenant, is another payment", async () => {
  const p = payment();
  await analyze(p);
  assert.equal((await analyze({ ...p, userId: freshId("u") })).repeated, false);
  const { decision } = await strict.call("analyze", { payment: { ...p, amountMinor: 7n } });
  assert.equal(decision?.repeated, false);
});

test("a repeat within one batch gets the decision of the first", async () => {
  const p = payment();
  const results = await stream.analyze([p, payment(), p, { ...p, amountMinor: 1n }, p]);
  const first = decisionOf(results[0]);
  assert.equal(first.repeated, false);
  for (const i of [2, 4]) {
    const again = decisionOf(results[i]);
    assert.equal(again.repeated, true);
    assert.equal(sameness(again), sameness(first));
  }
  assert.deepEqual([rowError(results[3]).code, rowError(results[3]).field], [ErrorCode.ALREADY_EXISTS, "amount_minor"]);
  assert.equal(decisionOf(results[1]).repeated, false);
});

test("concurrent repeats while the first is in flight: one decision, once not repeated", async () => {
  for (let round = 0; round < 5; round++) {
    const p = payment();
    const answers = await Promise.all(Array.from({ length: 40 }, () => analyze(p)));
    assert.equal(answers.filter((d) => !d.repeated).length, 1);
    assert.equal(new Set(answers.map(sameness)).size, 1);
  }
});

test("a bad row is answered with its own error, the others are decided", async () => {
  const bad: [string, ErrorCode, PaymentInit][] = [
    ["transaction_id", ErrorCode.REQUIRED, { transactionId: "" }],
    ["user_id", ErrorCode.REQUIRED, { userId: "" }],
    ["merchant_id", ErrorCode.INVALID, { merchantId: "m".repeat(129) }],
    ["amount_minor", ErrorCode.INVALID, { amountMinor: -1n }],
    ["amount_minor", ErrorCode.INVALID, { amountMinor: 100_000_000_001n }],
    ["currency", ErrorCode.INVALID, { currency: "usd" }],
    ["event_time_us", ErrorCode.INVALID, { eventTimeUs: 946_684_799_999_999n }],
    ["event_time_us", ErrorCode.INVALID, { eventTimeUs: BigInt(Date.now() + 25 * 3_600_000) * 1000n }],
    ["card_token", ErrorCode.INVALID, { cardToken: "4111111111111111" }],
    ["ip", ErrorCode.INVALID, { ip: "256.1.1.1" }],
    ["attributes", ErrorCode.INVALID, { attributes: { unknown: { kind: { case: "boolValue", value: true } } } }],
    ["tenant_id", ErrorCode.PERMISSION_DENIED, { tenantId: "strict" }],
  ];
  const batch = bad.flatMap(([, , over]) => [payment(), payment(over)]);
  const results = await stream.analyze(batch);
  assert.equal(results.length, batch.length);
  for (const [i, [field, code]] of bad.entries()) {
    assert.equal(decisionOf(results[2 * i]).transactionId, batch[2 * i].transactionId);
    const error = rowError(results[2 * i + 1]);
    assert.deepEqual([error.field, error.code], [field, code], error.message);
  }
});

test("the tenant's own id is accepted, another one is PERMISSION_DENIED", async () => {
  assert.equal((await analyze(payment({ tenantId: "acme" }))).repeated, false);
  const call = calls.call("analyze", { payment: payment({ tenantId: "strict" }) });
  await refused(call, status.PERMISSION_DENIED, ErrorCode.PERMISSION_DENIED, "tenant_id");
});

test("no key, an unknown key", async () => {
  for (const key of [null, "fg_000000000000_nobody"]) {
    const nobody = new TestClient(node.grpcPort, key);
    await assert.rejects(nobody.call("analyze", { payment: payment() }), { code: status.UNAUTHENTICATED });
    nobody.close();
  }
});

test("broken protobuf is INVALID_ARGUMENT, and the stream lives on after a broken message", async () => {
  await assert.rejects(calls.callRaw("Analyze", Uint8Array.of(0x0a, 0xff)), { code: status.INVALID_ARGUMENT });
  const raw = calls.stream();
  const answers: Buffer[] = [];
  const ended = new Promise<void>((resolve, reject) => {
    raw.on("data", (b: Buffer) => answers.push(b));
    raw.on("end", resolve);
    raw.on("error", reject);
  });
  raw.write(Uint8Array.of(0x08, 7, 0x12, 0x7f));
  const good = create(AnalyzeStreamRequestSchema, { batchId: 8n, payments: [payment()] });
  raw.write(toBinary(AnalyzeStreamRequestSchema, good));
  raw.end();
  await ended;
  const byId = new Map(
    answers.map((b) => fromBinary(AnalyzeStreamResponseSchema, b)).map((r) => [r.batchId, r.results]),
  );
  assert.equal(rowError(byId.get(7n)?.[0]).code, ErrorCode.MALFORMED);
  assert.equal(decisionOf(byId.get(8n)?.[0]).state, DecisionState.DECIDED);
});

test("a text that is not UTF-8 is refused by name", async () => {
  const bytes = Buffer.from(
    toBinary(
      AnalyzeStreamRequestSchema,
      create(AnalyzeStreamRequestSchema, {
        payments: [payment({ userId: "uXXu" })],
      }),
    ),
  );
  bytes.fill(0xff, bytes.indexOf("XX"), bytes.indexOf("XX") + 2);
  const raw = calls.stream();
  const answer = new Promise<Buffer>((resolve, reject) => raw.once("data", resolve).once("error", reject));
  raw.write(bytes);
  const { results } = fromBinary(AnalyzeStreamResponseSchema, await answer);
  raw.end();
  assert.deepEqual([rowError(results[0]).code, rowError(results[0]).field], [ErrorCode.NOT_UTF8, "user_id"]);
});

test("unknown fields are tolerated", async () => {
  const request = create(AnalyzeStreamRequestSchema, { payments: [payment()] });
  const row = toBinary(AnalyzeStreamRequestSchema, request).subarray(2);
  const inner = Buffer.concat([row, Uint8Array.of(0xfa, 0x3f, 1, 65)]);
  assert.ok(inner.length < 128);
  const bytes = Buffer.concat([Uint8Array.of(0x0a, inner.length), inner]);
  const { decision } = fromBinary(AnalyzeResponseSchema, await calls.callRaw("Analyze", bytes));
  assert.equal(decision?.state, DecisionState.DECIDED);
});

test("batches of 0 and 513 have one error, 512 are decided", async () => {
  const none = await stream.analyze([]);
  assert.deepEqual([none.length, rowError(none[0]).code], [1, ErrorCode.REQUIRED]);
  const payments = Array.from({ length: 513 }, () => payment());
  const many = await stream.analyze(payments);
  assert.deepEqual([many.length, rowError(many[0]).code], [1, ErrorCode.INVALID]);
  const results = await stream.analyze(payments.slice(1));
  assert.deepEqual(
    results.map((r) => decisionOf(r).transactionId),
    payments.slice(1).map((p) => p.transactionId),
  );
});

test("a bulk call decides 1,000 payments in order and refuses 0 and 1,001", async () => {
  const payments = Array.from({ length: 1001 }, () => payment());
  const { results } = await calls.call("bulkAnalyze", { payments: payments.slice(0, 1000) });
  assert.deepEqual(
    results.map((r) => decisionOf(r).transactionId),
    payments.slice(0, 1000).map((p) => p.transactionId),
  );
  await refused(calls.call("bulkAnalyze", { payments }), status.INVALID_ARGUMENT, ErrorCode.INVALID, "payments");
  await refused(calls.call("bulkAnalyze", {}), status.INVALID_ARGUMENT, ErrorCode.REQUIRED, "payments");
});

test("payments with the longest fields that are allowed are decided or shed, and the node lives", async () => {
  const long = (i: number): PaymentInit => {
    const fill = (n: number) => `${i}-`.padEnd(n, String.fromCharCode(97 + (i % 26)) + i.toString(36));
    return payment({
      transactionId: fill(64),
      userId: fill(128),
      merchantId: fill(128),
      cardToken: fill(128),
      deviceId: fill(128),
      payeeAccount: fill(128),
      attributes: { note: { kind: { case: "stringValue", value: fill(256) } } },
    });
  };
  const payments = Array.from({ length: 1000 }, (_, i) => long(i));
  const halves = await Promise.all([stream.analyze(payments.slice(0, 500)), stream.analyze(payments.slice(500))]);
  assert.deepEqual(
    halves.flat().map((r) => decisionOf(r).transactionId),
    payments.map((p) => p.transactionId),
  );
  assert.ok(node.running, await node.words());
});

test("a batch with more text than a frame holds is decided or shed in parts, and the node lives", async () => {
  const random = () => Array.from({ length: 256 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90)));
  const text = () => ({ kind: { case: "stringValue" as const, value: random().join("") } });
  const attributes = () => Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`text_${i}`, text()]));
  const payments = Array.from({ length: 512 }, () => payment({ attributes: attributes() }));
  // The client sends again what was shed.
  const results = await stream.analyze(payments);
  assert.deepEqual(
    results.map((r) => decisionOf(r).transactionId),
    payments.map((p) => p.transactionId),
  );
  for (const r of await stream.analyze(payments.slice(0, 50))) assert.equal(decisionOf(r).repeated, true);
  assert.ok(node.running, await node.words());
});

test("GetRiskScore returns the stored decision, with and without the user", async () => {
  const p = payment();
  const decided = await analyze(p);
  for (const userId of [p.userId, ""]) {
    const { decision } = await calls.call("getRiskScore", {
      transactionId: p.transactionId as string,
      userId: userId as string,
    });
    assert.ok(decision);
    assert.equal(sameness(decision), sameness(decided));
  }
  const other = strict.call("getRiskScore", { transactionId: p.transactionId as string });
  await refused(other, status.NOT_FOUND, ErrorCode.NOT_FOUND, "");
  await refused(calls.call("getRiskScore", { transactionId: "nowhere" }), status.NOT_FOUND, ErrorCode.NOT_FOUND, "");
  await refused(calls.call("getRiskScore", {}), status.INVALID_ARGUMENT, ErrorCode.REQUIRED, "transaction_id");
});

test("test cards force each outcome where the tenant has them", async () => {
  const cards: [string, Outcome][] = [
    ["fg_test_allow", Outcome.ALLOW],
    ["fg_test_challenge", Outcome.CHALLENGE],
    ["fg_test_review", Outcome.REVIEW],
    ["fg_test_block", Outcome.BLOCK],
  ];
  for (const [cardToken, outcome] of cards) {
    const p = payment({ cardToken });
    const d = await analyze(p);
    assert.equal(d.outcome, outcome);
    assert.ok(d.reasons.some((r) => r.code === "test_card"));
    assert.equal(sameness(await analyze(p)), sameness(d));
    const { decision } = await strict.call("analyze", { payment: payment({ cardToken }) });
    assert.ok(decision && !decision.reasons.some((r) => r.code === "test_card"));
  }
});

test("a payment older than the late tolerance is decided with late_event, changes no window, and repeats", async () => {
  const userId = freshId("u");
  const hour = 3600e6;
  await analyze(payment({ userId, eventTimeUs: BigInt(START_US) }));
  const within = await analyze(payment({ userId, eventTimeUs: BigInt(START_US - hour) }));
  assert.ok(!within.reasons.some((r) => r.code === "late_event"));
  const late = payment({ userId, eventTimeUs: BigInt(START_US - hour - 1) });
  const decided = await analyze(late);
  assert.ok(
    decided.reasons.some((r) => r.code === "late_event"),
    JSON.stringify(decided.reasons),
  );
  const again = await analyze(late);
  assert.deepEqual([again.repeated, sameness(again)], [true, sameness(decided)]);
  for (const user of [userId, ""]) {
    const { decision } = await calls.call("getRiskScore", {
      transactionId: late.transactionId as string,
      userId: user,
    });
    assert.equal(decision && sameness(decision), sameness(decided));
  }
});

test("a currency without a rate is decided, degraded: fx; one with a rate is not", async () => {
  const d = await analyze(payment({ currency: "KPW" }));
  assert.deepEqual(d.degraded, ["fx"]);
  assert.deepEqual((await analyze(payment({ currency: "EUR" }))).degraded, []);
});

test("history is recorded and counted, not decided", async () => {
  const userId = freshId("u");
  const past = Array.from({ length: 7 }, (_, i) =>
    payment({ userId, amountMinor: 100n, eventTimeUs: BigInt(START_US - 1e6 * (7 - i)) }),
  );
  for (const r of await stream.analyze(past, true)) {
    assert.deepEqual(
      [decisionOf(r).state, decisionOf(r).outcome],
      [DecisionState.RECORDED, Outcome.OUTCOME_UNSPECIFIED],
    );
  }
  const d = await analyze(payment({ userId, amountMinor: 100n, eventTimeUs: BigInt(START_US) }));
  assert.ok(
    d.reasons.some((r) => r.code === "card_testing_burst"),
    JSON.stringify(d.reasons),
  );
  const [again] = await stream.analyze([past[0]], true);
  assert.equal(decisionOf(again).repeated, true);
});

/** Seven tiny payments within a minute: the eighth fires card_testing_burst, as user_count_5m is 8. */
async function burst(userId: string, count: number): Promise<PaymentInit[]> {
  const payments = Array.from({ length: count }, (_, i) =>
    payment({ userId, amountMinor: 100n, eventTimeUs: BigInt(START_US + i * 1e6) }),
  );
  for (const r of await stream.analyze(payments)) decisionOf(r);
  return payments;
}

const fires = async (userId: string, at_s: number) => {
  const d = await analyze(payment({ userId, amountMinor: 100n, eventTimeUs: BigInt(START_US + at_s * 1e6) }));
  return d.reasons.some((r) => r.code === "card_testing_burst");
};

test("a reversal takes the payment out of the windows, once", async () => {
  const [kept, reversed] = [freshId("u"), freshId("u")];
  await burst(kept, 7);
  const payments = await burst(reversed, 7);
  const about = { transactionId: payments[3].transactionId as string, userId: reversed, knownTimeUs: BigInt(START_US) };
  const done = await calls.call("reportOutcome", { ...about, outcome: OutcomeKind.REVERSAL, revision: 1 });
  assert.deepEqual([done.applied, done.standingRevision, done.paymentHeld], [true, 1, true]);
  const again = await calls.call("reportOutcome", { ...about, outcome: OutcomeKind.REVERSAL, revision: 2 });
  assert.deepEqual([again.applied, again.standingRevision], [true, 2]);
  assert.deepEqual([await fires(kept, 10), await fires(reversed, 10)], [true, false]);
  assert.equal(await fires(reversed, 11), true);
  assert.equal((await analyze(payments[3])).repeated, true);
});

test("outcomes: the newest revision wins, a stale one is answered with what stands", async () => {
  const p = payment();
  await analyze(p);
  const about = { transactionId: p.transactionId as string, userId: p.userId as string, knownTimeUs: BigInt(START_US) };
  const told: [OutcomeKind, number, boolean, boolean, number][] = [
    [OutcomeKind.CHARGEBACK, 3, false, true, 3],
    [OutcomeKind.LEGITIMATE, 2, false, false, 3],
    [OutcomeKind.CHARGEBACK, 3, false, false, 3],
    [OutcomeKind.CHARGEBACK, 4, true, true, 4],
    [OutcomeKind.CONFIRMED_FRAUD, 65_535, false, true, 65_535],
    [OutcomeKind.REFUND, 65_534, false, false, 65_535],
  ];
  for (const [outcome, revision, retracted, applied, standing] of told) {
    const r = await calls.call("reportOutcome", { ...about, outcome, revision, retracted });
    assert.deepEqual([r.applied, r.standingRevision, r.paymentHeld], [applied, standing, true]);
  }
  const unknown = { ...about, transactionId: freshId(), outcome: OutcomeKind.CHARGEBACK, revision: 1 };
  const r = await calls.call("reportOutcome", unknown);
  assert.deepEqual([r.applied, r.standingRevision, r.paymentHeld], [true, 1, false]);
});

test("outcomes: what is refused", async () => {
  const good = {
    transactionId: "x",
    userId: "y",
    outcome: OutcomeKind.REVERSAL,
    knownTimeUs: BigInt(START_US),
    revision: 1,
  };
  const bad: [Record<string, unknown>, ErrorCode, string][] = [
    [{ revision: 0 }, ErrorCode.REQUIRED, "revision"],
    [{ revision: 65_536 }, ErrorCode.INVALID, "revision"],
    [{ outcome: 0 }, ErrorCode.REQUIRED, "outcome"],
    [{ outcome: 9 }, ErrorCode.INVALID, "outcome"],
    [{ userId: "" }, ErrorCode.REQUIRED, "user_id"],
    [{ retracted: true }, ErrorCode.INVALID, "retracted"],
  ];
  for (const [over, code, field] of bad) {
    await refused(calls.call("reportOutcome", { ...good, ...over } as never), status.INVALID_ARGUMENT, code, field);
  }
  const other = calls.call("reportOutcome", { ...good, tenantId: "strict" });
  await refused(other, status.PERMISSION_DENIED, ErrorCode.PERMISSION_DENIED, "tenant_id");
});

test("events are recorded once and are seen by the next payment", async () => {
  const userId = freshId("u");
  const at = (s: number) => BigInt(START_US + s * 1e6);
  const ids = [freshId("e"), freshId("e")];
  const kinds = [EventKind.PASSWORD_CHANGE, EventKind.NEW_PAYEE];
  for (const [i, kind] of kinds.entries()) {
    const event = { eventId: ids[i], userId, kind, eventTimeUs: at(i), deviceId: "d1" };
    assert.equal((await calls.call("recordEvent", event)).recorded, true);
    assert.equal((await calls.call("recordEvent", event)).recorded, false);
  }
  const d = await analyze(payment({ userId, amountMinor: 50_000n, eventTimeUs: at(60), payeeAccount: "p" }));
  assert.ok(
    d.reasons.some((r) => r.code === "takeover_password_payee"),
    JSON.stringify(d.reasons),
  );
});

test("an event and a payment may have the same id", async () => {
  const id = freshId("same");
  const userId = freshId("u");
  const event = { eventId: id, userId, kind: EventKind.LOGIN, eventTimeUs: BigInt(START_US) };
  assert.equal((await calls.call("recordEvent", event)).recorded, true);
  const p = payment({ transactionId: id, userId });
  const decided = await analyze(p);
  assert.equal(decided.repeated, false);
  assert.equal((await calls.call("recordEvent", event)).recorded, false);
  assert.equal(sameness(await analyze(p)), sameness(decided));
  const late = payment({ userId, eventTimeUs: BigInt(START_US - 7200e6) });
  await analyze(late);
  const other = { ...event, eventId: late.transactionId as string };
  assert.equal((await calls.call("recordEvent", other)).recorded, true);
});

test("amounts at the limit in every currency with a rate leave the node alive", async () => {
  for (const currency of ["USD", "KWD", "JPY", "GBP", "VND", "BHD"]) {
    const d = await analyze(payment({ currency, amountMinor: 100_000_000_000n }));
    assert.equal(d.state, DecisionState.DECIDED);
  }
  const dong = new TestClient(node.grpcPort, node.keys.dong);
  for (const amountMinor of [100_000_000_000n, 1000n]) {
    const { decision } = await dong.call("analyze", { payment: payment({ currency: "USD", amountMinor }) });
    assert.deepEqual(decision?.degraded, amountMinor === 1000n ? [] : ["fx"]);
  }
  dong.close();
  assert.ok(node.running, await node.words());
});
