/**
 * The change of places: what is served from now on are the new journals. It begins when these are verified and the old
 * ones are kept, and a mark on new journal 0, the last to be removed, says how far it is: `verified` until each new
 * journal is served and was read back, `placed` from then on. Before anything is removed each served journal is
 * compared with its copy: who ended this command in between may have served meanwhile, and what was decided then stands
 * nowhere else.
 */
import { KIND_ROWS, kindOf } from "../../proto/frame/frame_header.ts";
import { untilReachable } from "../../runtime/journal/checked.ts";
import type { JournalSetNames } from "../../runtime/nats/jetstream_journal.ts";
import { JournalSet } from "../../runtime/nats/journal_set.ts";
import type { Journal, JournalFacts } from "../../runtime/ports.ts";
import { copyJournal } from "./copy_journal.ts";
import { ReshardError } from "./errors.ts";
import { type Cluster, checkQuiet } from "./quiet.ts";
import type { ReshardReport } from "./reshard_run.ts";

type Mark = "verified" | "placed";
const MARK = /^(verified|placed)(\{.*\})$/;

/** A change that was begun. */
export interface Begun {
  readonly mark: Mark;
  readonly report: ReshardReport;
}

export interface Places extends Cluster {
  readonly fresh: JournalSet;
  readonly say: (line: string) => void;
}

/** Names of the journals as they were, by the id of the first. */
export function keptNames(shards: number, id: string): JournalSetNames {
  const short = id.slice(0, 8);
  return { prefix: `FG_WAS_${shards}_SHARDS_${short}_J`, subject: `fg.was.${short}` };
}

/** Null when the new journals are not verified, or there are none. */
export async function begunChange(fresh: JournalSet): Promise<Begun | null> {
  const [first] = await fresh.list();
  const said = first?.shard === 0 ? MARK.exec(await fresh.markOf(0)) : null;
  return said === null ? null : { mark: said[1] as Mark, report: JSON.parse(said[2]) as ReshardReport };
}

export function setMark(fresh: JournalSet, mark: Mark, report: ReshardReport): Promise<void> {
  return fresh.mark(0, `${mark}${JSON.stringify(report)}`);
}

/**
 * Does what is left of a change whose new journals are verified. False: nothing was changed yet, and the old journals
 * took rows since they were copied; so it must begin anew. Rejects with ReshardError.
 */
export async function changePlaces(p: Places, report: ReshardReport): Promise<boolean> {
  const wanted = await p.fresh.list();
  if (wanted.length !== report.after || wanted.some(({ shard }, i) => shard !== i)) {
    const found = wanted.map(({ shard }) => shard).join(", ");
    throw new ReshardError(
      "journals",
      `of ${report.after} verified new journals there are ${found}; nothing is removed`,
    );
  }
  const there = await p.served.list();
  const states = await compareAll(p, there, wanted, report);
  const left = wanted.filter(({ shard }) => !states.some((s) => s.shard === shard && s.isPlaced));
  const foreign = states.filter((s) => s.hasOtherRows && (left.length > 0 || !s.isPlaced));
  if (foreign.length > 0) {
    if (states.length === report.before && states.every((s) => s.isOld)) return false;
    const what = `shard ${foreign[0].shard} took rows since the change of places was begun`;
    const where = `the journals as they were are ${report.kept}0..${report.before - 1}`;
    throw new ReshardError("served", `${what}, which would be lost: nothing is removed; ${where}`);
  }
  await checkQuiet(p, Math.max(report.before, report.after), there);
  for (const { shard, isPlaced } of states) if (!isPlaced) await p.served.remove(shard);
  for (const { shard, id } of left) {
    p.say(`shard ${shard} of ${wanted.length}: the new journal takes its place`);
    await copyJournal(await p.fresh.open(shard), await p.served.create(shard, id, wanted.length), p.sleep);
  }
  await setMark(p.fresh, "placed", report);
  await removeFresh(p);
  return true;
}

/** Removes the new journals, which are served under their names now. The first carries the mark: it goes last. */
export async function removeFresh({ fresh, say }: Pick<Places, "fresh" | "say">): Promise<void> {
  for (const { shard } of [...(await fresh.list())].reverse()) {
    say(`removing ${fresh.names.prefix}${shard}, which is served now`);
    await fresh.remove(shard);
  }
}

/** A served journal in the midst of a change. */
interface ServedState {
  readonly shard: number;
  /** It is one of the old ones. */
  readonly isOld: boolean;
  /** It holds all that the new journal of its shard holds. */
  readonly isPlaced: boolean;
  /** It holds rows that stand neither in the new journal nor among those that are kept. */
  readonly hasOtherRows: boolean;
}

async function compareAll(
  p: Places,
  there: readonly JournalFacts[],
  wanted: readonly JournalFacts[],
  report: ReshardReport,
): Promise<ServedState[]> {
  // The names' subjects are asked for only when something is written.
  const kept = new JournalSet(p.link, { prefix: report.kept, subject: "fg.was" }, p.replicas);
  try {
    const old = await kept.list();
    const states: ServedState[] = [];
    for (const { shard, id } of there) {
      const isNew = wanted[shard]?.id === id;
      const isOld = !isNew && old.some((k) => k.shard === shard && k.id === id);
      const copies = isNew ? p.fresh : isOld ? kept : null;
      const copy = copies === null ? null : await copies.open(shard);
      const journal = await p.served.open(shard);
      const { same, hasOtherRows } = await untilReachable(p.sleep, () => compare(journal, copy));
      states.push({ shard, isOld, isPlaced: isNew && same === wanted[shard].lastSequence, hasOtherRows });
    }
    return states;
  } finally {
    kept.close();
  }
}

/** How many frames from the first on are those of the copy, byte for byte, and whether rows stand behind them. */
async function compare(journal: Journal, copy: Journal | null): Promise<{ same: number; hasOtherRows: boolean }> {
  const copied = copy?.readFrom(1)[Symbol.asyncIterator]();
  let same = 0;
  try {
    for await (const { sequence, bytes } of journal.readFrom(1)) {
      const next = same === sequence - 1 ? await copied?.next() : undefined;
      if (next !== undefined && next.done !== true && Buffer.compare(bytes, next.value.bytes) === 0) same = sequence;
      // Frames of owners decide nothing: they may go.
      else if (kindOf(bytes) === KIND_ROWS) return { same, hasOtherRows: true };
    }
    return { same, hasOtherRows: false };
  } finally {
    await copied?.return?.();
  }
}
