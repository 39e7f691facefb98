/** What a shard believes of another one that was taken over, once or more often, while it did not hear. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { InboxRows } from "../proto/frame/rows_layout.ts";
import { InboxGaps } from "./inbox.ts";
import { type Journal, JournalDamaged, type JournalMessage } from "./ports.ts";
import { Shard } from "./shard.ts";
import { takeoverFrame } from "./testkit/frames.ts";
import { plainActors, plainDecider } from "./testkit/plain_program.ts";

const ID = "0123456789abcdef0123456789abcdef";

/** Shard 0 serves; shard 1's journal is these frames. `abandoned` holds what shard 0 forgot: [source, from frame]. */
function pair(frames: (journal: Journal) => Uint8Array[]) {
  const abandoned: number[][] = [];
  const journal = { id: ID, shard: 1 } as Journal;
  const messages: JournalMessage[] = frames(journal).map((bytes, i) => ({ sequence: i + 1, bytes }));
  journal.readFrom = async function* (first: number) {
    yield* messages.slice(first - 1);
  };
  const actors = plainActors({ abandon: (source, frame) => void abandoned.push([source, frame]) });
  const target = new Shard(0, 2, {} as Journal, actors);
  target.serving = true;
  target.accepting = true;
  const source = new Shard(1, 2, journal, plainActors());
  const gaps = new InboxGaps({
    decider: plainDecider(),
    shards: [target, source],
    tenantIndex: () => 0,
    sleep: async () => {},
    onFailed: () => {},
    wake: () => {},
  });
  return { target, gaps, abandoned };
}

const fold = (target: Shard): void => target.foldInbox(new InboxRows(), 100);

test("a Takeover that is read from a journal ends the rows of the owner before it", async () => {
  const { target, gaps, abandoned } = pair((j) =>
    [1, 2, 3].map((n) => takeoverFrame(j, { epoch: n + 1, sequence: n, time_us: n })),
  );
  target.admits(1, 2, 1);
  target.refilled();
  await gaps.read(target, 1);
  assert.deepEqual(abandoned.slice(1), [
    [1, 2],
    [1, 3],
  ]);
  assert.equal(target.admits(1, 3, 2), false, "who was taken over is heard no more");
  assert.equal(target.admits(1, 4, 3), true);
  assert.equal(target.answering, true);
});

test("a shard that missed an owner in between answers nobody until all that one may have committed has come", () => {
  const { target, abandoned } = pair(() => []);
  target.received[1] = 10;
  target.admits(1, 2, 5);
  target.refilled();
  abandoned.length = 0;
  target.admits(1, 4, 20);
  // What was committed of frames 11 to 19, and by whom, is not known: none of their rows may be counted.
  assert.deepEqual(abandoned, [[1, 11]]);
  assert.equal(target.answering, false);
  target.received[1] = 18;
  fold(target);
  assert.equal(target.answering, false);
  assert.equal(target.answersFrame(1, 21), false);
  target.received[1] = 19;
  fold(target);
  assert.equal(target.answering, true);
  assert.equal(target.answersFrame(1, 21), true);
});

test("one that was not refilled, or knows all up to the Takeover, goes on as it is", () => {
  const { target, abandoned } = pair(() => []);
  target.admits(1, 4, 20);
  fold(target);
  assert.equal(target.answering, false, "only a refill makes a new owner answer");
  target.received[1] = 39;
  target.refilled();
  target.admits(1, 6, 40);
  assert.deepEqual([target.answering, abandoned.at(-1)], [true, [1, 40]]);
});

test("a damaged frame of another shard's journal is not believed", async () => {
  const { target, gaps } = pair((j) => {
    const frame = takeoverFrame(j, { epoch: 9, sequence: 1 });
    frame[frame.length - 1] ^= 1;
    return [frame];
  });
  await assert.rejects(gaps.read(target, 1), (e) => e instanceof JournalDamaged && e.sequence === 1);
  assert.equal(target.admits(1, 2, 1), true);
});
