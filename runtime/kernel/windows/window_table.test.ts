import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OracleActor, type OracleColumns, type OracleEvent } from "../../../chaos/oracle/window_oracle.ts";
import { ByteReader, BytesDamaged, ByteWriter } from "../bytes.ts";
import { LIGHT_EVENTS } from "./summaries.ts";
import { FULL, INSERTED, LATE, type WindowOptions, WindowTable } from "./window_table.ts";

const ACTORS = 3;
const OPTIONS = {
  windows_us: [10, 50, 100, 500, 1000, 3000],
  delayed: { delay_us: 200, windows_us: [100, 500, 1000] },
  retention_us: 3300,
  late_tolerance_us: 300,
  late_events_max: 70,
  ids: true,
  events_max: 1e6,
} satisfies WindowOptions;
const START = 1_790_000_000_000_000;
const COLUMNS = OPTIONS.windows_us.length * 6 + 6;
const DELAYED_AT = OPTIONS.windows_us.length * 6;

function checkColumns(got: Float32Array, want: readonly OracleColumns[], delayed: readonly [number, number][]): void {
  want.forEach((columns, w) => {
    columns.forEach((v, s) => {
      const g = got[w * 6 + s];
      const say = `window ${w} column ${s}: ${g}, the oracle says ${v}`;
      if (s === 3 && v > 0) assert.ok(Math.abs(g - v) <= 1e-6 * v, say);
      else assert.ok(Object.is(g, Math.fround(v)), say);
    });
  });
  delayed.forEach((pair, w) => {
    for (const k of [0, 1]) assert.equal(got[DELAYED_AT + w * 2 + k], Math.fround(pair[k]), `delayed ${w} ${k}`);
  });
}

/** A table beside its oracle; every answer is compared, every change is logged. */
class Pair {
  table: WindowTable;
  readonly oracle = Array.from({ length: ACTORS }, () => new OracleActor(OPTIONS));
  readonly ids: boolean;
  readonly out = new Float32Array(COLUMNS);
  log: ((t: WindowTable) => void)[] = [];
  serial = 0;
  inserted = 0;
  late = 0;
  /** Appends to heavy actors, and to light ones with summaries. */
  heavy = 0;
  summed = 0;

  constructor(ids: boolean, light_events_max: number) {
    this.ids = ids;
    this.table = new WindowTable({ ...OPTIONS, ids, light_events_max });
  }

  change<T>(f: (t: WindowTable) => T): T {
    this.log.push(f);
    return f(this.table);
  }

  append(actor: number, timeUs: number, amount: number, counterparty: number): void {
    const id = ++this.serial;
    const e: OracleEvent = { timeUs, amount, counterparty, id: `7:${id}`, frame: id, reversed: false, fraud: false };
    const before = this.oracle[actor].previousUs(timeUs, e);
    const taken = this.oracle[actor].append(e);
    const got = this.change((t) => t.append(t.slot(1, actor), timeUs, amount, counterparty, 7, id, id));
    assert.equal(got, taken ? INSERTED : LATE);
    if (!taken) {
      this.late++;
      return;
    }
    this.inserted++;
    const slot = this.table.find(1, actor);
    if (this.table.heavyOf(slot) !== null) this.heavy++;
    else if (this.table.count(slot) > 64) this.summed++;
    assert.equal(this.table.wasNew, this.oracle[actor].wasNew(e), "wasNew");
    assert.equal(this.table.newestUs(slot), this.oracle[actor].newestUs);
    assert.equal(this.table.firstSeenUs(slot), this.oracle[actor].firstUs);
    if (before > timeUs - OPTIONS.retention_us / 2) assert.equal(this.table.previousUs(slot, timeUs), before);
    this.query(actor, timeUs);
  }

  query(actor: number, timeUs: number): void {
    // A query may be the first sight of an actor, which is a change like any other.
    const slot = this.change((t) => t.slot(1, actor));
    this.table.query(slot, timeUs, this.out, 0, DELAYED_AT);
    checkColumns(this.out, this.oracle[actor].query(timeUs), this.oracle[actor].queryDelayed(timeUs));
  }

