import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers as newHeaders } from "@nats-io/nats-core";
import { type NatsEngine, startNats } from "../../deploy/engines/nats.ts";
import { scratchDir, until } from "../../deploy/engines/testkit.ts";
import {
  AnalyzeStreamRequestSchema,
  type AnalyzeStreamResponse,
  AnalyzeStreamResponseSchema,
  ErrorCode,
  PaymentSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { connectNats, type NatsLink } from "../../runtime/nats/connection.ts";
import { PublicStreams } from "../../runtime/nats/public_streams.ts";
import { allow } from "../testkit/fake_intake.ts";
import { startTestGateway, type TestGateway, testPayment } from "../testkit/test_gateway.ts";

const PROTOBUF = "application/x-protobuf";
const JSON_TYPE = "application/json";

interface Published {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Record<string, string>;
}

let engine: NatsEngine;
let link: NatsLink;
let streams: PublicStreams;
let t: TestGateway;
let stopListening: () => void;
const published: Published[] = [];

before(async (context) => {
  const data_dir = await scratchDir(context as never);
  engine = await startNats({ data_dir, port: 0 });
  link = await connectNats({ servers: engine.url.replace("nats://", "") });
  streams = await PublicStreams.open(link, { ack_wait_ms: 2000 });
  const heard = ["fraud.analysis.events", "fraud.transaction.dead-letter"].map((subject) =>
    link.client.subscribe(subject, {
      callback: (_error, m) => {
        const headers = Object.fromEntries((m.headers?.keys() ?? []).map((k) => [k, m.headers?.get(k) ?? ""]));
        published.push({ subject, data: m.data, headers });
      },
    }),
  );
  stopListening = () => {
    for (const subscription of heard) subscription.unsubscribe();
  };
  t = await startTestGateway({ streams });
});

after(async () => {
  await t?.gateway.close();
  stopListening?.();
  await link?.close();
  await engine?.stop();
});

beforeEach(() => {
  published.length = 0;
  t.intake.automatic = true;
  t.intake.full = false;
  t.intake.decide = allow;
});

async function publish(data: Uint8Array | string, type: string, key: string | null = t.keys.standIn): Promise<void> {
  const headers = newHeaders();
  headers.set("Content-Type", type);
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  await jetstream(link.client).publish("fraud.transaction.events", data, { headers });
}

function decisions(): Published[] {
  return published.filter((p) => p.subject === "fraud.analysis.events");
}

function letters(): Published[] {
  return published.filter((p) => p.subject === "fraud.transaction.dead-letter");
}

function response(p: Published): AnalyzeStreamResponse {
  return fromBinary(AnalyzeStreamResponseSchema, p.data);
}

async function allAcknowledged(): Promise<void> {
  await until("nothing unacknowledged", async () => (await streams.backlog()) === 0);
}

function batch(batchId: bigint, payments = [testPayment(1), testPayment(2)]): Uint8Array {
  return toBinary(AnalyzeStreamRequestSchema, create(AnalyzeStreamRequestSchema, { batchId, payments }));
}

test("a protobuf batch: one answer in request order, acknowledged after its decisions", async () => {
  t.intake.automatic = false;
  await publish(batch(77n), PROTOBUF);
  await until("the batch is in", () => t.intake.waiting === 1);
  assert.equal(await streams.backlog(), 1);
  assert.equal(decisions().length, 0);
  t.intake.answerAll();
  await allAcknowledged();
  assert.equal(decisions().length, 1);
  const answer = response(decisions()[0]);
  assert.equal(answer.batchId, 77n);
  assert.deepEqual(
    answer.results.map((r) => r.result.case === "decision" && r.result.value.transactionId),
    ["tx-1", "tx-2"],
  );
  assert.equal(decisions()[0].headers["Fraud-Tenant"], "acme");
});

test("single payments, JSON and protobuf, are answered together", async () => {
  for (let i = 0; i < 20; i++) {
    await publish(toBinary(PaymentSchema, testPayment(i)), PROTOBUF);
    await publish(JSON.stringify(toJson(PaymentSchema, testPayment(100 + i))), `${JSON_TYPE}; charset=utf-8`);
  }
  await allAcknowledged();
  const ids = decisions().flatMap((p) => {
    if (p.headers["Content-Type"] === PROTOBUF) {
      return response(p).results.map((r) => (r.result.case === "decision" ? r.result.value.transactionId : ""));
    }
    const body = JSON.parse(new TextDecoder().decode(p.data));
    return body.results.map((r: { decision: { transactionId: string } }) => r.decision.transactionId);
  });
  const expected = Array.from({ length: 20 }, (_, i) => [`tx-${i}`, `tx-${100 + i}`]).flat();
  assert.deepEqual(ids.sort(), expected.sort());
  assert.equal(letters().length, 0);
});

test("refused payments go to the dead letters one by one, the rest of the batch is decided", async () => {
  const good = toJson(PaymentSchema, testPayment(1)) as object;
  const payments = [good, { ...good, amountMinor: "much" }, { ...good, currency: "EURO" }];
  await publish(JSON.stringify({ batchId: "5", payments }), JSON_TYPE);
  await allAcknowledged();
  const body = JSON.parse(new TextDecoder().decode(decisions()[0].data));
  assert.equal(body.batchId, "5");
  assert.deepEqual(
    body.results.map((r: { error?: { field: string } }) => r.error?.field ?? null),
    [null, "amount_minor", "currency"],
  );
  const told = letters().map((p) => ({
    ...JSON.parse(p.headers["Fraud-Error"]),
    body: new TextDecoder().decode(p.data),
  }));
  assert.deepEqual(told.map((e) => [e.code, e.field]).sort(), [
    ["INVALID", "amount_minor"],
    ["INVALID", "currency"],
  ]);
  assert.deepEqual(told.map((e) => JSON.parse(e.body)).sort(), payments.slice(1).sort());
});

test("messages that cannot be read or have no valid key go to the dead letters, without the key", async () => {
  await publish("{", JSON_TYPE);
  await publish(Uint8Array.of(0x12, 0x7f), PROTOBUF);
  await publish("hello", "text/plain");
  await publish(batch(1n), PROTOBUF, null);
  await publish(batch(1n, []), PROTOBUF);
  await allAcknowledged();
  const codes = letters().map((p) => JSON.parse(p.headers["Fraud-Error"]).code);
  assert.deepEqual(codes.sort(), ["MALFORMED", "MALFORMED", "MALFORMED", "REQUIRED", "UNAUTHENTICATED"]);
  for (const p of letters()) assert.equal(p.headers["Authorization"], undefined);
  assert.equal(decisions().length, 0);
});

test("what is shed is asked for again, and decided in the end", async () => {
  t.intake.full = true;
  const taken = t.intake.rows;
  await publish(batch(9n), PROTOBUF);
  await until("it was shed", async () => {
    const info = await (await jetstreamManager(link.client)).consumers.info("FRAUD_TRANSACTIONS", "fraudguard");
    return info.delivered.stream_seq > 0 && info.num_ack_pending === 1;
  });
  assert.equal(t.intake.rows, taken);
  assert.equal(letters().length, 0);
  t.intake.full = false;
  await allAcknowledged();
  assert.equal(response(decisions()[0]).results.length, 2);
});

test("a payment that an actor fails on is tried again, then given up with its error", async () => {
  let tries = 0;
  t.intake.decide = (block, row) => {
    tries++;
    block.error[row] = ErrorCode.INTERNAL;
  };
  const bytes = toBinary(PaymentSchema, testPayment(1));
  await publish(bytes, PROTOBUF);
  await allAcknowledged();
  assert.equal(tries, 5);
  assert.equal(JSON.parse(letters()[0].headers["Fraud-Error"]).code, "INTERNAL");
  assert.deepEqual(Buffer.from(letters()[0].data), Buffer.from(bytes));
});

test("no message stops the others, whatever it holds: each goes to the dead letters", async () => {
  const deep = `{"transactionId":"x","a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`;
  const poison: [string | Uint8Array, string | null][] = [
    [Buffer.alloc(1_048_576 - 200, 0x61), null],
    ['{"batchId":{"toString":1,"valueOf":1},"payments":[{}]}', t.keys.standIn],
    [deep, t.keys.standIn],
    [`[${deep}]`, t.keys.standIn],
    [`{"transactionId":"exp","userId":[${"1e20,".repeat(100_000)}1]}`, t.keys.standIn],
    [`[{"transactionId":"exp","userId":[${"1e20,".repeat(100_000)}1]}]`, t.keys.standIn],
  ];
  for (const [data, key] of poison) await publish(data, JSON_TYPE, key);
  await publish(toBinary(PaymentSchema, testPayment(1)), PROTOBUF);
  await allAcknowledged();
  assert.equal(letters().length, poison.length);
  assert.equal(
    response(decisions().find((d) => d.headers["Content-Type"] === PROTOBUF) as Published).results.length,
    1,
  );
});

test("a dead letter holds no card number and not the content type of a megabyte", async () => {
  const payment = { ...(toJson(PaymentSchema, testPayment(1)) as object), cardToken: "4111111111111111" };
  await publish(JSON.stringify(payment), JSON_TYPE);
  await publish("x", "t".repeat(50_000));
  await allAcknowledged();
  assert.deepEqual(
    letters()
      .map((p) => JSON.parse(p.headers["Fraud-Error"]).field)
      .sort(),
    ["Content-Type", "card_token"],
  );
  for (const p of letters()) {
    assert.ok(!Buffer.from(p.data).includes("4111111111111111"));
    assert.ok(p.headers["Content-Type"].length <= 128);
  }
});

test("streams that exist are used as they are", async () => {
  const again = await PublicStreams.open(link, { ack_wait_ms: 2000 });
  assert.equal(await again.backlog(), 0);
});

test("dead letters that a consumer delivers to the payments end there", async () => {
  const manager = await jetstreamManager(link.client);
  await manager.consumers.add("FRAUD_DEAD_LETTERS", {
    durable_name: "loop",
    deliver_subject: "fraud.transaction.events",
    deliver_policy: "new",
    ack_policy: "none",
  });
  await publish("not a payment", JSON_TYPE, null);
  await until("the letter is written", () => letters().length > 0);
  // What is published later is decided later.
  const { seq } = await jetstream(link.client).publish("fraud.transaction.events", "behind it", {});
  await until("the second letter", () => letters().some((l) => l.headers["Fraud-Request-Sequence"] === String(seq)));
  const delivered = async () => (await manager.consumers.info("FRAUD_DEAD_LETTERS", "loop")).delivered.consumer_seq;
  await until("both came back", async () => (await delivered()) >= 2 && (await streams.backlog()) === 0);
  assert.equal(letters().length, 2);
  assert.equal(await delivered(), 2);
  await manager.consumers.delete("FRAUD_DEAD_LETTERS", "loop");
});
