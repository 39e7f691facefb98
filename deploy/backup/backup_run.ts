/**
 * A backup of a live cluster: what its journals hold that the backup does not, verified frame by frame while it is
 * copied; and where a journal was purged, the snapshots that stand in for what is gone. Interrupted, it goes on where
 * it was.
 */
import { createHash } from "node:crypto";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hex } from "../../proto/frame/frame_header.ts";
import { checkFrame } from "../../runtime/journal/checked.ts";
import { type JournalPosition, positionOf } from "../../runtime/journal/claim.ts";
import { verifyNext } from "../../runtime/journal/replay.ts";
import {
  type Journal,
  JournalDamaged,
  type JournalFacts,
  type JournalMaintenance,
  type JournalStore,
  JournalUnavailable,
} from "../../runtime/ports.ts";
import { tryLock } from "../engines/lock.ts";
import { liesWithin } from "./cut.ts";
import { BackupError } from "./errors.ts";
import { copyKept, copyMissing, namesIn, partsOf, SECRET_FILES } from "./folder.ts";
import {
  type BackedUpJournal,
  type BackedUpSnapshot,
  firstFrame,
  lastFrame,
  MANIFEST_FORMAT,
  type Manifest,
  readManifest,
  standsIn,
  writeManifest,
} from "./manifest.ts";
import { readSnapshot, type SnapshotPlace, type VerifiedSnapshot, verifiedSnapshots } from "./places.ts";
import { before, SegmentWriter, syncFolder } from "./segment.ts";

const LOCK = "backup.lock";
/** Without these nothing can be opened; the others are there in some clusters. */
const SECRETS_NEEDED: readonly string[] = ["tenants.json", "secrets.json"];
/** Tries without a new frame before a journal that is away ends the run, and the pause between them. */
const TRIES = 20;
const PAUSE_MS = 500;

export interface BackupPlan {
  readonly folder: string;
  readonly journals: JournalStore;
  readonly maintenance: Pick<JournalMaintenance, "list">;
  readonly places: readonly SnapshotPlace[];
  /** Folders of nodes and of what they share, whose archived rule sets explain old decisions. */
  readonly nodes: readonly string[];
  /** Folder with the secrets; null: they are not copied. */
  readonly secrets_from: string | null;
  readonly code: string;
  readonly wallUs: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly signal: AbortSignal;
  /** Frames of all journals that are in the backup, and that there are. */
  readonly onFrames: (done: number, total: number) => void;
  readonly say: (line: string) => void;
}

export interface BackupReport {
  readonly folder: string;
  readonly shards: number;
  /** By shard: frames in the backup, those that this run copied among them. */
  readonly journals: readonly { shard: number; first: number; last: number; copied: number; last_time_us: number }[];
  readonly copied_frames: number;
  readonly copied_bytes: number;
  readonly snapshots: number;
  readonly has_secrets: boolean;
}

/** The shards of a whole cluster, in order. Rejects with BackupError when some are missing. */
export async function allJournals(maintenance: Pick<JournalMaintenance, "list">): Promise<readonly JournalFacts[]> {
  const facts = await maintenance.list();
  if (facts.length === 0) throw new BackupError("no_journals", "there are no journals at this server");
  const shards = facts[0].shards ?? facts.length;
  const isWhole = facts.length === shards && facts.every((f, i) => f.shard === i && (f.shards ?? shards) === shards);
  if (isWhole) return facts;
  const found = facts.map((f) => f.shard).join(", ");
  throw new BackupError("no_journals", `there are journals of the shards ${found}, of ${shards} shards in all`);
}

/** Brings the backup in the folder up to the journals' present tails. */
export async function runBackup(plan: BackupPlan): Promise<BackupReport> {
  await mkdir(plan.folder, { recursive: true, mode: 0o700 });
  const lock = await tryLock(join(plan.folder, LOCK));
  if (!("release" in lock)) throw new BackupError("in_use", `process ${lock.pid} writes to ${plan.folder} already`);
  try {
    return await new BackupRun(plan, await openManifest(plan)).run();
  } finally {
    await lock.release();
  }
}

async function openManifest(plan: BackupPlan): Promise<Manifest> {
  const known = await readManifest(plan.folder);
  if (known !== null) return known;
  const others = (await namesIn(plan.folder)).filter((name) => !name.startsWith(LOCK));
  if (others.length > 0) throw new BackupError("in_use", `${plan.folder} holds ${others[0]} and is no backup`);
  return {
    format: MANIFEST_FORMAT,
    code: plan.code,
    shards: 0,
    written_us: plan.wallUs(),
    journals: [],
    snapshots: [],
    has_secrets: false,
  };
}

class BackupRun {
  readonly #p: BackupPlan;
  #manifest: Manifest;
  #copiedFrames = 0;
  #copiedBytes = 0;
  #done = 0;
  #total = 0;

