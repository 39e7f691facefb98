/**
 * kill -9 of one of three nodes that know a million users together: how long its users wait, and whether the users of
 * the others notice.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FraudClient, type PaymentInit } from "../../deploy/client/fraud_client.ts";
import { openIdentity } from "../../gateway/identity/identity.ts";
import { PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillPayment } from "./drill_load.ts";
import type { DrillNotes } from "./drills.ts";

export const KNOWN_USERS = 1_000_000;
/** Payments of a message, and messages on their way. */
const MESSAGE_ROWS = 512;
const IN_FLIGHT = 16;
const DAY_US = 86_400_000_000;
const BEFORE_MS = 5000;
const AFTER_MS = 10_000;
/** The aims: longest wait of the dead node's users, and the 99th percentile of all others. */
const WAIT_MS_MAX = 5000;
const OTHERS_P99_MS_MAX = 100;

export async function killLarge(c: DrillCluster): Promise<DrillNotes> {
  const seconds = await makeKnown(c);
  // Clients speak to the first node, which lives on.
  const [, victim] = c.nodes;
  const orphaned = await c.served(victim);
  c.load.start();
  await delay(BEFORE_MS);
  const killed_ms = performance.now();
  await victim.end("SIGKILL");
  await c.covered();
  const covered_ms = performance.now();
  await delay(AFTER_MS);
  await c.settle();
  const shardOf = shardsOf(c);
  const during = c.load.payments.filter((p) => p.sent_ms >= killed_ms && p.sent_ms < covered_ms + 1000);
  const isOrphan = (p: DrillPayment): boolean => orphaned.has(shardOf(String(p.payment.userId)));
  const waits_ms = sorted(during.filter(isOrphan));
  const others_ms = sorted(during.filter((p) => !isOrphan(p)));
  const wait_ms = Math.round(waits_ms.at(-1) ?? 0);
  const [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map((q) =>
    Math.round(others_ms[Math.floor(q * others_ms.length)] ?? 0),
  );
  const failed = [];
  if (waits_ms.length === 0) failed.push("no payment met the dead node's shards");
  if (wait_ms > WAIT_MS_MAX) failed.push(`a user of the dead node waited ${wait_ms} ms, aimed at ${WAIT_MS_MAX}`);
  const notes = [
    `${KNOWN_USERS} users made known in ${seconds} s`,
    `${orphaned.size} of ${c.shards} shards served again after ${Math.round(covered_ms - killed_ms)} ms`,
    `longest wait of ${waits_ms.length} payments of their users ${wait_ms} ms`,
    `meanwhile ${others_ms.length} payments of other users, ms p50 ${p50_ms} p90 ${p90_ms} p99 ${p99_ms}`,
    `aimed at: ${WAIT_MS_MAX} ms, and p99 ${OTHERS_P99_MS_MAX} ms of the others`,
  ];
  return { notes, failed };
}

/** From the sending to the decision, milliseconds, ascending. */
function sorted(payments: readonly DrillPayment[]): number[] {
  return payments.map((p) => (p.decided_ms ?? Number.POSITIVE_INFINITY) - p.sent_ms).sort((a, b) => a - b);
}

function shardsOf(c: DrillCluster): (user: string) => number {
  const files = { tenants_path: join(c.dir, "tenants.json"), secrets_path: join(c.dir, "secrets.json") };
  const [{ hash_key }] = openIdentity(files).tenants;
  return (user) => {
    keyedHashText(user, hash_key[0], hash_key[1]);
    return H.hi % c.shards;
  };
}

/** Sends one payment of each user as history. Returns how long it took, seconds. */
async function makeKnown(c: DrillCluster): Promise<number> {
  const client = new FraudClient(c.nodes[0].endpoint, c.api_key);
  const began = performance.now();
  const now_us = Date.now() * 1000;
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < KNOWN_USERS) {
      const first = next;
      next += MESSAGE_ROWS;
      const count = Math.min(MESSAGE_ROWS, KNOWN_USERS - first);
      const results = await client.analyze(
        Array.from({ length: count }, (_, i) => past(first + i, now_us)),
        true,
      );
      const bad = results.find((r) => r.result.case !== "decision");
      if (bad?.result.case === "error") throw new Error(`a past payment was refused: ${bad.result.value.message}`);
      if (first % 51_200 === 0) process.stderr.write(`${first} of ${KNOWN_USERS} users known\n`);
    }
  };
  try {
    await Promise.all(Array.from({ length: IN_FLIGHT }, send));
  } finally {
    client.close();
  }
  return Math.round((performance.now() - began) / 1000);
}

function past(user: number, now_us: number): PaymentInit {
  return {
    transactionId: `known-${user}`,
    userId: `user-${user}`,
    merchantId: `merchant-${user % 5003}`,
    amountMinor: BigInt(100 + (user % 50_000)),
    currency: "USD",
    eventTimeUs: BigInt(now_us - DAY_US + user),
    status: PaymentStatus.AUTHORISED,
  };
}
