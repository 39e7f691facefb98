/**
 * Changes the number of shards of a cluster that is at rest. The new journals are written beside the served ones and
 * verified; the served ones are kept under a name that says what they were; only then they change places. Ended at any
 * point it is run again: before the change of places, or when nodes decided before anything was changed, it begins
 * anew; from then on it ends what was begun.
 */
import { randomBytes, randomFillSync } from "node:crypto";
import { LATE_TOLERANCE_US } from "../../actors/decision/shard_actors.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { Sleep } from "../../runtime/journal/checked.ts";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { SERVED } from "../../runtime/nats/jetstream_journal.ts";
import { JournalSet } from "../../runtime/nats/journal_set.ts";
import type { Journal, JournalFacts } from "../../runtime/ports.ts";
import {
  type Begun,
  begunChange,
  changePlaces,
  keptNames,
  type Places,
  removeFresh,
  setMark,
} from "./change_places.ts";
import { copyJournal } from "./copy_journal.ts";
import { ReshardError } from "./errors.ts";
import { checkQuiet } from "./quiet.ts";
import { rewrite } from "./rewrite.ts";
import { verify } from "./verify.ts";

const FRESH = { prefix: "FG_RESHARD_J", subject: "fg.reshard" };
const OWNER_NODE = "(reshard)";

export interface ReshardOptions {
  readonly link: NatsLink;
  readonly shards: number;
  readonly tenants: readonly Tenant[];
  readonly rules: unknown;
  /** Windows of entities may differ for events near the late tolerance. */
  readonly allow_entity_differences: boolean;
  readonly sleep: Sleep;
  readonly say: (line: string) => void;
  readonly onRows: (what: string, rows: number) => void;
}

export interface ReshardReport {
  readonly before: number;
  readonly after: number;
  /** Rows of any kind. */
  readonly rows: number;
  readonly frames_before: number;
  readonly frames_after: number;
  readonly entities_different: number;
  /** Streams of the journals as they were; empty when nothing was done. */
  readonly kept: string;
}

export async function reshard(o: ReshardOptions): Promise<ReshardReport> {
  const replicas = await replicasOf(o.link);
  const served = new JournalSet(o.link, SERVED, replicas);
  const fresh = new JournalSet(o.link, FRESH, replicas);
  const places: Places = { link: o.link, sleep: o.sleep, say: o.say, served, fresh, replicas };
  try {
    const begun = await begunChange(fresh);
    if (begun !== null) {
      const ended = await endBegun(o, places, begun);
      if (ended !== null) return ended;
    }
    // The first has the mark, if any: without it none of them counts.
    for (const { shard } of await fresh.list()) await fresh.remove(shard);
    const report = await prepare(o, places);
    if (report === null) return { ...NOTHING, before: o.shards, after: o.shards };
    if (await changePlaces(places, report)) return report;
    throw new ReshardError("served", "the journals grew while they changed places: a node serves");
  } finally {
    served.close();
    fresh.close();
  }
}

/** Servers that keep each journal. In the midst of a change one of the sets may be empty. */
async function replicasOf(link: NatsLink): Promise<number> {
  let replicas = 1;
  for (const names of [SERVED, FRESH]) {
    const set = new JournalSet(link, names);
    try {
      replicas = Math.max(replicas, await set.replicas());
    } finally {
      set.close();
    }
  }
  return replicas;
}

/** Ends what an earlier run began. Null: the number that is asked for is still to be made. */
async function endBegun(o: ReshardOptions, places: Places, { mark, report }: Begun): Promise<ReshardReport | null> {
  if (mark === "placed") {
    await removeFresh(places);
    return report.after === o.shards ? report : null;
  }
  if (report.after !== o.shards) {
    throw new ReshardError("journals", `a change to ${report.after} shards was begun and must be ended first`);
  }
  o.say("the new journals were verified before: going on with the change of places");
  if (await changePlaces(places, report)) return report;
  o.say("the old journals took rows since they were copied: beginning anew");
  return null;
}

const NOTHING: ReshardReport = {
  before: 0,
  after: 0,
  rows: 0,
  frames_before: 0,
  frames_after: 0,
  entities_different: 0,
  kept: "",
};

/** Writes and verifies the new journals, and keeps the old ones under another name. Null: there are as many already. */
async function prepare(o: ReshardOptions, places: Places): Promise<ReshardReport | null> {
  const { served, fresh, replicas } = places;
  const before = await served.list();
  checkWhole(before);
  const n = before.length;
  if (n === o.shards) return null;
  await checkQuiet(places, n, before);
  const from: Journal[] = [];
  for (const { shard } of before) from.push(await served.open(shard));
  const to: Journal[] = [];
  for (let i = 0; i < o.shards; i++) to.push(await fresh.create(i, randomBytes(16).toString("hex"), o.shards));
  const { tenants, rules, sleep } = o;
  const common = { tenants, rules, sleep, late_tolerance_us: LATE_TOLERANCE_US };
  const owner = { node: OWNER_NODE, bootId: randomBytes(8).toString("hex") };
  const fillRandom = (bytes: Uint8Array): void => void randomFillSync(bytes);
  const written = await rewrite({
    ...common,
    journals: from,
    to,
    owner,
    fillRandom,
    onRows: (rows) => o.onRows("writing", rows),
  });
  const verified = await verify(written, {
    ...common,
    journals: to,
    onRows: (rows) => o.onRows("verifying", rows),
  });
  const { entities, entities_different } = verified;
  if (entities_different > 0 && !o.allow_entity_differences) {
    const why = "events that came late for them, or not, by the order of the journals";
    const advice = "run again with --allow-entity-differences if that is what it is";
    throw new ReshardError(
      "differs",
      `windows of ${entities_different} of ${entities} entities differ: ${why}; ${advice}`,
    );
  }
  const kept = keptNames(n, from[0].id);
  await keep(o, new JournalSet(o.link, kept, replicas), from);
  await checkQuiet(places, n, before);
  const report: ReshardReport = {
    before: n,
    after: o.shards,
    rows: written.rows.count,
    frames_before: written.frames,
    frames_after: verified.frames,
    entities_different,
    kept: kept.prefix,
  };
  await setMark(fresh, "verified", report);
  return report;
}

/** Each journal from its first frame on, of as many shards as there are. */
function checkWhole(all: readonly JournalFacts[]): void {
  if (all.length === 0) throw new ReshardError("journals", "there are no journals");
  for (const [i, { shard, shards, firstSequence, lastSequence }] of all.entries()) {
    if (shard !== i || (shards !== null && shards !== all.length)) {
      throw new ReshardError(
        "journals",
        `${all.length} journals are there, not those of ${shards ?? shard + 1} shards`,
      );
    }
    if (firstSequence > 1 && lastSequence > 0) {
      const says = `shard ${shard} begins at frame ${firstSequence}`;
      throw new ReshardError("journals", `${says}: a purged journal cannot be divided anew`);
    }
  }
}

async function keep(o: ReshardOptions, kept: JournalSet, from: readonly Journal[]): Promise<void> {
  try {
    for (const { shard } of await kept.list()) await kept.remove(shard);
    for (const journal of from) {
      o.say(`keeping shard ${journal.shard} as ${kept.names.prefix}${journal.shard}`);
      await copyJournal(journal, await kept.create(journal.shard, journal.id, from.length), o.sleep);
    }
  } finally {
    kept.close();
  }
}
