/** Backup and restore over simulated journals: what is copied, what is refused, what damage is named. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import { checksumOf, rowsFrame, takeoverFrame } from "../../runtime/testkit/frames.ts";
import { SimJournalStore, SimMaintenance } from "../../runtime/testkit/sim_journal.ts";
import { tryLock } from "../engines/lock.ts";
import { type BackupPlan, type BackupReport, runBackup } from "./backup_run.ts";
import { BackupError, type BackupFault } from "./errors.ts";
import { copyKept } from "./folder.ts";
import { parseManifest, readManifest } from "./manifest.ts";
import { type RestoreReport, runRestore } from "./restore_run.ts";
import { framesIn } from "./segment.ts";

const FIRST_FRAMES = 40;
const noSleep = (): Promise<void> => Promise.reject(new Error("the journal is away"));

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "fraudguard-backup-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Frames of one owner behind what is there; frame time = sequence. */
async function write(store: SimJournalStore, frames: number, epoch = 1): Promise<void> {
  const journal = await store.open(0);
  const records = store.records(0);
  for (let i = 0; i < frames; i++) {
    const sequence = records.length + 1;
    const at = sequence === 1 ? { epoch, sequence } : { epoch, sequence, previous: checksumOf(records[sequence - 2]) };
    const frame = sequence === 1 ? takeoverFrame(journal, at) : rowsFrame(journal, { ...at, body_bytes: 200 });
    assert.equal((await journal.append(frame, sequence - 1)).kind, "appended");
  }
}

function backup(store: SimJournalStore, folder: string, over: Partial<BackupPlan> = {}): Promise<BackupReport> {
  return runBackup({
    folder,
    journals: store,
    maintenance: new SimMaintenance(store.streams),
    places: [],
    nodes: [],
    secrets_from: null,
    code: "test",
    wallUs: () => 1,
    pause: noSleep,
    signal: new AbortController().signal,
    onFrames: () => {},
    say: () => {},
    ...over,
  });
}

async function restore(
  from: string,
  data_dir: string,
  at_us = Number.POSITIVE_INFINITY,
): Promise<RestoreReport & { store: SimJournalStore }> {
  const store = new SimJournalStore();
  const made = { journals: store, maintenance: new SimMaintenance(store.streams), close: async () => {} };
  const report = await runRestore({
    from,
    data_dir,
    at_us,
    dry_run: false,
    open: async () => made,
    signal: new AbortController().signal,
    onFrames: () => {},
    say: () => {},
  });
  return { ...report, store };
}

const refused = (fault: BackupFault, message: RegExp) => (e: Error) => {
  assert.ok(e instanceof BackupError, `${e.stack}`);
  assert.equal(e.fault, fault, e.message);
  assert.match(e.message, message);
  return true;
};

/** A journal of FIRST_FRAMES, and a backup of all of it. */
async function backedUp(t: TestContext): Promise<{ folder: string; store: SimJournalStore; to: string }> {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, FIRST_FRAMES);
  const to = join(folder, "backup");
  await backup(store, to);
  return { folder, store, to };
}

test("a later run copies what came since; all of it comes back, frame by frame", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, FIRST_FRAMES);
  const to = join(folder, "backup");
  assert.equal((await backup(store, to)).copied_frames, FIRST_FRAMES);
  assert.equal((await backup(store, to)).copied_frames, 0);
  await write(store, 7);
  const later = await backup(store, to);
  assert.deepEqual([later.copied_frames, later.journals[0].last], [7, FIRST_FRAMES + 7]);
  const back = await restore(to, join(folder, "new"));
  const records = back.store.records(0);
  assert.deepEqual(records.slice(0, -2), store.records(0));
  assert.equal((await back.store.open(0)).id, (await store.open(0)).id);
  assert.equal(readFileSync(join(folder, "new", "shards"), "utf8"), "1\n");
});

test("behind a restore the epoch is far higher, never twice the same, and the journal can be owned", async (t) => {
  const { folder, store, to } = await backedUp(t);
  const epochs = new Set<number | null>();
  const ids = new Set<string | undefined>();
  for (const name of ["a", "b"]) {
    const { store: made, epoch } = await restore(to, join(folder, name), 20);
    epochs.add(epoch);
    ids.add((await made.open(0)).restoreId);
    assert.ok(epoch !== null && epoch > 1000);
    const end = await replay(await made.open(0), JOURNAL_START, () => {}, noSleep);
    // 20 frames, Takeover, Release.
    assert.deepEqual([end.sequence, end.epoch, end.frameTimeUs], [22, epoch, 20]);
    assert.deepEqual(made.records(0).slice(0, 20), store.records(0).slice(0, 20));
  }
  assert.equal(epochs.size, 2);
  assert.ok(ids.size === 2 && !ids.has(""), "each restore has an id of its own");
});

