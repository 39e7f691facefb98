import assert from "node:assert/strict";
import { test } from "node:test";
import { LIGHT_EVENTS } from "./summaries.ts";
import { RADIX, T_COUNT, T_SQUARES_HI, T_SQUARES_LO, T_SUM } from "./tally.ts";
import { INSERTED, WindowTable } from "./window_table.ts";

test("sums of squares stay exact for the most and largest amounts, in order and late", () => {
  const table = new WindowTable({
    windows_us: [1000, 100_000],
    retention_us: 200_000,
    late_tolerance_us: 1000,
    ids: false,
    events_max: 10_000,
  });
  const slot = table.slot(1, 1);
  const amounts = Array.from({ length: LIGHT_EVENTS }, (_, i) => 2 ** 40 - 1 - ((i * 7919) % 100_000));
  for (const [i, a] of amounts.entries()) {
    assert.equal(table.append(slot, 1_000_000 + i * 100, a, i, 0, 0, 0), INSERTED);
  }
  assert.equal(table.heavyOf(slot), null);
  const out = new Float32Array(12);
  for (const missing of [0, 1, 9]) {
    const held = amounts.slice(0, LIGHT_EVENTS - missing).map(BigInt);
    table.query(slot, 1_000_000 + (held.length - 1) * 100, out, 0, -1);
    const tally = table.plan.tally.subarray(8);
    assert.equal(tally[T_COUNT], held.length);
    assert.equal(
      BigInt(tally[T_SUM]),
      held.reduce((sum, a) => sum + a, 0n),
    );
    const squares = BigInt(tally[T_SQUARES_HI]) * BigInt(RADIX) + BigInt(tally[T_SQUARES_LO]);
    assert.equal(
      squares,
      held.reduce((sum, a) => sum + a * a, 0n),
      `${missing} events later than the query`,
    );
  }
});

test("a tally that was brought along has the bits of one that was scanned", () => {
  const options = {
    windows_us: [1000, 7000, 50_000],
    delayed: { delay_us: 3000, windows_us: [5000, 20_000] },
    retention_us: 60_000,
    late_tolerance_us: 1000,
    ids: false,
    events_max: 10_000,
  };
  const along = new WindowTable(options);
  const slot = along.slot(1, 1);
  const events: [number, number, number][] = [];
  const out = new Float32Array(22);
  for (let i = 0, time = 1_000_000; i < 600; i++) {
    time += 20 + ((i * 7919) % 300);
    const amount = i % 7 === 0 ? Number.NaN : 2 ** 40 - 1 - ((i * 104_729) % 2 ** 39);
    events.push([time, amount, (i * 31) % 40]);
    assert.equal(along.append(slot, time, amount, (i * 31) % 40, 0, 0, i), INSERTED);
    // Backwards too, but not behind the newest event.
    along.query(slot, time + (i % 5 === 0 ? 900 : 0), out, 0, 18);
    along.query(slot, time, out, 0, 18);
    const scanned = new WindowTable(options);
    for (const [t, a, cp] of events) scanned.append(scanned.slot(1, 1), t, a, cp, 0, 0, 0);
    scanned.query(0, time, new Float32Array(22), 0, 18);
    assert.deepEqual(along.plan.tally, scanned.plan.tally, `after event ${i}`);
    assert.deepEqual(along.plan.delayed, scanned.plan.delayed, `after event ${i}`);
  }
});
