/**
 * The change of places over a real nats-server, with journals written by hand: ended at each of its steps, and with
 * nodes that served in between. What was decided is never removed.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { claim, readTail } from "../../runtime/journal/claim.ts";
import { connectNats, type NatsLink } from "../../runtime/nats/connection.ts";
import { SERVED } from "../../runtime/nats/jetstream_journal.ts";
import { JournalSet } from "../../runtime/nats/journal_set.ts";
import type { Journal } from "../../runtime/ports.ts";
import { checksumOf, rowsFrame, takeoverFrame } from "../../runtime/testkit/frames.ts";
import { NatsProcess } from "../../runtime/testkit/nats_process.ts";
import { DEFAULT_RULES } from "../node/fraud_node.ts";
import { begunChange } from "./change_places.ts";
import { ReshardError } from "./errors.ts";
import { type ReshardReport, reshard } from "./reshard_run.ts";

const FRESH = { prefix: "FG_RESHARD_J", subject: "fg.reshard" };
const BEFORE = 1;
const AFTER = 3;
const OLD_ID = "0".repeat(32);
const sleep = (): Promise<void> => setImmediate();

class Journals {
  readonly link: NatsLink;
  readonly served: JournalSet;
  readonly fresh: JournalSet;
  readonly rules: unknown;

  constructor(link: NatsLink, rules: unknown) {
    this.link = link;
    this.served = new JournalSet(link, SERVED);
    this.fresh = new JournalSet(link, FRESH);
    this.rules = rules;
  }

  static async make(t: TestContext): Promise<Journals> {
    const server = await NatsProcess.launch();
    t.after(() => server.dispose());
    const link = await connectNats({ servers: server.address });
    t.after(() => link.close());
    const journals = new Journals(link, JSON.parse(await readFile(DEFAULT_RULES, "utf8")));
    await journals.begin();
    return journals;
  }

  /** One old journal, in which an owner said nothing; nothing else. */
  async begin(): Promise<void> {
    const kept = new JournalSet(this.link, { prefix: this.#kept, subject: "fg.was" });
    for (const set of [this.served, this.fresh, kept]) {
      for (const { shard } of await set.list()) await set.remove(shard);
    }
    kept.close();
    const journal = await this.served.create(0, OLD_ID, BEFORE);
    await journal.append(takeoverFrame(journal, { epoch: 1, sequence: 1 }), 0);
  }

  get #kept(): string {
    return `FG_WAS_${BEFORE}_SHARDS_${OLD_ID.slice(0, 8)}_J`;
  }

  /** With `ends`, the run is ended when it says its line of that number, from 1. Resolves with the lines it said. */
  async run(ends = Number.POSITIVE_INFINITY): Promise<{ said: string[]; report: ReshardReport | null }> {
    const said: string[] = [];
    const say = (line: string): void => {
      said.push(line);
      if (said.length === ends) throw new Error("ended");
    };
    const o = { link: this.link, shards: AFTER, tenants: [], rules: this.rules, allow_entity_differences: false };
    try {
      return { said, report: await reshard({ ...o, sleep, say, onRows: () => {} }) };
    } catch (error) {
      if ((error as Error).message !== "ended") throw error;
      return { said, report: null };
    }
  }

  /** Ends a run when it says such a line. */
  async endAt(line: RegExp): Promise<void> {
    const { said } = await this.run();
    await this.begin();
    const at = said.findIndex((s) => line.test(s));
    assert.ok(at >= 0, said.join("\n"));
    await this.run(at + 1);
  }

  ids(set: JournalSet): Promise<string[]> {
    return set.list().then((all) => all.map(({ id }) => id));
  }

  /** All new journals are served, whole, and only what was there before is kept. */
  async assertDone(): Promise<void> {
    const all = await this.served.list();
    assert.deepEqual(
      all.map(({ shard, shards }) => [shard, shards]),
      [0, 1, 2].map((shard) => [shard, AFTER]),
    );
    // A Takeover and a Release, at least.
    for (const { shard, lastSequence } of all) {
      assert.ok(lastSequence >= 2);
      assert.equal((await readTail(await this.served.open(shard))).sequence, lastSequence);
    }
    assert.deepEqual(await this.fresh.list(), []);
    const kept = new JournalSet(this.link, { prefix: this.#kept, subject: "fg.was" });
    assert.deepEqual(await this.ids(kept), [OLD_ID]);
    kept.close();
  }
}

/** A node decides something: a rows frame behind a claim. */
async function decide(journal: Journal): Promise<number> {
  const at = await claim(journal, { node: "n", bootId: "b" }, 1e15, sleep);
  const sequence = at.sequence + 1;
  const frame = rowsFrame(journal, { epoch: at.epoch, sequence, previous: at.checksum, time_us: 2e15 });
  assert.equal((await journal.append(frame, at.sequence)).kind, "appended");
  return sequence;
}

test("ended at any step it is ended by the next run, and no verified journal is lost", async (t) => {
  const journals = await Journals.make(t);
  const { said } = await journals.run();
  await journals.assertDone();
  assert.ok(said.length >= 1 + AFTER + AFTER, said.join("\n"));
  for (let ends = 1; ends <= said.length; ends++) {
    await t.test(`ended at: ${said[ends - 1]}`, async () => {
      await journals.begin();
      assert.equal((await journals.run(ends)).report, null);
      const begun = await begunChange(journals.fresh);
      const wanted = begun === null ? [] : await journals.ids(journals.fresh);
      const { report } = await journals.run();
      assert.equal(report?.after, AFTER);
      await journals.assertDone();
      const served = await journals.ids(journals.served);
      assert.deepEqual(served.slice(0, wanted.length), wanted, "the verified journals are served");
    });
  }
});

test("nodes decide on the new journals before the last run ended: these stay as they are", async (t) => {
  const journals = await Journals.make(t);
  await journals.endAt(/^removing FG_RESHARD_J1/);
  const sequence = await decide(await journals.served.open(2));
  await journals.run();
  await journals.assertDone();
  const [, , third] = await journals.served.list();
  assert.equal(third.lastSequence, sequence);
});

test("all new journals are in place but not marked: one that a node has gone on with stays", async (t) => {
  const journals = await Journals.make(t);
  await journals.endAt(/^removing FG_RESHARD_J2/);
  // As a run leaves it that was ended before it could say that all are placed.
  const begun = await begunChange(journals.fresh);
  assert.equal(begun?.mark, "placed");
  await journals.fresh.mark(0, `verified${JSON.stringify(begun?.report)}`);
  const sequence = await decide(await journals.served.open(0));
  await journals.run();
  await journals.assertDone();
  assert.equal((await journals.served.list())[0].lastSequence, sequence);
});

test("a node decided while some journals were in place: refused, nothing is removed", async (t) => {
  const journals = await Journals.make(t);
  const untouched = async (): Promise<void> => {
    const before = await journals.served.list();
    const refused = (e: Error) =>
      e instanceof ReshardError && e.code === "served" && /nothing is removed/.test(e.message);
    await assert.rejects(journals.run(), refused);
    assert.deepEqual(await journals.served.list(), before);
    assert.equal((await journals.fresh.list()).length, AFTER);
  };
  await journals.endAt(/^shard 1 of 3/);
  await decide(await journals.served.open(0));
  await untouched();
  // Or in a journal that it made where there was none.
  await journals.begin();
  await journals.endAt(/^shard 1 of 3/);
  await decide(await journals.served.create(2, "f".repeat(32), AFTER));
  await untouched();
});

test("owners that decided nothing are no obstacle, and half a copy is made anew", async (t) => {
  const journals = await Journals.make(t);
  await journals.endAt(/^shard 1 of 3/);
  const [, second] = await journals.fresh.list();
  const half = await journals.served.create(1, second.id, AFTER);
  const first = await (await journals.fresh.open(1)).read(1);
  assert.ok(first !== null);
  await half.append(first.bytes, 0);
  await claim(half, { node: "n", bootId: "b" }, 1e15, sleep);
  await claim(await journals.served.create(2, "f".repeat(32), AFTER), { node: "n", bootId: "b" }, 1e15, sleep);
  const wanted = await journals.ids(journals.fresh);
  await journals.run();
  await journals.assertDone();
  assert.deepEqual(await journals.ids(journals.served), wanted);
});

test("the old journals grew before anything was changed: it begins anew with what came", async (t) => {
  const journals = await Journals.make(t);
  await journals.endAt(/^shard 0 of 3/);
  // As a run leaves it that was ended right behind the mark: the old journal is still served.
  const old = await journals.served.create(0, OLD_ID, BEFORE);
  await old.append(takeoverFrame(old, { epoch: 1, sequence: 1 }), 0);
  const previous = checksumOf((await old.read(1))?.bytes as Uint8Array);
  await old.append(rowsFrame(old, { epoch: 1, sequence: 2, previous }), 1);
  // So it reads the new frame, which no decider wrote.
  await assert.rejects(journals.run(), /the body ends inside a section/);
  assert.deepEqual(await journals.ids(journals.served), [OLD_ID]);
  assert.equal((await journals.served.list())[0].lastSequence, 2);
});

test("a verified new journal that is missing is no reason to serve fewer", async (t) => {
  const journals = await Journals.make(t);
  await journals.endAt(/^shard 2 of 3/);
  await journals.fresh.remove(2);
  const before = await journals.served.list();
  await assert.rejects(journals.run(), /of 3 verified new journals there are 0, 1; nothing is removed/);
  assert.deepEqual(await journals.served.list(), before);
});
