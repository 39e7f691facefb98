/** Tests of rows frames: what came in is read back, other rows are left alone, damage is only ever WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BLOCK_ROWS,
  DEGRADED_FX,
  isPayment,
  RAW_FIELDS,
  RAW_MESSAGE,
  ROW_PAYMENT,
  RowBlock,
} from "../../proto/columns.ts";
import { WIRE_BYTES_MAX } from "../ports.ts";
import { readRows, readRowsHead, rowsFitting, writeRows } from "./rows.ts";
import {
  ANSWERED,
  bytesOf,
  checkDamage,
  columnsOf,
  dirty,
  frameOf,
  placed,
  randomOf,
  randomRows,
  textBytes,
  typicalRows,
} from "./testkit.ts";
import { readHead, WIRE_ROWS, WireDamaged } from "./wire_head.ts";

const TENANTS = ["ann", "größe", "c".repeat(64)];
const tenantId = (index: number): string => TENANTS[index];
/** Another node numbers its tenants its own way. */
const tenantIndex = (id: string): number => {
  if (!TENANTS.includes(id)) throw new Error(`no tenant ${id}`);
  return 9 - TENANTS.indexOf(id);
};
const counts = fc.record({
  n: fc.integer({ min: 1, max: 60 }),
  first: fc.integer({ min: 0, max: 100 }),
  seed: fc.nat(),
});

/** Rows 0..n in some order, some of them left out. */
function someRows(n: number, seed: number): Uint16Array {
  const random = randomOf(seed);
  const rows = Array.from({ length: n }, (_, r) => ({ r, key: random() })).sort((a, b) => a.key - b.key);
  return Uint16Array.from(rows.slice(0, 1 + (random() % n)), (x) => x.r);
}

function read(bytes: Uint8Array, into: RowBlock, first: number): { request: number; rows: number } {
  const { kind, from, reader } = readHead(bytes);
  assert.equal(kind, WIRE_ROWS);
  const head = readRowsHead(reader, from);
  readRows(reader, head, into, first, tenantIndex);
  assert.equal(from, "node-ä");
  return head;
}

function text(b: RowBlock, bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(b.rawStart[at], b.rawStart[at] + b.rawLength[at])).toString("hex");
}

/** Asserts that row r of `into` holds what came in as row q of `b`, and no answer. */
function checkRow(b: RowBlock, q: number, into: RowBlock, r: number, frame: Uint8Array): void {
  const target = new Map(columnsOf(into));
  for (const [name, column] of columnsOf(b)) {
    const got = bytesOf(target.get(name) ?? column, r, r + 1);
    const [plain] = name.split(".");
    // What the user's shard says of a row to its merchant is no answer, and not there yet.
    if (ANSWERED.includes(plain) || plain === "unusual") {
      const isNoScore = name === "score" && Number.isNaN(into.score[r]);
      const isFx = name === "degraded" && isPayment(b.kind[q]) && Number.isNaN(b.amountBase[q]);
      if (isFx) assert.equal(into.degraded[r], DEGRADED_FX);
      else assert.ok(isNoScore || got.every((byte) => byte === 0), `${name} of the answer is not empty`);
    } else if (name === "tenant") assert.equal(into.tenant[r], tenantIndex(tenantId(b.tenant[q])));
    else if (name === "amountBase" || name === "attributes") {
      // Their NaN is only "none": which of them is no matter.
      assert.deepEqual(floats(got), floats(bytesOf(column, q, q + 1)), name);
    } else if (name !== "batch" && name !== "rawStart") assert.deepEqual(got, bytesOf(column, q, q + 1), name);
  }
  for (let k = 0; k < RAW_FIELDS; k++) {
    const source = b.batches[b.batch[q]].bytes;
    assert.equal(text(into, frame, r * RAW_FIELDS + k), text(b, source, q * RAW_FIELDS + k), `raw field ${k}`);
  }
}

function floats(bytes: Buffer): number[] {
  return Array.from(new Float64Array(Uint8Array.from(bytes).buffer));
}

test("rows are read back into their place of a used block, and no other row is touched", () => {
  fc.assert(
    fc.property(counts, ({ n, first, seed }) => {
      const b = randomRows(n, seed);
      const rows = someRows(n, seed);
      const frame = placed(writeRows(b, rows, rows.length, "node-ä", 2 ** 53 - 1 - seed, tenantId));
      const into = dirty(new RowBlock(), seed + 1);
      const before = columnsOf(into).map(([, column]) => Buffer.from(bytesOf(column)));
      const head = read(frame, into, first);
      assert.deepEqual([head.request, head.rows], [2 ** 53 - 1 - seed, rows.length]);
      for (const [i, q] of rows.entries()) checkRow(b, q, into, first + i, frame);
      for (const [i, [name, column]] of columnsOf(into).entries()) {
        const width = column.byteLength / BLOCK_ROWS;
        const end = first + rows.length;
        assert.ok(bytesOf(column, 0, first).equals(before[i].subarray(0, first * width)), `${name} before the rows`);
        assert.ok(bytesOf(column, end).equals(before[i].subarray(end * width)), `${name} behind the rows`);
      }
    }),
    { numRuns: 60 },
  );
});

