/** The export of a node: what enters it, whose label an outcome sets, and that trouble ends it without a throw. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import { LABEL_FRAUD, LABEL_LEGITIMATE, LABEL_NONE } from "../../actors/inference/feature_export.ts";
import {
  BLOCK_ROWS,
  FLAG_APPLIED,
  FLAG_LATE,
  ROW_EVENT,
  ROW_HISTORY,
  ROW_OUTCOME,
  ROW_PAYMENT,
  RowBlock,
} from "../../proto/columns.ts";
import { OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { NodeFeatureExport } from "./feature_export.ts";

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-export-"));
});
after(() => rm(root, { recursive: true }));

const matrix = Float32Array.from({ length: BLOCK_ROWS * FEATURE_COUNT }, (_, i) => Math.floor(i / FEATURE_COUNT));

/** Appends a row to the block and returns its number. */
function put(b: RowBlock, kind: number, id: number, user: number, timeUs: number, flags = 0): number {
  const r = b.n++;
  [b.kind[r], b.flags[r], b.eventTimeUs[r]] = [kind, flags, timeUs];
  [b.id.hi[r], b.id.lo[r], b.user.hi[r], b.user.lo[r]] = [id, id + 1, user, user + 7];
  [b.code[r], b.retracted[r]] = [0, 0];
  return r;
}

function outcome(b: RowBlock, kind: OutcomeKind, id: number, user: number, applied = true): number {
  const r = put(b, ROW_OUTCOME, id, user, 0, applied ? FLAG_APPLIED : 0);
  b.code[r] = kind;
  return r;
}

const all = (b: RowBlock): [Uint16Array, number] => [Uint16Array.from({ length: b.n }, (_, r) => r), b.n];

test("decided payments of the time range enter once, with the labels that were applied", async () => {
  const dir = join(root, "labels");
  const failed = (error: Error) => assert.fail(error);
  const features = new NodeFeatureExport({ dir, from_us: 100, to_us: 200, onFailed: failed });
  const b = new RowBlock();
  for (const [id, user, time] of [
    [1, 1, 100],
    [2, 1, 150],
    [1, 2, 160],
    [3, 1, 199],
  ]) {
    put(b, ROW_PAYMENT, id, user, time);
  }
  put(b, ROW_PAYMENT, 1, 1, 170);
  put(b, ROW_PAYMENT, 9, 1, 99);
  put(b, ROW_PAYMENT, 10, 1, 200);
  put(b, ROW_PAYMENT, 11, 1, 150, FLAG_LATE);
  put(b, ROW_HISTORY, 12, 1, 150);
  put(b, ROW_EVENT, 13, 1, 150);
  outcome(b, OutcomeKind.CHARGEBACK, 1, 2);
  features.committed(b, ...all(b), matrix);

  const later = new RowBlock();
  outcome(later, OutcomeKind.CONFIRMED_FRAUD, 2, 1);
  later.retracted[outcome(later, OutcomeKind.CONFIRMED_FRAUD, 2, 1)] = 1;
  outcome(later, OutcomeKind.LEGITIMATE, 3, 1);
  outcome(later, OutcomeKind.CHARGEBACK, 1, 1, false);
  outcome(later, OutcomeKind.CHARGEBACK, 9, 1);
  features.committed(later, ...all(later), matrix);
  const meta = features.finish();

  assert.deepEqual([meta.rows, meta.labelled, meta.positives, meta.from_us, meta.to_us], [4, 2, 1, 100, 199]);
  const labels = await readFile(join(dir, "labels.u8"));
  assert.deepEqual([...labels], [LABEL_NONE, LABEL_NONE, LABEL_FRAUD, LABEL_LEGITIMATE]);
  const values = new Float32Array((await readFile(join(dir, "features.f32"))).buffer.slice(0, 4 * FEATURE_COUNT * 4));
  assert.deepEqual(
    [0, 1, 2, 3].map((row) => values[row * FEATURE_COUNT]),
    [0, 1, 2, 3],
  );
});

test("only the frame's own rows of a block are taken", () => {
  const features = new NodeFeatureExport({ dir: join(root, "rows"), onFailed: (error) => assert.fail(error) });
  const b = new RowBlock();
  for (let i = 0; i < 5; i++) put(b, ROW_PAYMENT, 20 + i, 1, 1000 + i);
  features.committed(b, Uint16Array.of(1, 4), 2, matrix);
  const meta = features.finish();
  assert.deepEqual([meta.rows, meta.from_us, meta.to_us], [2, 1001, 1004]);
});

test("trouble ends the export, is told once, and never reaches the tick", () => {
  const told: Error[] = [];
  const features = new NodeFeatureExport({ dir: join(root, "trouble"), onFailed: (error) => told.push(error) });
  const b = new RowBlock();
  put(b, ROW_PAYMENT, 1, 1, 1000);
  features.committed(b, ...all(b), new Float32Array(3));
  features.committed(b, ...all(b), new Float32Array(3));
  assert.equal(told.length, 1);
  assert.equal(features.finish().rows, 0);
});
