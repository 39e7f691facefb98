import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";
import { COLD_IDS_MAX, ColdIds } from "./cold_ids.ts";

test("the newest ids are found, also through a change of generations and a snapshot; the oldest are forgotten", () => {
  const ids = new ColdIds();
  const total = 2.5 * COLD_IDS_MAX;
  const frame = (c: ColdIds, i: number) => c.frame(7, i >>> 3, 9, Math.imul(i, 0x9e3779b1) >>> 0);
  for (let i = 0; i < total; i++) {
    ids.add(7, i >>> 3, 9, Math.imul(i, 0x9e3779b1) >>> 0, i + 1);
    if (i % 50_000 === 0)
      assert.equal(frame(ids, Math.max(0, i - COLD_IDS_MAX + 1)), Math.max(1, i - COLD_IDS_MAX + 2));
  }
  const loaded = new ColdIds();
  ids.beginSnapshot();
  const w = new ByteWriter();
  for (let isWhole = false; !isWhole; ) {
    w.reset();
    isWhole = ids.snapshotStep(w, 65_536);
    assert.ok(w.length < 66_000);
    assert.equal(loaded.loadPart(new ByteReader(w.view())), isWhole);
  }
  for (const c of [ids, loaded]) {
    for (let i = total - COLD_IDS_MAX; i < total; i += 97) assert.equal(frame(c, i), i + 1);
    for (let i = 0; i < total - COLD_IDS_MAX; i += 9973) assert.equal(frame(c, i), 0);
    assert.equal(c.frame(8, 1, 9, 0), 0);
  }
});
