/**
 * What the desk adds to the codec for each payment of a 64-payment stream message, and unary calls against a raw
 * grpc-js echo of the same messages (both ends in this process). Run it with `node`; `--json` prints one line of
 * JSON.
 */
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import { RowBlock } from "../../proto/columns.ts";
import { AnalyzeRequestSchema, AnalyzeStreamRequestSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { encodeStreamResponse } from "../codec/decision_encoder.ts";
import { decodePayments, Envelope, scanStreamRequest } from "../codec/envelope.ts";
import { reasonHead, versionFields } from "../codec/reason_texts.ts";
import { RAW_SERVICE } from "../grpc/raw_service.ts";
import { NO_TRACING } from "../metrics/tracing.ts";
import { FakeIntake } from "../testkit/fake_intake.ts";
import { CLOCK, startTestGateway, TIMERS, testIdentity, testPayment } from "../testkit/test_gateway.ts";
import { CallDesk } from "./call_desk.ts";
import { KIND_STREAM } from "./kinds.ts";

const PAYMENTS = 64;
const HELP =
  "usage: node gateway/calls/call_desk.bench.ts [--json] [--seconds N]\nTakes about 6 x N seconds (default 2).";
const version = { fields: versionFields("test_model", "rules-1"), ruleReasons: [] };
const texts = { version: () => version, featureReason: () => reasonHead("a", "b") };

/** Runs `turn` over and over; returns microseconds a turn, the best of three parts. */
function usPerTurn(seconds: number, turn: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let part = 0; part < 3; part++) {
    const began_us = CLOCK.monotonicUs();
    let turns = 0;
    while (CLOCK.monotonicUs() - began_us < (seconds * 1e6) / 3) {
      turn();
      turns++;
    }
    best = Math.min(best, (CLOCK.monotonicUs() - began_us) / turns);
  }
  return best;
}

function benchDesk(seconds: number): { desk_us: number; codec_us: number } {
  const { identity } = testIdentity();
  const tenant = identity.tenants[0];
  const payments = Array.from({ length: PAYMENTS }, (_, i) => testPayment(i));
  const bytes = Buffer.from(
    toBinary(AnalyzeStreamRequestSchema, create(AnalyzeStreamRequestSchema, { batchId: 7n, payments })),
  );
  const intake = new FakeIntake();
  intake.automatic = false;
  intake.decide = () => undefined;
  const provisional = () => undefined;
  const decisions = { findDecision: async () => null };
  const desk = new CallDesk({
    intake,
    clock: CLOCK,
    timers: TIMERS,
    decisions,
    tracer: NO_TRACING,
    texts,
    provisional,
  });
  const reply = { open: true, answer: () => undefined, refuse: () => undefined };
  const whole = usPerTurn(seconds, () => {
    for (let i = 0; i < 8; i++) desk.take(KIND_STREAM, bytes, tenant, 1000, reply, null);
    intake.answerAll();
  });
  desk.close();
  const block = new RowBlock();
  const envelope = new Envelope();
  const sink = { done: () => undefined };
  const codec = usPerTurn(seconds, () => {
    for (let i = 0; i < 8; i++) {
      scanStreamRequest(bytes, envelope);
      decodePayments(bytes, envelope, block, block.n, tenant, 4, Date.now() * 1000);
      block.addBatch(bytes, block.n, envelope.count, sink);
    }
    for (let i = 0; i < 8; i++) {
      encodeStreamResponse(block, i * PAYMENTS, PAYMENTS, texts, false, envelope.batchIdStart, envelope.batchIdLength);
    }
    block.reset();
  });
  return { desk_us: whole / (8 * PAYMENTS), codec_us: codec / (8 * PAYMENTS) };
}

/** Calls a second with 32 under way. */
async function callsPerSecond(port: number, key: string, seconds: number): Promise<number> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  const bytes = Buffer.from(toBinary(AnalyzeRequestSchema, create(AnalyzeRequestSchema, { payment: testPayment(1) })));
  const same = (b: Buffer) => b;
  const path = "/fraudguard.v1.FraudDetection/Analyze";
  let calls = 0;
  const end_us = CLOCK.monotonicUs() + seconds * 1e6;
  const worker = async () => {
    while (CLOCK.monotonicUs() < end_us) {
      await new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest(path, same, same, bytes, metadata, (error) =>
          error === null ? resolve() : reject(error),
        );
      });
      calls++;
    }
  };
  const began_us = CLOCK.monotonicUs();
  await Promise.all(Array.from({ length: 32 }, worker));
  const rate = (calls / (CLOCK.monotonicUs() - began_us)) * 1e6;
  client.close();
  return rate;
}

async function benchUnary(seconds: number): Promise<{ unary_per_s: number; unary_echo_per_s: number }> {
  const t = await startTestGateway();
  const echo = new Server();
  const { Analyze } = RAW_SERVICE;
  echo.addService({ Analyze }, {
    Analyze: (call: { request: Buffer }, callback: (e: null, b: Buffer) => void) => callback(null, call.request),
  } as never);
  const port = await new Promise<number>((resolve, reject) => {
    echo.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (e, p) => (e === null ? resolve(p) : reject(e)));
  });
  // A first round of each warms up; then they alternate.
  const rates = { ours: 0, echo: 0 };
  for (let round = 0; round < 3; round++) {
    const ours = await callsPerSecond(t.gateway.grpcPort, t.keys.standIn, seconds / 2);
    const theirs = await callsPerSecond(port, t.keys.standIn, seconds / 2);
    if (round === 0) continue;
    rates.ours = Math.max(rates.ours, ours);
    rates.echo = Math.max(rates.echo, theirs);
  }
  echo.forceShutdown();
  await t.gateway.close();
  return { unary_per_s: rates.ours, unary_echo_per_s: rates.echo };
}

const { values } = parseArgs({
  options: { help: { type: "boolean" }, json: { type: "boolean" }, seconds: { type: "string", default: "2" } },
});
if (values.help) console.log(HELP);
else {
  const seconds = Number(values.seconds);
  const result = { ...benchDesk(seconds), ...(await benchUnary(seconds)) };
  if (values.json) console.log(JSON.stringify(result));
  else {
    console.log(`desk and codec  ${result.desk_us.toFixed(2)} us a payment, codec alone ${result.codec_us.toFixed(2)}`);
    const share = ((100 * result.unary_per_s) / result.unary_echo_per_s).toFixed(0);
    console.log(`unary ${result.unary_per_s.toFixed(0)}/s, echo ${result.unary_echo_per_s.toFixed(0)}/s (${share} %)`);
  }
}
