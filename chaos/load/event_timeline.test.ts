import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventTimeline, eventTimeUs } from "./event_timeline.ts";
import { RowSet } from "./row_set.ts";

const stretch = fc.record({
  count: fc.integer({ min: 1, max: 120 }),
  step_us: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.double({ min: 0.3, max: 40, noNaN: true })),
  gap: fc.integer({ min: 0, max: 70 }),
});

test("expiries are those that a list of all events gives", () => {
  fc.assert(
    fc.property(
      fc.array(stretch, { minLength: 1, maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 0, max: 4000 }),
      fc.integer({ min: 0, max: 4000 }),
      fc.integer({ min: 2, max: 5 }),
      (stretches, windows, from, span, every) => {
        const start = 1_000_000;
        const timeline = new EventTimeline(start, start + 1e6);
        const held = new RowSet();
        const times: number[] = [];
        let next = 0;
        for (const s of stretches) {
          next += s.gap;
          const made = timeline.append(next, s.count, s.step_us);
          for (let j = 0; j < s.count; j++) {
            if ((next + j) % every === 0) continue;
            held.add(next + j);
            times.push(eventTimeUs(made, j));
          }
          next += s.count;
        }
        const a = start + from;
        const b = a + span;
        let expected = 0;
        for (const w of windows) for (const t of times) if (t > a - w && t <= b - w) expected++;
        assert.equal(timeline.expiries(held, windows, a, b, 2), expected * 2);
        assert.ok(times.every((t) => t < timeline.end_us));
      },
    ),
    { numRuns: 300 },
  );
});

test("event time never passes its limit", () => {
  const timeline = new EventTimeline(0, 100);
  timeline.append(0, 10, 9);
  assert.throws(() => timeline.append(10, 10, 9), /pass the wall clock/);
  assert.equal(timeline.end_us, 90);
});