  queryPending(actor: number, timeUs: number, rows: readonly OracleEvent[]): void {
    const pending = {
      n: rows.length,
      timeUs: Float64Array.from(rows, (e) => e.timeUs),
      amount: Float64Array.from(rows, (e) => e.amount),
      counterparty: Uint32Array.from(rows, (e) => e.counterparty),
    };
    this.table.queryPending(this.table.find(1, actor), timeUs, pending, this.out, 0, DELAYED_AT);
    const want = this.oracle[actor].queryPending(timeUs, rows);
    checkColumns(this.out, want.columns, want.delayed);
  }

  /** A held event, well inside the retention. */
  pick(actor: number, n: number): OracleEvent | undefined {
    const o = this.oracle[actor];
    const held = o.events.filter((e) => e.timeUs > o.newestUs - OPTIONS.retention_us);
    return held.length === 0 ? undefined : held[n % held.length];
  }

  setFraud(actor: number, e: OracleEvent, fraud: boolean): void {
    const want = this.oracle[actor].setFraud(e.timeUs, e.counterparty, e.amount, fraud);
    const got = this.change((t) => t.setFraud(t.slot(1, actor), e.timeUs, e.counterparty, e.amount, fraud));
    assert.equal(got, want);
    this.query(actor, this.oracle[actor].newestUs);
  }

  reverse(actor: number, e: OracleEvent, byId: boolean): void {
    if (byId && this.ids) {
      const t = this.table;
      const slot = t.find(1, actor);
      const h = t.findId(slot, 7, e.frame);
      assert.ok(h >= 0, "a held event is found by id");
      assert.deepEqual(
        [t.eventFrame(slot, h), t.eventTimeUs(slot, h), t.eventAmount(slot, h), t.eventCounterparty(slot, h)],
        [e.frame, e.timeUs, e.amount, e.counterparty],
      );
      assert.equal(t.eventReversed(slot, h), e.reversed);
      e.reversed = true;
      this.change((x) => x.reverse(x.slot(1, actor), x.findId(x.slot(1, actor), 7, e.frame)));
      assert.equal(t.findId(slot, 8, e.frame), -1);
    } else {
      assert.ok(this.oracle[actor].reverseMatching(e.timeUs, e.counterparty, e.amount));
      assert.ok(this.change((t) => t.reverseMatching(t.slot(1, actor), e.timeUs, e.counterparty, e.amount)));
    }
    this.query(actor, this.oracle[actor].newestUs);
  }
}

/** A failure is shrunk at most so long; a run that does not end in it fails. */
const LIMIT = { interruptAfterTimeLimit: 120_000, markInterruptAsFailure: true };
const text = (t: WindowTable) => [...t.exportLines((c) => `c${c}`)].join("");
const AMOUNTS = [Number.NaN, 0, 499, 499, 1250, 99_999_999_999, 99_999_999_998, 1e11, 4194304, 94906266];

function nextTime(o: OracleActor, how: number, n: number, pace: number): number {
  const newest = o.newestUs > 0 ? o.newestUs : START;
  if (how < 50) return newest + (n % pace);
  if (how < 62) return newest;
  if (how < 80) return newest - (n % (pace * 4));
  if (how < 95) return newest - (n % 330);
  return newest + (n % 900);
}

/** One command: what (0..99), and numbers that say with what. */
type Command = [number, number, number, number, number];

function run(p: Pair, [what, a, b, c, d]: Command, pace: number, kinds: number): void {
  const actor = a % 10 < 7 ? 0 : a % ACTORS;
  const o = p.oracle[actor];
  const now = o.newestUs > 0 ? o.newestUs : START;
  const amount = b % 3 === 0 ? b % 100_000 : AMOUNTS[b % AMOUNTS.length];
  if (what < 78) {
    p.append(actor, nextTime(o, d % 100, c, pace), amount, a % kinds);
    return;
  }
  const e = p.pick(actor, b);
  if (what < 82) {
    if (e) p.setFraud(actor, e, c % 3 !== 0);
  } else if (what < 87) {
    if (e) p.reverse(actor, e, c % 2 === 0);
  } else if (what < 92) {
    let x = c;
    const rows = Array.from({ length: d % 90 }, () => {
      x = (x * 1103515245 + 12345) % 2147483648;
      const timeUs = now + (x % 3 === 0 ? -(x % 330) : x % 60);
      const pays = AMOUNTS[x % AMOUNTS.length];
      return { timeUs, amount: pays, counterparty: (x >> 4) % kinds, id: "", frame: 0, reversed: false, fraud: false };
    });
    p.queryPending(actor, now + (b % 120) - 40, rows);
  } else if (what < 98) p.query(actor, now + (b % 700) - 300);
  else if (what === 98) p.append(actor, now + 1000 + (c % 2500), amount, a % kinds);
  else p.append(actor, now + 4000 + (c % 9000), amount, a % kinds);
}

