/** Formats in one journal: those that are known alternate freely; a newer one ends a fold, and is no damage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMAT_NEWEST, FORMAT_OLDEST, readHeader } from "../../proto/frame/frame_header.ts";
import { Deposed, FormatUnknown, type Journal, JournalDamaged } from "../ports.ts";
import { checksumOf, inNewerFormat, nextFrame, rowsFrame } from "../testkit/frames.ts";
import { SimJournalStore } from "../testkit/sim_journal.ts";
import { settle } from "../testkit/sim_world.ts";
import { claim, JOURNAL_START, positionOf } from "./claim.ts";
import { Committer } from "./committer.ts";
import { JournalReader, replay } from "./replay.ts";

const owner = { node: "node-1", bootId: "boot-1" };
const noSleep = async (): Promise<void> => settle();

/** A journal of a Takeover and of frames in these formats; one beyond the newest is of tomorrow. */
async function written(formats: readonly number[]): Promise<Journal> {
  const journal = await new SimJournalStore().open(3);
  let { checksum: previous, epoch, sequence } = await claim(journal, owner, 100, noSleep);
  for (const format of formats) {
    const at = { epoch, sequence: sequence + 1, previous, format: Math.min(format, FORMAT_NEWEST) };
    // Frame times in this testkit are sequences; the Takeover's is 100.
    const frame = rowsFrame(journal, { ...at, time_us: 100 + sequence });
    const bytes = format > FORMAT_NEWEST ? inNewerFormat(frame) : frame;
    assert.equal((await journal.append(bytes, sequence)).kind, "appended");
    previous = checksumOf(bytes);
    sequence++;
  }
  return journal;
}

test("frames of all known formats follow each other in one journal", async () => {
  const formats = [FORMAT_NEWEST, FORMAT_OLDEST, FORMAT_NEWEST, FORMAT_NEWEST, FORMAT_OLDEST];
  const read: number[] = [];
  await replay(await written(formats), JOURNAL_START, (header) => void read.push(header.version), noSleep);
  assert.deepEqual(read, [FORMAT_OLDEST, ...formats], "a Takeover is of the oldest");
});

test("a fold ends before a frame of a newer format, says which code reads it, and is not damaged", async () => {
  const journal = await written([2, FORMAT_NEWEST + 1, 2]);
  const read: number[] = [];
  const reader = new JournalReader(journal, JOURNAL_START, (header) => void read.push(header.frameNumber), noSleep);
  const isUnknown = (e: unknown): boolean => {
    assert.ok(e instanceof FormatUnknown && !(e instanceof JournalDamaged));
    assert.equal(e.sequence, 3);
    assert.match(e.message, /format 4, this code reads 1 to 3.*newer code.*journal is fine/);
    return true;
  };
  await assert.rejects(reader.catchUp(), isUnknown);
  await assert.rejects(reader.catchUp(), isUnknown, "again, from where it stands");
  assert.deepEqual(read, [1, 2]);
});

test("a changed format byte is damage, not a newer format", async () => {
  const store = new SimJournalStore();
  const journal = await store.open(3);
  await claim(journal, owner, 100, noSleep);
  store.records(3)[0][4] = FORMAT_NEWEST + 1;
  await assert.rejects(
    replay(journal, JOURNAL_START, () => {}, noSleep),
    (e) => e instanceof JournalDamaged && e.sequence === 1,
  );
});

test("who owns a journal and where it ends is read through frames of a newer format", async () => {
  const journal = await written([2, FORMAT_NEWEST + 1]);
  const ends: Error[] = [];
  const takeover = await claim(journal, { node: "node-2", bootId: "x" }, 200, noSleep);
  assert.deepEqual([takeover.sequence, takeover.epoch], [4, 2]);
  const events = { committed: () => {}, stopped: (e: Error) => void ends.push(e) };
  const committer = new Committer(journal, takeover, events, noSleep);
  // A rival of tomorrow took over and wrote: this owner is deposed, nothing is damaged.
  const rival = await claim(journal, { node: "node-3", bootId: "y" }, 300, noSleep);
  const later = { epoch: 3, sequence: 6, previous: rival.checksum, time_us: 400 };
  const newer = inNewerFormat(rowsFrame(journal, later));
  assert.equal((await journal.append(newer, 5)).kind, "appended");
  committer.submit(nextFrame(committer));
  while (ends.length === 0) await settle();
  assert.ok(ends[0] instanceof Deposed && ends[0].epoch === 3, String(ends[0]));
  // A position behind such a frame is one to go on from.
  const tail = await journal.tail();
  assert.ok(tail !== null);
  const reader = new JournalReader(journal, positionOf(readHeader(tail.bytes)), () => {}, noSleep);
  assert.equal((await reader.catchUp()).sequence, 6);
});
