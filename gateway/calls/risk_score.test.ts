/** Searches without a user cost the node's time until they end, whoever still waits: only a few run at once. */
import assert from "node:assert/strict";
import test from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ErrorCode, GetRiskScoreRequestSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { DeadlineWheel } from "./deadline_wheel.ts";
import type { Refusal, Reply } from "./reply.ts";
import { RiskScoreReader } from "./risk_score.ts";

const TENANT = { index: 0, hash_key: [1, 2] } as unknown as Tenant;

function request(userId: string): Uint8Array {
  return toBinary(GetRiskScoreRequestSchema, create(GetRiskScoreRequestSchema, { transactionId: "t", userId }));
}

test("a search goes on counting after its caller's deadline; reads with a user are let in beside it", async () => {
  let now_us = 0;
  const clock = { monotonicUs: () => now_us, wallUs: () => now_us };
  const wheel = new DeadlineWheel(clock);
  const ends: ((value: null) => void)[] = [];
  const decisions = { findDecision: () => new Promise<null>((resolve) => ends.push(resolve)) };
  const reader = new RiskScoreReader(decisions, wheel, clock);
  const codes: (ErrorCode | null)[] = [];
  const ask = (user: string): number => {
    const at = codes.push(null) - 1;
    const reply: Reply = {
      open: true,
      answer: () => assert.fail("answered"),
      refuse: (r: Refusal) => (codes[at] = r.code),
    };
    reader.read(request(user), TENANT, 50, reply, null);
    return at;
  };
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

  const first = ask("");
  ask("");
  assert.equal(codes[ask("")], ErrorCode.RESOURCE_EXHAUSTED);
  assert.equal(codes[ask("user")], null, "a read with a user searches nothing");
  now_us = 1e6;
  wheel.advance();
  await settled();
  assert.equal(codes[first], ErrorCode.UNAVAILABLE, "its caller has an answer");
  assert.equal(codes[ask("")], ErrorCode.RESOURCE_EXHAUSTED, "but both searches still run");
  ends[0](null);
  await settled();
  assert.equal(codes[ask("")], null, "one has ended: there is room again");
});
