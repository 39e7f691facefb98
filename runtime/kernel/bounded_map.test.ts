/** Tests of the bounded map against a plain list. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BoundedMap } from "./bounded_map.ts";

test("it holds the newest keys, oldest first, and a known key keeps its age", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(30), fc.nat(9)), { maxLength: 300 }), (steps) => {
      const map = new BoundedMap(12);
      let list: [string, number][] = [];
      for (const [k, v] of steps) {
        const key = `k${k}`;
        const at = list.findIndex(([x]) => x === key);
        if (at >= 0) list[at] = [key, v];
        else list = [...list.slice(-11), [key, v]];
        map.set(key, v);
        assert.deepEqual(map.entries(), list);
        assert.equal(map.size, list.length);
        assert.equal(map.get(key), v);
      }
      assert.deepEqual([...map].sort(), [...list].sort());
    }),
  );
});

test("a cut gives what was held, whatever comes, changes and leaves while it is read", () => {
  const step = fc.tuple(fc.nat(30), fc.nat(9));
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.array(step, { maxLength: 300 }),
      fc.nat(9),
      (before, during, n) => {
        const map = new BoundedMap(12);
        for (const [k, v] of before) map.set(`k${k}`, v);
        for (let round = 0; round < 2; round++) {
          const expected = map.entries();
          const got: [string, number][] = [];
          map.beginCut();
          let isWhole = false;
          for (const [i, [k, v]] of during.entries()) {
            if (i % 20 === n && !isWhole) isWhole = map.nextOfCut(3, (key, value) => got.push([key, value]));
            map.set(`k${k}`, v + round);
          }
          while (!isWhole) isWhole = map.nextOfCut(2, (key, value) => got.push([key, value]));
          assert.deepEqual(got, expected);
        }
        assert.throws(() => map.nextOfCut(1, () => {}), /no cut/);
      },
    ),
  );
});
