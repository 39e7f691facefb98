import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteReader, BytesDamaged, ByteWriter } from "./bytes.ts";
import { Interner } from "./interner.ts";
import { KeyTable } from "./key_table.ts";

test("slots are dense, stable and found again, for scattered and for crowded keys", () => {
  const word = fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 3 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word), { maxLength: 300 }), (keys) => {
      const t = new KeyTable();
      const model = new Map<string, number>();
      for (const [hi, lo] of keys) {
        const k = `${hi}:${lo}`;
        assert.equal(t.find(hi, lo), model.get(k) ?? -1);
        if (!model.has(k)) model.set(k, model.size);
        assert.equal(t.slot(hi, lo), model.get(k));
        assert.equal(t.keyHi(model.get(k)!), hi);
        assert.equal(t.keyLo(model.get(k)!), lo);
      }
      assert.equal(t.size, model.size);
    }),
    { numRuns: 200 },
  );
});

test("300,000 keys: sequential low words, constant high word", () => {
  const t = new KeyTable();
  const n = 300_000;
  for (let i = 0; i < n; i++) assert.ok(t.slot(7, i) === i);
  for (let i = 0; i < n; i++) assert.ok(t.find(7, i) === i && t.find(8, i) === -1);
  assert.ok(t.bytes() / n < 50, `${t.bytes() / n} bytes a key`);
});

test("an interner's snapshot keeps codes, excludes later ones, and shows damage", () => {
  const a = new Interner();
  for (let i = 0; i < 1000; i++) a.code(i * 7, i);
  a.beginSnapshot();
  a.code(1, 1_000_000);
  const w = new ByteWriter();
  let steps = 1;
  while (!a.snapshotStep(w, 800)) steps++;
  assert.ok(steps >= 10);
  const b = new Interner();
  b.load(new ByteReader(w.view()));
  assert.equal(b.size, 1000);
  for (let i = 0; i < 1000; i++) assert.equal(b.find(i * 7, i), i);
  assert.equal(b.keyText(1), "0000000700000001");
  assert.throws(() => new Interner().load(new ByteReader(w.view(), 0, w.length - 1)), BytesDamaged);
});
