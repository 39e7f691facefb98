import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { DecisionSchema, ErrorCode, Outcome, PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { allow } from "../testkit/fake_intake.ts";
import { startTestGateway, storedKey, type TestGateway, testPayment } from "../testkit/test_gateway.ts";

let t: TestGateway;

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into field by field.
type Json = any;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

async function ask(path: string, body?: unknown, key: string | null = t.keys.standIn): Promise<Answer> {
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(`http://127.0.0.1:${t.gateway.restPort}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.includes("json") === true;
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
}

function paymentJson(i: number, over: object = {}): Record<string, unknown> {
  return { ...(toJson(PaymentSchema, testPayment(i)) as object), ...over };
}

before(async () => {
  t = await startTestGateway();
});
after(() => t.gateway.close());
beforeEach(() => {
  t.intake.automatic = true;
  t.intake.full = false;
  t.intake.decide = allow;
});

test("analyze: camelCase, enums by name, plain or wrapped, unknown fields and numeric categories", async () => {
  const plain = await ask("/v1/fraud/analyze", paymentJson(1, { merchantCategory: 742, futureField: { a: 1 } }));
  assert.equal(plain.status, 200);
  assert.deepEqual(
    [plain.body.transactionId, plain.body.outcome, plain.body.state, plain.body.score, plain.body.repeated],
    ["tx-1", "ALLOW", "DECIDED", 0.25, false],
  );
  assert.equal(plain.body.timings, undefined);
  const wrapped = await ask("/v1/fraud/analyze?timings=true", { payment: paymentJson(2) });
  assert.equal(wrapped.body.timings.journalUs, 50);
  const snake = { transaction_id: "s", user_id: "u", merchant_id: "m", amount_minor: 5, currency: "EUR" };
  const event_time_us = Date.now() * 1000;
  assert.equal((await ask("/v1/fraud/analyze", { ...snake, event_time_us })).status, 200);
});

test("analyze: every kind of mistake is a problem that names the field", async () => {
  const cases: [unknown, string, string][] = [
    [paymentJson(1, { amountMinor: "12.5" }), "amount_minor", "INVALID"],
    [paymentJson(1, { amountMinor: -1 }), "amount_minor", "INVALID"],
    [paymentJson(1, { userId: 7 }), "user_id", "INVALID"],
    [paymentJson(1, { userId: "" }), "user_id", "REQUIRED"],
    [paymentJson(1, { status: "SETTLED" }), "status", "INVALID"],
    [paymentJson(1, { location: { latitude: "north" } }), "latitude", "INVALID"],
    [paymentJson(1, { eventTimeUs: "100" }), "event_time_us", "INVALID"],
    [paymentJson(1, { merchantCategory: {} }), "merchant_category", "INVALID"],
    ["[]", "", "MALFORMED"],
    ["{", "", "MALFORMED"],
    ["null", "", "MALFORMED"],
  ];
  for (const [body, field, code] of cases) {
    const { status, headers, body: problem } = await ask("/v1/fraud/analyze", body);
    assert.equal(status, 400, JSON.stringify(problem));
    assert.match(headers.get("content-type") ?? "", /^application\/problem\+json/);
    assert.deepEqual([problem.errors[0].field, problem.errors[0].code], [field, code]);
    assert.deepEqual([typeof problem.type, typeof problem.title, problem.status], ["string", "string", 400]);
    assert.ok(problem.detail.length > 0 && problem.errors[0].message.length > 0);
  }
});

test("a wrong method is told the right ones, a wrong time its unit, a field at fault once", async () => {
  for (const [path, allow] of [
    ["/v1/fraud/analyze", "POST"],
    ["/v1/fraud/risk-score/a%2Fb?user_id=u", "GET, HEAD"],
  ]) {
    const method = allow === "POST" ? "GET" : "DELETE";
    const wrong = await fetch(`http://127.0.0.1:${t.gateway.restPort}${path}`, { method });
    assert.deepEqual([wrong.status, wrong.headers.get("allow")?.split(", ").sort().join(", ")], [405, allow]);
  }
  assert.equal((await ask("/v1/fraud/analyze/")).status, 404);
  const time = await ask("/v1/fraud/analyze", paymentJson(1, { eventTimeUs: "2026-01-01T00:00:00Z" }));
  assert.match(time.body.detail, /microseconds since 1970/);
  const amount = await ask("/v1/fraud/analyze", paymentJson(1, { amountMinor: -1 }));
  assert.equal(amount.body.detail.split("amount_minor").length, 2, amount.body.detail);
});

