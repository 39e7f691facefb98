/** Tests of the Admin service over a real gRPC server: who gets in, what is refused and how, and what is logged. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import fc from "fast-check";
import {
  DrainRequestSchema,
  GetStatusRequestSchema,
  GetStatusResponseSchema,
  RebalanceRequestSchema,
  SetWeightRequestSchema,
  SetWeightResponseSchema,
} from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import { openOperators, replaceOperatorKey } from "../identity/operators.ts";
import { errorOf, TestClient } from "../testkit/grpc_client.ts";
import { startTestGateway, type TestGateway, testPayment } from "../testkit/test_gateway.ts";
import { OperationRefused, type Operations } from "./operations.ts";

interface World extends TestGateway {
  readonly key: string;
  readonly asked: string[];
  call(method: string, bytes: Uint8Array, key?: string): Promise<Buffer>;
}

const EMPTY = new Uint8Array();

async function world(t: TestContext, payments = true): Promise<World> {
  const at = mkdtempSync(join(tmpdir(), "fraudguard-admin-"));
  t.after(() => rmSync(at, { recursive: true }));
  const path = join(at, "operators.json");
  const { key } = replaceOperatorKey(path, "ann");
  const asked: string[] = [];
  const operations: Operations = {
    node: "node-1",
    status: async () => ({ node: "node-1", ready: true, shards: [{ shard: 3, epoch: 7n }] }),
    drain: () => {
      asked.push("drain");
      throw new OperationRefused("nobody else could own shards");
    },
    undrain: () => ({ weight: 1 }),
    setWeight: (weight) => {
      asked.push(`weight ${weight}`);
      return { weightBefore: 100 };
    },
    rebalance: () => {
      throw new Error("secret detail");
    },
  };
  const gateway = await startTestGateway({ admin: { operations, operators: openOperators(path) }, payments });
  const client = new Client(`127.0.0.1:${gateway.gateway.grpcPort}`, credentials.createInsecure());
  t.after(async () => {
    client.close();
    await gateway.gateway.close();
  });
  const same = (b: Buffer): Buffer => b;
  const call = (method: string, bytes: Uint8Array, with_key = key): Promise<Buffer> => {
    const metadata = new Metadata();
    if (with_key !== "") metadata.set("authorization", `Bearer ${with_key}`);
    return new Promise((resolve, reject) => {
      const path = `/fraudguard.v1.Admin/${method}`;
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), metadata, (error, answer) =>
        error === null ? resolve(answer as Buffer) : reject(error),
      );
    });
  };
  return { ...gateway, key, asked, call };
}

const code = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "OK",
    (e: ServiceError) => status[e.code],
  );

test("only operators get in; every call is logged with the operator, the request and what came of it", async (t) => {
  const w = await world(t);
  const drain = toBinary(DrainRequestSchema, create(DrainRequestSchema));
  assert.equal(await code(w.call("Drain", drain, "")), "UNAUTHENTICATED");
  assert.equal(await code(w.call("Drain", drain, `${w.key.slice(0, -1)}-`)), "UNAUTHENTICATED");
  assert.equal(await code(w.call("Drain", drain, w.keys.standIn)), "PERMISSION_DENIED");
  assert.equal(await code(w.call("Drain", drain, w.keys.disabled)), "UNAUTHENTICATED");
  assert.deepEqual(w.asked, []);
  assert.equal(await code(w.call("Drain", drain)), "FAILED_PRECONDITION");
  const weight = toBinary(SetWeightRequestSchema, create(SetWeightRequestSchema, { node: "node-1", weight: 2.5 }));
  const answer = fromBinary(SetWeightResponseSchema, await w.call("SetWeight", weight));
  assert.deepEqual([answer.weightBefore, w.asked], [100, ["drain", "weight 2.5"]]);
  const audit = w
    .logged()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((line) => line.audit === true);
  const told = audit.map(({ operator, method, outcome }) => `${operator} ${method} ${outcome}`);
  const none = [" Drain UNAUTHENTICATED", " Drain UNAUTHENTICATED", " Drain PERMISSION_DENIED"];
  assert.deepEqual(told, [...none, none[0], "ann Drain FAILED_PRECONDITION", "ann SetWeight OK"]);
  assert.deepEqual(audit.at(-1).request, { node: "node-1", weight: 2.5 });
  assert.ok(!w.logged().includes(w.key), "a key in the log");
  const payments = new TestClient(w.gateway.grpcPort, w.key);
  await assert.rejects(payments.call("analyze", { payment: testPayment(1) }), (e) => {
    return (e as ServiceError).code === status.UNAUTHENTICATED && errorOf(e).message.includes("not known");
  });
  payments.close();
});

test("calls for another node, weights that are none and broken requests are refused by name", async (t) => {
  const w = await world(t);
  const status_ = (node: string): Uint8Array =>
    toBinary(GetStatusRequestSchema, create(GetStatusRequestSchema, { node }));
  for (const node of ["", "node-1"]) {
    const answer = fromBinary(GetStatusResponseSchema, await w.call("GetStatus", status_(node)));
    assert.deepEqual([answer.node, answer.shards[0].shard, answer.shards[0].epoch], ["node-1", 3, 7n]);
  }
  await assert.rejects(w.call("GetStatus", status_("node-2")), /NOT_FOUND: this is node node-1, not node-2/);
  for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1_000_001]) {
    const bytes = toBinary(SetWeightRequestSchema, create(SetWeightRequestSchema, { weight }));
    assert.equal(await code(w.call("SetWeight", bytes)), "INVALID_ARGUMENT");
  }
  assert.equal(await code(w.call("GetStatus", status_("x".repeat(5000)))), "INVALID_ARGUMENT");
  assert.equal(await code(w.call("GetStatus", Uint8Array.of(10, 5, 1))), "INVALID_ARGUMENT");
  assert.deepEqual(w.asked, []);
  const rebalance = toBinary(RebalanceRequestSchema, create(RebalanceRequestSchema));
  await assert.rejects(w.call("Rebalance", rebalance), (e: ServiceError) => {
    return e.code === status.INTERNAL && !e.message.includes("secret");
  });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      assert.ok(["OK", "INVALID_ARGUMENT", "NOT_FOUND"].includes(await code(w.call("SetWeight", bytes))));
    }),
    { numRuns: 100 },
  );
});

test("a node that takes no payments still serves operators, health and metrics", async (t) => {
  const w = await world(t, false);
  assert.equal(await code(w.call("GetStatus", EMPTY)), "OK");
  const payments = new TestClient(w.gateway.grpcPort, w.keys.standIn);
  assert.equal(await code(payments.call("analyze", { payment: testPayment(1) })), "UNIMPLEMENTED");
  payments.close();
  const at = `http://127.0.0.1:${w.gateway.restPort}`;
  const headers = { authorization: `Bearer ${w.keys.standIn}` };
  assert.equal((await fetch(`${at}/v1/fraud/risk-score/x`, { headers })).status, 404);
  for (const path of ["/health", "/ready", "/metrics"]) assert.equal((await fetch(at + path)).status, 200, path);
});
