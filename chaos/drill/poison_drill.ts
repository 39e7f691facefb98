/**
 * Payments that throw inside their user's actor, half of the row done: three nodes that share the shards run with one
 * line of the actor edited in memory. Each must be answered with an error of its own, and nothing else be harmed.
 */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FraudClient, type PaymentInit } from "../../deploy/client/fraud_client.ts";
import { DecisionState, ErrorCode, PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { MUTATION_VARIABLE, type SourceEdit } from "../simulate/mutation_hook.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillNotes } from "./drills.ts";

const HOOK = new URL("../simulate/mutation_hook.ts", import.meta.url).pathname;
/** An amount that no other payment of a drill has, minor units. */
const AMOUNT_MINOR = 66_613;
const EDIT: SourceEdit = {
  file: "actors/user/user_actors.ts",
  from: "const isNew = w.wasNew ? 1 : 0;",
  to: `if (b.amountMinor[r] === ${AMOUNT_MINOR}) throw new Error("poison"); const isNew = w.wasNew ? 1 : 0;`,
};
const PAYMENTS = 3;
const BEFORE_MS = 3000;
const BETWEEN_MS = 4000;
const AGAIN_MS = 50;
const PATIENCE_MS = 2500;
const ANSWERED_MS = 20_000;

export async function poison(c: DrillCluster): Promise<DrillNotes> {
  for (const node of c.nodes) {
    await node.end("SIGTERM");
    node.env = { NODE_OPTIONS: `--import ${HOOK}`, [MUTATION_VARIABLE]: JSON.stringify(EDIT) };
    node.startAgain();
  }
  await c.spread();
  const starts = await c.countLogged("starting");
  const notes: string[] = [];
  const failed: string[] = [];
  c.load.start();
  await delay(BEFORE_MS);
  for (let i = 0; i < PAYMENTS; i++) {
    const began = performance.now();
    const asked = await ask(c, i);
    const ms = Math.round(performance.now() - began);
    if (asked.error === null) notes.push(`poison ${i}: refused after ${ms} ms, ${asked.tries} tries`);
    else failed.push(`poison ${i}: ${asked.error}`);
    const again = await ask(c, i);
    if (again.error !== null) failed.push(`poison ${i}, again: ${again.error}`);
    await delay(BETWEEN_MS);
  }
  await c.spread();
  await c.settle();
  const poisoned = await c.countLogged("shard_poisoned");
  const wide = `${PAYMENTS} payments cost ${poisoned} shards their memory, which came back from the journals`;
  if (poisoned < PAYMENTS) failed.push("the actor was not reached");
  if (poisoned > PAYMENTS) failed.push("a node was not told what another one had quarantined");
  if ((await c.countLogged("starting")) > starts) failed.push("a node ended");
  const kept = await Promise.all(c.nodes.map((n) => quarantined(n.data_dir)));
  if (kept.some((n) => n !== PAYMENTS)) failed.push(`the nodes keep ${kept.join(", ")} rows in quarantine`);
  return { notes: [...notes, wide], failed };
}

async function quarantined(data_dir: string): Promise<number> {
  const file = join(data_dir, "quarantine.json");
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  return isThere ? (JSON.parse(await readFile(file, "utf8")) as unknown[]).length : 0;
}

/** Asks for a poisonous payment until it has an error that stands. `error` null: it has, and the right one. */
async function ask(c: DrillCluster, i: number): Promise<{ tries: number; error: string | null }> {
  const payment: PaymentInit = {
    transactionId: `poison-${i}`,
    userId: `user-${i * 31}`,
    merchantId: "merchant-0",
    amountMinor: BigInt(AMOUNT_MINOR),
    currency: "USD",
    eventTimeUs: BigInt(Date.now()) * 1000n,
    status: PaymentStatus.AUTHORISED,
  };
  const client = new FraudClient(c.nodes[i % c.nodes.length].endpoint, c.api_key);
  const until_ms = performance.now() + ANSWERED_MS;
  try {
    for (let tries = 1; performance.now() < until_ms; tries++) {
      const late = delay(PATIENCE_MS, null, { ref: false });
      const results = await Promise.race([client.analyze([payment]).catch(() => null), late]);
      const result = results?.[0]?.result;
      if (result?.case === "decision" && result.value.state === DecisionState.DECIDED)
        return { tries, error: "it was decided" };
      if (result?.case === "error" && result.value.code !== ErrorCode.UNAVAILABLE) {
        const { code, message } = result.value;
        return { tries, error: code === ErrorCode.INTERNAL ? null : message };
      }
      await delay(AGAIN_MS);
    }
    return { tries: 0, error: "no answer that stands" };
  } finally {
    client.close();
  }
}