test("damaged frames give WireDamaged or other rows", () => {
  const into = new RowBlock();
  fc.assert(
    fc.property(counts, ({ n, first, seed }) => {
      const rows = someRows(n, seed);
      const frame = writeRows(randomRows(n, seed), rows, rows.length, "node-ä", seed, tenantId);
      checkDamage(frame, seed, (bytes) => {
        const { reader } = readHead(bytes);
        const head = readRowsHead(reader, "x");
        const end = Math.min(BLOCK_ROWS, first + head.rows);
        readRows(reader, head, into, end - head.rows, tenantIndex);
        for (let i = (end - head.rows) * RAW_FIELDS; i < end * RAW_FIELDS; i++) {
          assert.ok(into.rawStart[i] + into.rawLength[i] <= bytes.length, "a text ends behind the frame");
        }
        for (let r = end - head.rows; r < end; r++) {
          assert.ok(into.kind[r] < 4 && into.shard[r] < 64 && into.tenant[r] >= 7 && into.tenant[r] <= 9);
        }
      });
    }),
    { numRuns: 60 },
  );
});

test("what no sender has is refused", () => {
  const spoil = (change: (b: RowBlock) => void): void => {
    const b = randomRows(5, 3);
    change(b);
    const frame = writeRows(b, Uint16Array.of(1, 2, 3), 3, "node-ä", 1, tenantId);
    assert.throws(() => read(frame, new RowBlock(), 0), WireDamaged);
  };
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, 0.5, 2 ** 53]) {
    spoil((b) => b.eventTimeUs.fill(bad, 2, 3));
    spoil((b) => b.amountMinor.fill(bad, 2, 3));
    if (!Number.isNaN(bad)) spoil((b) => b.amountBase.fill(bad, 2, 3));
  }
  spoil((b) => b.kind.fill(4, 3, 4));
  spoil((b) => b.shard.fill(64, 3, 4));
  spoil((b) => b.currency.fill(26 ** 3, 1, 2));
  spoil((b) => b.country.fill(1 + 26 ** 2, 1, 2));
  spoil((b) => b.retracted.fill(2, 1, 2));
  const frame = writeRows(randomRows(2, 3), Uint16Array.of(0, 1), 2, "node-ä", 1, () => "stranger");
  assert.throws(() => read(frame, new RowBlock(), 0), WireDamaged);
  for (const index of [-1, 0x10000, 0.5, Number.NaN]) {
    const { reader } = readHead(frame);
    const head = readRowsHead(reader, "x");
    assert.throws(() => readRows(reader, head, new RowBlock(), 0, () => index), WireDamaged);
  }
  assert.throws(() => writeRows(randomRows(2, 3), Uint16Array.of(0, 1), 0, "node-ä", 1, tenantId), RangeError);
  const { reader, from } = readHead(writeRows(randomRows(2, 3), Uint16Array.of(0, 1), 2, "node-ä", 1, tenantId));
  const head = readRowsHead(reader, from);
  assert.throws(() => readRows(reader, head, new RowBlock(), BLOCK_ROWS - 1, tenantIndex), RangeError);
});

test("a frame of no rows, of too many, or of more tenants than rows is refused before its columns are read", () => {
  const head = (rows: number, tenants: number): unknown => {
    const frame = frameOf(WIRE_ROWS, (w) => {
      for (const count of [1 | (rows << 8), (rows >> 8) | (tenants << 8), tenants >> 8]) w.u16(count & 0xffff);
    });
    const { reader } = readHead(Buffer.concat([frame.subarray(0, -1), Buffer.alloc(2 * tenants, "\x01a")]));
    return readRowsHead(reader, "x");
  };
  assert.deepEqual(head(2, 2), { from: "x", request: 1, rows: 2, tenants: ["a", "a"] });
  assert.deepEqual(head(BLOCK_ROWS, 1), { from: "x", request: 1, rows: BLOCK_ROWS, tenants: ["a"] });
  for (const [rows, tenants] of [
    [0, 0],
    [0, 1],
    [BLOCK_ROWS + 1, 1],
    [1, 0],
    [1, 2],
  ]) {
    assert.throws(() => head(rows, tenants), WireDamaged, `${rows} rows, ${tenants} tenants`);
  }
});