  constructor(plan: BackupPlan, manifest: Manifest) {
    this.#p = plan;
    this.#manifest = manifest;
  }

  async run(): Promise<BackupReport> {
    const facts = await allJournals(this.#p.maintenance);
    const { journals } = this.#manifest;
    if (journals.length === 0) {
      const empty = facts.map(({ shard, id }) => ({ shard, id, segments: [] }));
      await this.#keep({ shards: facts.length, journals: empty });
    } else if (journals.length !== facts.length) {
      throw new BackupError("journal_changed", `the backup has ${journals.length} shards, the cluster ${facts.length}`);
    }
    // All are compared before any is copied: a wrong cluster adds nothing.
    for (const f of facts) await this.#compare(f);
    this.#total = facts.reduce((sum, f) => sum + f.lastSequence - this.#firstOf(f) + 1, 0);
    this.#done = this.#manifest.journals.reduce((sum, j) => sum + Math.max(0, lastFrame(j) - firstFrame(j) + 1), 0);
    const before = this.#manifest.journals.map(lastFrame);
    // Snapshots first: what one has folded of any journal stands there by now, and is copied behind it.
    for (const f of facts) await this.#copySnapshots(f);
    for (const f of facts) await this.#copyJournal(f);
    this.#checkPurged();
    await this.#copyFiles();
    return this.#report(before);
  }

  #firstOf(f: JournalFacts): number {
    const known = this.#manifest.journals[f.shard];
    return known.segments.length > 0 ? firstFrame(known) : f.firstSequence;
  }

