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
