import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OracleActor, type OracleEvent } from "../../../chaos/oracle/window_oracle.ts";
import { ByteReader, ByteWriter } from "../bytes.ts";
import { CodedKeys, NOWHERE } from "../coded_keys.ts";
import { Interner } from "../interner.ts";
import { MemoryPassive } from "../testkit/memory_passive.ts";
import { type ActorExtras, PassiveActors } from "./passive_actors.ts";
import { PassiveRecordLost } from "./passive_log.ts";
import { type WindowOptions, WindowTable } from "./window_table.ts";

const OPTIONS = {
  windows_us: [10, 100, 1000, 3000],
  retention_us: 3300,
  late_tolerance_us: 300,
  late_events_max: 70,
  light_events_max: 40,
  ids: true,
  events_max: 1e6,
} satisfies WindowOptions;
const START = 1_790_000_000_000_000;
const COLUMNS = OPTIONS.windows_us.length * 6;
const USERS = 14;
const USERS_MAX = 4;

/** One number an actor: how often it was seen. */
class Seen implements ActorExtras {
  readonly seen: number[] = [];
  readonly used: boolean[] = [];

  write(slot: number, w: ByteWriter): void {
    w.u32(this.seen[slot] ?? 0);
  }

  read(slot: number, r: ByteReader): void {
    this.seen[slot] = r.u32();
  }

  release(slot: number): void {
    this.seen[slot] = 0;
    this.used[slot] = false;
  }

  refer(slot: number): void {
    this.used[slot] = true;
  }

  takeReferred(slot: number): boolean {
    const used = this.used[slot] === true;
    this.used[slot] = false;
    return used;
  }
}

/** A table whose actors come and go, as a shard has it. */
class Coming {
  readonly interner = new Interner();
  readonly keys = new CodedKeys(this.interner);
  readonly table: WindowTable;
  readonly extras = new Seen();
  readonly store = new MemoryPassive();
  readonly passive: PassiveActors;

  constructor(clean_bytes_min = 0, events_max = OPTIONS.events_max, actors_max = USERS_MAX) {
    this.table = new WindowTable({ ...OPTIONS, events_max }, this.keys);
    const limits = { actors_max, events_max: 150, clean_bytes_min };
    this.passive = new PassiveActors(this.table, this.keys, this.extras, this.store, limits);
  }

  slot(user: number): number {
    const known = this.passive.recallNow(1, user);
    const slot = known >= 0 ? known : this.table.slot(1, user);
    this.table.touch(slot);
    this.extras.refer(slot);
    this.extras.seen[slot] = (this.extras.seen[slot] ?? 0) + 1;
    return slot;
  }

  text(): string {
    return [...this.table.exportLines((c) => `c${c}`)].join("");
  }

  load(bytes: Uint8Array): void {
    for (let user = 0; user < USERS; user++) this.interner.code(1, user);
    this.table.load(new ByteReader(bytes), (slot, r) => this.extras.read(slot, r));
  }

  counts(): number[] {
    return Array.from({ length: USERS }, (_, user) => {
      const slot = Math.max(this.passive.recallNow(1, user), this.table.find(1, user));
      return slot < 0 ? 0 : this.extras.seen[slot];
    });
  }
}

/** The table that comes and goes beside one that keeps all, and the oracle. */
class Pair {
  readonly coming = new Coming();
  readonly plain = new WindowTable(OPTIONS);
  readonly oracle = Array.from({ length: USERS }, () => new OracleActor(OPTIONS));
  readonly seen = new Array<number>(USERS).fill(0);
  readonly out = [new Float32Array(COLUMNS), new Float32Array(COLUMNS)];
  serial = 0;
  #snapshot: { readonly w: ByteWriter; readonly text: string; readonly seen: readonly number[] } | null = null;
  snapshots = 0;
  now = START;

  append(user: number, late: number, amount: number, counterparty: number): void {
    const id = ++this.serial;
    const timeUs = this.now - late;
    const e: OracleEvent = { timeUs, amount, counterparty, id: `7:${id}`, frame: id, reversed: false, fraud: false };
    const taken = this.oracle[user].append(e);
    this.seen[user]++;
    const slots = [this.coming.slot(user), this.plain.slot(1, user)];
    const results = [this.coming.table, this.plain].map((t, i) => {
      const result = t.append(slots[i], timeUs, amount, counterparty, 7, id, id);
      t.query(slots[i], timeUs, this.out[i], 0, -1);
      return [result, t.wasNew, t.previousUs(slots[i], timeUs), t.count(slots[i])];
    });
    assert.deepEqual(results[0], results[1]);
    assert.equal(results[0][0], taken ? 0 : 1);
    assert.deepEqual(this.out[0], this.out[1], "columns");
    if (taken) assert.equal(this.out[0][COLUMNS - 6], this.oracle[user].query(timeUs)[3][0], "the oracle's count");
  }

