/**
 * Changes the number of shards of a cluster that is at rest. The new journals are written beside the served ones and
 * verified; the served ones are kept under a name that says what they were; only then they change places. Ended at any
 * point it is run again: before the change of places it begins anew, from then on it ends what was begun.
 */
import { randomBytes, randomFillSync } from "node:crypto";
import type { Tenant } from "../../proto/tenant.ts";
import type { Sleep } from "../../runtime/journal/checked.ts";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { JournalSet, SERVED } from "../../runtime/nats/journal_set.ts";
import { KvLeaseStore } from "../../runtime/nats/kv_lease.ts";
import type { Journal, JournalFacts } from "../../runtime/ports.ts";
import { copyJournal } from "./copy_journal.ts";
import { ReshardError } from "./errors.ts";
import { rewrite } from "./rewrite.ts";
import { verify } from "./verify.ts";

const FRESH = { prefix: "FG_RESHARD_J", subject: "fg.reshard" };
const VERIFIED = "verified";
/** As in the contract. */
const LATE_TOLERANCE_US = 3600e6;
/** An owner renews its lease every 500 ms. */
const QUIET_MS = 1600;
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
  /** Rows of any kind; 0: nothing had to be written. */
  readonly rows: number;
  readonly frames_before: number;
  readonly frames_after: number;
  readonly entities_different: number;
  /** Streams of the journals as they were; empty when nothing was done. */
  readonly kept: string;
}

export async function reshard(o: ReshardOptions): Promise<ReshardReport> {
  const served = new JournalSet(o.link, SERVED);
  const replicas = await served.replicas();
  const fresh = new JournalSet(o.link, FRESH, replicas);
  try {
    const { isBegun, verified } = await begunChange(fresh, o.shards);
    if (isBegun) o.say("the new journals were verified before: going on with the change of places");
    else for (const { shard } of await fresh.list()) await fresh.remove(shard);
    const report = isBegun ? verified : await prepare(o, served, fresh, replicas);
    if (report.rows > 0 || isBegun) await changePlaces(o, new JournalSet(o.link, SERVED, replicas), fresh);
    return report;
  } finally {
    served.close();
    fresh.close();
  }
}

async function begunChange(fresh: JournalSet, shards: number): Promise<{ isBegun: boolean; verified: ReshardReport }> {
  const [first] = await fresh.list();
  const mark = first?.shard === 0 ? await fresh.markOf(0) : "";
  if (!mark.startsWith(VERIFIED)) return { isBegun: false, verified: NOTHING };
  const verified = JSON.parse(mark.slice(VERIFIED.length)) as ReshardReport;
  if (verified.after === shards) return { isBegun: true, verified };
  throw new ReshardError("journals", `a change to ${verified.after} shards was begun and must be ended first`);
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

/** Writes and verifies the new journals, and keeps the old ones under another name. */
async function prepare(o: ReshardOptions, served: JournalSet, fresh: JournalSet, replicas: number) {
  const before = await served.list();
  checkWhole(before);
  const n = before.length;
  if (n === o.shards) return { ...NOTHING, before: n, after: n };
  await checkQuiet(o, served, before);
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
  const kept = `FG_WAS_${n}_SHARDS_${from[0].id.slice(0, 8)}_J`;
  await keep(o, new JournalSet(o.link, { prefix: kept, subject: `fg.was.${from[0].id.slice(0, 8)}` }, replicas), from);
  await checkQuiet(o, served, before);
  const report: ReshardReport = {
    before: n,
    after: o.shards,
    rows: written.rows.count,
    frames_before: written.frames,
    frames_after: verified.frames,
    entities_different,
    kept,
  };
  await fresh.mark(0, `${VERIFIED}${JSON.stringify(report)}`);
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

/** Rejects when a lease is renewed or a journal grows, or grew since `before` was read. */
async function checkQuiet(o: ReshardOptions, served: JournalSet, before: readonly JournalFacts[]): Promise<void> {
  const leases = new KvLeaseStore(o.link);
  const read = async () => {
    const held = await Promise.all(before.map(async ({ shard }) => leases.read(shard)));
    return held.map((lease) => ({ node: lease?.node ?? "", revision: lease?.revision ?? 0 }));
  };
  const first = await read();
  await o.sleep(QUIET_MS);
  const now = await read();
  for (const [shard, { node, revision }] of now.entries()) {
    if (node === "" || revision === first[shard].revision) continue;
    throw new ReshardError("served", `node ${node} holds the lease of shard ${shard}: stop the cluster first`);
  }
  const grown = (await served.list()).find((j, i) => j.lastSequence !== before[i]?.lastSequence);
  if (grown !== undefined) throw new ReshardError("served", `the journal of shard ${grown.shard} grows: a node serves`);
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

/** What is served from now on are the new journals. Begun again it does what is left. */
async function changePlaces(o: ReshardOptions, served: JournalSet, fresh: JournalSet): Promise<void> {
  const wanted = await fresh.list();
  const there = new Map((await served.list()).map((j) => [j.shard, j]));
  try {
    for (const { shard, id, lastSequence } of [...there.values()]) {
      const next = wanted[shard];
      if (next?.id === id && next.lastSequence === lastSequence) continue;
      await served.remove(shard);
      there.delete(shard);
    }
    for (const { shard, id } of wanted) {
      if (there.has(shard)) continue;
      o.say(`shard ${shard} of ${wanted.length}: the new journal takes its place`);
      await copyJournal(await fresh.open(shard), await served.create(shard, id, wanted.length), o.sleep);
    }
    // The first carries the mark: it goes last.
    for (const { shard } of [...wanted].reverse()) await fresh.remove(shard);
  } finally {
    served.close();
  }
}
