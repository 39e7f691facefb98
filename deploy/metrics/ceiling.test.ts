/** What labels leave within reach, against a plain list and against the figures of the handbook's README. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { openHistory } from "../datasets/history.ts";
import { dayOf } from "../datasets/history_row.ts";
import { loadMapping } from "../datasets/mapping.ts";
import { sharedData } from "../testing/shared_data.ts";
import { ceilingMeasures, LabelReach } from "./ceiling.ts";
import { KnownCards } from "./known_cards.ts";
import { ScoredPayments } from "./scored_payments.ts";

const DAY_US = 86_400e6;
const at = (date: string) => Date.parse(`${date}T00:00:00Z`) * 1000;

interface Payment {
  readonly eventTimeUs: number;
  readonly merchantId: string;
  readonly fraud: 0 | 1;
  readonly scenario: number;
}

const fraudAt = (day: number, merchantId = "m", scenario = 2): Payment => ({
  eventTimeUs: day * DAY_US,
  merchantId,
  fraud: 1,
  scenario,
});

test("a compromise is within reach once a fraud of it is as old as the delay, and for 28 days", () => {
  const reach = new LabelReach("handbook", 7 * DAY_US);
  assert.equal(reach.see(fraudAt(0)), false, "the first");
  assert.equal(reach.see(fraudAt(6.999)), false, "its label is not known yet");
  assert.equal(reach.see(fraudAt(7, "elsewhere")), false);
  assert.equal(reach.see(fraudAt(7)), true);
  assert.equal(reach.see({ ...fraudAt(8), fraud: 0, scenario: 0 }), false, "not a fraud");
  assert.equal(reach.see(fraudAt(36)), false, "the frauds of days 6.999 and 7 are 28 days old or more");
  assert.equal(reach.see(fraudAt(36, "new", 3)), true, "other scenarios show in themselves");
  assert.equal(reach.missing, undefined);
});

test("without a known process, or without scenarios, there is no ceiling but a reason", () => {
  const other = new LabelReach("ucsd2009", 7 * DAY_US);
  assert.equal(other.see(fraudAt(0, "m", 3)), false);
  assert.match(String(other.missing), /out of reach/);
  const blind = new LabelReach("handbook", 7 * DAY_US);
  blind.see({ eventTimeUs: 0, merchantId: "m", fraud: 1 });
  assert.match(String(blind.missing), /which scenario/);
  assert.match(String(new LabelReach("constructor", 0).missing), /out of reach/);
});

const anyDays = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.constantFrom("m", "n"), fc.boolean()), {
  maxLength: 60,
});

test("property: within reach is what the definition says, looking at every earlier payment", () => {
  fc.assert(
    fc.property(anyDays, fc.integer({ min: 0, max: 10 }), (days, delay) => {
      const payments = days
        .sort((a, b) => a[0] - b[0])
        .map(([day, merchant, fraud]): Payment => ({ ...fraudAt(day, merchant), fraud: fraud ? 1 : 0 }));
      const reach = new LabelReach("handbook", delay * DAY_US);
      for (const [i, p] of payments.entries()) {
        const earlier = payments.slice(0, i).filter((q) => q.fraud === 1 && q.merchantId === p.merchantId);
        const ages = earlier.map((q) => (p.eventTimeUs - q.eventTimeUs) / DAY_US);
        assert.equal(reach.see(p), p.fraud === 1 && ages.some((age) => age >= delay && age < 28));
      }
    }),
  );
});

test("the ceiling's measures by hand: four frauds of a hundred rows, three within reach", () => {
  const rows = new ScoredPayments();
  for (let i = 0; i < 100; i++) {
    rows.add({ day: 1, card: `c${i}`, score: i / 100, fraud: i < 4 ? 1 : 0, reachable: i < 3 });
  }
  const c = ceilingMeasures(rows);
  assert.deepEqual([c.frauds, c.reachable, c.recall], [4, 3, 0.75]);
  // The fourth is one of 97 that nothing tells apart.
  assert.ok(Math.abs(c.roc_auc - (0.75 + 0.25 / 2)) < 1e-12);
  assert.ok(Math.abs(c.average_precision - (0.75 + 0.25 * 0.04)) < 1e-12);
  assert.ok(Math.abs(c.lift_20 - (0.75 + 0.25 * (17 / 97)) / 0.2) < 1e-12);
});

test("handbook's test week: 0.784 of the frauds are within reach, of scenario 2 70.5 % (75 % in all)", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const [from_us, to_us] = [at("2018-08-08"), at("2018-08-15")];
  const days = {
    train_from_day: dayOf(at("2018-07-25")),
    test_from_day: dayOf(from_us),
    test_to_day: dayOf(to_us - 1),
  };
  const cards = new KnownCards({ ...days, label_delay_days: 7 });
  const reach = new LabelReach("handbook", 7 * DAY_US);
  const mapping = await loadMapping("handbook");
  const history = await openHistory({ paths: [folder], mapping, from_us: from_us - 28 * DAY_US, to_us });
  const counts = { frauds: 0, reached: 0, second: 0, second_reached: 0, all_second: 0, all_second_reached: 0 };
  for await (const batch of history.batches()) {
    for (const row of batch) {
      const card = row.cardToken ?? row.userId;
      cards.learn(dayOf(row.eventTimeUs), card, row.fraud === 1);
      const reached = reach.see(row) ? 1 : 0;
      if (row.eventTimeUs < from_us || row.fraud !== 1) continue;
      const second = row.scenario === 2 ? 1 : 0;
      counts.all_second += second;
      counts.all_second_reached += second * reached;
      if (cards.has(dayOf(row.eventTimeUs), card)) continue;
      counts.frauds++;
      counts.reached += reached;
      counts.second += second;
      counts.second_reached += second * reached;
    }
  }
  assert.equal(counts.frauds, 385);
  assert.equal((counts.reached / counts.frauds).toFixed(3), "0.784");
  assert.equal(counts.second, 281);
  assert.equal((counts.second_reached / counts.second).toFixed(3), "0.705");
  assert.equal((counts.all_second_reached / counts.all_second).toFixed(2), "0.75");
});
