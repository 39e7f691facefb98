/** The readers on the real data sets: row counts, values, the protocol's counts, speed. Skipped where absent. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { KnownCards } from "../metrics/known_cards.ts";
import { sharedData } from "../testing/shared_data.ts";
import { readFeatures } from "./features_file.ts";
import { openHistory } from "./history.ts";
import { dayOf, type HistoryRow } from "./history_row.ts";
import { loadMapping } from "./mapping.ts";

const HOUR_US = 3_600_000_000;
const at = (date: string) => Date.parse(`${date}T00:00:00Z`) * 1000;

test("handbook: all rows, labels, first and last row, speed", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const history = await openHistory({ paths: [folder], mapping: await loadMapping("handbook") });
  assert.equal(history.total, 1_466_282);
  assert.equal(history.total_exact, true);
  const scenarios = [0, 0, 0, 0];
  let [rows, last_us, first, last]: [number, number, HistoryRow?, HistoryRow?] = [0, 0];
  const started = performance.now();
  for await (const batch of history.batches()) {
    rows += batch.length;
    first ??= batch[0];
    for (const row of batch) {
      assert.ok(row.eventTimeUs >= last_us);
      last_us = row.eventTimeUs;
      assert.equal(row.fraud, row.scenario === 0 ? 0 : 1);
      scenarios[row.scenario!]++;
      last = row;
    }
  }
  const rate = Math.round(rows / ((performance.now() - started) / 1000));
  t.diagnostic(`${rate} rows/s`);
  assert.equal(rows, 1_466_282);
  assert.deepEqual(scenarios.slice(1), [829, 7441, 3864]);
  assert.deepEqual([first!.transactionId, first!.userId, first!.merchantId], ["0", "596", "3156"]);
  assert.deepEqual([first!.amountMinor, first!.eventTimeUs], [5716, at("2018-04-01") + 31e6]);
  assert.equal(first!.cardToken, first!.userId);
  assert.equal(last!.transactionId, "1466281");
  // A third of the required speed: other work may share the machine while tests run; the rate is printed.
  assert.ok(rate >= 100_000, `${rate} rows/s`);
});

test("handbook: known cards removed leaves the published counts", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const range = { from_us: at("2018-07-25"), to_us: at("2018-08-15") };
  const mapping = await loadMapping("handbook");
  const history = await openHistory({ paths: [folder], mapping, ...range });
  const [train, from, to] = [dayOf(range.from_us), dayOf(at("2018-08-08")), dayOf(at("2018-08-14"))];
  const known = new KnownCards({ train_from_day: train, test_from_day: from, test_to_day: to, label_delay_days: 7 });
  const tested: HistoryRow[] = [];
  let [training, trainingFrauds] = [0, 0];
  for await (const row of history.rows()) {
    const day = dayOf(row.eventTimeUs);
    known.learn(day, row.cardToken!, row.fraud === 1);
    if (day >= from) tested.push(row);
    else if (day < train + 7) {
      training++;
      trainingFrauds += row.fraud!;
    }
  }
  const kept = tested.filter((row) => !known.has(dayOf(row.eventTimeUs), row.cardToken!));
  const scenarios = [1, 2, 3].map((s) => kept.filter((row) => row.scenario === s).length);
  assert.deepEqual([training, trainingFrauds], [67_240, 598]);
  assert.deepEqual([kept.length, kept.filter((row) => row.fraud === 1).length], [58_264, 385]);
  assert.deepEqual(scenarios, [20, 281, 84]);
});

test("handbook: the same folder twice is the same history once", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const mapping = await loadMapping("handbook");
  const to_us = at("2018-04-03");
  const history = await openHistory({ paths: [folder, folder], mapping, to_us });
  const once = await openHistory({ paths: [folder], mapping, to_us });
  assert.deepEqual(await Array.fromAsync(history.rows()), await Array.fromAsync(once.rows()));
  assert.ok(history.duplicates > 18_000);
});

test("handbook: the features file agrees with the payments", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const table = await readFeatures(join(folder, "features_2018-07-25_2018-08-14.parquet"));
  assert.equal(table.rows, 201_295);
  assert.equal(table.names.length, 14);
  assert.equal(new Set(table.ids).size, table.rows);
  const [weekend, night] = [table.column("TX_DURING_WEEKEND"), table.column("TX_DURING_NIGHT")];
  const count = table.column("CUSTOMER_ID_NB_TX_1DAY_WINDOW");
  const history = await openHistory({
    paths: [folder],
    mapping: await loadMapping("handbook"),
    from_us: at("2018-07-24"),
    to_us: at("2018-07-27"),
  });
  const rows = await Array.fromAsync(history.rows());
  let compared = 0;
  for (const row of rows) {
    const r = table.rowOf(row.transactionId);
    if (r < 0) continue;
    compared++;
    const hour = Math.floor((row.eventTimeUs % (24 * HOUR_US)) / HOUR_US);
    // 1970-01-01 was a Thursday.
    assert.equal(weekend[r], ((dayOf(row.eventTimeUs) + 4) % 7) % 6 === 0 ? 1 : 0);
    assert.equal(night[r], hour <= 6 ? 1 : 0);
    assert.ok(count[r] >= 1);
  }
  assert.ok(compared > 18_000, `${compared} compared`);
  const sample = rows.filter((row) => table.rowOf(row.transactionId) >= 0).slice(0, 200);
  for (const row of sample) {
    const inWindow = (other: HistoryRow) =>
      other.userId === row.userId &&
      other.eventTimeUs <= row.eventTimeUs &&
      other.eventTimeUs > row.eventTimeUs - 24 * HOUR_US;
    assert.equal(count[table.rowOf(row.transactionId)], rows.filter(inWindow).length);
  }
  assert.equal(table.rowOf("-5"), -1);
  assert.throws(() => table.column("nothing"), /no feature nothing/);
});

for (const [name, rows, frauds, unlabelled] of [
  ["sparkov", 680_811, 8058, 0],
  ["evalml-cards", 82_719, 12_590, 0],
  ["ucsd2009", 79_803, 2175, 0],
  ["s-ffsd", 62_304, 2862, 38_820],
] as const) {
  test(`${name}: all rows and frauds by its mapping`, async (t) => {
    const folder = sharedData(t, name);
    if (folder === undefined) return;
    const history = await openHistory({ paths: [folder], mapping: await loadMapping(name) });
    const ids = new Set<string>();
    let [f, u] = [0, 0];
    for await (const batch of history.batches()) {
      for (const row of batch) {
        ids.add(row.transactionId);
        f += row.fraud ?? 0;
        if (row.fraud === undefined) u++;
      }
    }
    assert.deepEqual([history.total, ids.size, f, u], [rows, rows, frauds, unlabelled]);
  });
}

test("amlsim: both graphs one after the other, their accounts, and those flagged in both", async (t) => {
  const folder = sharedData(t, "amlsim");
  if (folder === undefined) return;
  const history = await openHistory({ paths: [folder], mapping: await loadMapping("amlsim") });
  const [cycle, fan] = history.accounts;
  const flagged = [...cycle.all].filter(([, flag]) => flag === 1).map(([id]) => id);
  assert.deepEqual([cycle.all.size, fan.all.size, flagged.length], [20_000, 20_000, 945]);
  assert.equal([...fan.all.values()].filter((flag) => flag === 1).length, 954);
  assert.equal(flagged.filter((id) => fan.flagged(id)).length, 101);
  const ids = new Set<string>();
  const graphs = [0, 0];
  let last_us = 0;
  for await (const row of history.rows()) {
    ids.add(row.transactionId);
    graphs[row.userId.startsWith(fan.prefix) ? 1 : 0]++;
    assert.equal(row.userId.startsWith(fan.prefix), row.eventTimeUs >= at("2020-12-31"));
    assert.ok(row.eventTimeUs >= last_us);
    last_us = row.eventTimeUs;
  }
  assert.deepEqual([graphs, ids.size], [[117_805, 118_250], 236_055]);
});

test("an unknown mapping is refused with the names of the known ones", async () => {
  await assert.rejects(loadMapping("nothing"), {
    code: "BAD_MAPPING",
    message: /handbook, ucsd2009, s-ffsd, sparkov, evalml-cards, amlsim/,
  });
});
