/** A block waits for its users, and for nobody's for ever. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RowBlock } from "../proto/columns.ts";
import { timersOf } from "./cluster/router_testkit.ts";
import type { Journal } from "./ports.ts";
import type { ShardActors } from "./program.ts";
import { RECALL_MS, RecallStalled, Recalls } from "./recalls.ts";
import { Shard } from "./shard.ts";
import { plainActors } from "./testkit/plain_program.ts";
import { SimWorld } from "./testkit/sim_world.ts";

/** Three shards whose recalls are as given; what was lost, by shard, with the error's name. */
function recallsOf(recalls: readonly ShardActors["recall"][]) {
  const world = new SimWorld(1);
  const shards = recalls.map((recall, id) => {
    const shard = new Shard(id, recalls.length, {} as Journal, plainActors({ recall }));
    shard.accepting = true;
    return shard;
  });
  const lost: [number, string][] = [];
  const onLost = (s: Shard, e: unknown): void => {
    lost.push([s.id, (e as Error).name]);
    s.accepting = false;
  };
  const waits = new Recalls({ shards, clock: world, timers: timersOf(world), lost: onLost });
  return { world, shards, lost, waits };
}

const never = (): Promise<void> => new Promise(() => {});

test("a block whose users are in memory does not wait", () => {
  const { waits } = recallsOf([() => null, () => null]);
  const ran: boolean[] = [];
  waits.before(new RowBlock(), (hasWaited) => ran.push(hasWaited));
  assert.deepEqual([ran, waits.isUnderWay], [[false], false]);
});

test("a read that never returns costs its own shard, after two seconds, and the block goes on", async () => {
  const { world, waits, lost } = recallsOf([never, () => world0.sleep(3), () => null]);
  const world0 = world;
  let ranUs = 0;
  waits.before(new RowBlock(), () => {
    ranUs = world.monotonicUs();
  });
  await world.advance(RECALL_MS - 1);
  assert.deepEqual([waits.isUnderWay, lost], [true, []]);
  await world.runUntil(() => ranUs > 0, 100, "the block to go on");
  assert.deepEqual([ranUs, lost, waits.isUnderWay], [RECALL_MS * 1000, [[0, RecallStalled.name]], false]);
});

test("the limit is each block's own", async () => {
  const { world, waits, lost } = recallsOf([() => world0.sleep(1500)]);
  const world0 = world;
  let ran = 0;
  const twice = (): void => {
    ran++;
    if (ran < 3) waits.before(new RowBlock(), twice);
  };
  waits.before(new RowBlock(), twice);
  await world.runUntil(() => ran === 3, 10_000, "all blocks");
  assert.deepEqual([world.monotonicUs(), lost], [4_500_000, []]);
});

test("a read that failed costs its own shard at once", async () => {
  const { world, waits, lost } = recallsOf([() => Promise.reject(new TypeError("gone")), () => null]);
  let ran = false;
  waits.before(new RowBlock(), () => {
    ran = true;
  });
  await world.advance(1);
  assert.deepEqual([ran, lost], [true, [[0, "TypeError"]]]);
});

test("a shard that began to take rows while the block waited is asked before it goes on", async () => {
  const asked: number[] = [];
  const slow = (id: number) => (): Promise<void> => {
    asked.push(id);
    return world0.sleep(10);
  };
  const { world, shards, waits } = recallsOf([slow(0), slow(1)]);
  const world0 = world;
  shards[1].accepting = false;
  let ran = false;
  waits.before(new RowBlock(), () => {
    ran = true;
  });
  await world.advance(5);
  shards[1].accepting = true;
  await world.advance(10);
  assert.deepEqual([asked, ran], [[0, 1], false]);
  await world.advance(10);
  assert.deepEqual([asked, ran], [[0, 1], true]);
});