  /** Finds an event by its id without bringing its user back, and takes it out of the windows. */
  reverse(user: number, n: number): void {
    const o = this.oracle[user];
    const held = o.events.filter((e) => e.timeUs > o.newestUs - OPTIONS.retention_us);
    if (held.length === 0) return;
    const e = held[n % held.length];
    const code = this.coming.interner.find(1, user);
    if (this.coming.keys.at(code) < NOWHERE) {
      assert.equal(this.coming.passive.findFrame(code, 7, e.frame), e.frame);
      assert.equal(this.coming.passive.findFrame(code, 8, e.frame), 0);
    }
    e.reversed = true;
    this.seen[user]++;
    const slots = [this.coming.slot(user), this.plain.slot(1, user)];
    [this.coming.table, this.plain].forEach((t, i) => {
      t.reverse(slots[i], t.findId(slots[i], 7, e.frame));
    });
  }

  snapshotStep(bytes: number): void {
    const { table, extras } = this.coming;
    if (this.#snapshot === null) {
      this.#snapshot = { w: new ByteWriter(), text: this.coming.text(), seen: [...this.seen] };
      table.beginSnapshot((slot, w) => extras.write(slot, w));
    }
    const { w, text, seen } = this.#snapshot;
    if (!table.snapshotStep(w, bytes)) return;
    this.#snapshot = null;
    this.snapshots++;
    const loaded = new Coming();
    loaded.load(w.view());
    assert.ok(loaded.table.actors <= USERS_MAX || loaded.passive.recalled > 0, "loaded within the limit");
    assert.equal(loaded.text(), text, "the snapshot is the state at its cut");
    assert.deepEqual(loaded.counts(), seen);
    const plain = new WindowTable(OPTIONS);
    plain.load(new ByteReader(w.copy()));
    assert.equal([...plain.exportLines((c) => `c${c}`)].join(""), text);
  }

  compare(): void {
    assert.equal(this.coming.text(), [...this.plain.exportLines((c) => `c${c}`)].join(""));
    assert.equal(this.coming.table.events + this.coming.passive.events, this.plain.events);
    assert.equal(this.coming.table.actors + this.coming.passive.actors, this.plain.actors);
  }
}

const number = fc.integer({ min: 0, max: 1 << 30 });
type Command = [number, number, number, number];
const commands = fc.array(fc.tuple(fc.integer({ min: 0, max: 99 }), number, number, number), {
  minLength: 50,
  maxLength: 500,
  size: "max",
});

async function run(p: Pair, [what, a, b, c]: Command): Promise<void> {
  // A few users have most of the events, so that some are heavy and some have none.
  const user = a % 3 === 0 ? a % USERS : a % 5;
  if (what < 55) {
    p.now += b % 40;
    const late = c % 7 === 0 ? c % 350 : 0;
    p.append(user, late, c % 5 === 0 ? Number.NaN : c % 1000, b % 9);
  } else if (what < 62) p.reverse(user, c);
  else if (what < 80) p.coming.passive.step(b % 30);
  else if (what < 92) p.snapshotStep(1 + (c % 900));
  else if (what < 98) {
    const codes = [a, b, c, a].map((n) => p.coming.interner.find(1, n % USERS)).filter((code) => code >= 0);
    const before = p.coming.passive.recalledNow;
    await p.coming.passive.recall(codes);
    for (const code of codes) assert.ok(p.coming.keys.at(code) >= 0, "recalled");
    assert.equal(p.coming.passive.recalledNow, before);
  } else p.now += 2000 + (c % 3000);
}

test("a table whose actors come and go answers as one that keeps all; snapshots are exact", async () => {
  const total = { left: 0, recalled: 0, snapshots: 0, cleaned: 0 };
  await fc.assert(
    fc.asyncProperty(commands, async (list) => {
      const p = new Pair();
      for (const c of list) {
        await run(p, c);
        if (c[0] === 79) p.compare();
      }
      p.compare();
      assert.deepEqual(p.coming.counts(), p.seen);
      total.left += p.coming.passive.left;
      total.recalled += p.coming.passive.recalled;
      total.snapshots += p.snapshots;
      total.cleaned += p.coming.store.end - p.coming.store.kept;
    }),
    { numRuns: 80, interruptAfterTimeLimit: 100_000, markInterruptAsFailure: true },
  );
  assert.ok(total.left > 3000 && total.recalled > 2000, JSON.stringify(total));
  assert.ok(total.snapshots > 200 && total.cleaned > 100_000, JSON.stringify(total));
});

