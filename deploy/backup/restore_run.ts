/**
 * A restore: journals made anew from a backup up to a point in time, with their ids and frame numbers, in a new data
 * folder. It is built beside its name and renamed when all of it is there and was read back.
 *
 * Behind the last frame stand a Takeover of a much higher epoch and a Release. The frames that followed once come again
 * with other content; a sealed section's nonce has the epoch in it, and (epoch, frame) must not come twice under one
 * key: neither with what the old cluster wrote, nor with what another restore of the same backup will write.
 *
 * Journals and snapshots also get an id of the restore. A snapshot of the same journal id that is not of this restore
 * may know of frames that are others now, of its own shard or of any other, and is not loaded.
 */
import { randomBytes, randomInt } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KIND_RELEASE, KIND_TAKEOVER, readHeader } from "../../proto/frame/frame_header.ts";
import { JOURNAL_START, type JournalPosition, positionOf, readTail } from "../../runtime/journal/claim.ts";
import { verifyNext } from "../../runtime/journal/replay.ts";
import { RESTORE_NODE, sealOwnerFrame } from "../../runtime/journal/takeover.ts";
import type { Journal, JournalMaintenance, JournalStore, SnapshotStore } from "../../runtime/ports.ts";
import { withHead } from "../../runtime/snapshot_format.ts";
import { sha256File } from "../engines/files.ts";
import { tryLock } from "../engines/lock.ts";
import { SnapshotFiles } from "../node/snapshot_files.ts";
import { BackupError } from "./errors.ts";
import { copyKept, copyMissing, namesIn, partsOf, SECRET_FILES } from "./folder.ts";
import { type BackedUpJournal, type BackedUpSnapshot, type Manifest, readManifest } from "./manifest.ts";
import { readSnapshot } from "./places.ts";
import { pointOf, type ShardCut } from "./point.ts";
import { before, readFrames, syncFolder } from "./segment.ts";

/** The epoch rises by at least so much: the old cluster may have had owners that the backup has not seen. */
const EPOCHS_AT_LEAST = 1000;
/** ... and by up to so much more, at random: restores of the same backup differ. */
const EPOCHS_RANDOM = 2 ** 24;
const EPOCH_MAX = 2 ** 32 - 1;
/** In the folder that is made, as long as not all of it is there. */
const MARKER = "restore.partial";
/** Frames under way to the server at once, unless the journal takes one at a time. */
const IN_FLIGHT = 16;

/** Journals of the folder that is made, and the end of the server that keeps them. */
export interface NewJournals {
  readonly journals: JournalStore;
  readonly maintenance: Pick<JournalMaintenance, "create">;
  close(): Promise<void>;
}

export interface RestorePlan {
  /** The backup. */
  readonly from: string;
  /** A folder that is not there, or is empty. */
  readonly data_dir: string;
  /** Frames up to this frame time, microseconds since 1970; Infinity: all. */
  readonly at_us: number;
  /** Only tells the cut. */
  readonly dry_run: boolean;
  /** Serves journals over the folder that is made. */
  readonly open: (data_dir: string) => Promise<NewJournals>;
  readonly signal: AbortSignal;
  readonly onFrames: (label: "reading" | "writing", done: number, total: number) => void;
  readonly say: (line: string) => void;
}

export interface RestoreReport {
  readonly data_dir: string;
  readonly shards: number;
  readonly cut: readonly { shard: number; first: number; last: number; last_time_us: number; dropped: number }[];
  readonly frames: number;
  readonly snapshots: number;
  /** Epoch of the Takeover behind the last frames; null in a dry run. */
  readonly epoch: number | null;
  readonly has_secrets: boolean;
}

export async function runRestore(plan: RestorePlan): Promise<RestoreReport> {
  const manifest = await readManifest(plan.from);
  if (manifest === null) throw new BackupError("not_a_backup", `there is no backup in ${plan.from}`);
  const there = await namesIn(plan.data_dir);
  if (there.length > 0) throw new BackupError("in_use", `${plan.data_dir} is not empty: it holds ${there[0]}`);
  const cuts = await pointOf(plan.from, manifest, plan.at_us, (done, total) => {
    if (plan.signal.aborted) throw plan.signal.reason;
    plan.onFrames("reading", done, total);
  });
  for (const line of cutLines(cuts)) plan.say(line);
  const epoch = plan.dry_run ? null : await buildAlone(plan, manifest, cuts);
  return {
    data_dir: plan.data_dir,
    shards: manifest.shards,
    cut: cuts.map(({ shard, first, last, last_time_us, dropped }) => ({ shard, first, last, last_time_us, dropped })),
    frames: framesOf(cuts),
    snapshots: cuts.reduce((sum, c) => sum + c.snapshots.length, 0),
    epoch,
    has_secrets: manifest.has_secrets,
  };
}

