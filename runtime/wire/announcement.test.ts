/** Tests of announcements and hand-overs: read back as they were said; damage is only WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  ANNOUNCEMENT_OLDEST,
  type Announcement,
  NODE_ROLES,
  readAnnouncement,
  readHandOver,
  writeAnnouncement,
  writeHandOver,
} from "./announcement.ts";
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
    role: fc.constantFrom(...NODE_ROLES),
    reads_format: fc.integer({ min: 1, max: 255 }),
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
      const { kind, from, reader, format } = readHead(placed(bytes));
      assert.equal(kind, WIRE_ANNOUNCEMENT);
      assert.deepEqual(readAnnouncement(reader, from, format), said);
      const read = (damaged: Uint8Array): void => {
        const head = readHead(damaged);
        const heard = readAnnouncement(head.reader, head.from, head.format);
        assert.ok(heard.reads_format > 0);
        assert.ok(Number.isFinite(heard.weight) && heard.weight >= 0 && NODE_ROLES.includes(heard.role));
        assert.equal(new Set(heard.following).size, heard.following.length);
        assert.equal(new Set(heard.owned.map((o) => o.shard)).size, heard.owned.length);
        assert.ok(heard.following.every((s) => s < 64) && heard.owned.every((o) => o.shard < 64));
      };
      checkDamage(bytes, seed, read, true);
    }),
    { numRuns: 100 },
  );
});

test("no announcement is made that nobody could read", () => {
  const nothing = { leaving: false, owned: [], following: [], damaged: [] };
  const said: Announcement = { from: "a", boot: "b", number: 1, weight: 1, role: "all", reads_format: 2, ...nothing };
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

test("a node that is neither leaving nor not is refused, and one of an unknown role", () => {
  const said = (leaving: number, role = 0, reads_format = 2): Announcement => {
    const frame = frameOf(WIRE_ANNOUNCEMENT, (w) => {
      for (const byte of [1, 97, 7]) w.u8(byte);
      w.f64(1);
      for (const byte of [leaving, 0, 0, 0, role, reads_format]) w.u8(byte);
    });
    return readAnnouncement(readHead(frame).reader, "x", 2);
  };
  assert.equal(said(1).leaving, true);
  assert.deepEqual(
    [0, 1, 2].map((role) => said(0, role).role),
    ["all", "gateway", "shard"],
  );
  assert.throws(() => said(2), WireDamaged);
  assert.throws(() => said(0, 3), WireDamaged);
  assert.throws(() => said(0, 0, 0), WireDamaged);
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

test("nodes of the first format are heard, and hear; they know no roles and read the first journal format", () => {
  fc.assert(
    fc.property(announcement, (said) => {
      const { from, reader, format } = readHead(writeAnnouncement(said, ANNOUNCEMENT_OLDEST));
      assert.equal(format, 1);
      const heard = readAnnouncement(reader, from, format);
      const leaving = said.leaving || said.role === "gateway";
      assert.deepEqual(heard, { ...said, leaving, role: "all", reads_format: 1 });
    }),
  );
  // As a node of the first format wrote it, byte by byte.
  const bytes = "46475746 01 01 01 61 01 62 07 000000000000f03f 00 01 03 05 01 02 00".replaceAll(" ", "");
  const { reader, from, format } = readHead(Uint8Array.from(Buffer.from(bytes, "hex")));
  const { owned, following, weight, number } = readAnnouncement(reader, from, format);
  assert.deepEqual([owned, following, weight, number], [[{ shard: 3, epoch: 5 }], [2], 1, 7]);
});

test("what later code adds to an announcement is left; behind one of the first format it is damage", () => {
  const said = { from: "a", boot: "b", number: 1, weight: 1, role: "shard", reads_format: 3, leaving: false } as const;
  const whole: Announcement = { ...said, owned: [], following: [1], damaged: [] };
  const more = (format: number) => Buffer.concat([writeAnnouncement(whole, format), Buffer.from([9, 9, 9])]);
  const head = readHead(more(2));
  assert.deepEqual(readAnnouncement(head.reader, head.from, head.format), whole);
  const old = readHead(more(ANNOUNCEMENT_OLDEST));
  assert.throws(() => readAnnouncement(old.reader, old.from, old.format), WireDamaged);
});
