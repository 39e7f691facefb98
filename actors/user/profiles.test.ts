/** Profiles against a plain list of each user's payments, written from the definitions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteReader, BytesDamaged, ByteWriter } from "../../runtime/kernel/bytes.ts";
import { PROFILE_COLUMNS, UserProfiles } from "./profiles.ts";

interface Payment {
  readonly user: number;
  readonly amount: number;
  readonly timeUs: number;
  readonly localUs: number;
  readonly category: number;
  readonly country: number;
  readonly device: number;
}

const DAY = 86_400e6;
const START = 1_700_000_000e6;

const nan = Number.NaN;
const or = (known: boolean, value: () => number): number => (known ? value() : nan);

/** The usual amounts of a list, and of each of its payments its ratio to the mean of those before it. */
function usual(list: readonly Payment[]): { amounts: number[]; ratios: number[] } {
  const amounts: number[] = [];
  const ratios = list.map(({ amount }) => {
    if (Number.isNaN(amount)) return nan;
    const mean = amounts.reduce((s, a) => s + a, 0) / amounts.length;
    const ratio = amounts.length > 0 && mean > 0 ? amount / mean : nan;
    if (amounts.length < 2 || !(ratio > 3)) amounts.push(amount);
    return ratio;
  });
  return { amounts, ratios };
}

function newestCodes(codes: readonly number[], length: number): number[] {
  const seen = [...codes].reverse().filter((c) => c !== 0);
  return [...new Set(seen)].slice(0, length);
}

function isNew(list: readonly Payment[], of: (p: Payment) => number, now: number, length: number): number {
  const held = newestCodes(list.map(of), length);
  return or(now !== 0 && held.length > 0, () => (held.includes(now) ? 0 : 1));
}

/** Tallies as they are halved on the way. */
function share(list: readonly Payment[], bins: number, bin: (p: Payment) => number, now: number): number {
  const tally = new Array<number>(bins).fill(0);
  for (const p of list) {
    if (tally[bin(p)] === 255) for (let i = 0; i < bins; i++) tally[i] = Math.floor(tally[i] / 2);
    tally[bin(p)]++;
  }
  return tally[now] / tally.reduce((s, n) => s + n, 0);
}

const hourBin = (p: Payment): number => Math.floor(new Date(p.localUs / 1000).getUTCHours() / 2);
const weekday = (p: Payment): number => (new Date(p.localUs / 1000).getUTCDay() + 6) % 7;

function highColumns(list: readonly Payment[], ratios: readonly number[], timeUs: number): number[] {
  const held = list.map((p, i) => ({ age: timeUs - p.timeUs, ratio: Math.fround(ratios[i]), of: ratios[i] }));
  const high = held.filter((h) => h.of > 2.2).slice(-16);
  const within = (days: number) => high.filter((h) => h.age >= 0 && h.age < days * DAY);
  const sum = (days: number) => within(days).reduce((s, h) => s + h.ratio, 0);
  const ages = within(28).map((h) => h.age / 1e6);
  const far = (f: (...ages: number[]) => number) => or(ages.length > 0, () => f(...ages));
  return [within(3).length, within(7).length, within(28).length, sum(7), sum(28), far(Math.min), far(Math.max)];
}

function expected(list: readonly Payment[], x: Payment): number[] {
  if (list.length === 0) return new Array<number>(PROFILE_COLUMNS).fill(nan);
  const { amounts, ratios } = usual(list);
  const n = amounts.length;
  const mean = or(n > 0, () => amounts.reduce((s, a) => s + a, 0) / n);
  const variance = amounts.reduce((s, a) => s + (a - mean) ** 2, 0) / n;
  const deviation = or(n >= 2, () => Math.sqrt(variance));
  const max = or(n > 0, () => Math.max(...amounts));
  const last = list.at(-1) as Payment;
  // Payments that came late stand in the order of their times; of gaps only those forward count.
  const times = list.map((p) => p.timeUs);
  const [newest, second] = [...times].sort((a, b) => b - a);
  const gaps = times.flatMap((t, i) => {
    const before = Math.max(...times.slice(0, i));
    return i > 0 && t >= before ? [t - before] : [];
  });
  const gap = gaps.reduce((s, g) => s + g, 0) / gaps.length;
  const judged = ratios.filter((_, i) => !Number.isNaN(list[i].amount));
  const firstBig = [...judged].reverse().findIndex((r) => !(r < 0.5));
  return [
    mean,
    deviation,
    max,
    or(mean > 0, () => x.amount / mean),
    or(deviation > 0, () => (x.amount - mean) / deviation),
    or(max > 0, () => x.amount / max),
    ...highColumns(list, ratios, x.timeUs),
    last.amount,
    or(last.amount > 0, () => x.amount / last.amount),
    or(list.length > 1 && x.timeUs >= second, () => (x.timeUs - second) / 1e6),
    or(gaps.length > 0 && gap > 0 && x.timeUs >= newest, () => (x.timeUs - newest) / gap),
    firstBig < 0 ? judged.length : firstBig,
    share(list, 12, hourBin, hourBin(x)),
    share(list, 7, weekday, weekday(x)),
    isNew(list, (p) => p.category, x.category, 8),
    isNew(list, (p) => p.country, x.country, 4),
    isNew(list, (p) => p.device, x.device, 4),
  ];
}

