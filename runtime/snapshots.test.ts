/** A snapshot that cannot be written holds nothing of the actors' state any longer, and the next one is taken. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Journal, SnapshotWriter } from "./ports.ts";
import type { ShardActors } from "./program.ts";
import { Shard } from "./shard.ts";
import { Snapshotter } from "./snapshots.ts";

test("a disk full at any step: the actors' snapshot is given up, the file discarded, the next is whole", async () => {
  let failAt = "";
  const calls: string[] = [];
  const step = async (name: string): Promise<void> => {
    calls.push(name);
    if (name === failAt) throw new Error(`no space left at ${name}`);
  };
  const actors: Partial<ShardActors> = {
    beginSnapshot: () => void calls.push("begin"),
    snapshotStep: (w) => {
      w.u32(7);
      return true;
    },
    abandonSnapshot: () => void calls.push("abandon"),
  };
  const shard = new Shard(0, 1, { id: "j" } as Journal, actors as ShardActors);
  shard.serving = true;
  const writer: SnapshotWriter = {
    write: () => step("write"),
    publish: () => step("publish"),
    discard: async () => void calls.push("discard"),
  };
  const failures: string[] = [];
  let done = 0;
  const snapshots = new Snapshotter({
    store: {
      list: async () => [],
      create: async () => {
        await step("create");
        return writer;
      },
      read: () => assert.fail("nothing is read"),
      remove: async () => {},
    },
    layout: "1",
    clock: { monotonicUs: () => 0 } as never,
    timers: { after: (_ms: number, run: () => void) => void setImmediate(run) } as never,
    onDone: () => done++,
    onFailed: (_shard, e) => failures.push(e.message),
  });
  for (failAt of ["create", "write", "publish"]) {
    calls.length = 0;
    await snapshots.take(shard);
    assert.equal(failures.pop(), `no space left at ${failAt}`);
    assert.equal(calls.filter((c) => c === "abandon").length, 1);
    assert.equal(calls.includes("discard"), failAt !== "create");
    assert.equal(snapshots.busy, false);
  }
  failAt = "";
  calls.length = 0;
  await snapshots.take(shard);
  assert.deepEqual([done, failures.length, calls[0], calls.at(-1)], [1, 0, "begin", "publish"]);
  assert.ok(!calls.includes("abandon"));
});
