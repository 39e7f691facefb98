/** The planned end of serving, when the journal does not answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { claim } from "./journal/claim.ts";
import { Committer, MAX_IN_FLIGHT } from "./journal/committer.ts";
import type { NodeOptions } from "./node_options.ts";
import { Shard } from "./shard.ts";
import { type LifeParts, ShardLife } from "./shard_life.ts";
import { nextFrame } from "./testkit/frames.ts";
import { SimJournalStore } from "./testkit/sim_journal.ts";
import { SimWorld } from "./testkit/sim_world.ts";

const OWNER = { node: "a", bootId: "boot" };

test("a hand-over that is given up with frames in flight takes rows again", async () => {
  const world = new SimWorld(1);
  const store = new SimJournalStore(world);
  const sleep = (ms: number): Promise<void> => world.sleep(ms);
  const journal = await store.open(0);
  const claimed = claim(journal, OWNER, 1, sleep);
  let takeover = null as Awaited<typeof claimed> | null;
  claimed.then((position) => {
    takeover = position;
  });
  await world.runUntil(() => takeover !== null, 10_000, "the claim");
  const shard = new Shard(0, 1, journal, {} as ConstructorParameters<typeof Shard>[3]);
  const committer = new Committer(journal, await claimed, { committed: () => {}, stopped: () => {} }, sleep);
  shard.serve(await claimed, committer, world);
  store.down = true;
  for (let i = 0; i < MAX_IN_FLIGHT; i++) {
    committer.submit(nextFrame(committer));
    shard.assignFrame();
  }
  const parts = { options: { owner: OWNER } as NodeOptions, shards: [shard], sleep } as unknown as LifeParts;
  const life = new ShardLife(parts, 0);
  let error: Error | null = null;
  life.handOver().catch((e: Error) => {
    error = e;
  });
  assert.equal(shard.accepting, false);
  await world.runUntil(() => error !== null, 10_000, "the hand-over to be given up");
  assert.match(String(error), /not committed/);
  assert.deepEqual([shard.serving, shard.accepting, committer.canSubmit], [true, true, false]);
});
