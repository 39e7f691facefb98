/** Payments of the tests, and decisions in a form that can be compared. */
import assert from "node:assert/strict";
import type {
  AnalyzeResult,
  Error as ApiError,
  Decision,
} from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { PaymentStatus } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { PaymentInit } from "../../client/fraud_client.ts";
import { paymentInit } from "../../demo/feed.ts";
import type { DemoItem } from "../../demo/items.ts";
import { demoStream } from "../../demo/stream.ts";

/** Event time of the first payment of this process: two hours ago. */
export const START_US = Math.floor((Date.now() - 7_200_000) / 1000) * 1_000_000;

let made = 0;

/** An id that no other test uses. */
export function freshId(prefix = "t"): string {
  return `${prefix}-${process.pid.toString(36)}-${(++made).toString(36)}`;
}

/** A plain payment of a user of its own, unless told otherwise. */
export function payment(over: PaymentInit = {}): PaymentInit {
  const id = freshId();
  return {
    transactionId: id,
    userId: `user-of-${id}`,
    merchantId: "corner-shop",
    amountMinor: 1250n,
    currency: "USD",
    eventTimeUs: BigInt(START_US),
    status: PaymentStatus.AUTHORISED,
    ...over,
  };
}

/** The same payment in protobuf's JSON. */
export function paymentJson(p: PaymentInit): Record<string, unknown> {
  const text = (v: unknown) => (typeof v === "bigint" ? String(v) : v);
  const json = Object.fromEntries(Object.entries(p).map(([k, v]) => [k, text(v)]));
  return { ...json, status: "AUTHORISED" };
}

/** The decision in a result; fails with the error that is there instead. */
export function decisionOf(result: AnalyzeResult | undefined): Decision {
  const r = result?.result;
  if (r?.case === "decision") return r.value;
  throw new assert.AssertionError({
    message: `no decision but ${r?.case === "error" ? errorText(r.value) : "nothing"}`,
  });
}

export function rowError(result: AnalyzeResult | undefined): ApiError {
  const r = result?.result;
  if (r?.case === "error") return r.value;
  throw new assert.AssertionError({ message: `no error but ${r?.case}` });
}

function errorText(e: ApiError): string {
  return `error ${e.code} ${e.field}: ${e.message}`;
}

/** What must be the same whenever a decision is returned; `repeated`, `timings` and the state are told apart. */
export function sameness(d: Decision): string {
  const reasons = d.reasons.map((r) => [r.code, r.text, r.weight]);
  const { transactionId, outcome, score, modelVersion, ruleSetVersion, degraded, state } = d;
  return JSON.stringify([
    transactionId,
    outcome,
    score ?? null,
    reasons,
    modelVersion,
    ruleSetVersion,
    degraded,
    state,
  ]);
}

export interface DemoBatchOptions {
  readonly seed: number;
  readonly payments: number;
  readonly users?: number;
  readonly startUs?: number;
  readonly paymentsPerSecond?: number;
  /** Half of the fraud labels are known after this time; default a minute: they come within the stream. */
  readonly labelDelayUs?: number;
}

/** The first items of a demo stream, up to a number of payments, with events and outcomes among them. */
export function demoItems(o: DemoBatchOptions): DemoItem[] {
  const items: DemoItem[] = [];
  let payments = 0;
  const stream = demoStream({
    seed: o.seed,
    startUs: o.startUs ?? START_US,
    days: Number.POSITIVE_INFINITY,
    users: o.users ?? 300,
    merchants: 60,
    paymentsPerSecond: o.paymentsPerSecond ?? 5,
    fraudShare: 0.02,
    storyScale: 0.05,
    labelDelayUs: o.labelDelayUs ?? 60e6,
  });
  for (const item of stream) {
    if (item.type === "payment" && ++payments > o.payments) return items;
    items.push(item);
  }
  return items;
}

/** Payments alone. */
export function demoPayments(o: DemoBatchOptions): PaymentInit[] {
  return demoItems(o).flatMap((item) => (item.type === "payment" ? [paymentInit(item.payment)] : []));
}