test("only a restore may raise the epoch by more than one", async () => {
  const store = new SimJournalStore();
  await write(store, 3);
  const journal = await store.open(0);
  const previous = checksumOf(store.records(0)[2]);
  store.records(0).push(takeoverFrame(journal, { epoch: 9, sequence: 4, previous }, "node-1"));
  await assert.rejects(
    replay(journal, JOURNAL_START, () => {}, noSleep),
    /kind 2 of epoch 9 behind epoch 1/,
  );
  store.records(0)[3] = takeoverFrame(journal, { epoch: 9, sequence: 4, previous }, "(restore)");
  assert.equal((await replay(journal, JOURNAL_START, () => {}, noSleep)).epoch, 9);
  store.records(0)[3] = takeoverFrame(journal, { epoch: 1, sequence: 4, previous }, "(restore)");
  await assert.rejects(
    replay(journal, JOURNAL_START, () => {}, noSleep),
    /behind epoch 1/,
  );
});

test("a journal that is another one, shorter or with another history is refused", async (t) => {
  const { store, to } = await backedUp(t);
  const whole = store.records(0).slice();
  store.loseTail(0, 1);
  await assert.rejects(backup(store, to), refused("journal_shorter", /ends with frame 39, the backup with 40/));
  const journal = await store.open(0);
  const at = { epoch: 1, sequence: 40, previous: checksumOf(whole[38]), body_bytes: 64 };
  store.records(0).push(rowsFrame(journal, at));
  await assert.rejects(backup(store, to), refused("history_differs", /frame 40 is another one/));
  store.recreate(0);
  store.streams.set(0, Object.assign(store.streams.get(0) as never, { id: "f".repeat(32) }));
  await write(store, 50);
  await assert.rejects(backup(store, to), refused("journal_changed", /there is f{32} now/));
  assert.equal((await readManifest(to))?.journals[0].segments.length, 1, "a refused run changes nothing");
});

test("frames that were purged before they were copied are a gap, and named", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, 20);
  const to = join(folder, "backup");
  await backup(store, to);
  await write(store, 20);
  await new SimMaintenance(store.streams).purge(0, 21);
  assert.equal((await backup(store, to)).copied_frames, 20);
  await write(store, 20);
  await new SimMaintenance(store.streams).purge(0, 50);
  await assert.rejects(backup(store, to), refused("gap", /frames 41 to 49 were purged/));
  await assert.rejects(backup(store, join(folder, "other")), refused("no_snapshot", /shard 0 begins at frame 50/));
});

test("an interrupted run goes on; what was written beside its name is not part of the backup", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, FIRST_FRAMES);
  const to = join(folder, "backup");
  const controller = new AbortController();
  const onFrames = (done: number): void => {
    if (done === 10) controller.abort(new Error("stop"));
  };
  await assert.rejects(backup(store, to, { signal: controller.signal, onFrames }), /stop/);
  const partial = join(to, "shard-0", "frames-0000000000000011.segment");
  writeFileSync(`${partial}.partial`, "half");
  assert.equal((await backup(store, to)).copied_frames, FIRST_FRAMES - 10, "what was verified before is kept");
  assert.deepEqual(readdirSync(join(to, "shard-0")), [
    "frames-0000000000000001.segment",
    "frames-0000000000000011.segment",
  ]);
  await restore(to, join(folder, "new"));
  writeFileSync(join(folder, "notes.txt"), "mine");
  await assert.rejects(backup(store, folder), refused("in_use", /holds backup and is no backup/));
});

test("of a damaged journal everything before the damage is backed up, and the place is named", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, FIRST_FRAMES);
  store.records(0)[29][150] ^= 1;
  const to = join(folder, "backup");
  await assert.rejects(backup(store, to), /shard 0: frame checksum: .* \(sequence 30\)/);
  assert.equal((await readManifest(to))?.journals[0].segments.at(-1)?.last, 29);
  const back = await restore(to, join(folder, "new"));
  assert.deepEqual(back.store.records(0).slice(0, 29), store.records(0).slice(0, 29));
});

