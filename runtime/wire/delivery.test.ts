/** Tests of deliveries: rows are appended as they were sent; damage is only WireDamaged and leaves no row behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InboxRows } from "../../proto/frame/rows_layout.ts";
import { DELIVERY_ROWS_MAX, type DeliveryHead, readDelivery, writeDelivery } from "./delivery.ts";
import { checkDamage, frameOf, placed, randomOf } from "./testkit.ts";
import { readHead, WIRE_DELIVERY, WireDamaged } from "./wire_head.ts";

const FIELDS = ["source", "frame", "kind", "flag", "hi", "lo", "userHi", "userLo", "timeUs", "amount"] as const;
const plain = (rows: InboxRows, from: number, end: number) =>
  FIELDS.map((field) => Array.from(rows[field].subarray(from, end)));

const delivery = fc.record({
  source: fc.integer({ min: 0, max: 63 }),
  target: fc.integer({ min: 0, max: 63 }),
  epoch: fc.maxSafeNat(),
  takeover: fc.maxSafeNat(),
  after: fc.oneof(fc.nat(), fc.constant(2 ** 53 - 1 - 400)),
  n: fc.integer({ min: 0, max: 100 }),
  seed: fc.nat(),
});
type Delivery = typeof delivery extends fc.Arbitrary<infer T> ? T : never;

/** Rows of the source in frames behind `after`, several in some frames, some frames without. */
function sent(d: Delivery): { head: DeliveryHead; rows: InboxRows } {
  const random = randomOf(d.seed);
  const rows = new InboxRows();
  let frame = d.after + 1;
  for (let i = 0; i < d.n; i++) {
    const j = rows.add();
    frame += i === 0 ? 0 : random() % 3;
    rows.source[j] = d.source;
    rows.frame[j] = frame;
    rows.kind[j] = random() % 4;
    rows.flag[j] = random() % 4;
    for (const key of [rows.hi, rows.lo, rows.userHi, rows.userLo]) key[j] = random() % 4 === 0 ? 0xffffffff : random();
    rows.timeUs[j] = random() % 8 === 0 ? -1 : 1.7e15 + random();
    rows.amount[j] = random() % 4 === 0 ? Number.NaN : random();
  }
  const { source, target, epoch, takeover, after } = d;
  const upTo = d.n === 0 ? after + (random() % 2) : frame + (random() % 2);
  return { head: { from: "owner", source, target, epoch, takeover, after, upTo }, rows };
}

test("rows are appended as they were sent", () => {
  fc.assert(
    fc.property(delivery, fc.nat(), (d, part) => {
      const { head, rows } = sent(d);
      const first = d.n === 0 ? 0 : part % d.n;
      const frame = placed(writeDelivery(head, rows, first, d.n));
      const into = new InboxRows();
      for (let i = 0; i < 70; i++) into.copyRow(sent({ ...d, n: 1 }).rows, 0);
      const had = plain(into, 0, 70);
      const { kind, from, reader } = readHead(frame);
      assert.equal(kind, WIRE_DELIVERY);
      assert.deepEqual(readDelivery(reader, from, into), head);
      assert.equal(into.n, 70 + d.n - first);
      assert.deepEqual(plain(into, 0, 70), had);
      assert.deepEqual(plain(into, 70, into.n), plain(rows, first, d.n));
    }),
    { numRuns: 100 },
  );
});

test("damaged deliveries give WireDamaged and leave no row behind, or other rows within their range", () => {
  fc.assert(
    fc.property(delivery, (d) => {
      const { head, rows } = sent(d);
      const into = new InboxRows();
      into.add();
      checkDamage(writeDelivery(head, rows, 0, d.n), d.seed, (bytes) => {
        into.n = 1;
        try {
          const { after, upTo } = readDelivery(readHead(bytes).reader, "x", into);
          for (let i = 1; i < into.n; i++) assert.ok(into.frame[i] > after && into.frame[i] <= upTo);
        } catch (e) {
          assert.equal(into.n, 1);
          throw e;
        } finally {
          assert.ok(into.hi.length <= 256, "memory for rows that are not there");
        }
      });
    }),
    { numRuns: 60 },
  );
});

