import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { RowSet } from "./row_set.ts";

const at = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 5_000_000 }));
const step = fc.record({
  what: fc.constantFrom("add", "remove", "addRange", "removeRange"),
  at,
  count: fc.integer({ min: 1, max: 200 }),
});

test("a row set is a set", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), at, at, (steps, from, to) => {
      const set = new RowSet();
      const model = new Set<number>();
      for (const s of steps) {
        if (s.what === "add") set.add(s.at);
        else if (s.what === "remove") set.remove(s.at);
        else if (s.what === "addRange") set.addRange(s.at, s.count);
        else set.removeRange(s.at, s.count);
        const n = s.what.endsWith("Range") ? s.count : 1;
        for (let i = s.at; i < s.at + n; i++) s.what.startsWith("add") ? model.add(i) : model.delete(i);
      }
      assert.equal(set.count(), model.size);
      assert.equal(set.count(from, to), [...model].filter((i) => i >= from && i < to).length);
      for (const s of steps)
        for (let i = s.at - 1; i < s.at + 33; i++) assert.equal(i >= 0 && set.has(i), model.has(i));
    }),
    { numRuns: 60 },
  );
});

test("a row set survives its file", () => {
  const folder = mkdtempSync(join(tmpdir(), "row-set-"));
  try {
    const set = new RowSet();
    set.addRange(1000, 64);
    set.add(3_000_000);
    set.write(join(folder, "set.bin"));
    const back = RowSet.read(join(folder, "set.bin"));
    assert.equal(back.count(), 65);
    assert.ok(back.has(1063) && back.has(3_000_000) && !back.has(1064));
    back.add(9_000_000);
    assert.equal(back.count(), 66);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
