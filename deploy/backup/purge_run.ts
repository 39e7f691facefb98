/**
 * Frees what nobody needs any more of the journals: computes how far each may go, says what holds it, and purges by the
 * maintenance account.
 */
import {
  firstFrameAt,
  frameTimeUs,
  type PlaceFacts,
  RETRY_HORIZON_US,
  type Retention,
  type RetentionFacts,
  retain,
} from "../../runtime/journal/retention.ts";
import type { JournalFacts, JournalMaintenance, JournalStore } from "../../runtime/ports.ts";
import { allJournals } from "./backup_run.ts";
import { BackupError } from "./errors.ts";
import { lastFrame, type Manifest } from "./manifest.ts";
import { type SnapshotPlace, verifiedSnapshots } from "./places.ts";

export interface PurgePlan {
  readonly journals: JournalStore;
  readonly maintenance: Pick<JournalMaintenance, "list" | "purge">;
  readonly places: readonly SnapshotPlace[];
  /** A backup that must hold a frame before it goes; null for none. */
  readonly backup: Manifest | null;
  /** Frame time that is kept before the newest frame, microseconds. */
  readonly horizon_us?: number;
  /** Only tells how far it would go. */
  readonly dry_run: boolean;
  readonly say: (line: string) => void;
}

export interface PurgedShard {
  readonly shard: number;
  readonly first_before: number;
  readonly last: number;
  /** Frames before it are gone, or would be in a dry run. */
  readonly keep_from: number;
  readonly purged_frames: number;
  /** What decides. */
  readonly held_by: string;
  readonly holds: Retention["holds"];
}

export async function runPurge(plan: PurgePlan): Promise<PurgedShard[]> {
  const all = await allJournals(plan.maintenance);
  if (plan.backup !== null) checkBackup(plan.backup, all);
  const facts: RetentionFacts[] = [];
  for (const f of all) facts.push(await factsOf(plan, f));
  const done: PurgedShard[] = [];
  for (const { shard, keepFrom, holds } of retain(facts)) {
    const { firstSequence, lastSequence } = all[shard];
    const frames = keepFrom - firstSequence;
    if (frames > 0 && !plan.dry_run) await plan.maintenance.purge(shard, keepFrom);
    done.push({
      shard,
      first_before: firstSequence,
      last: lastSequence,
      keep_from: keepFrom,
      purged_frames: Math.max(0, frames),
      held_by: holds[0].who,
      holds,
    });
  }
  return done;
}

function checkBackup(backup: Manifest, all: readonly JournalFacts[]): void {
  const other = all.find((f) => backup.journals[f.shard]?.id !== f.id);
  if (other !== undefined) throw new BackupError("journal_changed", `shard ${other.shard}: the backup is of another`);
}

async function factsOf(plan: PurgePlan, f: JournalFacts): Promise<RetentionFacts> {
  const { shard, firstSequence, lastSequence } = f;
  const base = { shard, firstSequence, lastSequence };
  const backedUpTo = plan.backup === null ? null : lastFrame(plan.backup.journals[shard]);
  if (lastSequence < firstSequence) return { ...base, horizonFrame: firstSequence, places: [], backedUpTo };
  const journal = await plan.journals.open(shard);
  const newestUs = await frameTimeUs(journal, lastSequence);
  const from = newestUs - (plan.horizon_us ?? RETRY_HORIZON_US);
  const places: PlaceFacts[] = [];
  for (const place of plan.places) {
    const snapshots = (await verifiedSnapshots(place, journal, plan.say)).map(({ head }) => head);
    places.push({ place: place.name, snapshots });
  }
  return { ...base, horizonFrame: await firstFrameAt(journal, firstSequence, lastSequence, from), places, backedUpTo };
}
