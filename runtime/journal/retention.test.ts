/** How far a journal may be purged, and the search for a frame by its time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rowsFrame, takeoverFrame } from "../testkit/frames.ts";
import { SimJournalStore } from "../testkit/sim_journal.ts";
import { firstFrameAt, type RetentionFacts, retain } from "./retention.ts";

const snapshot = (frame: number, ...watermarks: number[]) => ({ frame, watermarks });

function facts(over: Partial<RetentionFacts> = {}): RetentionFacts {
  return {
    shard: 0,
    firstSequence: 1,
    lastSequence: 100,
    horizonFrame: 90,
    places: [{ place: "disk", snapshots: [snapshot(50, 0), snapshot(80, 0)] }],
    backedUpTo: null,
    ...over,
  };
}

test("the older of the two newest snapshots holds, and its frame stays", () => {
  const places = [{ place: "disk", snapshots: [snapshot(30, 0), snapshot(50, 0), snapshot(80, 0)] }];
  const [{ keepFrom, holds }] = retain([facts({ places })]);
  assert.equal(keepFrom, 50);
  assert.equal(holds[0].who, "the older snapshot at disk");
});

test("each of the others holds when it needs more", () => {
  const held = (over: Partial<RetentionFacts>) => {
    const [{ keepFrom, holds }] = retain([facts(over)]);
    return [keepFrom, holds[0].who];
  };
  assert.deepEqual(held({ horizonFrame: 20 }), [20, "the retry horizon"]);
  assert.deepEqual(held({ backedUpTo: 10 }), [11, "the backup"]);
  const late = [{ place: "disk", snapshots: [snapshot(100, 0), snapshot(100, 0)] }];
  assert.deepEqual(held({ horizonFrame: 101, places: late }), [100, "the older snapshot at disk"]);
  assert.deepEqual(held({ horizonFrame: 101, places: late, lastSequence: 99 }), [99, "its newest frame"]);
  assert.deepEqual(held({ places: [{ place: "b", snapshots: [snapshot(80, 0)] }] }), [
    1,
    "b has 1 of 2 verified snapshots",
  ]);
  assert.deepEqual(held({ places: [] }), [1, "nobody has a snapshot of it"]);
  assert.deepEqual(held({ firstSequence: 60 }), [60, "the older snapshot at disk"]);
});

test("a node without snapshots holds what others could let go", () => {
  const places = [...facts().places, { place: "node-3", snapshots: [] }];
  const [{ keepFrom, holds }] = retain([facts({ places })]);
  assert.equal(keepFrom, 1);
  assert.match(holds[0].who, /^node-3 has 0 of 2/);
});

test("an inbox that folded less of the source holds its frames", () => {
  const places = [{ place: "disk", snapshots: [snapshot(60, 33, 0), snapshot(90, 70, 0)] }];
  const target = facts({ shard: 1, places });
  const source = facts({ places: [{ place: "disk", snapshots: [snapshot(50, 0, 5), snapshot(80, 0, 9)] }] });
  const [own, other] = retain([source, target]);
  assert.deepEqual([own.keepFrom, own.holds[0].who], [34, "the inbox of shard 1 at disk"]);
  assert.deepEqual([other.keepFrom, other.holds[0].who], [6, "the inbox of shard 0 at disk"]);
  // A shard with nothing in its journal never folded anything, and starts from what comes.
  const empty = facts({ shard: 1, firstSequence: 1, lastSequence: 0, horizonFrame: 1, places: [] });
  assert.equal(retain([source, empty])[0].keepFrom, 50);
});

test("nothing that anybody holds is ever let go", () => {
  const frame = fc.integer({ min: 1, max: 100 });
  const snapshots = fc
    .array(frame, { maxLength: 4 })
    .map((all) => all.sort((a, b) => a - b).map((f) => snapshot(f, 0)));
  const some = fc.record({ horizonFrame: frame, snapshots, backedUpTo: fc.option(frame) });
  const property = fc.property(some, ({ horizonFrame, snapshots: kept, backedUpTo }) => {
    const [{ keepFrom }] = retain([facts({ horizonFrame, backedUpTo, places: [{ place: "p", snapshots: kept }] })]);
    assert.ok(keepFrom <= horizonFrame && keepFrom <= 100);
    if (backedUpTo !== null) assert.ok(keepFrom <= backedUpTo + 1);
    if (kept.length < 2) assert.equal(keepFrom, 1);
    else assert.ok(keepFrom <= kept[kept.length - 2].frame);
  });
  fc.assert(property);
});

test("the first frame at a time is found, also between and beyond frames", async () => {
  const journal = await new SimJournalStore().open(0);
  // Frame times are their sequences.
  await journal.append(takeoverFrame(journal, { epoch: 1, sequence: 1 }), 0);
  for (let s = 2; s <= 20; s++) await journal.append(rowsFrame(journal, { epoch: 1, sequence: s }), s - 1);
  for (const [time, frame] of [
    [0, 3],
    [7, 7],
    [7.5, 8],
    [20, 20],
    [21, 21],
  ]) {
    assert.equal(await firstFrameAt(journal, 3, 20, time), frame, `at ${time}`);
  }
});
