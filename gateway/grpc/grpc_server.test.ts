import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";
import {
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { TestClient } from "../testkit/grpc_client.ts";
import { writeTestCertificates } from "../testkit/test_certificates.ts";
import { startTestGateway, testPayment } from "../testkit/test_gateway.ts";
import { MESSAGE_BYTES_MAX } from "./grpc_server.ts";

const raw = (bytes: Uint8Array) => Buffer.from(bytes);
const same = (bytes: Buffer) => bytes;

async function reflect(client: Client, asked: ServerReflectionRequest["messageRequest"]) {
  const stream = client.makeBidiStreamRequest("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", raw, same);
  stream.write(
    toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { messageRequest: asked as never })),
  );
  const [bytes] = await once(stream, "data");
  stream.end();
  return fromBinary(ServerReflectionResponseSchema, bytes as Buffer).messageResponse;
}

function fileNames(answer: ServerReflectionResponse["messageResponse"]): string[] {
  assert.equal(answer.case, "fileDescriptorResponse");
  const { fileDescriptorProto } = answer.value as { fileDescriptorProto: Uint8Array[] };
  return fileDescriptorProto.map((b) => fromBinary(FileDescriptorProtoSchema, b).name);
}

test("reflection lists the services and gives each file with its imports", async () => {
  const t = await startTestGateway();
  const client = new Client(`127.0.0.1:${t.gateway.grpcPort}`, credentials.createInsecure());
  const list = await reflect(client, { case: "listServices", value: "" });
  assert.equal(list.case, "listServicesResponse");
  const names = (list.value as { service: { name: string }[] }).service.map((s) => s.name);
  assert.ok(names.includes("fraudguard.v1.FraudDetection") && names.includes("grpc.health.v1.Health"));
  const own = ["fraudguard/v1/fraud_detection.proto", "google/protobuf/struct.proto"];
  for (const value of [
    "fraudguard.v1.FraudDetection",
    "fraudguard.v1.FraudDetection.Analyze",
    "fraudguard.v1.Payment",
  ]) {
    assert.deepEqual(fileNames(await reflect(client, { case: "fileContainingSymbol", value })), own);
  }
  assert.deepEqual(fileNames(await reflect(client, { case: "fileByFilename", value: own[0] })), own);
  const missing = await reflect(client, { case: "fileContainingSymbol", value: "no.Such" });
  assert.equal(missing.case, "errorResponse");
  client.close();
  await t.gateway.close();
});

test("health says what the node says", async () => {
  const t = await startTestGateway({ readiness: () => ({ ready: false, reason: "replaying" }) });
  const client = new Client(`127.0.0.1:${t.gateway.grpcPort}`, credentials.createInsecure());
  const check = (service: string) =>
    new Promise<number>((resolve, reject) => {
      const bytes = Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
      client.makeUnaryRequest("/grpc.health.v1.Health/Check", raw, same, bytes, (error, response) => {
        if (error !== null) reject(error);
        else resolve(fromBinary(HealthCheckResponseSchema, response as Buffer).status);
      });
    });
  assert.equal(await check("fraudguard.v1.FraudDetection"), HealthCheckResponse_ServingStatus.NOT_SERVING);
  t.gateway.serving(true);
  assert.equal(await check("fraudguard.v1.FraudDetection"), HealthCheckResponse_ServingStatus.SERVING);
  assert.equal(await check(""), HealthCheckResponse_ServingStatus.SERVING);
  client.close();
  await t.gateway.close();
});

test("a message over the limit is RESOURCE_EXHAUSTED", async () => {
  const t = await startTestGateway();
  const client = new TestClient(t.gateway.grpcPort, t.keys.standIn);
  await assert.rejects(client.callRaw("Analyze", new Uint8Array(MESSAGE_BYTES_MAX + 1)), (e: ServiceError) => {
    return e.code === status.RESOURCE_EXHAUSTED;
  });
  client.close();
  await t.gateway.close();
});

test("TLS and mutual TLS: a client without a certificate of the authority does not get in", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "fraudguard-tls-"));
  context.after(() => rmSync(folder, { recursive: true }));
  writeTestCertificates(folder);
  const pem = (name: string) => readFileSync(join(folder, name));
  const tls = {
    cert_path: join(folder, "server.pem"),
    key_path: join(folder, "server.key"),
    client_ca_path: join(folder, "ca.pem"),
  };
  const t = await startTestGateway({ tls });
  const ask = async (who: string | null) => {
    const own = who === null ? [null, null] : [pem(`${who}.key`), pem(`${who}.pem`)];
    const channel = credentials.createSsl(pem("ca.pem"), own[0], own[1]);
    const client = new TestClient(t.gateway.grpcPort, t.keys.standIn, channel);
    const answer = await client.call("analyze", { payment: testPayment(1) }, { deadline: Date.now() + 2000 }).then(
      (r) => r.decision?.transactionId,
      (e: ServiceError) => e.code,
    );
    client.close();
    return answer;
  };
  assert.equal(await ask("client"), "tx-1");
  assert.equal(await ask(null), status.UNAVAILABLE);
  assert.equal(await ask("stranger"), status.UNAVAILABLE);
  const rest = {
    host: "127.0.0.1",
    servername: "localhost",
    port: t.gateway.restPort,
    path: "/health",
    ca: pem("ca.pem"),
  };
  const [response] = await once(
    get({ ...rest, agent: false, cert: pem("client.pem"), key: pem("client.key") }),
    "response",
  );
  assert.equal(response.statusCode, 200);
  response.resume();
  await assert.rejects(once(get({ ...rest, agent: false }), "response"));
  await t.gateway.close();
});
