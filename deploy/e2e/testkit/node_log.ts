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
