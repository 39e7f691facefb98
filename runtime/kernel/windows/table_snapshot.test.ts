/** What a snapshot pins is written before it moves or changes: each such change, right after the cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteReader, ByteWriter } from "../bytes.ts";
import { WindowTable } from "./window_table.ts";

const START = 1_000_000;
const OPTIONS = {
  windows_us: [1000, 20_000],
  retention_us: 60_000,
  late_tolerance_us: 1000,
  ids: true,
  events_max: 100_000,
};

const text = (t: WindowTable) => [...t.exportLines((c) => `c${c}`)].join("");

function append(t: WindowTable, slot: number, timeUs: number, id: number): void {
  assert.equal(t.append(slot, timeUs, id * 10, id % 30, 7, id, id), 0);
}

const CHANGES: Record<string, (t: WindowTable, slot: number, end: number) => void> = {
  "appends until the segment moves, or the actor is heavy": (t, slot, end) => {
    for (let i = 0; i < 800; i++) append(t, slot, end + i, 1000 + i);
  },
  "an event in between": (t, slot, end) => append(t, slot, end - 500, 5000),
  "a fraud": (t, slot) => t.setFraud(slot, t.eventTimeUs(slot, t.findId(slot, 7, 20)), 20, 200, true),
  "a reversal": (t, slot) => t.reverse(slot, t.findId(slot, 7, 30)),
  "silence beyond the retention, then one more": (t, slot, end) => {
    for (let i = 0; i < 9; i++) append(t, slot, end + 70_000 + i, 6000 + i);
  },
};

for (const [name, change] of Object.entries(CHANGES)) {
  test(`after the cut: ${name}`, () => {
    for (const [count, light_events_max] of [
      [90, 768],
      [115, 116],
      [112, 768],
      [150, 160],
      [400, 768],
    ]) {
      const table = new WindowTable({ ...OPTIONS, light_events_max });
      const slots = [1, 2, 3].map((k) => table.slot(9, k));
      for (let i = 0; i < count; i++)
        for (const s of slots) append(table, s, START + i * 20, s === slots[1] ? i : 20_000 + i + 1000 * s);
      // The oldest 18 are dropped, so that what is held does not begin with its segment.
      const end = START + OPTIONS.retention_us + 17 * 20;
      for (const s of slots) append(table, s, end, 30_000 + s);
      const atCut = text(table);
      table.beginSnapshot();
      const w = new ByteWriter();
      // The middle actor is pinned by a change that does not touch what was there.
      append(table, slots[1], end, 900);
      change(table, slots[1], end);
      assert.notEqual(text(table), atCut);
      while (!table.snapshotStep(w, 300));
      const loaded = new WindowTable(OPTIONS);
      loaded.load(new ByteReader(w.view()));
      assert.equal(text(loaded), atCut, `${count} events`);
    }
  });
}

test("a snapshot that is given up leaves no pin behind", () => {
  const table = new WindowTable(OPTIONS);
  const slot = table.slot(9, 1);
  for (let i = 0; i < 200; i++) append(table, slot, START + i, i);
  table.beginSnapshot();
  append(table, slot, START + 300, 300);
  table.abandonSnapshot();
  const atCut = text(table);
  table.beginSnapshot();
  for (let i = 0; i < 700; i++) append(table, slot, START + 400 + i, 400 + i);
  const w = new ByteWriter();
  while (!table.snapshotStep(w, 300));
  const loaded = new WindowTable(OPTIONS);
  loaded.load(new ByteReader(w.view()));
  assert.equal(text(loaded), atCut);
});
