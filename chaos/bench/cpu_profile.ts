/** What a V8 processor profile says of a recovery: self time by part of the work, and the functions that take most. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

/** The part of a .cpuprofile file that is read here. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds from each sample to the one before it. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileSummary {
  /** Seconds of the thread, waiting left out. */
  readonly busy_s: number;
  readonly idle_s: number;
  /** Seconds of self time by part of the work. */
  readonly parts_s: Readonly<Record<string, number>>;
  readonly top: readonly { readonly name: string; readonly share: number }[];
}

/** The first that matches a function's file, or its name where it has no file. */
const PARTS: readonly (readonly [string, RegExp])[] = [
  ["waiting", /^\(idle\)$/],
  ["garbage", /^\(garbage collector\)$/],
  ["loading the snapshot", /runtime\/snapshots|table_snapshot|snapshot_files|kernel\/bytes/],
  ["reading from NATS", /@nats-io|runtime\/nats|node:net|stream_base_commons|streams\//],
  ["verifying", /frame_header|internal\/crypto|runtime\/journal/],
  ["decoding frames", /rows_reader|rows_layout/],
  ["reading ahead", /read_ahead|near/],
  ["folding", /actors\/|runtime\/kernel|runtime\/recovery|runtime\/shard/],
];
const TOP = 15;

function partOf({ callFrame: { functionName, url } }: ProfileNode): string {
  if (/^near/i.test(functionName)) return "reading ahead";
  // V8 counts a thread that is held by Atomics.wait as running: the model's waits there for the next batch.
  if (functionName === "serve" && url.endsWith("inference/session_worker.ts")) return "waiting";
  const named = url === "" ? functionName : url;
  return PARTS.find(([, pattern]) => pattern.test(named))?.[0] ?? "other";
}

export function summarize(profile: CpuProfile): ProfileSummary {
  const nodes = new Map(profile.nodes.map((n) => [n.id, n]));
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  let all = 0;
  for (const [i, id] of profile.samples.entries()) {
    const node = nodes.get(id);
    if (node === undefined) continue;
    const us = profile.timeDeltas[i] ?? 0;
    const part = partOf(node);
    parts.set(part, (parts.get(part) ?? 0) + us);
    if (part === "waiting") continue;
    all += us;
    const { functionName, url, lineNumber } = node.callFrame;
    const file = url.replace(/^.*\/(?=[^/]*\/[^/]*$)/, "");
    const name = url === "" ? functionName : `${functionName || "(anonymous)"} ${file}:${lineNumber + 1}`;
    functions.set(name, (functions.get(name) ?? 0) + us);
  }
  const seconds = (us: number) => Math.round(us / 1e4) / 100;
  const largest = (of: Map<string, number>) => [...of].sort((a, b) => b[1] - a[1]);
  return {
    busy_s: seconds(all),
    idle_s: seconds(parts.get("waiting") ?? 0),
    parts_s: Object.fromEntries(
      largest(parts).flatMap(([part, us]) => (part === "waiting" ? [] : [[part, seconds(us)]])),
    ),
    top: largest(functions)
      .slice(0, TOP)
      .map(([name, us]) => ({ name, share: Math.round((us / Math.max(1, all)) * 1000) / 1000 })),
  };
}

/** Of the thread with the most work among the profiles in a folder; null when there is none. */
export function busiestThread(dir: string): ProfileSummary | null {
  const files = readdirSync(dir).filter((name) => name.endsWith(".cpuprofile"));
  const all = files.map((name) => summarize(JSON.parse(readFileSync(join(dir, name), "utf8")) as CpuProfile));
  return all.sort((a, b) => b.busy_s - a.busy_s)[0] ?? null;
}
