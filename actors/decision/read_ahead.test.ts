import assert from "node:assert/strict";
import { test } from "node:test";
import { LOCATION_NONE, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { READ_AHEAD_ROWS } from "../../runtime/program.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { FraudActors } from "./shard_actors.ts";

const ROWS = 512;
const HOUR_US = 3_600_000_000;

function actors(): FraudActors {
  return new FraudActors({ late_tolerance_us: HOUR_US, events_max: 1_000_000 });
}

/** Payments of a few hot and many quiet users and merchants, some with an error, some of another shard. */
function fill(b: RowBlock, tick: number): void {
  b.n = ROWS;
  for (let r = 0; r < ROWS; r++) {
    const i = tick * ROWS + r;
    const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 0;
    b.kind[r] = ROW_PAYMENT;
    b.error[r] = mixed % 97 === 0 ? 3 : 0;
    b.shard[r] = mixed % 89 === 0 ? 1 : 0;
    b.user.hi[r] = 7;
    b.user.lo[r] = 1 + (mixed % 3 === 0 ? mixed % 4 : mixed % 900);
    b.merchant.hi[r] = 8;
    b.merchant.lo[r] = 1 + (mixed % 5 === 0 ? 0 : (mixed >>> 8) % 150);
    b.id.hi[r] = 9;
    b.id.lo[r] = i + 1;
    b.eventTimeUs[r] = 1.7e15 + i * 60_000_000 - (mixed % 7 === 0 ? 5 * 60_000_000 : 0);
    b.amountBase[r] = 100 + (mixed % 100_000);
    b.latitudeE6[r] = LOCATION_NONE;
  }
}

test("reading ahead changes neither columns nor state, for unknown, quiet, light and heavy actors", () => {
  const order = Uint16Array.from({ length: ROWS }, (_, i) => i);
  const plain = actors();
  const ahead = actors();
  const block = new RowBlock();
  const expected = new Float32Array(ROWS * FEATURE_COUNT);
  const seen = new Float32Array(ROWS * FEATURE_COUNT);
  for (let tick = 0; tick < 40; tick++) {
    fill(block, tick);
    for (const [subject, matrix] of [[plain, expected] as const, [ahead, seen] as const]) {
      for (let r = 0; r < ROWS; r++) {
        if (subject === ahead && r % READ_AHEAD_ROWS === 0) subject.readAhead(block, order, r, r + READ_AHEAD_ROWS, 0);
        if (block.error[r] !== 0 || block.shard[r] !== 0) continue;
        assert.equal(subject.accept(block, r, matrix, tick + 1), 0);
        subject.foldMerchant(block, r, matrix);
      }
    }
    assert.deepEqual(seen, expected);
  }
  assert.ok(plain.users.windows.events > 10_000 && plain.users.windows.actors > 500);
  const merchants = plain.merchants.windows;
  const kinds = [1, 2].map((lo) => merchants.heavyOf(merchants.find(8, lo)) !== null);
  assert.deepEqual(kinds, [true, false], "one merchant is heavy, the others are light");
  assert.equal(ahead.digest(), plain.digest());
});
