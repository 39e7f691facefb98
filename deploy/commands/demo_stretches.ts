/**
 * The made-up payments that the shipped model is trained on: months of an ordinary rate, and cold starts of the live
 * demo, where nobody has a history and everybody pays far too often. Each stretch runs through a fresh node.
 */
import { join } from "node:path";
import { openIdentity } from "../../gateway/identity/identity.ts";
import { KeyTable } from "../../runtime/kernel/key_table.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { FraudClient } from "../client/fraud_client.ts";
import { liveDemo } from "../demo/feed.ts";
import { type DemoOptions, demoStream } from "../demo/stream.ts";
import { Progress } from "../progress.ts";
import { DemoHistory } from "./demo_history.ts";
import { startNodeProcess } from "./node_process.ts";
import { OutcomeTally } from "./outcome_tally.ts";

const DAY_US = 86_400e6;
/** The beginning of the made-up time: fixed, so that the same seed gives the same payments. */
const BEGIN_US = Date.UTC(2026, 0, 5) * 1000;

export interface Stretch {
  readonly name: string;
  readonly options: DemoOptions;
}

/** Some minutes of the live demo. */
function coldStart(seed: number, day: number, minutes: number, paymentsPerSecond: number): DemoOptions {
  return { ...liveDemo(seed, BEGIN_US + day * DAY_US, paymentsPerSecond), days: minutes / 1440 };
}

/** Stretches for training. `scale` shortens them all; the last cold start lies in the newest part, for validation. */
export function trainingStretches(seed: number, scale: number): Stretch[] {
  const months = {
    seed,
    startUs: BEGIN_US,
    days: 60 * scale,
    users: 5000,
    merchants: 500,
    paymentsPerSecond: 0.08,
    fraudShare: 0.01,
  };
  return [
    { name: "two months", options: months },
    { name: "cold start, 200/s", options: coldStart(seed + 1, 5 * scale, 15 * scale, 200) },
    { name: "cold start, 20/s", options: coldStart(seed + 2, 10 * scale, 80 * scale, 20) },
    { name: "cold start, 200/s, later", options: coldStart(seed + 3, 55 * scale, 8 * scale, 200) },
  ];
}

/** What the live demo would show in its first minutes, with people that no training saw. */
export function checkStretch(seed: number, scale: number): Stretch {
  return { name: "check: cold start, 200/s", options: coldStart(seed + 100, 0, 5 * scale, 200) };
}

export interface StretchRun {
  /** Folder of the node's data. */
  readonly data_dir: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
}

export interface StretchResult {
  readonly tally: OutcomeTally;
  /** Keyed hashes of the fraudulent payments' ids. */
  readonly frauds: KeyTable;
}

/** Runs a stretch through a node of its own. */
export async function runStretch(stretch: Stretch, run: StretchRun): Promise<StretchResult> {
  const node = await startNodeProcess({ data_dir: run.data_dir, args: run.args });
  const identity = openIdentity({
    tenants_path: join(run.data_dir, "tenants.json"),
    secrets_path: join(run.data_dir, "secrets.json"),
  });
  const [k0, k1] = identity.tenants[0].hash_key;
  const client = new FraudClient(node.grpc, node.api_key);
  const tally = new OutcomeTally();
  const frauds = new KeyTable();
  const { days = 0, paymentsPerSecond = 0 } = stretch.options;
  const progress = new Progress({
    label: stretch.name,
    unit: "payments",
    total: Math.round(days * 86_400 * paymentsPerSecond),
    stream: process.stderr,
    now_us: () => performance.now() * 1000,
  });
  try {
    const history = new DemoHistory({
      client,
      signal: run.signal,
      onDecided: ({ payment, label }, result) => {
        if (label.fraud) {
          keyedHashText(payment.transactionId, k0, k1);
          frauds.slot(H.hi, H.lo);
        }
        tally.add(label.fraud, label.story, result);
      },
    });
    await history.run(demoStream(stretch.options), (n) => progress.update(n));
    progress.finish();
  } finally {
    client.close();
    await node.stop();
  }
  return { tally, frauds };
}
