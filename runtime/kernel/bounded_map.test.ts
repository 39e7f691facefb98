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
