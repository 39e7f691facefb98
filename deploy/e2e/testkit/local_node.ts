/** A node in the test's own process, over a real nats-server, so that its actors can be read. */

import { join } from "node:path";
import { PassThrough } from "node:stream";
import { createLog } from "../../../gateway/log.ts";
import type { Shard } from "../../../runtime/shard.ts";
import { DEFAULT_MODEL, type FraudNode, type FraudNodeOptions, startFraudNode } from "../../node/fraud_node.ts";
import { until } from "./until.ts";

export interface LocalNode {
  readonly node: FraudNode;
  readonly shards: readonly Shard[];
  readonly grpc: string;
  /** What the runtime reported so far, one object an event. */
  readonly events: () => Record<string, unknown>[];
  /** Details of shards that stopped. */
  readonly stopped: Record<string, unknown>[];
  /** Canonical digest of each shard's actors. */
  digests(): string[];
  /** Resolves when nothing is under way and every committed row is folded where it belongs. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

export async function localNode(
  o: Pick<FraudNodeOptions, "data_dir" | "nats_url" | "shards"> & Partial<FraudNodeOptions>,
): Promise<LocalNode> {
  const sink = new PassThrough();
  let logged = "";
  sink.on("data", (part: Buffer) => {
    logged += part.toString();
  });
  const stopped: Record<string, unknown>[] = [];
  const node = await startFraudNode({
    tenants_path: join(o.data_dir, "tenants.json"),
    grpc_port: 0,
    rest_port: 0,
    log: createLog({ name: "e2e", to: sink }),
    model_dir: DEFAULT_MODEL,
    snapshot_interval_ms: 0,
    public_streams: false,
    // A busy machine must not make decisions differ.
    inference_budget_ms: 60_000,
    onShardStopped: (detail) => stopped.push(detail),
    ...o,
  });
  const { shards, loop } = node.runtime;
  const isQuiet = () => loop.idle && shards.every((s) => s.inboxWaiting === 0 && s.nextFrame === s.committedFrame + 1);
  return {
    node,
    shards,
    grpc: `127.0.0.1:${node.gateway.grpcPort}`,
    events: () => logged.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : [])),
    stopped,
    digests: () => shards.map((s) => s.actors.digest()),
    quiet: () => until("everything is folded", isQuiet, 20_000, () => describe(shards)),
    close: () => node.close(),
  };
}

function describe(shards: readonly Shard[]): string {
  return shards
    .map(
      (s) => `shard ${s.id}: next ${s.nextFrame}, committed ${s.committedFrame}, inbox ${s.inboxWaiting}, ${s.reason}`,
    )
    .join("\n");
}
