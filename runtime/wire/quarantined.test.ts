/** A quarantined row comes over the wire as it was told, its message cut short at most. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QuarantinedRow } from "../ports.ts";
import { readQuarantined, writeQuarantined } from "./quarantined.ts";
import { checkDamage } from "./testkit.ts";
import { readHead, WIRE_QUARANTINED } from "./wire_head.ts";

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const row: fc.Arbitrary<QuarantinedRow> = fc.record(
  {
    shard: fc.integer({ min: 0, max: 63 }),
    kind: fc.integer({ min: 0, max: 3 }),
    userHi: word,
    userLo: word,
    idHi: word,
    idLo: word,
    sinceUs: fc.maxSafeNat(),
    message: fc.string({ unit: "binary", maxLength: 400 }),
  },
  { noNullPrototype: true },
);

test("quarantined rows are read back as they were told; damage gives WireDamaged or another row", () => {
  fc.assert(
    fc.property(row, fc.integer(), (told, seed) => {
      const bytes = writeQuarantined("node-a", told);
      const { kind, reader, from } = readHead(bytes);
      assert.deepEqual([kind, from], [WIRE_QUARANTINED, "node-a"]);
      const { message, ...heard } = readQuarantined(reader);
      const { message: whole, ...said } = told;
      assert.deepEqual(heard, said);
      assert.equal(message, whole.slice(0, 66).toWellFormed());
      checkDamage(bytes, seed, (damaged) => {
        const other = readQuarantined(readHead(damaged).reader);
        assert.ok(other.shard < 64 && other.kind <= 3 && other.message.length <= 200);
      });
    }),
    { numRuns: 100 },
  );
});

test("a row of no shard cannot be told", () => {
  const some = { kind: 0, userHi: 1, userLo: 2, idHi: 3, idLo: 4, sinceUs: 5, message: "" };
  assert.throws(() => writeQuarantined("node-a", { ...some, shard: 64 }), RangeError);
});
