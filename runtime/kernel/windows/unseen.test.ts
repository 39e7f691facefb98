/** A table whose queries nobody looks at for a while: what it holds, and what it says later, are the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type WindowOptions, WindowTable } from "./window_table.ts";

const OPTIONS = {
  windows_us: [10, 100, 1000],
  delayed: { delay_us: 200, windows_us: [100, 500] },
  retention_us: 1100,
  late_tolerance_us: 100,
  events_max: 1e6,
} satisfies Omit<WindowOptions, "ids">;
const START = 1_790_000_000_000_000;
const DELAYED_AT = OPTIONS.windows_us.length * 6;
const COLUMNS = DELAYED_AT + 2 * OPTIONS.delayed.windows_us.length;
const ACTORS = 2;

/** Phases: some appends each, seen or not. Light actors with and without summaries, and heavy ones, come of them. */
const phases = fc.array(
  fc.record({
    unseen: fc.boolean(),
    appends: fc.integer({ min: 1, max: 150 }),
    step_us: fc.integer({ min: 0, max: 9 }),
  }),
  { minLength: 2, maxLength: 8 },
);

interface Case {
  readonly ids: boolean;
  readonly light_events_max: number;
  readonly seed: number;
}

/** The same calls for both tables; every third queried event is reversed or marked as fraud at once. */
function run(c: Case, list: readonly { unseen: boolean; appends: number; step_us: number }[]): number {
  const tables = [0, 1].map(() => new WindowTable({ ...OPTIONS, ids: c.ids, light_events_max: c.light_events_max }));
  const [always, at_times] = tables;
  const out = tables.map(() => new Float32Array(COLUMNS));
  let now = START;
  let i = c.seed;
  let compared = 0;
  for (const phase of [...list, { unseen: false, appends: 20, step_us: 3 }]) {
    at_times.isUnseen = phase.unseen;
    for (let k = 0; k < phase.appends; k++, i++) {
      now += phase.step_us;
      const time = i % 7 === 0 ? now - (i % 90) : now;
      const actor = i % ACTORS;
      const results = tables.map((t, n) => {
        const slot = t.slot(actor, 1);
        const result = t.append(slot, time, (i * 37) % 1000, (i * 11) % 13, i, 5, 1);
        if (i % 3 === 0) t.setFraud(slot, time, (i * 11) % 13, (i * 37) % 1000, true);
        if (i % 5 === 0) t.reverseMatching(slot, time, (i * 11) % 13, (i * 37) % 1000);
        t.query(slot, time, out[n], 0, DELAYED_AT);
        return `${result} ${t.wasNew} ${t.previousUs(slot, time)}`;
      });
      assert.equal(results[1], results[0]);
      if (phase.unseen) continue;
      compared++;
      assert.deepEqual(out[1], out[0], `event ${i} of actor ${actor}`);
    }
  }
  const text = (t: WindowTable) => [...t.exportLines(String)].join("\n");
  assert.equal(text(at_times), text(always));
  return compared;
}

for (const light_events_max of [8, 768]) {
  test(`what is unseen changes no later answer, light up to ${light_events_max} events`, () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.boolean(), fc.integer({ min: 1, max: 1e6 }), phases, (ids, seed, list) => {
        compared += run({ ids, light_events_max, seed }, list);
      }),
      { numRuns: 60 },
    );
    assert.ok(compared > 1000, `${compared} answers compared`);
  });
}

test("an unseen query writes nothing", () => {
  const table = new WindowTable({ ...OPTIONS, ids: true });
  const slot = table.slot(1, 1);
  table.append(slot, START, 5, 1, 1, 1, 1);
  table.isUnseen = true;
  const out = new Float32Array(COLUMNS).fill(-7);
  table.query(slot, START, out, 0, DELAYED_AT);
  assert.ok(out.every((v) => v === -7));
});
