/** The public API through REST and through NATS publishers, on one real node. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import { headers as newHeaders } from "@nats-io/nats-core";
import {
  AnalyzeStreamRequestSchema,
  AnalyzeStreamResponseSchema,
  PaymentSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { PublicStreams } from "../../runtime/nats/public_streams.ts";
import type { PaymentInit } from "../client/fraud_client.ts";
import { accessOf, connectAs } from "../node/nats_access.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { freshId, payment, paymentJson, START_US } from "./testkit/payments.ts";
import { until } from "./testkit/until.ts";

const PROTOBUF = "application/x-protobuf";
const JSON_TYPE = "application/json";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes, each test looks at its own.
  readonly body: any;
}
interface Published {
  readonly data: Uint8Array;
  readonly headers: Record<string, string>;
}

let node: NodeProcess;
/** A payment processor's, and one as the node has it. */
let link: NatsLink;
let inside: NatsLink;
let streams: PublicStreams;
const decided: Published[] = [];
const dead: Published[] = [];

before(async () => {
  node = await NodeProcess.launch();
  link = await connectAs(accessOf(node.ready, "client"), "traffic");
  inside = await connectAs(accessOf(node.ready, "gateway"), "traffic");
  streams = await PublicStreams.open(inside);
  for (const [subject, heard] of [
    ["fraud.analysis.events", decided],
    ["fraud.transaction.dead-letter", dead],
  ] as const) {
    link.client.subscribe(subject, {
      callback: (_error, m) => {
        const headers = Object.fromEntries((m.headers?.keys() ?? []).map((k) => [k, m.headers?.get(k) ?? ""]));
        heard.push({ data: m.data, headers });
      },
    });
  }
  await link.client.flush();
});

after(async () => {
  await link?.close();
  await inside?.close();
  await node?.dispose();
});