const HEAD = { from: "owner", source: 3, target: 4, epoch: 5, takeover: 6, after: 10, upTo: 20 };

function rowsOf(...frames: number[]): InboxRows {
  const rows = new InboxRows();
  for (const frame of frames) {
    const j = rows.add();
    rows.source[j] = 3;
    rows.frame[j] = frame;
  }
  return rows;
}

test("no delivery is written that says too much or too little", () => {
  writeDelivery(HEAD, rowsOf(11, 11, 20), 0, 3);
  for (const frames of [[10], [21], [15, 14], [11.5], [Number.NaN]]) {
    assert.throws(() => writeDelivery(HEAD, rowsOf(...frames), 0, frames.length), RangeError, String(frames));
  }
  assert.throws(() => writeDelivery({ ...HEAD, source: 2 }, rowsOf(11), 0, 1), RangeError);
  assert.throws(() => writeDelivery({ ...HEAD, target: 64 }, rowsOf(), 0, 0), RangeError);
  assert.throws(() => writeDelivery({ ...HEAD, upTo: 9 }, rowsOf(), 0, 0), RangeError);
  assert.throws(() => writeDelivery({ ...HEAD, epoch: -1 }, rowsOf(), 0, 0), RangeError);
});

test("no row is read that no source has", () => {
  const changes: ((rows: InboxRows) => void)[] = [
    (rows) => rows.kind.fill(4, 1, 2),
    (rows) => rows.flag.fill(4, 1, 2),
    (rows) => rows.timeUs.fill(Number.NaN, 1, 2),
    (rows) => rows.amount.fill(0.5, 1, 2),
  ];
  for (const change of changes) {
    const rows = rowsOf(11, 12, 13);
    change(rows);
    const { reader, from } = readHead(writeDelivery(HEAD, rows, 0, 3));
    assert.throws(() => readDelivery(reader, from, new InboxRows()), WireDamaged);
  }
});

test("frames that fall, or lie outside the range, are refused", () => {
  const rows = (...frames: number[]): unknown => {
    const frame = frameOf(WIRE_DELIVERY, (w) => {
      for (const byte of [3, 4, 5, 6, HEAD.after, HEAD.upTo, frames.length, 0]) w.u8(byte);
      for (const behind of frames) {
        w.u8(0);
        w.u8(behind);
        w.bytes(new Uint8Array(32));
      }
    });
    return readDelivery(readHead(frame).reader, "owner", new InboxRows());
  };
  assert.deepEqual(rows(1, 1, 10), HEAD);
  for (const frames of [[0], [11], [5, 4]]) assert.throws(() => rows(...frames), WireDamaged, String(frames));
});

test("a range that ends before it begins is refused", () => {
  const range = (after: number, upTo: number): unknown => {
    const frame = frameOf(WIRE_DELIVERY, (w) => {
      for (const byte of [3, 4, 5, 6, after, upTo, 0, 0]) w.u8(byte);
    });
    return readDelivery(readHead(frame).reader, "owner", new InboxRows());
  };
  assert.deepEqual(range(10, 10), { ...HEAD, upTo: 10 });
  assert.throws(() => range(10, 9), WireDamaged);
});

test("as many rows as a frame may hold fit, whatever their frames", () => {
  const head = {
    ...HEAD,
    from: "n".repeat(64),
    epoch: 2 ** 53 - 1,
    takeover: 2 ** 53 - 1,
    after: 0,
    upTo: 2 ** 53 - 1,
  };
  const rows = rowsOf(...new Array<number>(DELIVERY_ROWS_MAX + 1).fill(2 ** 53 - 1));
  const { reader, from } = readHead(writeDelivery(head, rows, 0, DELIVERY_ROWS_MAX));
  const into = new InboxRows();
  readDelivery(reader, from, into);
  assert.equal(into.n, DELIVERY_ROWS_MAX);
  assert.throws(() => writeDelivery(head, rows, 0, DELIVERY_ROWS_MAX + 1), RangeError);
});
