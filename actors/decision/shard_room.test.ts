/** What a shard does at the limit of its events: quiet users make room, and what is committed always finds some. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LOCATION_NONE, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { FORMAT_NEWEST, type FrameHeader, HEADER_BYTES, KIND_ROWS } from "../../proto/frame/frame_header.ts";
import { InboxRows } from "../../proto/frame/rows_layout.ts";
import { RowsWriter, type Sealer } from "../../proto/frame/rows_writer.ts";
import { MemoryPassive } from "../../runtime/kernel/testkit/memory_passive.ts";
import type { Journal, PassiveStore } from "../../runtime/ports.ts";
import { ACCEPTED, type Decider, FULL } from "../../runtime/program.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { MATRIX_SHAPE } from "./decider.ts";
import { FraudActors } from "./shard_actors.ts";

const ROWS = 64;
const EVENTS_MAX = 12_000;
const USERS = 4000;
const TICKS = 8 * (USERS / ROWS);

function actorsWith(store: PassiveStore): FraudActors {
  const passivation = { store, users_max: 1e9, clean_bytes_min: 1 << 16 };
  return new FraudActors({ late_tolerance_us: 3_600_000_000, events_max: EVENTS_MAX, passivation });
}

/** One payment a user and round: whoever the hand comes by was used since. */
function fill(b: RowBlock, tick: number): void {
  b.n = ROWS;
  for (let r = 0; r < ROWS; r++) {
    const i = tick * ROWS + r;
    b.kind[r] = ROW_PAYMENT;
    b.user.hi[r] = 1 + (i % USERS);
    b.user.lo[r] = 9;
    b.id.hi[r] = i + 1;
    b.id.lo[r] = 7;
    // All in another shard: here only users fill their table.
    b.merchant.hi[r] = 1 + 2 * (i % 50);
    b.merchant.lo[r] = 7;
    b.eventTimeUs[r] = 1.79e15 + i * 100_000;
    b.amountBase[r] = 5;
    b.latitudeE6[r] = LOCATION_NONE;
    b.longitudeE6[r] = LOCATION_NONE;
  }
}

const noTexts: Sealer = { seal: (_b, _rows, _n, _tenant, _out, at) => at, tenantId: () => Buffer.from("t") };

class Frames {
  readonly #writer = new RowsWriter(MATRIX_SHAPE, noTexts, ROWS);
  readonly #order = Uint16Array.from({ length: ROWS }, (_, i) => i);
  readonly frames: { header: FrameHeader; bytes: Uint8Array }[] = [];

  add(b: RowBlock, matrix: Float32Array): void {
    const facts = { model_version: "", rule_set_version: "", rates_version: "", features_version: "another" };
    const number = this.frames.length + 1;
    const place = { shard: 0, epoch: 1, frame: number, format: FORMAT_NEWEST };
    const bits = new Uint32Array(matrix.buffer);
    const inbox = new InboxRows();
    const bytes = this.#writer.write(b, this.#order, b.n, matrix, bits, 0, facts, inbox, place, HEADER_BYTES);
    const header = { kind: KIND_ROWS, version: FORMAT_NEWEST, frameNumber: number, frameTimeUs: number };
    this.frames.push({ header: header as FrameHeader, bytes });
  }
}

/** Accepts all that comes, live; the rows of each tick are a frame. */
async function live(actors: FraudActors): Promise<Frames> {
  const frames = new Frames();
  const block = new RowBlock();
  const matrix = new Float32Array(ROWS * FEATURE_COUNT);
  for (let tick = 0; tick < TICKS; tick++) {
    fill(block, tick);
    await actors.recall(block, -1);
    for (let r = 0; r < ROWS; r++) {
      assert.equal(actors.accept(block, r, matrix, tick + 1), ACCEPTED, `row ${r} of tick ${tick}`);
    }
    actors.passivate(ROWS);
    frames.add(block, matrix);
  }
  return frames;
}

test("where all users were used some leave all the same: far more is taken than the table holds", async () => {
  const actors = actorsWith(new MemoryPassive());
  await live(actors);
  const { windows, passive } = actors.users;
  assert.ok(windows.events <= EVENTS_MAX, `${windows.events} in memory`);
  assert.ok(windows.events + (passive?.events ?? 0) > 2 * EVENTS_MAX);
});

test("a replay whose users cannot leave takes what an owner took, and refuses what comes behind it", async () => {
  const owner = actorsWith(new MemoryPassive());
  const { frames } = await live(owner);
  // As on a full disk: what was written waits in memory, and nobody else leaves.
  const stuck: PassiveStore = Object.assign(new MemoryPassive(), { waiting: 1e9 });
  const shard = new Shard(0, 2, {} as Journal, actorsWith(stuck));
  const decider = { shape: MATRIX_SHAPE, paymentColumns: () => {} } as unknown as Decider;
  const folder = new FrameFolder(shard, 2, decider, "this", () => 0);
  for (const { header, bytes } of frames) await folder.fold(header, bytes);
  const actors = shard.actors as FraudActors;
  assert.equal(actors.users.windows.events, TICKS * ROWS);
  assert.equal(actors.digest(), owner.digest());
  const block = new RowBlock();
  fill(block, TICKS);
  const before = actors.digest();
  for (let r = 0; r < ROWS; r++) {
    assert.equal(actors.accept(block, r, new Float32Array(ROWS * FEATURE_COUNT), frames.length + 1), FULL);
  }
  assert.equal(actors.digest(), before, "what is shed leaves no trace");
});
