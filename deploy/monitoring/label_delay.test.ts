/** What is known of payments by now: the delay, reports, and what counts as neither. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LABEL_FRAUD, LABEL_LEGITIMATE, LABEL_NONE } from "../../actors/inference/feature_export.ts";
import { FRAUD, GENUINE, knownLabels, UNKNOWN } from "./label_delay.ts";

const known = (times: readonly number[], labels: readonly number[], mature_only = false) =>
  knownLabels(Float64Array.from(times), Uint8Array.from(labels), { genuine_until_us: 100, mature_only });

test("a payment younger than the delay that nobody reported is unknown, not genuine", () => {
  const found = known([99, 100, 101, 102, 103], [LABEL_NONE, LABEL_NONE, LABEL_NONE, LABEL_FRAUD, LABEL_LEGITIMATE]);
  assert.deepEqual([...found.state], [GENUINE, GENUINE, UNKNOWN, FRAUD, GENUINE]);
  const { known: n, frauds, unknown, reported_early } = found;
  assert.deepEqual([n, frauds, unknown, reported_early], [4, 1, 1, 2]);
});

test("with mature_only, what is younger is unknown whatever was reported", () => {
  const found = known([50, 101, 102], [LABEL_FRAUD, LABEL_FRAUD, LABEL_LEGITIMATE], true);
  assert.deepEqual([...found.state], [FRAUD, UNKNOWN, UNKNOWN]);
  assert.deepEqual([found.known, found.frauds, found.unknown, found.reported_early], [1, 1, 2, 0]);
});

test("the counts are those of the states, for any payments", () => {
  const row = fc.tuple(fc.integer({ min: 90, max: 110 }), fc.constantFrom(LABEL_LEGITIMATE, LABEL_FRAUD, LABEL_NONE));
  fc.assert(
    fc.property(fc.array(row), fc.boolean(), (rows, mature_only) => {
      const found = known(
        rows.map(([t]) => t),
        rows.map(([, label]) => label),
        mature_only,
      );
      rows.forEach(([t, label], r) => {
        const is_known = t <= 100 || (label !== LABEL_NONE && !mature_only);
        const expected = is_known ? (label === LABEL_FRAUD ? FRAUD : GENUINE) : UNKNOWN;
        assert.equal(found.state[r], expected);
      });
      const of = (state: number): number => found.state.filter((s) => s === state).length;
      assert.deepEqual([found.unknown, found.frauds, found.known], [of(UNKNOWN), of(FRAUD), rows.length - of(UNKNOWN)]);
      const early = rows.filter(([t, label]) => t > 100 && label !== LABEL_NONE && !mature_only).length;
      assert.equal(found.reported_early, early);
    }),
  );
  assert.throws(() => known([1, 2], [0]), RangeError);
});
