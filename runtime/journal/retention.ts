/**
 * How far a journal may be purged. Whoever could still need a frame holds it: the older of two verified snapshots at
 * each place that a node would load from, the inboxes that are refilled from it, the retry horizon, a backup, and its
 * own newest frame. What is wanted least far back decides.
 */
import type { Journal } from "../ports.ts";
import { checkFrame } from "./checked.ts";

/** Repeats of an id are answered with its decision for so long, microseconds of frame time. */
export const RETRY_HORIZON_US = 24 * 3600e6;
/** Verified snapshots that must stand at a place before anything is purged. */
const SNAPSHOTS_NEEDED = 2;

/** A verified snapshot of a shard. */
export interface SnapshotFacts {
  /** The newest frame in it. */
  readonly frame: number;
  /** Of each source shard: frames up to it are folded. */
  readonly watermarks: readonly number[];
}

/** What one place (a node's folder, or a store that nodes share) has of a shard, oldest first. */
export interface PlaceFacts {
  readonly place: string;
  readonly snapshots: readonly SnapshotFacts[];
}

export interface RetentionFacts {
  readonly shard: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** The first frame within the retry horizon. */
  readonly horizonFrame: number;
  readonly places: readonly PlaceFacts[];
  /** The newest frame that the backup holds; null when none is kept. */
  readonly backedUpTo: number | null;
}

/** Frames from `frame` on are needed by `who`. */
export interface Hold {
  readonly who: string;
  readonly frame: number;
}

export interface Retention {
  readonly shard: number;
  /** Frames before it may go. */
  readonly keepFrom: number;
  /** Every hold, the one that decides first. */
  readonly holds: readonly Hold[];
}

/** How far each shard's journal may be purged. */
export function retain(shards: readonly RetentionFacts[]): Retention[] {
  return shards.map((facts) => {
    const own = facts.places.map((p) => ownHold(facts, p));
    const inboxes = shards.filter((t) => t !== facts && t.lastSequence > 0).flatMap((t) => inboxHolds(facts, t));
    const rest: Hold[] = [
      { who: "the retry horizon", frame: facts.horizonFrame },
      { who: "its newest frame", frame: facts.lastSequence },
    ];
    if (facts.places.length === 0) rest.push({ who: "nobody has a snapshot of it", frame: facts.firstSequence });
    if (facts.backedUpTo !== null) rest.push({ who: "the backup", frame: facts.backedUpTo + 1 });
    // A stable order: of equal holds the one named first decides.
    const holds = [...own, ...inboxes, ...rest].sort((a, b) => a.frame - b.frame);
    return { shard: facts.shard, keepFrom: Math.max(facts.firstSequence, holds[0].frame), holds };
  });
}

/** The frame of the older snapshot itself is compared when the journal is resumed behind it. */
function ownHold(facts: RetentionFacts, { place, snapshots }: PlaceFacts): Hold {
  const kept = snapshots.slice(-SNAPSHOTS_NEEDED);
  if (kept.length === SNAPSHOTS_NEEDED) return { who: `the older snapshot at ${place}`, frame: kept[0].frame };
  return { who: `${place} has ${kept.length} of 2 verified snapshots`, frame: facts.firstSequence };
}

function inboxHolds(source: RetentionFacts, target: RetentionFacts): Hold[] {
  return target.places.map(({ place, snapshots }) => {
    const kept = snapshots.slice(-SNAPSHOTS_NEEDED);
    const isWhole = kept.length === SNAPSHOTS_NEEDED;
    const folded = isWhole ? Math.min(...kept.map((s) => s.watermarks[source.shard] ?? 0)) : 0;
    const who = `the inbox of shard ${target.shard} at ${place}`;
    return { who, frame: Math.max(source.firstSequence, folded + 1) };
  });
}

/**
 * The first of the frames [first, last] whose frame time is `timeUs` or later; last + 1 when there is none. A few dozen
 * reads, as frame times only rise. Rejects with JournalDamaged and JournalUnavailable.
 */
export async function firstFrameAt(journal: Journal, first: number, last: number, timeUs: number): Promise<number> {
  let [low, high] = [first, last + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((await frameTimeUs(journal, middle)) < timeUs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Frame time of a frame that is there. */
export async function frameTimeUs(journal: Journal, sequence: number): Promise<number> {
  const message = await journal.read(sequence);
  if (message === null) throw new Error(`frame ${sequence} of shard ${journal.shard} is gone: was it purged just now?`);
  return checkFrame(journal, message, { checksum: null, epoch: 0 }).frameTimeUs;
}