function framesOf(cuts: readonly ShardCut[]): number {
  return cuts.reduce((sum, c) => sum + Math.max(0, c.last - c.first + 1), 0);
}

function cutLines(cuts: readonly ShardCut[]): string[] {
  return cuts.map((c) => {
    if (c.last < c.first) return `shard ${c.shard}: nothing`;
    const ahead = c.dropped === 0 ? "" : `; ${c.dropped} later ones build on frames of other shards that stay behind`;
    const time = new Date(c.last_time_us / 1000).toISOString();
    return `shard ${c.shard}: frames ${c.first} to ${c.last}, of ${time}${ahead}`;
  });
}

/** Two restores into one folder at once would put the half of one under the name of the other's whole. */
async function buildAlone(plan: RestorePlan, manifest: Manifest, cuts: readonly ShardCut[]): Promise<number> {
  const lock = await tryLock(`${plan.data_dir}.partial.lock`);
  if (!("release" in lock))
    throw new BackupError("in_use", `process ${lock.pid} restores into ${plan.data_dir} already`);
  try {
    return await build(plan, manifest, cuts);
  } finally {
    await lock.release();
  }
}

async function build(plan: RestorePlan, manifest: Manifest, cuts: readonly ShardCut[]): Promise<number> {
  const folder = `${plan.data_dir}.partial`;
  await beginFolder(folder);
  const epoch = raisedEpoch(manifest);
  const restoreId = randomBytes(16).toString("hex");
  const made = await plan.open(folder);
  try {
    let done = 0;
    for (const cut of cuts) {
      const onFrame = (): void => plan.onFrames("writing", ++done, framesOf(cuts));
      await restoreJournal(plan, manifest, cut, { made, epoch, restoreId, onFrame });
    }
  } finally {
    await made.close();
  }
  await restoreFiles(plan.from, folder, manifest, { cuts, restoreId });
  await rm(join(folder, MARKER));
  // It was empty; a folder that is not any more stays, and the rename fails.
  await rename(folder, plan.data_dir);
  await syncFolder(dirname(plan.data_dir));
  return epoch;
}

/** An empty folder; what an interrupted restore left in it is removed. */
async function beginFolder(folder: string): Promise<void> {
  const there = await namesIn(folder);
  if (there.length > 0 && !there.includes(MARKER)) throw new BackupError("in_use", `${folder} is no restore's folder`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, MARKER), "a restore is under way, or was interrupted\n");
}

function raisedEpoch(manifest: Manifest): number {
  const known = Math.max(0, ...manifest.journals.flatMap((j) => j.segments.map((s) => s.last_epoch)));
  const epoch = known + EPOCHS_AT_LEAST + randomInt(EPOCHS_RANDOM);
  if (epoch < EPOCH_MAX) return epoch;
  throw new BackupError("version", `epoch ${known} leaves no room for a restore's: it was restored too often`);
}

interface Into {
  readonly made: NewJournals;
  readonly epoch: number;
  readonly restoreId: string;
  readonly onFrame: () => void;
}

async function restoreJournal(plan: RestorePlan, manifest: Manifest, cut: ShardCut, into: Into): Promise<void> {
  const known = manifest.journals[cut.shard];
  const { made, epoch, restoreId, onFrame } = into;
  const as = { id: known.id, shards: manifest.shards, firstSequence: cut.first, restoreId };
  await made.maintenance.create(cut.shard, as);
  const journal = await made.journals.open(cut.shard);
  const writer = new FrameWriter(journal);
  let at: JournalPosition = JOURNAL_START;
  for await (const { bytes, position } of readFrames(plan.from, known, cut.last)) {
    if (plan.signal.aborted) throw plan.signal.reason;
    await writer.append(bytes, position.sequence);
    at = position;
    onFrame();
  }
  at = await appendOwnerFrame(writer, journal, KIND_TAKEOVER, epoch, at);
  at = await appendOwnerFrame(writer, journal, KIND_RELEASE, epoch, at);
  await writer.flush();
  await readBack(plan, journal, known, cut, at);
}

