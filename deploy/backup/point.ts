/** The frames of a backup that a restore to a moment brings back: one cut over all shards, and what fits it. */
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { RowBlock } from "../../proto/columns.ts";
import { FrameError, formatOf, HEADER_BYTES, KIND_ROWS, kindOf } from "../../proto/frame/frame_header.ts";
import { RowsDamaged, RowsReader } from "../../proto/frame/rows_reader.ts";
import { consistentCut, FoldMarks, liesWithin } from "./cut.ts";
import { BackupError } from "./errors.ts";
import {
  type BackedUpJournal,
  type BackedUpSnapshot,
  firstFrame,
  lastFrame,
  type Manifest,
  standsIn,
} from "./manifest.ts";
import { readFrames } from "./segment.ts";

export interface ShardCut {
  readonly shard: number;
  /** Frames first..last come back; last is less than first when none does. */
  readonly first: number;
  readonly last: number;
  /** Frame time of the last one; 0 without any. */
  readonly last_time_us: number;
  /** Frames up to the moment that stay behind, since they build on frames of other shards that do. */
  readonly dropped: number;
  readonly snapshots: readonly BackedUpSnapshot[];
}

/** What of a shard lies up to the moment: verified, and what it has folded. */
interface Scan {
  readonly marks: FoldMarks;
  last: number;
  /** Frame times from the first frame on. */
  readonly times: number[];
}

/**
 * Reads and verifies all frames up to the moment (all of them for Infinity). Rejects with BackupError: a damaged file,
 * nothing before the moment, or a purged journal without a snapshot before it.
 */
export async function pointOf(
  folder: string,
  manifest: Manifest,
  atUs: number,
  onFrames: (done: number, total: number) => void,
): Promise<ShardCut[]> {
  const total = manifest.journals.reduce((sum, j) => sum + lastFrame(j) - firstFrame(j) + 1, 0);
  const scans: Scan[] = [];
  let done = 0;
  for (const journal of manifest.journals) {
    scans.push(await scan(folder, journal, manifest.shards, atUs, () => onFrames(++done, total)));
  }
  const starts = scans.map((s) => s.last);
  const cut = consistentCut(
    starts,
    scans.map((s) => s.marks),
  );
  const cuts = manifest.journals.map((j) => cutOf(j, scans[j.shard], cut, manifest));
  if (cuts.every((c) => c.last < c.first))
    throw new BackupError("too_early", "nothing in the backup is as old as that");
  return cuts;
}

async function scan(
  folder: string,
  journal: BackedUpJournal,
  shards: number,
  atUs: number,
  onFrame: () => void,
): Promise<Scan> {
  const result: Scan = { marks: new FoldMarks(shards), last: firstFrame(journal) - 1, times: [] };
  const reader = new RowsReader(MATRIX_SHAPE);
  const block = new RowBlock();
  for await (const { sequence, bytes, position } of readFrames(folder, journal, lastFrame(journal))) {
    // Frame times only rise.
    if (position.frameTimeUs > atUs) break;
    result.last = sequence;
    result.times.push(position.frameTimeUs);
    onFrame();
    if (shards === 1 || kindOf(bytes) !== KIND_ROWS) continue;
    try {
      reader.read(bytes.subarray(HEADER_BYTES), formatOf(bytes), block, null, () => 0);
    } catch (error) {
      if (error instanceof FrameError) throw new BackupError("version", `frame ${sequence}: ${error.message}`);
      if (!(error instanceof RowsDamaged)) throw error;
      throw new BackupError("damaged", `frame ${sequence} of shard ${journal.shard} is damaged: ${error.message}`);
    }
    const { inbox } = reader;
    for (let i = 0; i < inbox.n; i++) result.marks.add(sequence, inbox.source[i], inbox.frame[i]);
  }
  return result;
}

function cutOf(journal: BackedUpJournal, scanned: Scan, cut: readonly number[], manifest: Manifest): ShardCut {
  const { shard } = journal;
  const first = firstFrame(journal);
  const last = cut[shard];
  const snapshots = manifest.snapshots.filter((s) => standsIn(journal, s) && liesWithin(cut, s));
  // The frame of a snapshot is there: it is compared when the journal is read on behind it.
  if (first > 1 && snapshots.length === 0) {
    const message = `shard ${shard} begins at frame ${first}, and no snapshot of the backup lies before that moment`;
    throw new BackupError("no_snapshot", `${message}: name a later one`);
  }
  return {
    shard,
    first,
    last,
    last_time_us: scanned.times[last - first] ?? 0,
    dropped: scanned.last - last,
    snapshots,
  };
}
