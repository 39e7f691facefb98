/** Tests of announcements and hand-overs: read back as they were said; damage is only WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Announcement, readAnnouncement, readHandOver, writeAnnouncement, writeHandOver } from "./announcement.ts";
import { checkDamage, frameOf, placed } from "./testkit.ts";
import { readHead, WIRE_ANNOUNCEMENT, WIRE_HAND_OVER, WireDamaged } from "./wire_head.ts";

const shard = fc.integer({ min: 0, max: 63 });
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 64 }).filter((s) => Buffer.byteLength(s) <= 64);
const announcement: fc.Arbitrary<Announcement> = fc.record(
  {
    from: name,
    boot: name,
    number: fc.maxSafeNat(),
    weight: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
    leaving: fc.boolean(),
    owned: fc.uniqueArray(fc.record({ shard, epoch: fc.maxSafeNat() }, { noNullPrototype: true }), {
      selector: (o) => o.shard,
      maxLength: 64,
    }),
    following: fc.uniqueArray(shard, { maxLength: 64 }),
    damaged: fc.uniqueArray(shard, { maxLength: 64 }),
  },
  { noNullPrototype: true },
);

test("announcements are read back as they were made; damage gives WireDamaged or another announcement", () => {
  fc.assert(
    fc.property(announcement, fc.nat(), (said, seed) => {
      const bytes = writeAnnouncement(said);
      const { kind, from, reader } = readHead(placed(bytes));
      assert.equal(kind, WIRE_ANNOUNCEMENT);
      assert.deepEqual(readAnnouncement(reader, from), said);
      checkDamage(bytes, seed, (damaged) => {
        const head = readHead(damaged);
        const heard = readAnnouncement(head.reader, head.from);
        assert.ok(Number.isFinite(heard.weight) && heard.weight >= 0);
        assert.equal(new Set(heard.following).size, heard.following.length);
        assert.equal(new Set(heard.owned.map((o) => o.shard)).size, heard.owned.length);
        assert.ok(heard.following.every((s) => s < 64) && heard.owned.every((o) => o.shard < 64));
      });
    }),
    { numRuns: 100 },
  );
});

test("no announcement is made that nobody could read", () => {
  const said = { from: "a", boot: "b", number: 1, weight: 1, leaving: false, owned: [], following: [], damaged: [] };
  const epoch = 1;
  const bad: Partial<Announcement>[] = [
    { from: "" },
    { from: "n".repeat(65) },
    { boot: "" },
    { number: -1 },
    { weight: Number.NaN },
    { weight: -1 },
    { following: [64] },
    { following: [1, 1] },
    { damaged: [2, 2] },
    { owned: [{ shard: -1, epoch }] },
    {
      owned: [
        { shard: 1, epoch },
        { shard: 1, epoch: 2 },
      ],
    },
    { owned: [{ shard: 1, epoch: 2 ** 53 }] },
  ];
  writeAnnouncement(said);
  for (const part of bad)
    assert.throws(() => writeAnnouncement({ ...said, ...part }), RangeError, JSON.stringify(part));
});

test("a node that is neither leaving nor not is refused", () => {
  const said = (leaving: number): Announcement => {
    const frame = frameOf(WIRE_ANNOUNCEMENT, (w) => {
      for (const byte of [1, 97, 7]) w.u8(byte);
      w.f64(1);
      for (const byte of [leaving, 0, 0, 0]) w.u8(byte);
    });
    return readAnnouncement(readHead(frame).reader, "x");
  };
  assert.equal(said(1).leaving, true);
  assert.throws(() => said(2), WireDamaged);
});

test("hand-overs are read back as they were said; damage gives WireDamaged or another", () => {
  fc.assert(
    fc.property(name, shard, fc.maxSafeNat(), fc.nat(), (who, number, epoch, seed) => {
      const bytes = writeHandOver({ from: who, shard: number, epoch });
      const { kind, from, reader } = readHead(placed(bytes));
      assert.equal(kind, WIRE_HAND_OVER);
      assert.deepEqual(readHandOver(reader, from), { from: who, shard: number, epoch });
      checkDamage(bytes, seed, (damaged) => assert.ok(readHandOver(readHead(damaged).reader, "x").shard < 64));
    }),
    { numRuns: 100 },
  );
});