test("401, 403, 404, 409, 413, 415, 429, 500, 503 as problems", async () => {
  const none = await ask("/v1/fraud/analyze", paymentJson(1), null);
  assert.deepEqual([none.status, none.headers.get("www-authenticate")], [401, "Bearer"]);
  assert.equal((await ask("/v1/fraud/analyze", paymentJson(1), t.keys.disabled)).status, 401);
  assert.equal((await ask("/v1/fraud/analyze", paymentJson(1, { tenantId: "other" }))).status, 403);
  assert.equal((await ask("/v1/nothing")).status, 404);
  assert.equal((await ask("/v1/fraud/risk-score/none")).status, 404);
  for (const [code, status] of [
    [ErrorCode.ALREADY_EXISTS, 409],
    [ErrorCode.INTERNAL, 500],
  ] as const) {
    t.intake.decide = (block, row) => {
      block.error[row] = code;
    };
    assert.equal((await ask("/v1/fraud/analyze", paymentJson(1))).status, status);
  }
  assert.equal((await ask("/v1/fraud/analyze", JSON.stringify({ x: "x".repeat(9 << 20) }))).status, 413);
  const text = await fetch(`http://127.0.0.1:${t.gateway.restPort}/v1/fraud/analyze`, {
    method: "POST",
    headers: { authorization: `Bearer ${t.keys.standIn}`, "content-type": "text/plain" },
    body: "hello",
  });
  assert.equal(text.status, 415);
  assert.match(((await text.json()) as { detail: string }).detail, /content-type: application\/json/);
  t.intake.full = true;
  const shed = await ask("/v1/fraud/analyze", paymentJson(1));
  assert.deepEqual([shed.status, shed.headers.get("retry-after")], [429, "2"]);
  t.intake.full = false;
  t.intake.automatic = false;
  const late = await ask("/v1/fraud/analyze", paymentJson(1), t.keys.none);
  assert.deepEqual([late.status, late.body.outcome_unknown], [503, true]);
  const provisional = await ask("/v1/fraud/analyze", paymentJson(1));
  assert.deepEqual(
    [provisional.status, provisional.body.state, provisional.body.outcome],
    [200, "PROVISIONAL", "REVIEW"],
  );
  t.intake.answerAll();
});

test("bulk: bad rows of JSON and of the codec have errors at their places; oversize is 413", async () => {
  const payments: unknown[] = [
    paymentJson(0),
    paymentJson(1, { amountMinor: "x" }),
    paymentJson(2, { currency: "ZZZ" }),
  ];
  payments.push(null, paymentJson(4));
  const { status, body } = await ask("/v1/fraud/bulk-analyze?timings=true", { payments });
  assert.equal(status, 200);
  assert.equal(body.results.length, 5);
  assert.equal(body.results[0].decision.transactionId, "tx-0");
  assert.equal(body.results[0].decision.timings.queueUs, 10);
  assert.deepEqual([body.results[1].error.field, body.results[1].error.code], ["amount_minor", "INVALID"]);
  assert.equal(body.results[2].error.field, "currency");
  assert.equal(body.results[3].error.code, "MALFORMED");
  assert.equal(body.results[4].decision.transactionId, "tx-4");
  const heavy = { attributes: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`a${i}`, i])) };
  const rows = [paymentJson(0, heavy), paymentJson(1, { amountMinor: "9".repeat(100_000) }), paymentJson(2)];
  const limited = (await ask("/v1/fraud/bulk-analyze", { payments: rows })).body.results;
  assert.deepEqual([limited[0].error.field, limited[0].error.code], ["attributes", "INVALID"]);
  assert.deepEqual([limited[1].error.field, limited[1].error.code], ["amount_minor", "INVALID"]);
  assert.ok(JSON.stringify(limited).length < 1000);
  assert.equal(limited[2].decision.transactionId, "tx-2");
  const allBad = await ask("/v1/fraud/bulk-analyze", { payments: [7] });
  assert.deepEqual([allBad.status, allBad.body.results.length], [200, 1]);
  const many = Array.from({ length: 1001 }, (_, i) => paymentJson(i));
  assert.equal((await ask("/v1/fraud/bulk-analyze", { payments: many })).status, 413);
  const full = await ask("/v1/fraud/bulk-analyze", { payments: many.slice(1) });
  assert.deepEqual([full.status, full.body.results.length], [200, 1000]);
  assert.equal((await ask("/v1/fraud/bulk-analyze", { payments: [] })).status, 400);
  assert.equal((await ask("/v1/fraud/bulk-analyze", {})).body.errors[0].field, "payments");
});