const code = fc.integer({ min: 0, max: 11 });
const payment = fc.record({
  user: fc.integer({ min: 0, max: 2 }),
  amount: fc.oneof(fc.constantFrom(0, 100, 250, 1e11, nan), fc.integer({ min: 1, max: 2000 })),
  step: fc.oneof(fc.constantFrom(0, 60e6, DAY, 3 * DAY, -3600e6), fc.integer({ min: 0, max: 2e11 })),
  zone_h: fc.integer({ min: -12, max: 12 }),
  category: code,
  country: code,
  device: fc.oneof(code, fc.constant(0xffffffff)),
});

function payments(rows: readonly (typeof payment extends fc.Arbitrary<infer T> ? T : never)[]): Payment[] {
  let now = START;
  return rows.map(({ step, zone_h, ...p }) => {
    const timeUs = now + step;
    now = Math.max(now, timeUs);
    return { ...p, timeUs, localUs: timeUs + zone_h * 3600e6 };
  });
}

function told(profiles: UserProfiles, p: Payment): UserProfiles {
  profiles.ensure(p.user);
  const { amount, timeUs, localUs, category, country, device } = p;
  return Object.assign(profiles, { amount, timeUs, localUs, category, country, device });
}

function columnsOf(profiles: UserProfiles, p: Payment): Float32Array {
  const m = new Float32Array(PROFILE_COLUMNS + 2).fill(-7);
  told(profiles, p).columns(p.user, m, 1);
  assert.deepEqual([m[0], m.at(-1)], [-7, -7], "nothing else is written");
  return m.slice(1, -1);
}

function near(got: number, want: number, what: string): void {
  if (Object.is(got, Math.fround(want)) || (got === 0 && want === 0)) return;
  // Deviations of equal amounts are rounding: against the amounts' size.
  assert.ok(Math.abs(got - want) <= 2e-5 * Math.max(1, Math.abs(want)), `${what}: ${got}, expected ${want}`);
}

const moved = (from: UserProfiles, slot: number, into: UserProfiles): void => {
  const w = new ByteWriter();
  from.write(slot, w);
  into.ensure(slot);
  const r = new ByteReader(w.copy());
  into.read(slot, r);
  assert.equal(r.left, 0);
};

test("property: columns are those of a plain list, whatever came late, and go on the same when read back", () => {
  fc.assert(
    fc.property(fc.array(payment, { maxLength: 80 }), fc.nat({ max: 80 }), (rows, moveAt) => {
      let profiles = new UserProfiles();
      const all: Payment[] = [];
      for (const p of payments(rows)) {
        if (all.length === moveAt) {
          const other = new UserProfiles();
          for (const slot of new Set(all.map((x) => x.user))) moved(profiles, slot, other);
          profiles = other;
        }
        const before = all.filter((x) => x.user === p.user);
        const got = columnsOf(profiles, p);
        // A spread of amounts up to 1e11 loses what is small beside it.
        const isHuge = before.some((x) => x.amount === 1e11) || p.amount === 1e11;
        expected(before, p).forEach((want, c) => {
          if (!isHuge || (c !== 1 && c !== 4)) near(got[c], want, `column ${c}`);
        });
        const { ratios } = usual([...before, p]);
        assert.equal(told(profiles, p).fold(p.user), (ratios.at(-1) as number) > 2.2);
        all.push(p);
      }
    }),
    { numRuns: 300 },
  );
});

