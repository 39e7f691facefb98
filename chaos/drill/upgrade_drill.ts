/**
 * A loaded cluster goes over to another journal format and back, node by node: three nodes that share the shards write
 * the first format; each ends, comes back and may write the second; then each comes back and writes the first again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FORMAT_NEWEST, FORMAT_OLDEST, KIND_ROWS } from "../../proto/frame/frame_header.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillNotes } from "./drills.ts";

/** Payments are written in a format for so long before the next one. */
const WRITTEN_MS = 3000;

export function formatArgument(format: number): readonly string[] {
  return ["--journal-format", String(format)];
}

export async function rollingUpgrade(c: DrillCluster): Promise<DrillNotes> {
  await c.underLoad(async () => {
    for (const format of [FORMAT_NEWEST, FORMAT_OLDEST]) {
      for (const node of c.nodes) {
        await node.end("SIGTERM");
        await c.covered();
        node.more = formatArgument(format);
        node.startAgain();
        await c.spread();
      }
      await delay(WRITTEN_MS);
    }
  });
  const failed: string[] = [];
  const again = c.load.payments.filter((p) => p.failed_ms !== null).length;
  const journals = await formatsOf(c);
  for (const [shard, { runs, frames }] of journals.entries()) {
    const isThereAndBack = runs[0] === FORMAT_OLDEST && runs.includes(FORMAT_NEWEST) && runs.at(-1) === FORMAT_OLDEST;
    if (!isThereAndBack) failed.push(`journal ${shard} was written in formats ${runs.join(", ")}`);
    if (frames.every((n) => n > 0)) continue;
    failed.push(`journal ${shard} holds ${frames.join(" and ")} frames of the formats`);
  }
  const sum = (at: number): number => journals.reduce((n, { frames }) => n + frames[at], 0);
  const turns = journals.map(({ runs }) => runs.length - 1).join(", ");
  const counted = `${sum(0)} frames of format ${FORMAT_OLDEST}, ${sum(1)} of format ${FORMAT_NEWEST}`;
  const notes = [`${counted}; the format turned ${turns} times in the journals`, `${again} payments asked again`];
  return { notes, failed };
}

interface Formats {
  /** The formats in the order of the frames, each run of one format once. */
  readonly runs: readonly number[];
  /** Frames of rows, from the oldest format to the newest. */
  readonly frames: readonly number[];
}

/** What each journal's frames of rows were written in, verified from the first frame on. */
async function formatsOf(c: DrillCluster): Promise<Formats[]> {
  const link = await c.journalsLink();
  const store = new JetStreamJournalStore(link);
  const journals: Formats[] = [];
  try {
    for (let shard = 0; shard < c.shards; shard++) {
      const runs: number[] = [];
      const frames = new Array<number>(FORMAT_NEWEST - FORMAT_OLDEST + 1).fill(0);
      const take = ({ kind, version }: { readonly kind: number; readonly version: number }): void => {
        if (kind !== KIND_ROWS) return;
        frames[version - FORMAT_OLDEST]++;
        if (runs.at(-1) !== version) runs.push(version);
      };
      await replay(await store.open(shard), JOURNAL_START, take, delay);
      journals.push({ runs, frames });
    }
  } finally {
    store.close();
    await link.close();
  }
  return journals;
}
