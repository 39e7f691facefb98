/** What does not fit into a frame is shed before any actor sees it: tenants beyond what a frame's dictionary names. */
import assert from "node:assert/strict";
import test from "node:test";
import { RowBlock } from "../proto/columns.ts";
import { FORMAT_NEWEST } from "../proto/frame/frame_header.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { roomFor, TENANT_BYTES, TENANTS_MAX } from "./frame_room.ts";
import type { Journal } from "./ports.ts";
import { ACCEPTED, type Decider, type ShardActors } from "./program.ts";
import { Quarantine } from "./quarantine.ts";
import { Shard } from "./shard.ts";
import { stage } from "./stage.ts";
import { SimWorld } from "./testkit/sim_world.ts";
import { Tick } from "./tick.ts";

const MATRIX = { values: new Float32Array(0), bits: new Uint32Array(0) };

/** Takes every row and says in which order they came. */
function acceptAll(seen: number[]): ShardActors {
  const actors: Partial<ShardActors> = {
    accept: (_b, r) => {
      seen.push(r);
      return ACCEPTED;
    },
    readAhead: () => {},
    foldMerchant: () => false,
    readDevice: () => false,
  };
  return actors as ShardActors;
}

test("a frame names at most 255 tenants: rows of further ones are shed untouched", () => {
  const seen: number[] = [];
  const shard = new Shard(0, 1, {} as Journal, acceptAll(seen));
  shard.serving = true;
  shard.accepting = true;
  const block = new RowBlock();
  const rows = TENANTS_MAX + 2;
  for (let r = 0; r < rows; r++) block.tenant[r] = r;
  block.tenant[rows] = 0;
  block.addBatch(new Uint8Array(0), 0, rows + 1, { done: () => {} });
  const tick = new Tick(1, MATRIX, null);
  tick.start(block, MATRIX, FORMAT_NEWEST, 0);
  const decider = { paymentColumns: () => {} } as unknown as Decider;
  stage(tick, [shard], decider, new Quarantine(null, new SimWorld(1)));
  assert.equal(tick.counts[0], TENANTS_MAX + 1);
  assert.deepEqual([...seen.slice(-2)], [TENANTS_MAX - 1, rows], "a tenant that is named already still has room");
  assert.equal(block.error[TENANTS_MAX], ErrorCode.RESOURCE_EXHAUSTED);
  assert.equal(block.error[TENANTS_MAX + 1], ErrorCode.RESOURCE_EXHAUSTED);
  assert.ok(tick.room[0] <= roomFor(0) - TENANTS_MAX * TENANT_BYTES, "each tenant's share of the frame is counted");
});

test("the low 32 bits of a frame number name the newest frame that has them", () => {
  const shard = new Shard(0, 1, {} as Journal, acceptAll([]));
  shard.nextFrame = 7;
  assert.equal(shard.wholeFrame(7), 7);
  assert.equal(shard.wholeFrame(3), 3);
  shard.nextFrame = 3 * 2 ** 32 + 5;
  assert.equal(shard.wholeFrame(5), shard.nextFrame);
  assert.equal(shard.wholeFrame(4), 3 * 2 ** 32 + 4);
  assert.equal(shard.wholeFrame(6), 2 * 2 ** 32 + 6);
  assert.equal(shard.wholeFrame(3 * 2 ** 32 + 2), 3 * 2 ** 32 + 2, "a whole number stays as it is");
});
