import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../deploy/demo/prng.ts";
import { Zipf } from "./zipf.ts";

const DRAWS = 400_000;

function harmonic(from: number, to: number): number {
  let sum = 0;
  for (let k = from; k <= to; k++) sum += 1 / k;
  return sum;
}

for (const n of [1, 2, 50, 1_000_000]) {
  test(`ranks of ${n} come as often as 1 / rank says`, () => {
    const rng = new Prng(7, "zipf");
    const zipf = new Zipf(n, () => rng.float());
    const all = harmonic(1, n);
    const groups = [1, 2, 3, 10, 100, 10_000, 1_000_000].filter((_, i, a) => i === 0 || a[i - 1] < n);
    const seen = groups.map(() => 0);
    for (let i = 0; i < DRAWS; i++) {
      const rank = zipf.next();
      assert.ok(Number.isInteger(rank) && rank >= 0 && rank < n);
      seen[groups.findIndex((g) => rank < g)]++;
    }
    groups.forEach((g, i) => {
      const p = harmonic((groups[i - 1] ?? 0) + 1, Math.min(g, n)) / all;
      const deviation = Math.sqrt(DRAWS * p * (1 - p)) + 1;
      assert.ok(Math.abs(seen[i] - DRAWS * p) < 5 * deviation, `ranks below ${g}: ${seen[i]} of ${DRAWS * p}`);
    });
  });
}

test("a population of none is refused", () => {
  assert.throws(() => new Zipf(0, () => 0), RangeError);
});
