/** Tests of the head that all frames have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter } from "../kernel/bytes.ts";
import { readHead, WIRE_ANNOUNCEMENT, WIRE_HAND_OVER, WireDamaged, writeHead } from "./wire_head.ts";

const kinds = fc.integer({ min: WIRE_ANNOUNCEMENT, max: WIRE_HAND_OVER });
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 64 }).filter((s) => Buffer.byteLength(s) <= 64);

function head(kind: number, from: string): Uint8Array {
  const w = new ByteWriter();
  writeHead(w, kind, from);
  return w.copy();
}

test("a head is read back, and the reader stands behind it", () => {
  fc.assert(
    fc.property(kinds, name, fc.uint8Array({ maxLength: 20 }), (kind, from, rest) => {
      const read = readHead(Buffer.concat([head(kind, from), rest]));
      assert.deepEqual([read.kind, read.from], [kind, from]);
      assert.deepEqual([...read.reader.bytes(read.reader.left)], [...rest]);
    }),
  );
  assert.equal(readHead(head(1, "\ufeffnode")).from, "\ufeffnode");
});

test("a head of another format, kind or length is refused", () => {
  const clean = head(3, "node");
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = clean.slice();
    bytes[at] = value;
    return bytes;
  };
  for (let end = 0; end < clean.length; end++) assert.throws(() => readHead(clean.subarray(0, end)), WireDamaged);
  for (let at = 0; at < 4; at++) assert.throws(() => readHead(changed(at, 0)), WireDamaged);
  for (const format of [0, 3]) assert.throws(() => readHead(changed(4, format)), WireDamaged);
  assert.deepEqual([readHead(clean).format, readHead(changed(4, 2)).format], [1, 2]);
  for (const kind of [0, 11, 255]) assert.throws(() => readHead(changed(5, kind)), WireDamaged);
  for (const length of [0, 5, 65]) assert.throws(() => readHead(changed(6, length)), WireDamaged);
  const long = new Uint8Array(100).fill(97);
  long.set(changed(6, 65).subarray(0, 7));
  assert.throws(() => readHead(long), WireDamaged, "a name of 65 bytes");
  assert.throws(() => readHead(changed(7, 0xff)), WireDamaged, "a name that is not UTF-8");
  for (const from of ["", "n".repeat(65), "ü".repeat(33)]) assert.throws(() => head(1, from), RangeError);
});