async function ask(method: string, path: string, body?: unknown, key = node.keys.acme): Promise<Answer> {
  const response = await fetch(`${node.ready.rest}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "content-type": JSON_TYPE }) },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

const analyze = (p: PaymentInit | Record<string, unknown>) => ask("POST", "/v1/fraud/analyze", jsonOf(p));
const jsonOf = (p: PaymentInit | Record<string, unknown>) => paymentJson(p as PaymentInit);

function problem(answer: Answer, status: number, code: string, field: string): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  assert.deepEqual(
    [answer.body.status, answer.body.errors[0].code, answer.body.errors[0].field],
    [status, code, field],
  );
}

test("REST: a payment is decided, and again the same, marked repeated", async () => {
  const p = payment({ location: { latitude: 48.1, longitude: 11.6 } });
  const first = await analyze(p);
  assert.deepEqual([first.status, first.body.state, first.body.repeated], [200, "DECIDED", false]);
  const again = await analyze(p);
  assert.deepEqual(again.body, { ...first.body, repeated: true });
  const score = await ask("GET", `/v1/fraud/risk-score/${p.transactionId}?user_id=${p.userId}`);
  assert.deepEqual(score.body, again.body);
  assert.deepEqual((await ask("GET", `/v1/fraud/risk-score/${p.transactionId}`)).body, again.body);
  problem(await analyze({ ...p, amountMinor: 7n }), 409, "ALREADY_EXISTS", "amount_minor");
});

test("REST: timings on request", async () => {
  const { body } = await ask("POST", "/v1/fraud/analyze?timings=true", jsonOf(payment()));
  assert.ok(body.timings.journalUs > 0, JSON.stringify(body));
});

test("REST: what is refused, with its status and field", async () => {
  problem(await analyze(payment({ tenantId: "strict" })), 403, "PERMISSION_DENIED", "tenant_id");
  problem(await analyze(payment({ amountMinor: -1n })), 400, "INVALID", "amount_minor");
  problem(await analyze(payment({ currency: "" })), 400, "REQUIRED", "currency");
  assert.equal((await ask("POST", "/v1/fraud/analyze", "{")).status, 400);
  assert.equal((await ask("POST", "/v1/fraud/analyze", jsonOf(payment()), "fg_nobody")).status, 401);
  problem(await ask("GET", "/v1/fraud/risk-score/nowhere"), 404, "NOT_FOUND", "");
});

test("REST: a bulk with bad rows is 200 with row errors, 1,000 are decided, more are 413", async () => {
  const payments = [
    jsonOf(payment()),
    { ...jsonOf(payment()), amountMinor: "much" },
    jsonOf(payment({ currency: "EURO" })),
  ];
  const mixed = await ask("POST", "/v1/fraud/bulk-analyze", { payments });
  assert.equal(mixed.status, 200);
  assert.deepEqual(
    mixed.body.results.map((r: { error?: { field: string } }) => r.error?.field ?? "decided"),
    ["decided", "amount_minor", "currency"],
  );
  const many = Array.from({ length: 1001 }, () => jsonOf(payment()));
  const thousand = await ask("POST", "/v1/fraud/bulk-analyze", { payments: many.slice(1) });
  assert.deepEqual(
    thousand.body.results.map((r: { decision: { transactionId: string } }) => r.decision.transactionId),
    many.slice(1).map((p) => p["transactionId"]),
  );
  problem(await ask("POST", "/v1/fraud/bulk-analyze", { payments: many }), 413, "INVALID", "payments");
  problem(await ask("POST", "/v1/fraud/bulk-analyze", { payments: [] }), 400, "REQUIRED", "payments");
});

test("REST: outcomes and events", async () => {
  const p = payment();
  await analyze(p);
  const about = { transactionId: p.transactionId, userId: p.userId, knownTimeUs: String(START_US) };
  const told = await ask("POST", "/v1/fraud/outcomes", { ...about, outcome: "CHARGEBACK", revision: 2 });
  assert.deepEqual(told.body, { applied: true, standingRevision: 2, paymentHeld: true });
  const stale = await ask("POST", "/v1/fraud/outcomes", { ...about, outcome: "LEGITIMATE", revision: 1 });
  assert.deepEqual(stale.body, { applied: false, standingRevision: 2, paymentHeld: true });
  problem(await ask("POST", "/v1/fraud/outcomes", { ...about, outcome: "REFUND" }), 400, "REQUIRED", "revision");
  const event = { eventId: freshId("e"), userId: p.userId, kind: "LOGIN", eventTimeUs: String(START_US) };
  assert.deepEqual((await ask("POST", "/v1/fraud/events", event)).body, { recorded: true });
  assert.deepEqual((await ask("POST", "/v1/fraud/events", event)).body, { recorded: false });
});

test("REST: health, readiness, metrics, OpenAPI", async () => {
  assert.equal((await ask("GET", "/health")).status, 200);
  assert.deepEqual((await ask("GET", "/ready")).body, { ready: true, reason: "" });
  const metrics = await (await fetch(`${node.ready.rest}/metrics`)).text();
  for (const name of ["fraud_requests_total", "fraud_score_distribution", "active_ml_models"]) {
    assert.ok(metrics.includes(name), name);
  }
  assert.ok((await ask("GET", "/openapi.json")).body.paths["/v1/fraud/analyze"]);
});

async function publish(data: Uint8Array | string, type: string, key: string | null = node.keys.acme): Promise<void> {
  const headers = newHeaders();
  headers.set("Content-Type", type);
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  await jetstream(link.client).publish("fraud.transaction.events", data, { headers });
}

const emptied = () =>
  until(
    "every message is acknowledged",
    async () => (await streams.backlog()) === 0,
    20_000,
    () => node.words(),
  );

function batch(batchId: bigint, payments: PaymentInit[]): Uint8Array {
  return toBinary(AnalyzeStreamRequestSchema, create(AnalyzeStreamRequestSchema, { batchId, payments }));
}

/** Ids decided in what was published since `from`, by message. */
function answeredIds(from: number): string[][] {
  return decided.slice(from).map((p) => {
    if (p.headers["Content-Type"] === PROTOBUF) {
      const { results } = fromBinary(AnalyzeStreamResponseSchema, p.data);
      return results.map((r) => (r.result.case === "decision" ? r.result.value.transactionId : "error"));
    }
    const { results } = JSON.parse(new TextDecoder().decode(p.data));
    return results.map((r: { decision?: { transactionId: string } }) => r.decision?.transactionId ?? "error");
  });
}

test("NATS: a protobuf batch and a JSON batch are decided, each answered in one message", async () => {
  for (const json of [false, true]) {
    const from = decided.length;
    const payments = [payment(), payment(), payment({ amountMinor: -1n })];
    if (json) await publish(JSON.stringify({ batchId: "5", payments: payments.map(jsonOf) }), JSON_TYPE);
    else await publish(batch(5n, payments), PROTOBUF);
    await emptied();
    await until("the answer came", () => decided.length === from + 1);
    const ids = payments.slice(0, 2).map((p) => p.transactionId);
    assert.deepEqual(answeredIds(from), [[...ids, "error"]]);
    assert.equal(decided[from].headers["Fraud-Tenant"], "acme");
    await until("the dead letter came", () => dead.length === (json ? 2 : 1));
    const error = JSON.parse(dead[dead.length - 1].headers["Fraud-Error"]);
    assert.deepEqual([error.code, error.field], ["INVALID", "amount_minor"]);
    for (const p of payments.slice(0, 2)) assert.equal((await analyze(p)).body.repeated, true);
  }
});

test("NATS: single payments are decided, their answers gathered", async () => {
  const from = decided.length;
  const payments = Array.from({ length: 40 }, () => payment());
  for (const [i, p] of payments.entries()) {
    if (i % 2 === 0) await publish(toBinary(PaymentSchema, create(PaymentSchema, p)), PROTOBUF);
    else await publish(JSON.stringify(jsonOf(p)), JSON_TYPE);
  }
  await emptied();
  const ids = payments.map((p) => p.transactionId).sort();
  await until("all answers came", () => answeredIds(from).flat().length >= ids.length);
  assert.deepEqual(answeredIds(from).flat().sort(), ids);
});

test("NATS: a payment published twice gets the same decision twice", async () => {
  const from = decided.length;
  const p = payment();
  for (let i = 0; i < 2; i++) await publish(JSON.stringify([jsonOf(p)]), JSON_TYPE);
  await emptied();
  await until("both answers came", () => decided.length === from + 2);
  const answers = decided.slice(from).map((d) => JSON.parse(new TextDecoder().decode(d.data)).results[0].decision);
  const [first, again] = answers[0].repeated ? [answers[1], answers[0]] : answers;
  assert.deepEqual(again, { ...first, repeated: true });
});

test("NATS: what cannot be decided goes to the dead letters, without its key", async () => {
  const [from, letters] = [decided.length, dead.length];
  const exists = payment();
  await analyze(exists);
  await publish("{", JSON_TYPE);
  await publish(Uint8Array.of(0x12, 0x7f), PROTOBUF);
  await publish("hello", "text/plain");
  await publish(batch(1n, [payment()]), PROTOBUF, null);
  await publish(batch(1n, []), PROTOBUF);
  await publish(
    batch(
      1n,
      Array.from({ length: 513 }, () => payment()),
    ),
    PROTOBUF,
  );
  await publish(JSON.stringify(jsonOf({ ...exists, amountMinor: 3n })), JSON_TYPE);
  await emptied();
  await until("all letters came", () => dead.length === letters + 7);
  const codes = dead.slice(letters).map((l) => JSON.parse(l.headers["Fraud-Error"]).code);
  const expected = ["ALREADY_EXISTS", "INVALID", "MALFORMED", "MALFORMED", "MALFORMED", "REQUIRED", "UNAUTHENTICATED"];
  assert.deepEqual(codes.sort(), expected);
  for (const l of dead) assert.equal(l.headers["Authorization"], undefined);
  assert.equal(decided.length, from);
});