test("outcomes, events and stored decisions", async () => {
  const known = { transactionId: "t", userId: "u", knownTimeUs: String(Date.now() * 1000) };
  const outcome = await ask("/v1/fraud/outcomes", { ...known, outcome: "CHARGEBACK", revision: 2 });
  assert.deepEqual(outcome.body, { applied: true, standingRevision: 2, paymentHeld: true });
  const wrong = await ask("/v1/fraud/outcomes", { ...known, outcome: "STOLEN", revision: 2 });
  assert.deepEqual([wrong.status, wrong.body.errors[0].field], [400, "outcome"]);
  const event = { eventId: "e", userId: "u", kind: "LOGIN", eventTimeUs: Date.now() * 1000 };
  assert.deepEqual((await ask("/v1/fraud/events", event)).body, { recorded: true });
  assert.equal((await ask("/v1/fraud/events", { ...event, ip: "1.2.3" })).body.errors[0].field, "ip");
  keyedHashText("a/b c", 0x01234567, 0x89abcdef);
  const id = [H.hi, H.lo] as const;
  const decision = create(DecisionSchema, { transactionId: "a/b c", outcome: Outcome.BLOCK });
  t.stored.set(storedKey(0, id, null), toBinary(DecisionSchema, decision));
  const found = await ask(`/v1/fraud/risk-score/${encodeURIComponent("a/b c")}`);
  assert.deepEqual([found.status, found.body.outcome], [200, "BLOCK"]);
  assert.equal((await ask(`/v1/fraud/risk-score/${encodeURIComponent("a/b c")}?user_id=bob`)).status, 404);
  assert.equal((await ask(`/v1/fraud/risk-score/${"x".repeat(65)}`)).body.errors[0].field, "transaction_id");
});

test("health, readiness and metrics without a key; nothing secret in the log", async () => {
  assert.deepEqual((await ask("/health", undefined, null)).body, { status: "ok" });
  assert.deepEqual((await ask("/ready", undefined, null)).body, { ready: true, reason: "" });
  t.stats.models = [{ model_type: "xgboost", version: "1.0" }];
  t.stats.countScores(Float32Array.of(0, 0.05, 0.15, 1, Number.NaN), 0, 5);
  const { body } = await ask("/metrics", undefined, null);
  assert.match(body, /^active_ml_models\{model_type="xgboost",version="1.0"\} 1$/m);
  assert.match(body, /^fraud_score_distribution_bucket\{le="0.1"\} 2$/m);
  assert.match(body, /^fraud_score_distribution_count 4$/m);
  assert.match(body, /^fraud_requests_total\{method="POST",endpoint="\/v1\/fraud\/analyze",status="200"\} \d+$/m);
  assert.match(body, /^fraud_request_duration_seconds_bucket\{le="0.01",method="POST",endpoint="[^"]+"\} \d+$/m);
  assert.ok(!t.logged().includes(t.keys.standIn));
});

test("the OpenAPI document: paths, errors, schemas with the limits of the proto, no dead references", async () => {
  const { status, body } = await ask("/openapi.json", undefined, null);
  assert.equal(status, 200);
  assert.equal(body.openapi, "3.1.0");
  const { schemas } = body.components;
  assert.match(schemas.Payment.properties.transactionId.description, /1\.\.64 bytes/);
  assert.deepEqual(schemas.Payment.required.slice(0, 2), ["transactionId", "userId"]);
  assert.deepEqual(schemas.RecordEventRequest.required, ["eventId", "userId", "kind", "eventTimeUs"]);
  assert.ok(["outcome", "revision"].every((f) => schemas.ReportOutcomeRequest.required.includes(f)));
  assert.deepEqual(schemas.Payment.properties.amountMinor.type, ["string", "integer"]);
  assert.deepEqual(schemas.Outcome.enum.slice(1), ["ALLOW", "CHALLENGE", "REVIEW", "BLOCK"]);
  for (const s of ["400", "401", "403", "408", "409", "413", "415", "429", "503"]) {
    assert.ok(body.paths["/v1/fraud/analyze"].post.responses[s], s);
  }
  const { responses } = body.paths["/v1/fraud/risk-score/{transaction_id}"].get;
  assert.ok(responses["404"].description && responses["414"].description);
  for (const [, name] of JSON.stringify(body).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    assert.ok(schemas[name]?.type, name);
  }
});
