/** Backups of purged journals, over simulated ones that grow meanwhile: what is said to be copied can be restored. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SNAPSHOT_LAYOUT } from "../../actors/decision/shard_actors.ts";
import { hex } from "../../proto/frame/frame_header.ts";
import { ByteWriter } from "../../runtime/kernel/bytes.ts";
import { SnapshotDecoder, SnapshotEncoder } from "../../runtime/snapshot_format.ts";
import { checksumOf, takeoverFrame } from "../../runtime/testkit/frames.ts";
import { SimJournalStore, SimMaintenance } from "../../runtime/testkit/sim_journal.ts";
import { type BackupReport, runBackup } from "./backup_run.ts";
import { BackupError } from "./errors.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { type SnapshotPlace, snapshotPlaces, verifiedSnapshots } from "./places.ts";
import { pointOf, type ShardCut } from "./point.ts";
import { runRestore } from "./restore_run.ts";

const SHARDS = 2;
const FRAMES = 20;
const PURGED_TO = 11;

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "fraudguard-purged-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "backup");
}

/** So many frames of owners behind what is there; frame time = sequence. */
async function grow(store: SimJournalStore, shard: number, frames: number): Promise<void> {
  const journal = await store.open(shard);
  const records = store.records(shard);
  for (let i = 0; i < frames; i++) {
    const sequence = records.length + 1;
    const at = { epoch: sequence, sequence };
    const previous = sequence === 1 ? {} : { previous: checksumOf(records[sequence - 2]) };
    await journal.append(takeoverFrame(journal, { ...at, ...previous }), sequence - 1);
  }
}

async function purged(): Promise<SimJournalStore> {
  const store = new SimJournalStore();
  for (let shard = 0; shard < SHARDS; shard++) {
    await grow(store, shard, FRAMES);
    await new SimMaintenance(store.streams).purge(shard, PURGED_TO);
  }
  return store;
}

/** A snapshot of a shard's newest frame, which has folded all of the other shard, or says that it has. */
function snapshotOf(store: SimJournalStore, shard: number, journal_id: string, ahead: number): Uint8Array[] {
  const last = store.records(shard).length;
  const checksum = hex(checksumOf(store.records(shard)[last - 1]));
  const watermarks = Array.from({ length: SHARDS }, (_, s) => store.records(s).length + (s === shard ? 0 : ahead));
  const head = { journal_id, shard, layout: `${SNAPSHOT_LAYOUT}`, frame: last, frame_time_us: last, epoch: last };
  const encoder = new SnapshotEncoder();
  const parts = [encoder.head({ ...head, watermarks })];
  const w = new ByteWriter(64);
  encoder.beginSlice(w);
  w.u32(7);
  encoder.endSlice(w);
  return [...parts, w.view().slice(), encoder.foot({ checksum, bytes: 4 })];
}

/** Nodes that take a snapshot of every shard whenever somebody looks. */
function busyPlace(store: SimJournalStore, ahead = 0): SnapshotPlace {
  const taken = new Map<number, Uint8Array[]>();
  return {
    name: "nodes",
    store: {
      async list(shard) {
        taken.set(shard, snapshotOf(store, shard, (await store.open(shard)).id, ahead));
        return ["newest"];
      },
      async *read(shard) {
        yield* taken.get(shard) ?? [];
      },
    },
  };
}

function backup(folder: string, store: SimJournalStore, place: SnapshotPlace): Promise<BackupReport> {
  return runBackup({
    folder,
    journals: {
      open: async (shard) => {
        // Nodes decide all the time: so it has grown whenever a journal is opened.
        for (let s = 0; s < SHARDS; s++) await grow(store, s, 1);
        return store.open(shard);
      },
    },
    maintenance: new SimMaintenance(store.streams),
    places: [place],
    nodes: [],
    secrets_from: null,
    code: "test",
    wallUs: () => 1,
    pause: () => Promise.reject(new Error("the journal is away")),
    signal: new AbortController().signal,
    onFrames: () => {},
    say: () => {},
  });
}

async function cutsOf(folder: string): Promise<ShardCut[]> {
  const manifest = (await readManifest(folder)) as Manifest;
  return pointOf(folder, manifest, Number.POSITIVE_INFINITY, () => {});
}

test("the first backup of journals that were purged and grow can be restored to its end", async (t) => {
  const folder = scratch(t);
  const store = await purged();
  const { snapshots } = await backup(folder, store, busyPlace(store));
  assert.equal(snapshots, SHARDS);
  for (const { first, last, snapshots: found } of await cutsOf(folder)) {
    assert.equal(first, PURGED_TO);
    assert.ok(last > FRAMES && found.length === 1);
  }
  // And so can a later one into the same folder, behind another purge.
  await new SimMaintenance(store.streams).purge(0, FRAMES);
  await backup(folder, store, busyPlace(store));
  assert.ok((await cutsOf(folder)).every((c) => c.snapshots.length >= 1));
});

test("restored snapshots are those of the restored journals; those of the cluster that was are not", async (t) => {
  const from = scratch(t);
  const store = await purged();
  const place = busyPlace(store);
  await backup(from, store, place);
  const data_dir = `${from}.new`;
  const made = new SimJournalStore();
  await runRestore({
    from,
    data_dir,
    at_us: Number.POSITIVE_INFINITY,
    dry_run: false,
    open: async () => ({ journals: made, maintenance: new SimMaintenance(made.streams), close: async () => {} }),
    signal: new AbortController().signal,
    onFrames: () => {},
    say: () => {},
  });
  const [restored] = snapshotPlaces(undefined, data_dir, [data_dir], {});
  for (let shard = 0; shard < SHARDS; shard++) {
    const journal = await made.open(shard);
    const told: string[] = [];
    const found = await verifiedSnapshots(restored, journal, (line) => told.push(line));
    assert.deepEqual([found.map(({ head }) => head.restore_id), told], [[journal.restoreId], []]);
    // What was in the slices is there as it was.
    const decoder = new SnapshotDecoder(restored.store.read(shard, found[0].name));
    await decoder.head();
    assert.deepEqual([...((await decoder.slice()) ?? [])], [7, 0, 0, 0]);
    assert.equal(await decoder.slice(), null);
    await decoder.close();
    assert.deepEqual(await verifiedSnapshots(place, journal, (line) => told.push(line)), []);
    assert.match(told[0], /of the journals before a restore/);
  }
});

test("a backup whose snapshots know of frames that it does not hold is refused, not said to be copied", async (t) => {
  const folder = scratch(t);
  const store = await purged();
  const refused = (e: Error) =>
    e instanceof BackupError && e.fault === "no_snapshot" && /within the backup/.test(e.message);
  await assert.rejects(backup(folder, store, busyPlace(store, 1000)), refused);
  // With usable ones the same folder becomes a backup.
  await backup(folder, store, busyPlace(store));
  assert.ok((await cutsOf(folder)).every((c) => c.snapshots.length === 1));
});
