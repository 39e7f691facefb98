/** Tests of the overlay against a plain list of rows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Overlay } from "./overlay.ts";

const step = fc.oneof(
  fc.record({
    what: fc.constant("add" as const),
    key: fc.nat(20),
    source: fc.nat(2),
    ahead: fc.nat(1),
    n: fc.nat(9000),
  }),
  fc.record({
    what: fc.constant("settle" as const),
    key: fc.nat(20),
    source: fc.nat(2),
    ahead: fc.nat(2),
    n: fc.nat(5),
  }),
);

test("an entity's rows are those added and not settled, oldest first", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const overlay = new Overlay();
      const frames = [1, 1, 1];
      const settled = [0, 0, 0];
      let rows: { key: number; source: number; frame: number; n: number }[] = [];
      const pending = {
        n: 0,
        timeUs: new Float64Array(1),
        amount: new Float64Array(1),
        counterparty: new Uint32Array(1),
      };
      for (const s of steps) {
        if (s.what === "add") {
          frames[s.source] += s.ahead;
          const frame = frames[s.source];
          const taken = overlay.add(1, s.key, s.n, s.n, s.n, s.source, frame);
          assert.equal(taken, frame > settled[s.source]);
          if (taken) rows.push({ key: s.key, source: s.source, frame, n: s.n });
        } else {
          settled[s.source] = Math.max(settled[s.source], frames[s.source] - s.ahead);
          overlay.settle(s.source, frames[s.source] - s.ahead);
          rows = rows.filter((x) => x.source !== s.source || x.frame > settled[s.source]);
        }
        assert.equal(overlay.rows, rows.length);
        overlay.gather(1, s.key, pending);
        const expected = rows.filter((x) => x.key === s.key).map((x) => x.n);
        assert.deepEqual([...pending.timeUs.subarray(0, pending.n)], expected);
      }
    }),
  );
});

test("keys without rows are forgotten", () => {
  const overlay = new Overlay();
  for (let i = 0; i < 20_000; i++) {
    overlay.add(i, i, 1, 1, 1, 0, i + 1);
    if (i % 100 === 99) overlay.settle(0, i + 1);
  }
  assert.equal(overlay.rows, 0);
});