const number = fc.integer({ min: 0, max: 1 << 30 });
const command: fc.Arbitrary<Command> = fc.tuple(fc.integer({ min: 0, max: 99 }), number, number, number, number);
/** Events up to which an actor is light: none of a run's actors is heavy, some are, most are. */
const lightMax = fc.constantFrom(LIGHT_EVENTS, 64, 20);
const commands = (max: number) => fc.array(command, { minLength: 1, maxLength: max, size: "max" });

test("every answer equals the oracle: ties, late, no amount, reversals, frauds, gaps, pending; light, heavy", () => {
  let inserted = 0;
  let late = 0;
  let heavy = 0;
  let summed = 0;
  fc.assert(
    fc.property(
      commands(700),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      lightMax,
      (list, pace, kinds, ids, light) => {
        const p = new Pair(ids, light);
        for (const c of list) run(p, c, pace, kinds);
        inserted += p.inserted;
        late += p.late;
        heavy += p.heavy;
        summed += p.summed;
      },
    ),
    { numRuns: 120, ...LIMIT },
  );
  assert.ok(inserted > 5000 && late > 50, `${inserted} inserted, ${late} late`);
  assert.ok(heavy > 2000 && summed > 200, `${heavy} appends to heavy actors, ${summed} to light ones with summaries`);
});

test("a dense actor with thousands of events: whole chunks move in and out, both ways", () => {
  const options = { ...OPTIONS, late_events_max: 500, late_tolerance_us: 700, retention_us: 4000 };
  fc.assert(
    fc.property(fc.array(number, { minLength: 300, maxLength: 300 }), fc.boolean(), (list, ids) => {
      const t = new WindowTable({ ...options, ids });
      const o = new OracleActor(options);
      const out = new Float32Array(COLUMNS);
      const slot = t.slot(5, 5);
      let time = START;
      let x = 1;
      list.forEach((n, k) => {
        for (let i = 0; i < 12; i++) {
          x = (Math.imul(x, 1103515245) + n + 12345) & 0x3fffffff;
          const late = x % 40 === 0 ? (x >> 8) % 600 : 0;
          const timeUs = time - late;
          const amount = x % 11 === 0 ? Number.NaN : (x >> 5) % (k % 2 === 0 ? 1e9 : 50);
          const e = { timeUs, amount, counterparty: (x >> 7) % 300, id: "", frame: 0, reversed: false, fraud: false };
          const taken = o.append(e);
          assert.equal(t.append(slot, timeUs, amount, e.counterparty, 1, x | 1, 0), taken ? INSERTED : LATE);
          if (taken) assert.equal(t.wasNew, o.wasNew(e));
          time += (x >> 9) % 3;
        }
        // The table has dropped what the appends put out of its retention: no label finds that any more.
        const held = o.events.filter((e) => e.timeUs > o.newestUs - options.retention_us);
        o.events.splice(0, o.events.length, ...held);
        if (n % 29 === 0) time += n % 1200;
        if (n % 3 === 0 && o.events.length > 0) {
          const e = o.events[o.events.length - 1 - (n % Math.min(o.events.length, 400))];
          if (n % 2 === 0)
            assert.equal(
              t.setFraud(slot, e.timeUs, e.counterparty, e.amount, n % 4 === 0),
              o.setFraud(e.timeUs, e.counterparty, e.amount, n % 4 === 0),
            );
          else
            assert.equal(
              t.reverseMatching(slot, e.timeUs, e.counterparty, e.amount),
              o.reverseMatching(e.timeUs, e.counterparty, e.amount),
            );
        }
        const at = time - (n % 5 === 0 ? n % 700 : 0);
        t.query(slot, at, out, 0, DELAYED_AT);
        checkColumns(out, o.query(at), o.queryDelayed(at));
        o.events.splice(
          0,
          Math.max(
            0,
            o.events.findIndex((e) => e.timeUs > o.newestUs - options.retention_us),
          ),
        );
      });
    }),
    { numRuns: 12, ...LIMIT },
  );
});

