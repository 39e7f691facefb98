import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findSaturation } from "./saturation.ts";

const OPTIONS = { step_s: 5, hold_s: 60, steps_max: 40, holds_max: 8 };

test("the rate found was held for the whole time and is close to the limit", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 10_000, max: 300_000 }),
      fc.integer({ min: 10_000, max: 200_000 }),
      fc.double({ min: 0.9, max: 1, noNaN: true }),
      async (limit, guess, long) => {
        const probe = async (rate: number, seconds: number) => {
          const held = rate <= (seconds >= 60 ? limit * long : limit);
          return { held, result: seconds };
        };
        const { rate, hold } = await findSaturation(probe, { ...OPTIONS, guess });
        assert.equal(hold, 60);
        assert.ok(rate <= limit * long && rate >= limit * long * 0.9 - 500, `${rate} of ${limit * long}`);
      },
    ),
  );
});

test("nothing holds: the rate is 0 and the search ends", async () => {
  const probe = async () => ({ held: false, result: 0 });
  assert.equal((await findSaturation(probe, { ...OPTIONS, guess: 60_000 })).rate, 0);
});