  #report(before: readonly number[]): BackupReport {
    const m = this.#manifest;
    const journals = m.journals.map((j) => ({
      shard: j.shard,
      first: firstFrame(j),
      last: lastFrame(j),
      copied: j.segments.filter((s) => s.first > before[j.shard]).reduce((sum, s) => sum + s.last - s.first + 1, 0),
      last_time_us: j.segments.at(-1)?.last_time_us ?? 0,
    }));
    return {
      folder: this.#p.folder,
      shards: m.shards,
      journals,
      copied_frames: this.#copiedFrames,
      copied_bytes: this.#copiedBytes,
      snapshots: m.snapshots.length,
      has_secrets: m.has_secrets,
    };
  }

  async #keep(change: Partial<Manifest>): Promise<void> {
    this.#manifest = { ...this.#manifest, ...change, code: this.#p.code, written_us: this.#p.wallUs() };
    await writeManifest(this.#p.folder, this.#manifest);
  }

  /** The live journal must go on where the backup ends. */
  async #compare(f: JournalFacts): Promise<void> {
    const known = this.#manifest.journals[f.shard];
    const last = lastFrame(known);
    const refuse = (fault: "journal_changed" | "journal_shorter" | "gap" | "history_differs", what: string): never => {
      throw new BackupError(fault, `shard ${f.shard}: ${what}: back up into an empty folder, and keep this one`);
    };
    if (known.id !== f.id) refuse("journal_changed", `the backup is of journal ${known.id}, there is ${f.id} now`);
    if (f.lastSequence < last) {
      refuse("journal_shorter", `the journal ends with frame ${f.lastSequence}, the backup with ${last}`);
    }
    if (last === 0) return;
    if (f.firstSequence > last + 1) refuse("gap", `frames ${last + 1} to ${f.firstSequence - 1} were purged uncopied`);
    if (f.firstSequence > last) return;
    const journal = await this.#p.journals.open(f.shard);
    const message = await journal.read(last);
    if (message === null) return refuse("history_differs", `frame ${last} cannot be read`);
    const { checksum } = checkFrame(journal, message, { checksum: null, epoch: 0 });
    if (hex(checksum) !== known.segments.at(-1)?.checksum) refuse("history_differs", `frame ${last} is another one`);
  }

  async #copyJournal(f: JournalFacts): Promise<void> {
    const journal = await this.#p.journals.open(f.shard);
    for (let tries = TRIES; ; tries--) {
      const from = lastFrame(this.#manifest.journals[f.shard]);
      try {
        return await this.#copyFrames(journal, f);
      } catch (error) {
        if (!(error instanceof JournalUnavailable)) throw error;
        if (lastFrame(this.#manifest.journals[f.shard]) > from) tries = TRIES;
        if (tries <= 1) throw error;
        await this.#p.pause(PAUSE_MS);
      }
    }
  }

  /** Copies up to the tail found at the call. What stands in whole segments is kept when it fails. */
  async #copyFrames(journal: Journal, f: JournalFacts): Promise<void> {
    const { folder, signal, onFrames } = this.#p;
    let at = endOf(this.#manifest.journals[f.shard]);
    const first = at === null ? f.firstSequence : at.sequence + 1;
    let writer: SegmentWriter | null = null;
    const counted = this.#done;
    try {
      for await (const message of journal.readFrom(first)) {
        if (signal.aborted) throw signal.reason;
        at = positionOf(verifyNext(journal, at ?? before(message), message));
        writer ??= await SegmentWriter.create(folder, f.shard, message.sequence);
        await writer.add(message.bytes, at);
        onFrames(++this.#done, Math.max(this.#total, this.#done));
        if (!writer.isFull) continue;
        await this.#publish(f.shard, writer);
        writer = null;
      }
      if (writer !== null) await this.#publish(f.shard, writer);
    } catch (error) {
      // What was verified before counts: of a journal that is damaged there may be no other copy.
      if (writer !== null) await this.#publish(f.shard, writer).catch(() => writer?.discard());
      const kept = lastFrame(this.#manifest.journals[f.shard]);
      this.#done = counted + Math.max(0, kept - first + 1);
      if (error instanceof JournalDamaged) error.message = `shard ${f.shard}: ${error.message}`;
      throw error;
    }
  }

  async #publish(shard: number, writer: SegmentWriter): Promise<void> {
    const segment = await writer.publish();
    this.#copiedFrames += segment.last - segment.first + 1;
    this.#copiedBytes += segment.bytes;
    const grown = (j: BackedUpJournal): BackedUpJournal => ({ ...j, segments: [...j.segments, segment] });
    await this.#keep({ journals: this.#manifest.journals.map((j) => (j.shard === shard ? grown(j) : j)) });
  }

  /** A journal that begins later than with its first frame is nothing without a snapshot. */
  async #copySnapshots(f: JournalFacts): Promise<void> {
    const first = this.#firstOf(f);
    if (first === 1) return;
    const journal = await this.#p.journals.open(f.shard);
    for (const place of this.#p.places) {
      for (const snapshot of await verifiedSnapshots(place, journal, this.#p.say)) {
        const { frame } = snapshot.head;
        const isThere = this.#manifest.snapshots.some((s) => s.shard === f.shard && s.frame === frame);
        if (isThere || frame < first) continue;
        const copied = await this.#copySnapshot(place, snapshot);
        await this.#keep({ snapshots: [...this.#manifest.snapshots, copied] });
      }
    }
  }

  /** Rejects a backup that could not be restored to its end. */
  #checkPurged(): void {
    const { journals, snapshots } = this.#manifest;
    const cut = journals.map(lastFrame);
    for (const journal of journals) {
      const first = firstFrame(journal);
      if (first === 1 || snapshots.some((s) => standsIn(journal, s) && liesWithin(cut, s))) continue;
      const message = `shard ${journal.shard} begins at frame ${first} and no snapshot of it was found`;
      throw new BackupError("no_snapshot", `${message} that lies within the backup: name where its snapshots are`);
    }
  }

  async #copySnapshot(place: SnapshotPlace, { name, head }: VerifiedSnapshot): Promise<BackedUpSnapshot> {
    const { shard, frame, frame_time_us, watermarks, layout } = head;
    const file = join(`shard-${shard}`, `${String(frame).padStart(16, "0")}.snapshot`);
    const path = join(this.#p.folder, file);
    const hash = createHash("sha256");
    let bytes = 0;
    await mkdir(dirname(path), { recursive: true });
    const out = await open(`${path}.partial`, "w", 0o600);
    try {
      for await (const part of place.store.read(shard, name)) {
        if (this.#p.signal.aborted) throw this.#p.signal.reason;
        hash.update(part);
        for (let at = 0; at < part.length; ) at += (await out.write(part, at)).bytesWritten;
        bytes += part.length;
      }
      await out.sync();
    } finally {
      await out.close();
    }
    // The store may have replaced it since it was verified; what counts is the copy.
    await readSnapshot(partsOf(`${path}.partial`));
    await rename(`${path}.partial`, path);
    await syncFolder(dirname(path));
    return { shard, name, file, frame, frame_time_us, watermarks, layout, bytes, sha256: hash.digest("hex") };
  }

  async #copyFiles(): Promise<void> {
    const { folder, nodes, secrets_from } = this.#p;
    for (const node of nodes) await copyMissing(join(node, "rule-sets"), join(folder, "rule-sets"));
    if (secrets_from !== null) {
      for (const name of SECRET_FILES) {
        const isCopied = await copyKept(join(secrets_from, name), join(folder, "secrets", name), 0o600);
        if (!isCopied && SECRETS_NEEDED.includes(name))
          throw new BackupError("no_journals", `no ${name} in ${secrets_from}`);
      }
    }
    await this.#keep({ has_secrets: this.#manifest.has_secrets || secrets_from !== null });
  }
}

/** The place of the newest frame in the backup; null when it is empty. */
function endOf(journal: BackedUpJournal): JournalPosition | null {
  const last = journal.segments.at(-1);
  if (last === undefined) return null;
  return {
    sequence: last.last,
    checksum: new Uint8Array(Buffer.from(last.checksum, "hex")),
    epoch: last.last_epoch,
    frameTimeUs: last.last_time_us,
  };
}
