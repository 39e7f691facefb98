/** The newest payments of a user against a plain list of them, light and heavy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WindowTable } from "../../runtime/kernel/windows/window_table.ts";
import { DAY_US, FEATURES, HOUR_US, USER_RECENT_AT, WINDOWS_US } from "../features/registry.ts";
import { RECENT_BACK, RECENT_COLUMNS, RECENT_HELD, recentColumns } from "./recent_payments.ts";

const START_US = 1_700_000_000e6;
const MONTH_US = 30 * DAY_US;
/** A light actor has at most 768 events. */
const HEAVY = 900;

interface Payment {
  readonly timeUs: number;
  readonly amount: number;
  readonly merchant: number;
  reversed: boolean;
}

class User {
  readonly windows = new WindowTable({
    windows_us: WINDOWS_US,
    retention_us: MONTH_US + HOUR_US,
    late_tolerance_us: HOUR_US,
    ids: true,
    events_max: 1e6,
  });
  readonly slot = this.windows.slot(1, 1);
  /** By time; of the same time as they came. */
  readonly list: Payment[] = [];

  pay(timeUs: number, amount: number, merchant: number): number[] {
    assert.equal(this.windows.append(this.slot, timeUs, amount, merchant, 1, this.list.length + 1, 1), 0);
    const at = this.list.findLastIndex((p) => p.timeUs <= timeUs) + 1;
    this.list.splice(at, 0, { timeUs, amount, merchant, reversed: false });
    const m = new Float32Array(RECENT_COLUMNS + 2).fill(-1);
    recentColumns(this.windows, this.slot, timeUs, timeUs - MONTH_US, amount, merchant, m, 1);
    assert.deepEqual([m[0], m[RECENT_COLUMNS + 1]], [-1, -1], "nothing beside its columns");
    return [...m.subarray(1, RECENT_COLUMNS + 1)];
  }

  reverse(p: Payment): void {
    p.reversed = this.windows.reverseMatching(this.slot, p.timeUs, p.merchant, p.amount);
  }

  /** Of a payment that was paid just now. */
  expected(timeUs: number, amount: number, merchant: number): number[] {
    const x = this.list.findLastIndex((p) => p.timeUs <= timeUs);
    const earlier = this.list.slice(0, x).filter((p) => !p.reversed && p.timeUs > timeUs - MONTH_US);
    const newest = earlier.reverse().slice(0, RECENT_HELD);
    const back = Array.from({ length: RECENT_BACK - 1 }, (_, i) => i + 1);
    const there = newest.filter((p) => p.merchant === merchant);
    const priced = newest.filter((p) => !Number.isNaN(p.amount)).map((p) => p.amount);
    const mean = (of: readonly number[]) => of.reduce((sum, a) => sum + a, 0) / of.length;
    const [rank, trend] = [priced.filter((a) => a < amount).length, mean(priced)];
    return [
      ...back.map((i) => newest[i]?.amount ?? Number.NaN),
      ...back.map((i) => (newest[i] === undefined ? Number.NaN : (newest[i - 1].timeUs - newest[i].timeUs) / 1e6)),
      there.length,
      there.length === 0 ? Number.NaN : (timeUs - there[0].timeUs) / 1e6,
      there.length > 0 && there[0].amount > 0 ? amount / there[0].amount : Number.NaN,
      priced.length === 0 || Number.isNaN(amount) ? Number.NaN : rank / priced.length,
      Number.isNaN(amount) ? Number.NaN : priced.filter((a) => a === amount).length,
      priced.length > 3 && trend > 0 ? mean(priced.slice(0, 3)) / trend : Number.NaN,
    ].map(Math.fround);
  }
}

const step = fc.record({
  // Some come late, some at the very time of the one before.
  gap_us: fc.constantFrom(-1800e6, 0, 0, 60e6, HOUR_US, DAY_US, 9 * DAY_US),
  amount: fc.constantFrom(0, 1, 100, 100, 2599, Number.NaN),
  merchant: fc.integer({ min: 1, max: 4 }),
  reversed: fc.option(fc.nat({ max: 5 }), { freq: 4 }),
});

for (const [kind, before] of [
  ["light", 0],
  ["heavy", HEAVY],
] as const) {
  test(`property: what is told of a ${kind} user's newest payments is that of a plain list`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 100 }), (steps) => {
        const user = new User();
        let now = START_US;
        for (let i = 0; i < before; i++) user.pay(now, 50 + i, 9);
        for (const { gap_us, amount, merchant, reversed } of steps) {
          now += gap_us;
          const time = Math.max(now, START_US, (user.list.at(-1)?.timeUs ?? 0) - HOUR_US);
          assert.deepEqual(user.pay(time, amount, merchant), user.expected(time, amount, merchant));
          const taken = reversed === null ? undefined : user.list.at(-1 - reversed);
          // Among equal ones the oldest is reversed, which the list would have to find as well.
          const isOnly =
            user.list.filter((p) => p.timeUs === taken?.timeUs && Object.is(p.amount, taken.amount)).length === 1;
          if (taken !== undefined && !taken.reversed && isOnly && !Number.isNaN(taken.amount)) user.reverse(taken);
        }
      }),
      { numRuns: before === 0 ? 200 : 15 },
    );
  });
}

test("the registry names its columns in this order", () => {
  const names = FEATURES.slice(USER_RECENT_AT, USER_RECENT_AT + RECENT_COLUMNS).map((f) => f.name);
  assert.equal(names[0], "user_amount_back_2");
  assert.equal(names[RECENT_BACK - 1], "user_gap_back_2_s");
  assert.deepEqual(names.slice(2 * (RECENT_BACK - 1)), [
    "user_merchant_payments",
    "user_since_merchant_s",
    "user_amount_over_merchant_last",
    "user_amount_rank",
    "user_same_amount_count",
    "user_amount_trend",
  ]);
  assert.equal(FEATURES[USER_RECENT_AT + RECENT_COLUMNS].name, "user_local_hour");
});
