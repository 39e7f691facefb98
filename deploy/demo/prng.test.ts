import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Agenda } from "./agenda.ts";
import { Prng } from "./prng.ts";
import { Weighted, zipf } from "./weighted.ts";

const draws = (seed: number, label: string) => {
  const rng = new Prng(seed, label);
  return Array.from({ length: 50 }, () => rng.next());
};

test("the same seed and label give the same numbers; another seed or label gives others", () => {
  assert.deepEqual(draws(1, "a"), draws(1, "a"));
  const all = new Set([...draws(1, "a"), ...draws(1, "b"), ...draws(2, "a"), ...draws(0, "")]);
  assert.ok(all.size > 195, `${all.size} of 200 differ`);
});

test("distributions have the mean and spread they name (100,000 draws)", () => {
  const rng = new Prng(7, "moments");
  const moments = (draw: () => number): [number, number] => {
    const n = 100_000;
    const xs = Array.from({ length: n }, draw);
    const mean = xs.reduce((a, b) => a + b, 0) / n;
    return [mean, Math.sqrt(xs.reduce((a, x) => a + (x - mean) ** 2, 0) / n)];
  };
  const near = (value: number, expected: number, tolerance: number) =>
    assert.ok(Math.abs(value - expected) < tolerance, `${value}, expected ${expected}`);
  const [uniform, uniformSpread] = moments(() => rng.float());
  near(uniform, 0.5, 0.005);
  near(uniformSpread, Math.sqrt(1 / 12), 0.005);
  const [normal, normalSpread] = moments(() => rng.normal());
  near(normal, 0, 0.02);
  near(normalSpread, 1, 0.02);
  near(moments(() => rng.exponential(3))[0], 3, 0.05);
  near(moments(() => Math.log(rng.lognormal(20, 0.5)))[0], Math.log(20), 0.01);
  near(moments(() => rng.whole(1, 6))[0], 3.5, 0.03);
});

test("Weighted draws by weight: a Zipf table of 50 within three standard deviations", () => {
  const weights = zipf(50, 1);
  const total = weights.reduce((a, b) => a + b, 0);
  const table = new Weighted(weights);
  const rng = new Prng(3, "zipf");
  const n = 200_000;
  const counts = new Uint32Array(50);
  for (let i = 0; i < n; i++) counts[table.draw(rng)]++;
  counts.forEach((c, i) => {
    const p = weights[i] / total;
    assert.ok(Math.abs(c - n * p) < 4 * Math.sqrt(n * p * (1 - p)), `rank ${i}: ${c} for ${n * p}`);
  });
  assert.throws(() => new Weighted([0, 0]), /no positive weight/);
});

test("property: an agenda gives its entries by time, and by order of putting for equal times", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(20), { freq: 3 }), { maxLength: 200 }), (steps) => {
      const agenda = new Agenda<number>();
      const oracle: { time: number; n: number }[] = [];
      steps.forEach((time, n) => {
        if (time !== null) {
          agenda.put(time, n);
          oracle.push({ time, n });
          return;
        }
        oracle.sort((a, b) => a.time - b.time || a.n - b.n);
        assert.equal(agenda.nextUs, oracle[0]?.time ?? Number.POSITIVE_INFINITY);
        assert.equal(agenda.take(), oracle.shift()?.n);
        assert.equal(agenda.size, oracle.length);
      });
    }),
  );
});
