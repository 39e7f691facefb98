import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteReader, BytesDamaged, ByteWriter } from "./bytes.ts";

test("what is written is read back, and no prefix of it reads as whole", () => {
  const item = fc.oneof(
    fc.record({ k: fc.constant("u8" as const), v: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ k: fc.constant("u16" as const), v: fc.integer({ min: 0, max: 65535 }) }),
    fc.record({ k: fc.constant("u32" as const), v: fc.integer({ min: 0, max: 0xffffffff }) }),
    fc.record({ k: fc.constant("f64" as const), v: fc.double() }),
    fc.record({ k: fc.constant("f32" as const), v: fc.float() }),
    fc.record({ k: fc.constant("varint" as const), v: fc.maxSafeNat() }),
    fc.record({ k: fc.constant("signed" as const), v: fc.integer({ min: -(2 ** 50), max: 2 ** 50 }) }),
  );
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 50 }), fc.uint8Array({ maxLength: 100 }), (items, tail) => {
      const w = new ByteWriter(1);
      for (const i of items) w[i.k](i.v);
      w.u64(0xfedcba98, 0x76543210);
      w.bytes(tail);
      const bytes = w.copy();
      const readAll = (r: ByteReader) => {
        for (const i of items) assert.ok(Object.is(r[i.k](), i.v === 0 && i.k !== "f64" && i.k !== "f32" ? 0 : i.v));
        assert.equal(r.u64lo(), 0x76543210);
        assert.equal(r.hi(), 0xfedcba98);
        assert.deepEqual([...r.bytes(tail.length)], [...tail]);
      };
      const r = new ByteReader(bytes);
      readAll(r);
      assert.equal(r.left, 0);
      const cut = new ByteReader(bytes, 0, bytes.length - 1);
      assert.throws(() => readAll(cut), BytesDamaged);
    }),
    { numRuns: 200 },
  );
});

test("varints keep their limits", () => {
  const w = new ByteWriter();
  for (const bad of [-1, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => w.varint(bad), RangeError);
  for (const v of [0, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1]) {
    w.reset();
    w.varint(v);
    assert.equal(new ByteReader(w.view()).varint(), v);
  }
  assert.throws(() => new ByteReader(new Uint8Array(9).fill(255)).varint(), BytesDamaged);
});

test("a patch changes what was written and nothing else", () => {
  const w = new ByteWriter();
  w.u32(0);
  w.u8(7);
  w.patchU32(0, 0xdeadbeef);
  const r = new ByteReader(w.view());
  assert.equal(r.u32(), 0xdeadbeef);
  assert.equal(r.u8(), 7);
  assert.throws(() => w.patchU32(2, 1), RangeError);
});

test("loops fill and read what was taken, and nothing beyond the end can be taken", () => {
  const w = new ByteWriter(16);
  w.u8(1);
  const at = w.take(100);
  w.u8(2);
  for (let i = 0; i < 25; i++) w.numbers.setUint32(at + 4 * i, i, true);
  w.memory[at + 4 * 25] = 3;
  assert.deepEqual([at, w.length], [1, 102]);
  const r = new ByteReader(Buffer.concat([new Uint8Array(3), w.view()]), 3);
  assert.equal(r.u8(), 1);
  const from = r.take(100);
  for (let i = 0; i < 25; i++) assert.equal(r.numbers.getUint32(from + 4 * i, true), i);
  assert.equal(r.memory[from + 100], 3);
  assert.throws(() => r.take(2), BytesDamaged);
  assert.equal(r.left, 1);
});
