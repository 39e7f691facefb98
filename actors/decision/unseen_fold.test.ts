/** Replay computes only feature columns that are compared or looked at; state and later columns are the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LOCATION_NONE, ROW_HISTORY, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { FORMAT_NEWEST, type FrameHeader, HEADER_BYTES, KIND_ROWS } from "../../proto/frame/frame_header.ts";
import { InboxRows, matrixChecksum } from "../../proto/frame/rows_layout.ts";
import { RowsWriter, type Sealer } from "../../proto/frame/rows_writer.ts";
import { type Journal, JournalDamaged } from "../../runtime/ports.ts";
import { ACCEPTED, type Decider } from "../../runtime/program.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { MATRIX_SHAPE } from "./decider.ts";
import { FraudActors } from "./shard_actors.ts";

const ROWS = 96;
const FRAMES = 20;
const noTexts: Sealer = { seal: (_b, _rows, _n, _tenant, _out, at) => at, tenantId: () => Buffer.from("t") };
const decider = { shape: MATRIX_SHAPE, paymentColumns: () => {} } as unknown as Decider;

function newActors(): FraudActors {
  return new FraudActors({ late_tolerance_us: 3_600_000_000, events_max: 1e5 });
}

/** Few users and merchants, so that some of them have standing tallies. */
function fill(b: RowBlock, frame: number, kind: number): void {
  b.n = ROWS;
  for (let r = 0; r < ROWS; r++) {
    const i = frame * ROWS + r;
    b.kind[r] = kind;
    b.user.hi[r] = 1 + (i % 17);
    b.user.lo[r] = 9;
    b.id.hi[r] = i + 1;
    b.id.lo[r] = 7;
    b.merchant.hi[r] = 1 + ((i * 7) % 5);
    b.merchant.lo[r] = 7;
    b.eventTimeUs[r] = 1.79e15 + i * 3_000_000;
    b.amountMinor[r] = 1 + (i % 900);
    b.amountBase[r] = b.amountMinor[r];
    b.latitudeE6[r] = LOCATION_NONE;
    b.longitudeE6[r] = LOCATION_NONE;
  }
}

function accept(actors: FraudActors, b: RowBlock, matrix: Float32Array, frame: number): void {
  for (let r = 0; r < b.n; r++) {
    assert.equal(actors.accept(b, r, matrix, frame), ACCEPTED);
    actors.foldMerchant(b, r, matrix);
    if (b.kind[r] === ROW_PAYMENT) actors.readDevice(b, r, matrix);
  }
}

interface Made {
  readonly owner: FraudActors;
  readonly frames: { readonly header: FrameHeader; readonly bytes: Uint8Array }[];
}

/** What an owner with `features` decided: frames of payments, each third one of payments of the past. */
function decided(features: string, wrong: number): Made {
  const owner = newActors();
  owner.format = FORMAT_NEWEST;
  const writer = new RowsWriter(MATRIX_SHAPE, noTexts, ROWS);
  const order = Uint16Array.from({ length: ROWS }, (_, i) => i);
  const block = new RowBlock();
  const matrix = new Float32Array(ROWS * FEATURE_COUNT);
  const bits = new Uint32Array(matrix.buffer);
  const frames: Made["frames"] = [];
  for (let frame = 1; frame <= FRAMES; frame++) {
    fill(block, frame, frame % 3 === 0 ? ROW_HISTORY : ROW_PAYMENT);
    accept(owner, block, matrix, frame);
    const isPast = frame % 3 === 0;
    const checksum = (isPast ? 0 : matrixChecksum(bits, 0, bits.length, 0)) + (frame === wrong ? 1 : 0);
    const facts = { model_version: "", rule_set_version: "", rates_version: "", features_version: features };
    const place = { shard: 0, epoch: 1, frame, format: FORMAT_NEWEST };
    const inbox = new InboxRows();
    const bytes = writer.write(block, order, block.n, matrix, bits, checksum, facts, inbox, place, HEADER_BYTES);
    const header = { kind: KIND_ROWS, version: FORMAT_NEWEST, frameNumber: frame, frameTimeUs: frame };
    frames.push({ header: header as FrameHeader, bytes });
  }
  return { owner, frames };
}

async function folded({ frames }: Made, onFolded: FrameFolder["onFolded"] = null) {
  const shard = new Shard(0, 1, {} as Journal, newActors());
  const folder = new FrameFolder(shard, 1, decider, "these", () => 0);
  folder.onFolded = onFolded;
  for (const { header, bytes } of frames) await folder.fold(header, bytes);
  return { folder, actors: shard.actors as FraudActors };
}

for (const features of ["these", "others"]) {
  test(`behind a replay of frames with ${features} features, the next payments have the owner's columns`, async () => {
    const made = decided(features, 0);
    const { actors, folder } = await folded(made);
    assert.equal(folder.compared, features === "these" ? FRAMES : 0);
    assert.equal(actors.digest(), made.owner.digest());
    const [want, got] = [made.owner, actors].map((of) => {
      const block = new RowBlock();
      const matrix = new Float32Array(ROWS * FEATURE_COUNT);
      fill(block, FRAMES + 1, ROW_PAYMENT);
      accept(of, block, matrix, FRAMES + 1);
      return matrix;
    });
    assert.deepEqual(got, want);
    assert.equal(actors.digest(), made.owner.digest());
  });
}

test("a frame whose features differ is still found behind payments of the past", async () => {
  const message = "the replayed features differ from those that were decided on";
  await assert.rejects(folded(decided("these", 7)), (e) => e instanceof JournalDamaged && e.message.includes(message));
});

test("whoever is told of frames with other features gets their columns", async () => {
  const seen: Float32Array[] = [];
  await folded(decided("others", 0), (b, matrix) => seen.push(matrix.slice(0, b.n * FEATURE_COUNT)));
  const same: Float32Array[] = [];
  await folded(decided("these", 0), (b, matrix) => same.push(matrix.slice(0, b.n * FEATURE_COUNT)));
  assert.equal(seen.length, FRAMES);
  assert.deepEqual(seen, same);
  assert.notDeepEqual(seen[FRAMES - 1], seen[FRAMES - 2]);
});