test("every flipped byte of a backup is found, and the file and the frame are named", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, 5);
  const to = join(folder, "backup");
  await backup(store, to);
  const file = join(to, "shard-0", "frames-0000000000000001.segment");
  const whole = readFileSync(file);
  const flip = fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
    const bytes = Buffer.from(whole);
    bytes[at] ^= mask;
    writeFileSync(file, bytes);
    await assert.rejects(
      restore(to, join(folder, "new")),
      refused("damaged", /frames-0000000000000001\.segment is damaged/),
    );
  });
  await fc.assert(flip, { numRuns: 200 });
  const third = Buffer.from(whole);
  third[whole.length / 2] ^= 1;
  writeFileSync(file, third);
  await assert.rejects(restore(to, join(folder, "new")), refused("damaged", /damaged at frame 3: frame checksum/));
  writeFileSync(file, whole);
  truncateSync(file, whole.length - 1);
  await assert.rejects(restore(to, join(folder, "new")), refused("damaged", /ends inside a frame/));
  rmSync(file);
  await assert.rejects(restore(to, join(folder, "new")), refused("damaged", /cannot be read/));
});

test("bytes that are no segment, or no manifest, give the typed error and nothing else", () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((j) => `{"sha256":"00","manifest":${j}}`),
  );
  const only = (run: () => unknown): void => {
    try {
      run();
    } catch (e) {
      assert.ok(e instanceof BackupError, `${e}`);
    }
  };
  const magic = Buffer.from("FGSEGM01");
  const property = fc.property(fc.uint8Array({ maxLength: 300 }), text, (bytes, said) => {
    only(() => [...framesIn(bytes, "file")]);
    only(() => [...framesIn(Buffer.concat([magic, bytes]), "file")]);
    assert.throws(() => parseManifest(said, "file"), BackupError);
  });
  fc.assert(property, { numRuns: 500 });
});

test("nothing is restored over something, nor from nothing, nor before the beginning", async (t) => {
  const folder = scratch(t);
  const store = new SimJournalStore();
  await write(store, 5);
  const to = join(folder, "backup");
  await backup(store, to);
  await assert.rejects(restore(folder, join(folder, "new")), refused("not_a_backup", /no backup in/));
  await assert.rejects(restore(to, join(folder, "new"), 0), refused("too_early", /as old as that/));
  cpSync(to, join(folder, "new.partial"), { recursive: true });
  await assert.rejects(restore(to, join(folder, "new")), refused("in_use", /new.partial is no restore's folder/));
  writeFileSync(join(folder, "new.partial", "restore.partial"), "");
  await restore(to, join(folder, "new"));
  assert.deepEqual(readdirSync(folder), ["backup", "new"], "what an interrupted restore left is gone");
  await assert.rejects(restore(to, join(folder, "new")), refused("in_use", /is not empty/));
});

test("two restores into one folder at once are refused, and one that was killed is not in the way", async (t) => {
  const { folder, to } = await backedUp(t);
  const into = join(folder, "new");
  const held = await tryLock(`${into}.partial.lock`);
  assert.ok("release" in held);
  await assert.rejects(restore(to, into), refused("in_use", /process \d+ restores into/));
  await held.release();
  writeFileSync(`${into}.partial.lock`, JSON.stringify({ pid: process.pid, started: "before", token: "x" }));
  await restore(to, into);
  assert.deepEqual(readdirSync(folder).sort(), ["backup", "new"]);
});

test("the secrets in a backup stay whole until new ones are copied", async (t) => {
  const folder = scratch(t);
  const [from, to] = [join(folder, "from"), join(folder, "to", "secrets.json")];
  writeFileSync(from, "first");
  await copyKept(from, to, 0o600);
  const before = statSync(to).ino;
  writeFileSync(from, "second");
  // What a run that was killed left.
  writeFileSync(`${to}.partial`, "sec");
  await copyKept(from, to, 0o600);
  assert.deepEqual([readFileSync(to, "utf8"), statSync(to).mode & 0o777], ["second", 0o600]);
  assert.notEqual(statSync(to).ino, before, "it took the place of the first, which nothing was written over");
  assert.deepEqual(readdirSync(join(folder, "to")), ["secrets.json"]);
});
