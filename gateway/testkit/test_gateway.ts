/** A whole gateway over the fake intake, with tenants, keys and payments for the gateway's tests. */
import { PassThrough } from "node:stream";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Payment, PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Clock, Timers } from "../../runtime/ports.ts";
import { reasonField, reasonHead, versionFields } from "../codec/reason_texts.ts";
import { type Gateway, type GatewayOptions, startGateway } from "../gateway.ts";
import { createApiKey } from "../identity/api_key.ts";
import { type Identity, makeIdentity } from "../identity/identity.ts";
import { loadRateTable } from "../identity/rate_table.ts";
import type { TenantRecord } from "../identity/tenant_file.ts";
import { createLog } from "../log.ts";
import { RuntimeStats } from "../metrics/runtime_stats.ts";
import type { KeyPair } from "../ports.ts";
import { FakeIntake } from "./fake_intake.ts";

export const TIMERS: Timers = {
  soon: (run) => void setImmediate(run),
  after: (delay_ms, run) => void setTimeout(run, delay_ms),
  every: (delay_ms, run) => {
    const timer = setInterval(run, delay_ms);
    return () => clearInterval(timer);
  },
};

export const CLOCK: Clock = {
  monotonicUs: () => performance.now() * 1000,
  wallUs: () => Date.now() * 1000,
};

export interface TestKeys {
  /** Stands in with REVIEW after 150 ms. */
  readonly standIn: string;
  /** Answers UNAVAILABLE after 150 ms. */
  readonly none: string;
  readonly disabled: string;
}

export function testIdentity(): { identity: Identity; keys: TestKeys } {
  const [standIn, none, disabled] = [createApiKey(), createApiKey(), createApiKey()];
  const common = { base_currency: "EUR", attributes: [], deadline_ms: 150, magic_cards: false };
  const records: TenantRecord[] = [
    { ...common, id: "acme", stand_in: "REVIEW", keys: [standIn, { ...disabled, disabled: true }].map(record) },
    { ...common, id: "other", stand_in: "NONE", keys: [record(none)] },
  ];
  const secret = { hash_key: "0123456789abcdef", seal_key: "11".repeat(32) };
  const identity = makeIdentity(records, { acme: secret, other: secret }, loadRateTable());
  return { identity, keys: { standIn: standIn.key, none: none.key, disabled: disabled.key } };
}

function record(key: { id: string; sha256: string; disabled?: boolean }) {
  return { id: key.id, sha256: key.sha256, disabled: key.disabled === true };
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly intake: FakeIntake;
  readonly keys: TestKeys;
  readonly stats: RuntimeStats;
  /** Stored decisions by "tenant:hi:lo:user", user is - without. */
  readonly stored: Map<string, Uint8Array>;
  /** Log lines so far. */
  readonly logged: () => string;
}

export async function startTestGateway(over: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const intake = new FakeIntake();
  const stats = new RuntimeStats();
  const { identity, keys } = testIdentity();
  const stored = new Map<string, Uint8Array>();
  const lines: string[] = [];
  const to = new PassThrough();
  to.on("data", (line: Buffer) => lines.push(line.toString()));
  const version = {
    fields: versionFields("test_model", "rules-1"),
    ruleReasons: [reasonField("rule_0", "a rule", 0.5)],
  };
  const gateway = await startGateway({
    intake,
    decisions: { findDecision: async (tenant, id, user) => stored.get(storedKey(tenant, id, user)) ?? null },
    clock: CLOCK,
    timers: TIMERS,
    identity,
    texts: { version: () => version, featureReason: (f) => reasonHead(`model:f${f}`, "a feature") },
    stats,
    readiness: () => ({ ready: true, reason: "" }),
    log: createLog({ name: "test", to }),
    grpc_port: 0,
    rest_port: 0,
    process_metrics: false,
    drain_ms: 1000,
    ...over,
  });
  return { gateway, intake, keys, stats, stored, logged: () => lines.join("") };
}

export function storedKey(tenant: number, id: KeyPair, user: KeyPair | null): string {
  return `${tenant}:${id.join(":")}:${user === null ? "-" : user.join(":")}`;
}

/** A valid payment of now. */
export function testPayment(i: number, over: MessageInitShape<typeof PaymentSchema> = {}): Payment {
  return create(PaymentSchema, {
    transactionId: `tx-${i}`,
    userId: `user-${i % 10}`,
    merchantId: "shop",
    amountMinor: 1999n,
    currency: "EUR",
    eventTimeUs: BigInt(Date.now()) * 1000n,
    ...over,
  });
}
