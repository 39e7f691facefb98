/**
 * How long decisions stand still while a snapshot of a large shard is taken, and while one is loaded beside shards that
 * are served: in a process of its own, with the flags of a node.
 */
import { join } from "node:path";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../deploy/node/node_flags.ts";
import { Child } from "./child.ts";
import { commitOf, machineFacts } from "./machine.ts";
import type { SnapshotResult, SnapshotRun } from "./snapshot_process.ts";

export interface SnapshotBenchOptions extends Omit<SnapshotRun, "dir"> {
  readonly root: string;
  readonly work_dir: string;
  readonly say: (line: string) => void;
}

type Said = { readonly line?: string; readonly result?: SnapshotResult; readonly failed?: string };

/** Runs it; the result is what `--json` writes. */
export async function benchSnapshot(o: SnapshotBenchOptions) {
  const { users, merchants, rows_per_s, seed, work_dir: dir, root } = o;
  const args = [...NODE_FLAGS, join(root, "chaos/bench/snapshot_process.ts")];
  const child = new Child("the snapshot bench", args, {
    cwd: root,
    ipc: true,
    env: NODE_ENVIRONMENT,
  });
  try {
    const result = await new Promise<SnapshotResult>((resolve, reject) => {
      child.process.once("exit", () => reject(new Error(`the snapshot bench ended: ${child.tail}`)));
      child.process.on("message", (said: Said) => {
        if (said.line !== undefined) o.say(said.line);
        if (said.result !== undefined) resolve(said.result);
        if (said.failed !== undefined) reject(new Error(said.failed));
      });
      child.process.send({ users, merchants, rows_per_s, seed, dir } satisfies SnapshotRun);
    });
    return { users, merchants, rows_per_s, ...result, commit: commitOf(root), machine: machineFacts() };
  } finally {
    await child.stop();
  }
}