async function appendOwnerFrame(
  writer: FrameWriter,
  journal: Journal,
  kind: number,
  epoch: number,
  behind: JournalPosition,
): Promise<JournalPosition> {
  const owner = { node: RESTORE_NODE, bootId: randomBytes(16).toString("hex") };
  const bytes = sealOwnerFrame(owner, {
    kind,
    journalId: journal.id,
    shard: journal.shard,
    epoch,
    frameNumber: behind.sequence + 1,
    // The claim of the first owner brings the wall's time into it.
    frameTimeUs: behind.frameTimeUs,
    rowCount: 0,
    previousChecksum: behind.checksum,
  });
  await writer.append(bytes, behind.sequence + 1);
  return positionOf(readHeader(bytes));
}

/** Appends in order, some at a time. Rejects with BackupError when one does not stand at its sequence. */
class FrameWriter {
  readonly #journal: Journal;
  #under: { readonly sequence: number; readonly result: ReturnType<Journal["append"]> }[] = [];

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  async append(bytes: Uint8Array, sequence: number): Promise<void> {
    this.#under.push({ sequence, result: this.#journal.append(bytes, sequence - 1) });
    if (this.#under.length >= (this.#journal.appends_max === 1 ? 1 : IN_FLIGHT)) await this.#first();
  }

  async flush(): Promise<void> {
    while (this.#under.length > 0) await this.#first();
  }

  async #first(): Promise<void> {
    const [{ sequence, result }] = this.#under.splice(0, 1);
    const r = await result;
    if (r.kind === "appended" && r.sequence === sequence) return;
    const said = r.kind === "appended" ? `it stands at ${r.sequence}` : "message" in r ? r.message : r.kind;
    throw new BackupError("not_written", `frame ${sequence} of shard ${this.#journal.shard} was not taken: ${said}`);
  }
}

/** What stands in the new journal now is the whole chain up to `end`. */
async function readBack(
  plan: RestorePlan,
  journal: Journal,
  known: BackedUpJournal,
  cut: ShardCut,
  end: JournalPosition,
): Promise<void> {
  let at: JournalPosition | null = null;
  for await (const message of journal.readFrom(cut.first)) {
    if (plan.signal.aborted) throw plan.signal.reason;
    at = positionOf(verifyNext({ id: known.id, shard: known.shard }, at ?? before(message), message));
  }
  const tail = await readTail(journal);
  const isWhole = at?.sequence === end.sequence && Buffer.from(end.checksum).equals(tail.checksum);
  if (!isWhole) throw new BackupError("not_written", `shard ${known.shard} reads back otherwise than it was written`);
}

/** Snapshots that fit the cut, rule sets, secrets, and the number of shards. */
async function restoreFiles(
  from: string,
  folder: string,
  manifest: Manifest,
  { cuts, restoreId }: { readonly cuts: readonly ShardCut[]; readonly restoreId: string },
): Promise<void> {
  const store = new SnapshotFiles(join(folder, "snapshots"));
  for (const snapshot of cuts.flatMap((c) => c.snapshots)) await restoreSnapshot(from, store, snapshot, restoreId);
  await copyMissing(join(from, "rule-sets"), join(folder, "rule-sets"));
  if (manifest.has_secrets) {
    for (const name of SECRET_FILES) await copyKept(join(from, "secrets", name), join(folder, name), 0o600);
  }
  await writeFile(join(folder, "shards"), `${manifest.shards}\n`, { flush: true });
}

async function restoreSnapshot(
  from: string,
  store: SnapshotStore,
  snapshot: BackedUpSnapshot,
  restoreId: string,
): Promise<void> {
  const path = join(from, snapshot.file);
  const sha256 = await sha256File(path).catch((e: Error) => e.message);
  if (sha256 !== snapshot.sha256) throw new BackupError("damaged", `${path} is damaged`);
  const out = await store.create(snapshot.shard, snapshot.name);
  for await (const part of withHead(partsOf(path), { restore_id: restoreId })) await out.write(part);
  await readSnapshot(out.readBack());
  await out.publish();
}