test("by hand: a user who pays 100 three times, then 700, then 60", () => {
  const profiles = new UserProfiles();
  const at = (amount: number, hours: number): Payment => {
    const timeUs = START + hours * 3600e6;
    return { user: 0, amount, timeUs, localUs: timeUs, category: 5, country: 1, device: 9 };
  };
  for (const [i, amount] of [100, 100, 100].entries()) told(profiles, at(amount, i)).fold(0);
  const seven = columnsOf(profiles, at(700, 3));
  assert.deepEqual([...seven.subarray(0, 6)], [100, 0, 100, 7, nan, 7]);
  assert.equal(told(profiles, at(700, 3)).fold(0), true);
  const now = columnsOf(profiles, { ...at(60, 27), category: 6, device: 0 });
  assert.deepEqual([...now.subarray(0, 6)], [100, 0, 100, Math.fround(0.6), nan, Math.fround(0.6)], "700 is no habit");
  assert.deepEqual([...now.subarray(6, 13)], [1, 1, 1, 7, 7, 86400, 86400]);
  assert.deepEqual([...now.subarray(13, 18)], [700, Math.fround(60 / 700), 25 * 3600, 24, 0]);
  assert.deepEqual([...now.subarray(20)], [1, 0, nan]);
});

test("of twenty high payments the newest sixteen count, for less than 28 days", () => {
  const profiles = new UserProfiles();
  const at = (amount: number, day: number): Payment => {
    const timeUs = START + day * DAY;
    return { user: 0, amount, timeUs, localUs: timeUs, category: 1, country: 1, device: 1 };
  };
  for (let day = 0; day < 3; day++) told(profiles, at(100, day)).fold(0);
  for (let day = 10; day < 30; day++) assert.ok(told(profiles, at(100 * day, day)).fold(0));
  // Those of days 14 to 29 are held, of ratios 14 to 29.
  const sum = (from: number, to: number) => ((from + to) * (to - from + 1)) / 2;
  const high = (day: number) => [...columnsOf(profiles, at(100, day)).subarray(6, 13)];
  assert.deepEqual(high(30), [2, 6, 16, sum(24, 29), sum(14, 29), 86400, 16 * 86400]);
  assert.deepEqual(high(42), [0, 0, 15, 0, sum(15, 29), 13 * 86400, 27 * 86400]);
  assert.deepEqual(high(58), [0, 0, 0, 0, 0, nan, nan]);
});

test("a tally that would overflow is halved, so that newer payments weigh more", () => {
  const profiles = new UserProfiles();
  const at = (hour: number): Payment => {
    const timeUs = START - (START % DAY) + hour * 3600e6;
    return { user: 0, amount: 1, timeUs, localUs: timeUs, category: 1, country: 1, device: 1 };
  };
  for (let i = 0; i < 64; i++) told(profiles, at(1)).fold(0);
  for (let i = 0; i < 256; i++) told(profiles, at(5)).fold(0);
  const share = (hour: number) => columnsOf(profiles, at(hour))[18];
  // 255 and 64 became 127 and 32, then 128.
  assert.deepEqual([share(5), share(1), share(9)], [128 / 160, 32 / 160, 0].map(Math.fround));
});

test("a slot that is cleared begins anew, and its place in the side table is used again", () => {
  const profiles = new UserProfiles();
  const high = (user: number): void => {
    for (const amount of [100, 900]) {
      const x = { user, amount, timeUs: START, localUs: START, category: 1, country: 1, device: 1 };
      told(profiles, x).fold(user);
    }
  };
  for (let user = 0; user < 64; user++) high(user);
  const bytes = profiles.bytes();
  for (let round = 0; round < 3; round++) {
    for (let user = 0; user < 64; user++) {
      profiles.clear(user);
      const x = { user, amount: 1, timeUs: START, localUs: START, category: 1, country: 1, device: 1 };
      assert.ok(columnsOf(profiles, x).every(Number.isNaN));
      high(user);
    }
  }
  assert.equal(profiles.bytes(), bytes);
});

test("bytes that nobody wrote are read, or refused as damaged", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const profiles = new UserProfiles();
      profiles.ensure(3);
      try {
        profiles.read(3, new ByteReader(bytes));
      } catch (e) {
        assert.ok(e instanceof BytesDamaged, String(e));
      }
      const x = { user: 3, amount: 50, timeUs: START, localUs: START, category: 1, country: 1, device: 1 };
      columnsOf(profiles, x);
      told(profiles, x).fold(3);
      profiles.clear(3);
    }),
    { numRuns: 500 },
  );
});
