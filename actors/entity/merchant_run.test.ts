/** A merchant's run of frauds against a plain list of its payments, light and heavy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LABEL_CLEAR, LABEL_FRAUD, LABEL_REVERSAL, LOCATION_NONE, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { FORMAT_NEWEST } from "../../proto/frame/frame_header.ts";
import { Interner } from "../../runtime/kernel/interner.ts";
import { DAY_US, DEVICE_AT, FEATURE_COUNT, MERCHANT_RUN_AT } from "../features/registry.ts";
import { MerchantActors } from "./merchant_actors.ts";

const START_US = 1_700_000_000e6;
const MERCHANT = 77;
const WEEK_US = 7 * DAY_US;
const COLUMNS = DEVICE_AT - MERCHANT_RUN_AT;
/** A light actor has at most 768 events. */
const HEAVY = 900;

interface Payment {
  readonly timeUs: number;
  readonly user: number;
  readonly unusual: number;
  fraud: boolean;
  reversed: boolean;
}

class Merchant {
  readonly users = new Interner();
  readonly actors = new MerchantActors({ late_tolerance_us: 3600e6, events_max: 1e6 }, this.users);
  readonly list: Payment[] = [];
  readonly #block = new RowBlock();
  readonly #matrix = new Float32Array(FEATURE_COUNT);
  #users = 0;

  constructor() {
    this.actors.format = FORMAT_NEWEST;
    this.#block.latitudeE6.fill(LOCATION_NONE);
  }

  /** The run's columns of a payment that is folded; each is of a user of its own. */
  pay(timeUs: number, unusual: number): number[] {
    const b = this.#block;
    const user = ++this.#users;
    b.kind[0] = ROW_PAYMENT;
    b.merchant.hi[0] = MERCHANT;
    b.merchant.lo[0] = 1;
    b.eventTimeUs[0] = timeUs;
    b.amountBase[0] = 100;
    b.unusual[0] = unusual;
    this.actors.fold(b, 0, this.users.code(0, user), 0, this.#matrix);
    this.list.push({ timeUs, user, unusual, fraud: false, reversed: false });
    return [...this.#matrix.subarray(MERCHANT_RUN_AT, DEVICE_AT)];
  }

  label(p: Payment, action: number): void {
    this.actors.label(MERCHANT, 1, 0, p.user, p.timeUs, 100, action);
    if (action === LABEL_REVERSAL) p.reversed = true;
    else p.fraud = action === LABEL_FRAUD;
  }

  expected(timeUs: number): number[] {
    const sorted = this.list.map((p, i) => ({ p, i })).sort((a, b) => a.p.timeUs - b.p.timeUs || a.i - b.i);
    const held = sorted.map(({ p }) => p);
    const known = held.flatMap((p, at) => (p.timeUs <= timeUs - WEEK_US ? [{ p, at }] : []));
    const looked = known.slice(-64).filter(({ p }) => !p.reversed);
    if (looked.length === 0) return new Array<number>(COLUMNS).fill(Number.NaN);
    const end = looked.findLastIndex(({ p }) => !p.fraud);
    const behind = looked.slice(end + 1);
    const run = behind.filter(({ p }) => p.unusual === 0);
    const since = (p: Payment | undefined) => (p === undefined ? Number.NaN : (timeUs - p.timeUs) / 1e6);
    const genuine = end < 0 ? undefined : looked[end].p;
    return [
      run.length,
      since(run[0]?.p),
      since(run.at(-1)?.p),
      since(genuine),
      since(genuine) - since(run[0]?.p),
      run.length === 0 ? Number.NaN : held.length - run[0].at,
      behind.length - run.length,
    ].map(Math.fround);
  }
}

const step = fc.record({
  gap_us: fc.constantFrom(0, 60e6, DAY_US / 8, DAY_US),
  unusual: fc.constantFrom(0, 0, 0, 1),
  /** Whether an earlier payment is labelled then, which one back, and how. */
  label: fc.option(fc.tuple(fc.nat({ max: 70 }), fc.constantFrom(1, 1, 1, 2, 3)), { freq: 1 }),
});

for (const [kind, before] of [
  ["light", 0],
  ["heavy", HEAVY],
] as const) {
  test(`property: the run of a ${kind} merchant is that of a plain list`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
        const m = new Merchant();
        let now = START_US;
        for (let i = 0; i < before; i++) m.pay(now - WEEK_US, 0);
        for (const { gap_us, unusual, label } of steps) {
          now += gap_us;
          assert.deepEqual(m.pay(now, unusual), m.expected(now));
          const labelled = label === null ? undefined : m.list.at(-1 - label[0]);
          if (labelled === undefined || labelled.reversed) continue;
          m.label(labelled, [LABEL_FRAUD, LABEL_CLEAR, LABEL_REVERSAL][(label?.[1] ?? 1) - 1]);
        }
      }),
      { numRuns: before === 0 ? 150 : 20 },
    );
  });
}

test("by hand: genuine, two frauds with an unusual one between, three days on", () => {
  const m = new Merchant();
  const at = (days: number): number => START_US + days * DAY_US;
  assert.ok(m.pay(at(0), 0).every(Number.isNaN), "nothing is known");
  for (const [days, unusual] of [
    [1, 0],
    [2, 1],
    [3, 0],
  ]) {
    m.pay(at(days), unusual);
    m.label(m.list.at(-1) as Payment, LABEL_FRAUD);
  }
  assert.deepEqual(
    m.pay(at(8), 0),
    [1, 7, 7, 8, 1, 4, 0].map((x, i) => (i > 0 && i < 5 ? x * 86400 : x)),
  );
  const days = (...n: number[]) => n.map((x) => x * 86400);
  assert.deepEqual(m.pay(at(10), 0), [2, ...days(9, 7, 10, 1), 5, 1]);
});

test("frames of older formats have no run", () => {
  const m = new Merchant();
  m.pay(START_US, 0);
  m.actors.format = 2;
  assert.ok(m.pay(START_US + 8 * DAY_US, 0).every(Number.isNaN));
  m.actors.format = 3;
  assert.equal(m.pay(START_US + 9 * DAY_US, 0)[0], 0);
});
