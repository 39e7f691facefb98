/** Tests of the acceptance order against the language's own stable sort. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { orderByTime } from "./time_order.ts";

test("the order is the stable sort by time", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 600 }), (list) => {
      const times = Float64Array.from(list);
      const order = new Uint16Array(list.length);
      orderByTime(times, list.length, order);
      const expected = list.map((_, i) => i).sort((a, b) => list[a] - list[b] || a - b);
      assert.deepEqual([...order], expected);
    }),
  );
});

test("only the first n rows are ordered", () => {
  const order = new Uint16Array(4).fill(9);
  orderByTime(Float64Array.of(3, 1, 0, 0), 2, order);
  assert.deepEqual([...order], [1, 0, 9, 9]);
});
