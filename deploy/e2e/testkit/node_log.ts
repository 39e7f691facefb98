/** A node's JSON log in its data folder, for tests and drills. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The text so far; empty before the first line. */
export function nodeLogText(data_dir: string): Promise<string> {
  return readFile(join(data_dir, "logs", "node.log"), "utf8").catch(() => "");
}

/** One object a line. */
export async function nodeLog(data_dir: string): Promise<Record<string, unknown>[]> {
  const text = await nodeLogText(data_dir);
  return text.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
}

/** After these a node serves the shard no more. That a hand-over ended is told by the next owner. */
const UNSERVED = ["hand_over", "shard_deposed", "shard_poisoned", "shard_stopped"];

/** Shards that the node of this log serves now, if it runs. */
export function servedShards(lines: readonly Record<string, unknown>[]): Set<number> {
  const served = new Set<number>();
  for (const { msg, shard } of lines) {
    if (msg === "starting") served.clear();
    else if (msg === "shard_serving") served.add(shard as number);
    else if (UNSERVED.includes(msg as string)) served.delete(shard as number);
  }
  return served;
}