/** Users with an event each, all but USERS_MAX of them passive. */
function crowd(users: number, clean_bytes_min = 0): Coming {
  const c = new Coming(clean_bytes_min);
  for (let i = 0; i < users; i++) {
    c.table.append(c.slot(i), START + i, 10, 1, 7, i + 1, i);
    c.passive.step(20);
  }
  for (let i = 0; i < 20; i++) c.passive.step(100);
  return c;
}

test("the hand spares who is used, keeps to the limit, and slots are used again", () => {
  const c = crowd(300);
  assert.equal(c.table.actors, USERS_MAX);
  assert.equal(c.passive.actors, 300 - USERS_MAX);
  assert.ok(c.keys.size <= USERS_MAX + 40, `${c.keys.size} slots for ${USERS_MAX} actors`);
  const slot = c.slot(7);
  for (let i = 300; i < 340; i++) {
    c.table.append(c.slot(i), START + i, 10, 1, 7, i + 1, i);
    c.extras.refer(slot);
    c.passive.step(1);
    assert.equal(c.table.find(1, 7), slot, "a hot actor stays");
  }
});

test("the log is cleaned when more than half of it stands for nobody, and what stands is still found", async () => {
  const c = crowd(400);
  const before = c.store.kept;
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 400; i++) {
      c.table.append(c.slot(i), START + 1000 * round + i, 10, 1, 7, 1000 * round + i + 1, i);
      c.passive.step(4);
      if (i % 8 === 0) await Promise.resolve();
    }
  }
  assert.ok(c.store.end > 5 * before, "much was written");
  assert.ok(c.store.kept < 4 * before, `${c.store.kept} bytes kept, ${before} before`);
  assert.equal(
    c
      .text()
      .split("\n")
      .filter((line) => !line.startsWith(" ")).length,
    401,
  );
});

test("where all are used all the time, some leave when little room for events is left", () => {
  const users = 100;
  const c = new Coming(0, 200, users);
  for (let i = 0; i < 600; i++) {
    c.table.append(c.slot(i % users), START + i, 10, 1, 7, i + 1, i);
    for (let slot = 0; slot < c.keys.size; slot++) c.extras.refer(slot);
    c.passive.step(1);
    if (i < 175) assert.equal(c.passive.left, 0, "spared while there is room");
    assert.ok(c.table.events < 200, `${c.table.events} events`);
  }
  assert.equal(c.table.events + c.passive.events, 600);
});

test("a log that grows fast is cleaned as fast", async () => {
  const c = new Coming();
  let serial = 0;
  // Records of some 20 KB: far more leaves between two steps than the least that is cleaned.
  const round = async (events: number): Promise<void> => {
    for (let user = 0; user < USERS; user++) {
      for (let i = 0; i < events; i++) c.table.append(c.slot(user), START, 10, 1, 7, ++serial, 1);
      if (user % 4 !== 3) continue;
      for (let i = 0; i < 3; i++) c.passive.step(30);
      await new Promise(setImmediate);
    }
  };
  await round(700);
  const live = c.store.kept;
  assert.ok(live > 200_000);
  for (let i = 0; i < 60; i++) {
    await round(1);
    assert.ok(c.store.kept < 5 * live, `${c.store.kept} bytes kept in round ${i}, ${live} live`);
  }
  assert.ok(c.store.end > 20 * live, "much was written");
});

test("a damaged record is never an actor: every flipped bit is told", async () => {
  let told = 0;
  let tried = 0;
  for (let bit = 0; bit < 3000; bit += 7, tried++) {
    const c = crowd(30, 1e9);
    const codes = Array.from({ length: 30 }, (_, i) => i);
    const whole = c.text();
    c.store.damage(bit);
    let lost = false;
    try {
      await c.passive.recall(codes);
    } catch (error) {
      assert.ok(error instanceof PassiveRecordLost, String(error));
      lost = true;
      told++;
    }
    // The bytes between two records stand for nothing.
    if (!lost) assert.equal(c.text(), whole);
  }
  assert.ok(told > 0.9 * tried, `${told} of ${tried} told`);
});

test("a read that fails is told, also when the next ones would do", async () => {
  const c = crowd(30);
  const failing = c.store.read.bind(c.store);
  let reads = 0;
  c.store.read = (offset, length) => (++reads === 3 ? Promise.reject(new Error("EIO")) : failing(offset, length));
  await assert.rejects(c.passive.recall(Array.from({ length: 26 }, (_, i) => i)), PassiveRecordLost);
});