test("texts of 255 bytes and of 256 are told apart", () => {
  const b = typicalRows(2);
  b.rawLength.fill(0);
  b.reset();
  b.addBatch(
    new Uint8Array(512).map((_, i) => i),
    0,
    2,
    { done: () => {} },
  );
  b.rawLength[2] = 255;
  b.rawLength[RAW_FIELDS + 2] = 256;
  const frame = writeRows(b, Uint16Array.of(0, 1), 2, "node-ä", 1, tenantId);
  const into = new RowBlock();
  read(frame, into, 0);
  for (const r of [0, 1]) checkRow(b, r, into, r, frame);
});

test("as many rows as fit are cut off, at least one", () => {
  const b = typicalRows(BLOCK_ROWS);
  const all = Uint16Array.from({ length: BLOCK_ROWS }, (_, r) => r);
  assert.equal(rowsFitting(b, all, 0, BLOCK_ROWS), BLOCK_ROWS, "a full block of typical payments is one frame");
  assert.equal(rowsFitting(b, all, 5, 9), 4);
  for (let r = 0; r < BLOCK_ROWS; r++) b.tenant[r] = r % 2;
  assert.equal(rowsFitting(b, all, 0, BLOCK_ROWS), BLOCK_ROWS, "two tenants in turn are two in the dictionary");
  for (let r = 0; r < BLOCK_ROWS; r++) b.tenant[r] = r;
  const some = rowsFitting(b, all, 0, BLOCK_ROWS);
  const { length } = writeRows(b, all, some, "n".repeat(64), 2 ** 53 - 1, () => "t".repeat(255));
  assert.ok(some < BLOCK_ROWS && length > WIRE_BYTES_MAX - 600);
  b.tenant.fill(0);
  const long = new Uint8Array(WIRE_BYTES_MAX);
  b.reset();
  b.addBatch(long, 0, BLOCK_ROWS, { done: () => {} });
  for (let r = 0; r < BLOCK_ROWS; r++) {
    b.rawStart[r * RAW_FIELDS + RAW_MESSAGE] = 0;
    b.rawLength[r * RAW_FIELDS + RAW_MESSAGE] = 700 + (r % 7);
  }
  for (let from = 0; from < BLOCK_ROWS; ) {
    const n = rowsFitting(b, all, from, BLOCK_ROWS);
    const { length } = writeRows(b, all.subarray(from, from + n), n, "n".repeat(64), 2 ** 53 - 1, () =>
      "t".repeat(255),
    );
    assert.ok(length <= WIRE_BYTES_MAX);
    from += n;
    assert.ok(from === BLOCK_ROWS || length > WIRE_BYTES_MAX - 1200, `${length} bytes leave room for another row`);
  }
  b.rawLength[3 * RAW_FIELDS + RAW_MESSAGE] = WIRE_BYTES_MAX;
  assert.equal(rowsFitting(b, all, 3, BLOCK_ROWS), 1);
  assert.throws(() => writeRows(b, all.subarray(3), 1, "n", 1, () => "t"), RangeError);
});

test("tenants in turn take a place each in the dictionary, once", () => {
  const b = typicalRows(600);
  const all = Uint16Array.from({ length: 600 }, (_, r) => r);
  for (let r = 0; r < 600; r++) b.tenant[r] = r % 300;
  const frame = writeRows(b, all, 600, "n", 1, (index) => `tenant-${index}`);
  const { reader, from } = readHead(frame);
  const head = readRowsHead(reader, from);
  assert.deepEqual([...head.tenants].sort(), Array.from({ length: 300 }, (_, t) => `tenant-${t}`).sort());
  const into = new RowBlock();
  readRows(reader, head, into, 0, (id) => Number(id.slice(7)));
  for (let r = 0; r < 600; r++) assert.equal(into.tenant[r], r % 300);
});

test("a typical payment costs 106 bytes beside its texts, 8 more in another currency", () => {
  const n = 512;
  const b = typicalRows(n);
  const all = Uint16Array.from({ length: n }, (_, r) => r);
  assert.ok(all.every((r) => b.kind[r] === ROW_PAYMENT));
  const bytes = writeRows(b, all, n, "node-a", 1, () => "tenant").length - textBytes(b, n);
  const foreign = all.filter((r) => b.amountBase[r] !== b.amountMinor[r]).length;
  assert.ok(foreign > 100 && foreign < 200);
  const head = bytes - 106 * n - 8 * foreign;
  assert.ok(head > 0 && head < 40, `${head} bytes for the head`);
});
