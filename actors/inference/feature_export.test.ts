import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { FEATURE_COUNT } from "../features/registry.ts";
import { ExportClosed, type ExportFiles, FeatureExport, LABEL_FRAUD, LABEL_NONE } from "./feature_export.ts";
import { syntheticMatrix } from "./synthetic_matrix.ts";

class MemoryFiles implements ExportFiles {
  readonly parts = new Map<string, Uint8Array[]>();

  append(name: string, bytes: Uint8Array): void {
    this.parts.set(name, [...(this.parts.get(name) ?? []), bytes.slice()]);
  }

  bytes(name: string): Buffer {
    return Buffer.concat(this.parts.get(name) ?? []);
  }
}

describe("a feature export", () => {
  test("holds the rows taken, in order, with times, ids and the last label given", () => {
    const data = syntheticMatrix(300, 5);
    const files = new MemoryFiles();
    const to = new FeatureExport(files, "a test");
    const take = Uint8Array.from({ length: 300 }, (_, r) => (r % 3 === 0 ? 0 : 1));
    const rows = [...take.keys()].filter((r) => take[r] === 1);
    assert.equal(to.append(data.matrix, 100, data.timesUs, data.ids, take.subarray(0, 100)), 0);
    const tail = { hi: data.ids.hi.subarray(100), lo: data.ids.lo.subarray(100) };
    const rest = data.matrix.subarray(100 * FEATURE_COUNT);
    assert.equal(to.append(rest, 200, data.timesUs.subarray(100), tail, take.subarray(100)), 66);
    assert.equal(to.rows, 200);
    to.label(0, 0);
    to.label(7, LABEL_FRAUD);
    to.label(8, LABEL_FRAUD);
    to.label(8, LABEL_NONE);
    const meta = to.finish();
    rows.forEach((r, n) => {
      const row = Buffer.from(data.matrix.buffer, r * FEATURE_COUNT * 4, FEATURE_COUNT * 4);
      const at = n * FEATURE_COUNT * 4;
      assert.ok(
        files
          .bytes("features.f32")
          .subarray(at, at + FEATURE_COUNT * 4)
          .equals(row),
        `row ${n}`,
      );
      assert.equal(files.bytes("times.f64").readDoubleLE(n * 8), data.timesUs[r]);
      assert.equal(files.bytes("ids.u32").readUInt32LE(n * 8), data.ids.hi[r]);
      assert.equal(files.bytes("ids.u32").readUInt32LE(n * 8 + 4), data.ids.lo[r]);
    });
    assert.equal(files.bytes("features.f32").length, 200 * FEATURE_COUNT * 4);
    const labels = new Uint8Array(200).fill(LABEL_NONE);
    labels[0] = 0;
    labels[7] = 1;
    assert.deepEqual(new Uint8Array(files.bytes("labels.u8")), labels);
    assert.deepEqual([meta.rows, meta.labelled, meta.positives], [200, 2, 1]);
    assert.deepEqual([meta.from_us, meta.to_us], [data.timesUs[1], data.timesUs[299]]);
  });

  test("is described by meta.json, its last file", () => {
    const data = syntheticMatrix(10, 6);
    const files = new MemoryFiles();
    const to = new FeatureExport(files, "a test");
    to.append(data.matrix, 10, data.timesUs, data.ids);
    assert.ok(!files.parts.has("meta.json"));
    const meta = to.finish();
    assert.deepEqual(JSON.parse(files.bytes("meta.json").toString()), meta);
    assert.equal([...files.parts.keys()].at(-1), "meta.json");
    for (const [name, file] of Object.entries(meta.files)) {
      assert.equal(file.bytes, files.bytes(name).length);
      assert.equal(file.sha256, createHash("sha256").update(files.bytes(name)).digest("hex"));
    }
    assert.deepEqual(Object.keys(meta.files), ["features.f32", "ids.u32", "labels.u8", "times.f64"]);
  });

  test("refuses what does not fit", () => {
    const data = syntheticMatrix(10, 7);
    const to = new FeatureExport(new MemoryFiles(), "a test");
    assert.throws(() => to.append(data.matrix, 11, data.timesUs, data.ids), RangeError);
    to.append(data.matrix, 10, data.timesUs, data.ids);
    assert.throws(() => to.label(10, 1), RangeError);
    assert.throws(() => to.label(3, 2), RangeError);
    to.finish();
    assert.throws(() => to.append(data.matrix, 1, data.timesUs, data.ids), ExportClosed);
    assert.throws(() => to.label(0, 1), ExportClosed);
    assert.throws(() => to.finish(), ExportClosed);
  });
});