test("a snapshot cut at any moment shows that moment, and the loaded table goes on exactly as the live one", () => {
  fc.assert(
    fc.property(
      commands(400),
      commands(250),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 40 }),
      lightMax,
      lightMax,
      (before, after, pace, kinds, light, lightLoaded) => {
        const p = new Pair(true, light);
        for (const c of before) run(p, c, pace, kinds);
        const atCut = text(p.table);
        const extras = new Map<string, number>();
        const name = (t: WindowTable, slot: number) => `${t.keyHi(slot)}:${t.keyLo(slot)}`;
        for (let s = 0; s < p.table.actors; s++) extras.set(name(p.table, s), s + 1);
        const extrasAtCut = new Map(extras);
        p.table.beginSnapshot((slot, w) => w.u32(extras.get(name(p.table, slot))!));
        p.log = [];
        const w = new ByteWriter();
        let whole = false;
        for (const c of after) {
          if (c[0] % 5 === 0 && p.table.actors > 0) {
            const slot = c[1] % p.table.actors;
            p.table.touch(slot);
            extras.set(name(p.table, slot), c[2]);
          }
          if (!whole && c[1] % 3 === 0) whole = p.table.snapshotStep(w, 700);
          run(p, c, pace, kinds);
        }
        while (!whole) whole = p.table.snapshotStep(w, 700);
        const loaded = new WindowTable({ ...OPTIONS, light_events_max: lightLoaded });
        const got = new Map<string, number>();
        loaded.load(new ByteReader(w.view()), (slot, r) => got.set(name(loaded, slot), r.u32()));
        assert.equal(text(loaded), atCut);
        assert.deepEqual([...got].sort(), [...extrasAtCut].sort());
        for (const change of p.log) change(loaded);
        assert.equal(text(loaded), text(p.table));
        assert.equal(loaded.events, p.table.events);
        const a = new Float32Array(COLUMNS);
        for (let actor = 0; actor < ACTORS; actor++) {
          for (const back of [0, 7, 150]) {
            const t = p.oracle[actor].newestUs - back;
            if (!(t > 0)) continue;
            p.table.query(p.table.slot(1, actor), t, p.out, 0, DELAYED_AT);
            loaded.query(loaded.slot(1, actor), t, a, 0, DELAYED_AT);
            assert.deepEqual(new Uint32Array(a.buffer), new Uint32Array(p.out.buffer), "the same bits");
          }
        }
      },
    ),
    { numRuns: 80, ...LIMIT },
  );
});

test("a damaged, cut or foreign snapshot is refused", () => {
  const p = new Pair(true, 64);
  for (let i = 0; i < 200; i++) p.append(i % ACTORS, START + i, i, i % 9);
  p.table.beginSnapshot();
  const w = new ByteWriter();
  while (!p.table.snapshotStep(w, 500));
  for (const cut of [0, 5, 100, w.length - 1]) {
    assert.throws(() => new WindowTable(OPTIONS).load(new ByteReader(w.view(), 0, cut)), BytesDamaged);
  }
  assert.throws(() => new WindowTable({ ...OPTIONS, ids: false }).load(new ByteReader(w.view())), BytesDamaged);
  assert.throws(() => p.table.load(new ByteReader(w.view())), RangeError);
  const parts = new WindowTable(OPTIONS);
  p.table.beginSnapshot();
  for (let whole = false; !whole; ) {
    w.reset();
    const last = p.table.snapshotStep(w, 300);
    whole = parts.loadPart(new ByteReader(w.view()));
    assert.equal(whole, last);
  }
  assert.equal(text(parts), text(p.table));
});

