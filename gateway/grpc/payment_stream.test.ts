import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import { until } from "../../deploy/engines/testkit.ts";
import {
  type AnalyzeStreamRequest,
  AnalyzeStreamRequestSchema,
  type AnalyzeStreamResponse,
  AnalyzeStreamResponseSchema,
  DecisionState,
  ErrorCode,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { allow } from "../testkit/fake_intake.ts";
import { TestClient } from "../testkit/grpc_client.ts";
import { startTestGateway, type TestGateway, testPayment } from "../testkit/test_gateway.ts";
import { UNSENT_MAX } from "./payment_stream.ts";

type Stream = ClientDuplexStream<Uint8Array, Buffer>;

let t: TestGateway;
let client: TestClient;

function request(batchId: bigint, count: number, over: MessageInitShape<typeof AnalyzeStreamRequestSchema> = {}) {
  const payments = Array.from({ length: count }, (_, i) => testPayment(Number(batchId) * 1000 + i));
  return bytesOf(create(AnalyzeStreamRequestSchema, { batchId, payments, ...over }));
}

function bytesOf(message: AnalyzeStreamRequest): Uint8Array {
  return toBinary(AnalyzeStreamRequestSchema, message);
}

function collect(stream: Stream): AnalyzeStreamResponse[] {
  const responses: AnalyzeStreamResponse[] = [];
  stream.on("data", (bytes: Buffer) => responses.push(fromBinary(AnalyzeStreamResponseSchema, bytes)));
  return responses;
}

async function answerTo(bytes: Uint8Array): Promise<AnalyzeStreamResponse> {
  const stream = client.stream();
  const responses = collect(stream);
  stream.write(bytes);
  stream.end();
  await once(stream, "end");
  assert.equal(responses.length, 1);
  return responses[0];
}

function errorCodes(response: AnalyzeStreamResponse): (number | null)[] {
  return response.results.map(({ result }) => (result.case === "error" ? result.value.code : null));
}

before(async () => {
  t = await startTestGateway();
  client = new TestClient(t.gateway.grpcPort, t.keys.standIn);
});
after(async () => {
  client.close();
  await t.gateway.close();
});
beforeEach(() => {
  t.intake.automatic = true;
  t.intake.full = false;
  t.intake.decide = allow;
});

test("one response a batch, its id kept, results in request order; OK at the end", async () => {
  const stream = client.stream();
  const responses = collect(stream);
  const ended = once(stream, "status");
  const big = 2n ** 64n - 1n;
  const ids = [1n, 2n, 300n, big, 0n];
  for (const id of ids) stream.write(request(id === big ? 7n : id, 3, { batchId: id }));
  stream.end();
  const [final] = await ended;
  assert.equal(final.code, status.OK);
  assert.deepEqual(responses.map((r) => r.batchId).sort(), [...ids].sort());
  const second = responses.find((r) => r.batchId === 2n);
  assert.deepEqual(
    second?.results.map((r) => r.result.case === "decision" && r.result.value.transactionId),
    ["tx-2000", "tx-2001", "tx-2002"],
  );
});

test("a bad row has its own error, the rest is decided", async () => {
  const payments = [testPayment(1), testPayment(2, { merchantId: "" }), testPayment(3)];
  const response = await answerTo(bytesOf(create(AnalyzeStreamRequestSchema, { batchId: 5n, payments })));
  assert.deepEqual(errorCodes(response), [null, ErrorCode.REQUIRED, null]);
});

test("broken protobuf, no payments and too many are one error; the stream goes on", async () => {
  const stream = client.stream();
  const responses = collect(stream);
  stream.write(Uint8Array.of(0x08, 0x09, 0x12, 0x7f, 0x00));
  stream.write(request(10n, 0));
  stream.write(request(11n, 513));
  stream.write(request(12n, 512));
  stream.end();
  await once(stream, "end");
  const byId = new Map(responses.map((r) => [r.batchId, r]));
  assert.deepEqual(errorCodes(byId.get(9n) as AnalyzeStreamResponse), [ErrorCode.MALFORMED]);
  assert.deepEqual(errorCodes(byId.get(10n) as AnalyzeStreamResponse), [ErrorCode.REQUIRED]);
  assert.deepEqual(errorCodes(byId.get(11n) as AnalyzeStreamResponse), [ErrorCode.INVALID]);
  assert.equal(byId.get(12n)?.results.length, 512);
});

test("a full mailbox sheds each row with the time to wait", async () => {
  t.intake.full = true;
  const response = await answerTo(request(3n, 4));
  assert.equal(response.batchId, 3n);
  assert.deepEqual(errorCodes(response), Array(4).fill(ErrorCode.RESOURCE_EXHAUSTED));
  assert.equal(response.results[0].result.case === "error" && response.results[0].result.value.retryAfterMs, 1500);
});

test("PROVISIONAL at the deadline, once; the late result is dropped", async () => {
  t.intake.automatic = false;
  const stream = client.stream();
  const responses = collect(stream);
  stream.write(request(4n, 2));
  await until("the stand-in answer", () => responses.length === 1);
  const { result } = responses[0].results[1];
  assert.equal(result.case === "decision" && result.value.state, DecisionState.PROVISIONAL);
  t.intake.answerAll();
  t.intake.automatic = true;
  stream.write(request(5n, 1));
  stream.end();
  await once(stream, "end");
  assert.deepEqual(
    responses.map((r) => r.batchId),
    [4n, 5n],
  );
});

test("a stream without a valid key ends with UNAUTHENTICATED", async () => {
  const other = new TestClient(t.gateway.grpcPort, null);
  const stream = other.stream();
  const [error] = (await once(stream, "error")) as [ServiceError];
  assert.equal(error.code, status.UNAUTHENTICATED);
  other.close();
});

test("a client that goes away is forgotten, its rows finish", async () => {
  t.intake.automatic = false;
  const stream = client.stream();
  const gone = once(stream, "error");
  stream.write(request(6n, 2));
  await until("the batch is in", () => t.intake.waiting === 1);
  stream.cancel();
  await gone;
  t.intake.answerAll();
  t.intake.automatic = true;
  assert.equal((await answerTo(request(7n, 1))).results.length, 1);
});

test("a client that does not read is not read from, and nothing is lost", async () => {
  const stream = client.stream();
  stream.pause();
  const sent = 4000;
  let written = 0;
  const feed = () => {
    while (written < sent && stream.write(request(BigInt(++written), 8)));
    if (written < sent) stream.once("drain", feed);
    else stream.end();
  };
  feed();
  let seen = -1;
  // Quiet: no row came in for a while although the client has more to send.
  await until("the server stops reading", () => {
    const quiet = t.intake.rows === seen;
    seen = t.intake.rows;
    return quiet && seen > 0;
  });
  const held = t.intake.rows;
  assert.ok(written < sent, "the client could send everything: nothing held it back");
  const responses = collect(stream);
  stream.resume();
  await once(stream, "end");
  assert.equal(responses.length, sent);
  assert.equal(new Set(responses.map((r) => r.batchId)).size, sent);
  assert.ok(held > UNSENT_MAX);
});

test("a shutdown answers what was taken, then ends streams with UNAVAILABLE", async () => {
  const own = await startTestGateway();
  own.intake.automatic = false;
  const caller = new TestClient(own.gateway.grpcPort, own.keys.standIn);
  const stream = caller.stream();
  const responses = collect(stream);
  const failed = once(stream, "error");
  stream.write(request(1n, 2));
  await until("the batch is in", () => own.intake.waiting === 1);
  const closed = own.gateway.close();
  own.intake.answerAll();
  const [error] = (await failed) as [ServiceError];
  assert.equal(error.code, status.UNAVAILABLE);
  assert.equal(responses.length, 1);
  await closed;
  caller.close();
});
