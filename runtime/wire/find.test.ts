/** Tests of searches and what they found: read back as they were said; damage is only WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type FindAnswer, type FindRequest, readFind, readFound, writeFind, writeFound } from "./find.ts";
import { checkDamage, frameOf, placed } from "./testkit.ts";
import { readHead, WIRE_FIND, WIRE_FOUND, WireDamaged } from "./wire_head.ts";

const word = fc.integer({ min: 0, max: 0xffffffff });
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 64 }).filter((s) => Buffer.byteLength(s) <= 64);
const request: fc.Arbitrary<FindRequest> = fc.record(
  {
    from: name,
    request: fc.maxSafeNat(),
    tenant: name,
    idHi: word,
    idLo: word,
    userHi: word,
    userLo: word,
    shards: fc.array(fc.integer({ min: 0, max: 63 }), { maxLength: 64 }),
  },
  { noNullPrototype: true },
);
const answer: fc.Arbitrary<FindAnswer> = fc.record(
  {
    from: name,
    request: fc.maxSafeNat(),
    result: fc.constantFrom("found", "none", "unavailable"),
    bytes: fc.uint8Array({ maxLength: 300 }),
  },
  { noNullPrototype: true },
);

test("searches are read back as they were asked; damage gives WireDamaged or another search", () => {
  fc.assert(
    fc.property(request, fc.nat(), (said, seed) => {
      const bytes = writeFind(said);
      const { kind, from, reader } = readHead(placed(bytes));
      assert.equal(kind, WIRE_FIND);
      assert.deepEqual(readFind(reader, from), said);
      checkDamage(bytes, seed, (damaged) => {
        const heard = readFind(readHead(damaged).reader, "x");
        assert.ok(heard.shards.length <= 64 && heard.shards.every((shard) => shard < 64));
      });
    }),
    { numRuns: 100 },
  );
});

test("what was found is read back; damage gives WireDamaged or another answer", () => {
  fc.assert(
    fc.property(answer, fc.nat(), (said, seed) => {
      const bytes = writeFound(said);
      const { kind, from, reader } = readHead(placed(bytes));
      assert.equal(kind, WIRE_FOUND);
      const heard = readFound(reader, from);
      assert.deepEqual({ ...heard, bytes: [...heard.bytes] }, { ...said, bytes: [...said.bytes] });
      checkDamage(bytes, seed, (damaged) => {
        const other = readFound(readHead(damaged).reader, "x");
        assert.ok(["found", "none", "unavailable"].includes(other.result));
      });
    }),
    { numRuns: 100 },
  );
});

test("a search of more shards than there are is refused", () => {
  const asked = (shards: number): FindRequest => {
    const frame = frameOf(WIRE_FIND, (w) => {
      for (const byte of [1, 1, 97]) w.u8(byte);
      w.bytes(new Uint8Array(16));
      w.u8(shards);
      w.bytes(new Uint8Array(shards));
    });
    return readFind(readHead(frame).reader, "x");
  };
  assert.equal(asked(64).shards.length, 64);
  assert.throws(() => asked(65), WireDamaged);
});

test("no search is written that nobody could read", () => {
  const said = { from: "a", request: 1, tenant: "t", idHi: 1, idLo: 2, userHi: 0, userLo: 0, shards: [1] };
  writeFind(said);
  for (const part of [{ tenant: "" }, { shards: [64] }, { shards: new Array<number>(65).fill(1) }, { request: 0.5 }]) {
    assert.throws(() => writeFind({ ...said, ...part }), RangeError, JSON.stringify(part));
  }
});
