/**
 * Planned moves alone: each node of a cluster in turn is drained and takes its shards back, while no process starts or
 * ends. What a payment waits for longest is the pause of a move.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AdminClient } from "../../deploy/commands/admin_client.ts";
import { until } from "../../deploy/e2e/testkit/until.ts";
import { Admin } from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillNotes } from "./drills.ts";

/** The aim for the pause of a move, and what is a fault on a busy machine too, milliseconds. */
const PAUSE_AIM_MS = 250;
const PAUSE_MS_MAX = 1000;
const MOVED_MS = 60_000;

export async function plannedMoves(c: DrillCluster): Promise<DrillNotes> {
  const key = (await readFile(join(c.dir, "admin.key"), "utf8")).trim();
  const from_ms = performance.now();
  await c.underLoad(async () => {
    for (const node of c.nodes) {
      const admin = new AdminClient(node.endpoint, key);
      await admin.call(Admin.method.drain, { node: node.name });
      const isDrained = async () => (await c.served(node)).size === 0;
      await until(`${node.name} is drained`, isDrained, MOVED_MS, () => node.words());
      await c.covered();
      await admin.call(Admin.method.undrain, { node: node.name });
      await c.spread();
      admin.close();
    }
  });
  const moves = await c.countLogged("hand_over");
  const longest_ms = Math.round(c.load.latencyMs(1, from_ms, performance.now()));
  const failed = moves < c.shards ? [`only ${moves} moves`] : [];
  if (c.load.unavailableMs() > 0) failed.push("a payment failed");
  if (longest_ms > PAUSE_MS_MAX) failed.push(`a payment waited ${longest_ms} ms`);
  const note = `${moves} planned moves, the longest wait of a payment ${longest_ms} ms, aimed at ${PAUSE_AIM_MS}`;
  return { notes: [note], failed };
}