test("one actor, 30,000 events, most at equal times; then silence; then one more", () => {
  const t = new WindowTable({ ...OPTIONS, windows_us: [1e6, 60e6], retention_us: 61e6, late_events_max: 4096 });
  const slot = t.slot(0, 1);
  const out = new Float32Array(18);
  for (let i = 0; i < 30_000; i++) {
    assert.equal(t.append(slot, START + Math.floor(i / 10_000), i % 1000, i % 5000, 1, i + 1, 0), INSERTED);
  }
  t.query(slot, START + 2, out, 0, 12);
  assert.deepEqual([out[0], out[4], out[5]], [30_000, 999, 5000]);
  assert.equal(t.findId(slot, 1, 1) >= 0, true);
  assert.equal(t.append(slot, START + 1, 5, 1, 1, 70_000, 0), LATE);
  t.append(slot, START + 70e6, 12, 3, 1, 80_000, 0);
  t.query(slot, START + 70e6, out, 0, 12);
  assert.deepEqual([...out.subarray(0, 6)], [1, 12, 12, 0, 12, 1]);
  for (let i = 1; i < 600; i++) t.append(slot, START + 70e6 + i, 12, 3, 1, 80_000 + i, 0);
  assert.equal(t.events, 600);
  assert.equal(t.findId(slot, 1, 1), -1);
});

test("a full table says so, drops first, and bad numbers are refused", () => {
  const t = new WindowTable({ ...OPTIONS, events_max: 10 });
  const slot = t.slot(0, 1);
  for (let i = 0; i < 10; i++) t.append(slot, START + i, 1, 1, 0, 0, 0);
  assert.equal(t.append(t.slot(0, 2), START + 11, 1, 1, 0, 0, 0), FULL);
  assert.equal(t.count(t.find(0, 2)), 0);
  assert.equal(t.append(slot, START + 10_000, 1, 1, 0, 0, 0), INSERTED);
  assert.equal(t.events, 1);
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 52]) assert.throws(() => t.append(slot, bad, 1, 1, 0, 0, 0), RangeError);
  for (const bad of [-1, 0.5, 2 ** 40]) assert.throws(() => t.append(slot, START, bad, 1, 0, 0, 0), RangeError);
  assert.throws(() => new WindowTable({ ...OPTIONS, retention_us: 3299 }), /retention_us/);
  assert.throws(() => new WindowTable({ ...OPTIONS, windows_us: [5, 5] }), /windows_us/);
});

test("ids are found through all actors, in slices; quiet actors are freed", () => {
  const t = new WindowTable(OPTIONS);
  for (let i = 0; i < 500; i++) t.append(t.slot(9, i), START + i, 1, 1, 3, i + 1, i);
  const cursor = { slot: 0 };
  let found = -1;
  let calls = 0;
  for (; found < 0 && cursor.slot < t.actors; calls++) found = t.scanIds(3, 400, cursor, 100);
  assert.equal(t.keyLo(found), 399);
  assert.equal(calls, 4);
  assert.equal(t.scanIds(3, 400, cursor, 1000), -1);
  assert.equal(cursor.slot, t.actors);
  cursor.slot = 0;
  t.expire(START + 249, cursor, 1000);
  assert.equal(t.events, 250);
  assert.equal(t.newestUs(0), START);
});

test("what a full table sheds leaves no trace; what drops as much as it adds finds room", () => {
  const shedding = new WindowTable({ ...OPTIONS, events_max: 20 });
  const plain = new WindowTable({ ...OPTIONS, events_max: 1000 });
  const tables = [shedding, plain];
  const append = (t: WindowTable, time: number, id: number): number =>
    t.append(t.slot(1, id % 2), time, 10, 1, 7, id, id);
  const text = (t: WindowTable): string => [...t.exportLines(String)].join("\n");
  for (let id = 1; id <= 30; id++) {
    // A table that gets committed rows is above its limit, as one that users come back into.
    shedding.isUnbounded = id > 20;
    for (const t of tables) assert.equal(append(t, START + id * 10, id), INSERTED);
  }
  shedding.isUnbounded = false;
  assert.equal(append(shedding, START + 900, 40), FULL);
  assert.equal(text(shedding), text(plain));
  // As much later that events of its actor are older than the retention.
  for (const t of tables) assert.equal(append(t, START + 3500, 42), INSERTED);
  assert.equal(text(shedding), text(plain));
  assert.ok(shedding.events < 30, "it dropped some");
});
