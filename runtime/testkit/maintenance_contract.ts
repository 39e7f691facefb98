/** What every JournalMaintenance must do, whatever is behind it; and what a purged journal is for its readers. */
import assert from "node:assert/strict";
import { JOURNAL_START } from "../journal/claim.ts";
import { replay } from "../journal/replay.ts";
import { type Journal, JournalDamaged, type JournalMaintenance, JournalPurged, type JournalStore } from "../ports.ts";
import { checks } from "./contract.ts";
import { checksumOf, rowsFrame, takeoverFrame } from "./frames.ts";

export interface MaintenanceHarness {
  readonly store: JournalStore;
  readonly maintenance: JournalMaintenance;
  close(): Promise<void>;
}

const FRAMES = 10;
const noSleep = (): Promise<void> => Promise.reject(new Error("the journal is away"));

async function fill(journal: Journal): Promise<Uint8Array[]> {
  const frames = [takeoverFrame(journal, { epoch: 1, sequence: 1 })];
  for (let sequence = 2; sequence <= FRAMES; sequence++) {
    frames.push(rowsFrame(journal, { epoch: 1, sequence, previous: checksumOf(frames[sequence - 2]) }));
  }
  for (const [i, frame] of frames.entries()) {
    assert.deepEqual(await journal.append(frame, i), { kind: "appended", sequence: i + 1 });
  }
  return frames;
}

async function sequences(journal: Journal, first: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const { sequence } of journal.readFrom(first)) seen.push(sequence);
  return seen;
}

/** Registers the suite. Shards are numbered from `shard` on, so that a factory may share one server. */
export function maintenanceContract(name: string, shard: number, harness: () => Promise<MaintenanceHarness>): void {
  const register = checks(name, harness);
  const check = (what: string, run: (h: MaintenanceHarness, mine: number) => Promise<void>): void => {
    const mine = shard++;
    register(what, (used) => run(used, mine));
  };
  purgeTests(check);
  createTests(check);
}

type Check = (what: string, run: (h: MaintenanceHarness, mine: number) => Promise<void>) => void;

function purgeTests(check: Check): void {
  check("what is purged is gone, the rest stands as it did", async ({ store, maintenance }, shard) => {
    const journal = await store.open(shard);
    const frames = await fill(journal);
    assert.equal(await maintenance.purge(shard, 6), 5);
    assert.equal(await maintenance.purge(shard, 4), 0, "it was gone before");
    const facts = (await maintenance.list()).find((f) => f.shard === shard);
    assert.deepEqual([facts?.id, facts?.firstSequence, facts?.lastSequence], [journal.id, 6, FRAMES]);
    const { firstSequence, lastSequence } = await journal.state();
    assert.deepEqual([firstSequence, lastSequence], [6, FRAMES]);
    assert.equal(await journal.read(5), null);
    assert.ok(Buffer.from(frames[5]).equals((await journal.read(6))?.bytes ?? Buffer.of()));
    assert.deepEqual(await sequences(journal, 6), [6, 7, 8, 9, 10]);
    const next = rowsFrame(journal, { epoch: 1, sequence: 11, previous: checksumOf(frames[9]) });
    assert.deepEqual(await journal.append(next, 10), { kind: "appended", sequence: 11 });
  });

  check(
    "readers of what was purged are told so, and that nothing is damaged",
    async ({ store, maintenance }, shard) => {
      const journal = await store.open(shard);
      const frames = await fill(journal);
      await maintenance.purge(shard, 6);
      const purged = (e: Error): boolean => {
        assert.ok(e instanceof JournalPurged && !(e instanceof JournalDamaged), `${e}`);
        assert.equal(e.firstSequence, 6);
        assert.match(e.message, /journal begins at frame 6/);
        return true;
      };
      await assert.rejects(sequences(journal, 5), purged);
      await assert.rejects(
        replay(journal, JOURNAL_START, () => {}, noSleep),
        purged,
      );
      const from = (sequence: number) => ({ sequence, checksum: checksumOf(frames[sequence - 1]) });
      await assert.rejects(
        replay(journal, from(5), () => {}, noSleep),
        purged,
      );
      const seen: number[] = [];
      const end = await replay(journal, from(6), (header) => void seen.push(header.frameNumber), noSleep);
      assert.deepEqual([seen, end.sequence], [[7, 8, 9, 10], 10]);
    },
  );

  check("the newest frame is never purged", async ({ store, maintenance }, shard) => {
    const journal = await store.open(shard);
    await fill(journal);
    await assert.rejects(maintenance.purge(shard, FRAMES + 1), RangeError);
    assert.equal((await journal.tail())?.sequence, FRAMES);
    await maintenance.purge(shard, FRAMES);
    assert.deepEqual(await sequences(journal, FRAMES), [FRAMES]);
  });
}

function createTests(check: Check): void {
  const id = "0123456789abcdef0123456789abcdef";
  check("a journal made anew has its id, and begins with the frame it is told to", async (h, shard) => {
    const { store, maintenance } = h;
    await maintenance.create(shard, { id, shards: 64, firstSequence: 6, restoreId: "r" });
    const journal = await store.open(shard);
    assert.deepEqual([journal.id, journal.restoreId], [id, "r"]);
    const facts = (await maintenance.list()).find((f) => f.shard === shard);
    assert.deepEqual([facts?.firstSequence, facts?.lastSequence], [6, 5]);
    const frame = rowsFrame(journal, { epoch: 3, sequence: 6 });
    assert.equal((await journal.append(frame, 0)).kind, "conflict");
    assert.deepEqual(await journal.append(frame, 5), { kind: "appended", sequence: 6 });
    assert.equal((await journal.tail())?.sequence, 6);
    assert.equal(await journal.read(5), null);
    const next = rowsFrame(journal, { epoch: 3, sequence: 7, previous: checksumOf(frame) });
    assert.deepEqual(await journal.append(next, 6), { kind: "appended", sequence: 7 });
  });

  check("no journal is made where there is one", async ({ store, maintenance }, shard) => {
    const journal = await store.open(shard);
    assert.equal(journal.restoreId, "");
    await fill(journal);
    await assert.rejects(maintenance.create(shard, { id, shards: 64, firstSequence: 1 }), JournalDamaged);
    assert.equal((await journal.state()).lastSequence, FRAMES);
  });
}
