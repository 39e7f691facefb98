import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { CallDesk } from "../calls/call_desk.ts";
import { createLog } from "../log.ts";
import { createGatewayMetrics } from "../metrics/gateway_metrics.ts";
import { RuntimeStats } from "../metrics/runtime_stats.ts";
import { writeTestCertificates } from "../testkit/test_certificates.ts";
import { startTestGateway, type TestGateway, testIdentity } from "../testkit/test_gateway.ts";
import { readTls } from "../tls.ts";
import { startRestServer } from "./rest_server.ts";

let t: TestGateway;

before(async () => {
  t = await startTestGateway();
});
after(() => t.gateway.close());

/** Sends the text and returns all that comes back until the server closes the connection. */
async function exchange(socket: Socket, text: string): Promise<string> {
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString();
  });
  socket.write(text);
  await once(socket, "close");
  return answer;
}

function toGateway(text: string): Promise<string> {
  return exchange(connect(t.gateway.restPort, "127.0.0.1"), text);
}

/** The problem in an answer, checked for what all problems have. */
function problemIn(answer: string, status: number): { detail: string; errors: { field: string; code: string }[] } {
  const [head, body] = answer.split("\r\n\r\n");
  assert.match(head, new RegExp(`^HTTP/1.1 ${status} \\S`), answer);
  assert.match(head, /\r\ncontent-type: application\/problem\+json/i);
  assert.match(head, new RegExp(`\r\ncontent-length: ${Buffer.byteLength(body)}(\r\n|$)`, "i"));
  const problem = JSON.parse(body);
  assert.deepEqual([problem.status, typeof problem.type, typeof problem.title], [status, "string", "string"]);
  assert.deepEqual(Object.keys(problem.errors[0]), ["field", "code", "message"]);
  return problem;
}

const end = "host: x\r\nconnection: close\r\n\r\n";

test("addresses that cannot be routed are problems and are not repeated", async () => {
  for (const path of ["/v1/fraud/risk-score/%ff", "/v1/fraud/risk-score/%zz", "/%ff"]) {
    const answer = await toGateway(`GET ${path} HTTP/1.1\r\n${end}`);
    assert.equal(problemIn(answer, 400).errors[0].code, "MALFORMED");
    assert.match(answer, /percent-encode/);
  }
  const answer = await toGateway(`GET /v1/fraud/risk-score/${"q".repeat(300)} HTTP/1.1\r\n${end}`);
  const problem = problemIn(answer, 414);
  assert.deepEqual([problem.errors[0].field, problem.errors[0].code], ["transaction_id", "INVALID"]);
  assert.ok(!answer.includes("qqq"));
});

test("bytes that are no request are problems, and the connection is closed", async () => {
  const chunks = "content-type: application/json\r\ntransfer-encoding: chunked\r\nhost: x\r\n\r\nzz\r\n";
  const cases: [string, number][] = [
    ["FOO /health HTTP/1.1\r\nhost: x\r\n\r\n", 400],
    [`GET /health HTTP/1.1\r\nhost: x\r\nlong: ${"y".repeat(20_000)}\r\n\r\n`, 431],
    [`POST /v1/fraud/analyze HTTP/1.1\r\nauthorization: Bearer ${t.keys.standIn}\r\n${chunks}`, 400],
    ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ];
  for (const [text, status] of cases) {
    const answer = await toGateway(text);
    assert.equal(problemIn(answer, status).errors[0].code, "MALFORMED");
    assert.match(answer, /\r\nconnection: close\r\n/);
    assert.ok(!answer.includes("yyy"));
  }
});

test("what follows a request that waits does not take its answer", async () => {
  const payment = { transactionId: "t1", userId: "u", merchantId: "m", amountMinor: 5, currency: "EUR" };
  const body = JSON.stringify({ ...payment, eventTimeUs: Date.now() * 1000 });
  const head = `authorization: Bearer ${t.keys.standIn}\r\ncontent-type: application/json\r\nhost: x\r\n`;
  const request = `POST /v1/fraud/analyze HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n${body}`;
  const answer = await toGateway(`${request}}\r\n\r\n`);
  assert.equal(answer.split("HTTP/1.1 ").length, 2, answer);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /"transactionId":"t1"/);
});

test("a request that does not end is 408 and closed, with TLS too", { timeout: 20_000 }, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "fraudguard-rest-"));
  context.after(() => rmSync(folder, { recursive: true }));
  writeTestCertificates(folder);
  const tls = readTls({ cert_path: join(folder, "server.pem"), key_path: join(folder, "server.key") });
  const { identity, keys } = testIdentity();
  const metrics = createGatewayMetrics(new RuntimeStats());
  const log = createLog({ name: "test", to: new PassThrough() });
  const readiness = () => ({ ready: true, reason: "" });
  // No request gets as far as the desk.
  const common = { host: "127.0.0.1", port: 0, desk: {} as CallDesk, identity, metrics, readiness, log, version: "0" };
  for (const secured of [{}, { tls }]) {
    const server = await startRestServer({ ...common, ...secured, request_timeout_ms: 120 });
    context.after(() => server.close());
    const open = () =>
      "tls" in secured
        ? connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false })
        : connect(server.port, "127.0.0.1");
    const head = `POST /v1/fraud/analyze HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys.standIn}\r\n`;
    const lengths = "content-type: application/json\r\ncontent-length: 100\r\n";
    for (const unfinished of [`${head}${lengths}\r\n{`, head]) {
      const socket = open();
      // A server that keeps it open would otherwise keep the whole test run.
      context.signal.addEventListener("abort", () => socket.destroy());
      const problem = problemIn(await exchange(socket, unfinished), 408);
      assert.match(problem.detail, /send it again/);
    }
  }
});
