/** Tests of the exchange's frames: questions and columns are read back bit for bit; damage is only WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BLOCK_ROWS } from "../../proto/columns.ts";
import {
  COLUMNS_ANSWERED,
  EXCHANGE_DEVICE,
  EXCHANGE_DEVICE_EVENT,
  EXCHANGE_MERCHANT,
  EXCHANGE_ROWS_MAX,
  ExchangeRows,
  readColumns,
  readColumnsRequest,
  readExchange,
  writeColumns,
  writeExchange,
} from "./exchange.ts";
import { checkDamage, frameOf, placed, randomOf } from "./testkit.ts";
import { readHead, WIRE_COLUMNS, WIRE_EXCHANGE, WireDamaged } from "./wire_head.ts";

const FIELDS = ["row", "target", "source", "what", "hi", "lo", "userHi", "userLo", "timeUs", "amount"] as const;
const MERCHANT_COLUMNS = 7;
const DEVICE_COLUMNS = 3;

const source = fc.record(
  {
    shard: fc.integer({ min: 0, max: 63 }),
    epoch: fc.maxSafeNat(),
    takeover: fc.maxSafeNat(),
    frame: fc.maxSafeNat(),
  },
  { noNullPrototype: true },
);
const question = fc.record({
  sources: fc.array(source, { minLength: 1, maxLength: 64 }),
  n: fc.integer({ min: 0, max: 200 }),
  seed: fc.nat(),
});

function randomRows(n: number, sources: number, seed: number): ExchangeRows {
  const random = randomOf(seed);
  const rows = new ExchangeRows();
  for (let i = 0; i < n; i++) {
    const j = rows.add();
    rows.row[j] = random() % BLOCK_ROWS;
    rows.target[j] = random() % 64;
    rows.source[j] = random() % sources;
    rows.what[j] = 1 + (random() % 3);
    for (const key of [rows.hi, rows.lo, rows.userHi, rows.userLo]) key[j] = random() % 4 === 0 ? 0xffffffff : random();
    rows.timeUs[j] = random() % 8 === 0 ? -1 : 1.7e15 + random();
    rows.amount[j] = random() % 4 === 0 ? Number.NaN : random();
  }
  return rows;
}

const plain = (rows: ExchangeRows) => FIELDS.map((field) => Array.from(rows[field].subarray(0, rows.n)));

test("questions are read back as they were asked, whatever the rows held before", () => {
  const into = randomRows(33, 1, 1);
  fc.assert(
    fc.property(question, ({ sources, n, seed }) => {
      const rows = randomRows(n, sources.length, seed);
      const frame = placed(writeExchange("asker", seed, sources, rows));
      const { kind, from, reader } = readHead(frame);
      assert.equal(kind, WIRE_EXCHANGE);
      assert.deepEqual(readExchange(reader, from, into), { from: "asker", request: seed, sources });
      assert.deepEqual(plain(into), plain(rows));
    }),
    { numRuns: 100 },
  );
});

test("damaged questions give WireDamaged and no rows, or other questions", () => {
  fc.assert(
    fc.property(question, ({ sources, n, seed }) => {
      const into = new ExchangeRows();
      const frame = writeExchange("asker", seed, sources, randomRows(n, sources.length, seed));
      checkDamage(frame, seed, (bytes) => {
        const { reader } = readHead(bytes);
        try {
          const said = readExchange(reader, "x", into);
          for (let i = 0; i < into.n; i++) assert.ok(into.source[i] < said.sources.length && into.row[i] < BLOCK_ROWS);
        } catch (e) {
          assert.equal(into.n, 0);
          throw e;
        } finally {
          assert.ok(into.hi.length <= 512, "memory for rows that are not there");
        }
      });
    }),
    { numRuns: 60 },
  );
});

test("what no asker has is refused", () => {
  const sources = [{ shard: 1, epoch: 2, takeover: 3, frame: 4 }];
  const spoil = (change: (rows: ExchangeRows) => void): void => {
    const rows = randomRows(5, 1, 9);
    change(rows);
    const { reader } = readHead(writeExchange("asker", 1, sources, rows));
    assert.throws(() => readExchange(reader, "asker", new ExchangeRows()), WireDamaged);
  };
  spoil((rows) => rows.row.fill(BLOCK_ROWS, 2, 3));
  spoil((rows) => rows.target.fill(64, 2, 3));
  spoil((rows) => rows.source.fill(1, 2, 3));
  spoil((rows) => rows.what.fill(0, 2, 3));
  spoil((rows) => rows.what.fill(4, 2, 3));
  spoil((rows) => rows.timeUs.fill(Number.NaN, 2, 3));
  spoil((rows) => rows.amount.fill(0.5, 2, 3));
  const many = randomRows(EXCHANGE_ROWS_MAX, 1, 9);
  const { reader } = readHead(writeExchange("asker", 1, sources, many));
  readExchange(reader, "asker", new ExchangeRows());
  many.add();
  assert.throws(() => writeExchange("asker", 1, sources, many), RangeError);
});

test("more sources or rows than there may be are refused", () => {
  const asked = (sources: number, n: number): unknown => {
    const frame = frameOf(WIRE_EXCHANGE, (w) => {
      w.u8(1);
      w.u8(sources);
      for (let i = 0; i < sources; i++) w.u32(0x01010101);
      w.u16(n);
      for (let i = 0; i < n; i++) {
        w.u32(0);
        w.u8(EXCHANGE_DEVICE);
      }
      w.bytes(new Uint8Array(32 * n));
    });
    return readExchange(readHead(frame).reader, "x", new ExchangeRows());
  };
  asked(64, EXCHANGE_ROWS_MAX);
  assert.throws(() => asked(65, 1), WireDamaged);
  assert.throws(() => asked(1, EXCHANGE_ROWS_MAX + 1), WireDamaged);
  const rows = new ExchangeRows();
  assert.throws(() => writeExchange("asker", 1, new Array(65).fill({}), rows), RangeError);
});

interface Answer {
  readonly rows: ExchangeRows;
  readonly flags: Uint8Array;
  readonly columns: Float32Array;
  readonly frame: Uint8Array;
}

function answer(n: number, seed: number): Answer {
  const rows = randomRows(n, 1, seed);
  const random = randomOf(~seed);
  const flags = Uint8Array.from({ length: n + 5 }, () => random() % 3);
  // Random bits, every kind of NaN among them.
  const bits = Uint32Array.from(
    { length: n * MERCHANT_COLUMNS },
    () => random() | (random() % 2 === 0 ? 0x7f800000 : 0),
  );
  const columns = new Float32Array(bits.buffer);
  const stride = MERCHANT_COLUMNS;
  const frame = placed(writeColumns("owner", seed, rows, flags, columns, stride, MERCHANT_COLUMNS, DEVICE_COLUMNS));
  return { rows, flags, columns, frame };
}

function read(bytes: Uint8Array, what: Uint8Array, n: number, flags: Uint8Array, columns: Float32Array): void {
  const { reader } = readHead(bytes);
  readColumnsRequest(reader);
  readColumns(reader, what, n, MERCHANT_COLUMNS, DEVICE_COLUMNS, flags, columns);
}

test("columns are read back bit for bit where they were answered, and nothing else is touched", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 120 }), fc.nat(), (n, seed) => {
      const { rows, flags, columns, frame } = answer(n, seed);
      const { kind, reader } = readHead(frame);
      assert.equal(kind, WIRE_COLUMNS);
      assert.equal(readColumnsRequest(reader), seed);
      const gotFlags = new Uint8Array(n + 5).fill(77);
      const got = new Float32Array((n + 1) * MERCHANT_COLUMNS).fill(-1);
      readColumns(reader, rows.what, n, MERCHANT_COLUMNS, DEVICE_COLUMNS, gotFlags, got);
      assert.deepEqual(gotFlags.subarray(0, n), flags.subarray(0, n));
      assert.ok(gotFlags.subarray(n).every((flag) => flag === 77));
      const said = new Uint32Array(columns.buffer);
      const heard = new Uint32Array(got.buffer);
      const untouched = new Uint32Array(Float32Array.of(-1).buffer)[0];
      for (let i = 0; i < heard.length; i++) {
        const r = Math.floor(i / MERCHANT_COLUMNS);
        const what = r < n && flags[r] === COLUMNS_ANSWERED ? rows.what[r] : 0;
        const width = what === EXCHANGE_MERCHANT ? MERCHANT_COLUMNS : what === EXCHANGE_DEVICE ? DEVICE_COLUMNS : 0;
        assert.equal(heard[i], i % MERCHANT_COLUMNS < width ? said[i] : untouched);
      }
    }),
    { numRuns: 100 },
  );
});

test("of another version's columns those known here are read; what it has not is missing", () => {
  const { rows, flags, columns, frame } = answer(60, 5);
  for (const [merchants, devices] of [
    [MERCHANT_COLUMNS - 2, DEVICE_COLUMNS - 1],
    [MERCHANT_COLUMNS + 3, DEVICE_COLUMNS + 2],
  ]) {
    const { reader } = readHead(frame);
    readColumnsRequest(reader);
    const got = new Float32Array(60 * merchants).fill(-1);
    readColumns(reader, rows.what, 60, merchants, devices, new Uint8Array(60), got);
    const said = new Uint32Array(columns.buffer);
    const heard = new Uint32Array(got.buffer);
    for (let r = 0; r < 60; r++) {
      if (flags[r] !== COLUMNS_ANSWERED || rows.what[r] === EXCHANGE_DEVICE_EVENT) continue;
      const isMerchant = rows.what[r] === EXCHANGE_MERCHANT;
      for (let c = 0; c < (isMerchant ? merchants : devices); c++) {
        if (c < (isMerchant ? MERCHANT_COLUMNS : DEVICE_COLUMNS)) {
          assert.equal(heard[r * merchants + c], said[r * MERCHANT_COLUMNS + c]);
        } else assert.ok(Number.isNaN(got[r * merchants + c]));
      }
    }
  }
});

test("damaged columns, and an answer to other rows, give WireDamaged", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(), (n, seed) => {
      const { rows, frame } = answer(n, seed);
      const flags = new Uint8Array(n);
      const columns = new Float32Array(n * MERCHANT_COLUMNS);
      checkDamage(frame, seed, (bytes) => {
        read(bytes, rows.what, n, flags, columns);
        assert.ok(flags.every((flag) => flag <= 2));
      });
      assert.throws(() => read(frame, rows.what, n - 1, flags, columns), WireDamaged);
    }),
    { numRuns: 60 },
  );
});
