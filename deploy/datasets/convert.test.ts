import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { minorUnits, parseTimestamp } from "./convert.ts";
import { IdSet } from "./id_set.ts";

test("property: a timestamp in ISO text comes back to the microsecond", () => {
  const min = Date.UTC(2000, 0, 1);
  fc.assert(
    fc.property(fc.integer({ min, max: Date.UTC(2099, 11, 31) }), fc.integer({ min: 0, max: 999 }), (ms, us) => {
      const text = new Date(ms).toISOString().replace("Z", String(us).padStart(3, "0"));
      assert.equal(parseTimestamp(text), ms * 1000 + us);
      assert.equal(parseTimestamp(`${text}Z`), ms * 1000 + us);
      assert.equal(parseTimestamp(`${text}-02:30`), ms * 1000 + us + 9_000_000_000);
      assert.equal(parseTimestamp(text.replace("T", " ")), ms * 1000 + us);
    }),
  );
});

test("what is no time is NaN", () => {
  for (const text of ["", "yesterday", "2020-13-01", "2021-02-29", "2020-01-01 24:00", "2020-1-1", "20200101"]) {
    assert.ok(Number.isNaN(parseTimestamp(text)), text);
  }
  assert.equal(parseTimestamp("2020-02-29"), Date.UTC(2020, 1, 29) * 1000);
});

test("minor units by currency", () => {
  assert.deepEqual(["EUR", "JPY", "KWD", "XOF"].map(minorUnits), [100, 1, 1000, 1]);
});

test("property: an IdSet answers like a Set", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.nat(300).map(String)), { maxLength: 200 }), (ids) => {
      const [set, oracle] = [new IdSet(), new Set<string>()];
      for (const id of ids) {
        assert.equal(set.add(id), !oracle.has(id));
        oracle.add(id);
      }
      assert.equal(set.size, oracle.size);
    }),
  );
});

test("an IdSet of 200,000 running numbers drops none and knows all", () => {
  const set = new IdSet();
  for (let i = 0; i < 200_000; i++) assert.equal(set.add(String(i)), true);
  for (let i = 0; i < 200_000; i++) assert.equal(set.add(String(i)), false);
});
