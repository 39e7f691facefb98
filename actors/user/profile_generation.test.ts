/** Profiles begin and end at the same payments for whoever folds them, from the journal's start or from a snapshot. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LOCATION_NONE, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";
import { ACCEPTED } from "../../runtime/program.ts";
import { FraudActors, SNAPSHOT_LAYOUT } from "../decision/shard_actors.ts";
import { FEATURE_COUNT, PAYMENT_AT, USER_PROFILE_AT } from "../features/registry.ts";

interface Payment {
  readonly user: number;
  readonly amount: number;
  readonly format: number;
}

const fresh = (): FraudActors => new FraudActors({ late_tolerance_us: 3600e6, events_max: 1e5 });
const block = new RowBlock();
block.latitudeE6.fill(LOCATION_NONE);

/** The profile's columns of payment number n, which is folded. */
function pay(actors: FraudActors, { user, amount, format }: Payment, n: number): number[] {
  const matrix = new Float32Array(FEATURE_COUNT);
  block.kind[0] = ROW_PAYMENT;
  block.user.hi[0] = user + 1;
  block.merchant.hi[0] = 5;
  block.id.lo[0] = n + 1;
  block.eventTimeUs[0] = 1_700_000_000e6 + n * 60e6;
  block.amountBase[0] = amount;
  actors.format = format;
  assert.equal(actors.accept(block, 0, matrix, n + 1), ACCEPTED);
  return [...matrix.subarray(USER_PROFILE_AT, PAYMENT_AT)];
}

/** The snapshot's parts; `meanwhile` runs behind the cut. */
function snapshotOf(actors: FraudActors, meanwhile: () => void): Uint8Array[] {
  const parts: Uint8Array[] = [];
  actors.beginSnapshot();
  meanwhile();
  for (let isDone = false; !isDone; ) {
    const w = new ByteWriter();
    isDone = actors.snapshotStep(w, 64);
    parts.push(w.copy());
  }
  return parts;
}

function loaded(layout: string, parts: readonly Uint8Array[]): FraudActors {
  const actors = fresh();
  assert.ok(actors.beginLoad(layout));
  assert.deepEqual(
    parts.map((part) => actors.loadPart(new ByteReader(part))),
    parts.map((_, i) => i === parts.length - 1),
  );
  return actors;
}

const payment = fc.record({
  user: fc.nat({ max: 3 }),
  amount: fc.constantFrom(100, 120, 90, 1000),
  format: fc.constantFrom(2, 3, 3, 3),
});

test("property: whoever loads a snapshot, cut anywhere, computes the columns of whoever folded all", () => {
  fc.assert(
    fc.property(fc.array(payment, { maxLength: 40 }), fc.nat({ max: 40 }), fc.nat({ max: 5 }), (all, cut, during) => {
      const owner = fresh();
      const told = all.slice(0, cut).map((p, n) => pay(owner, p, n));
      const parts = snapshotOf(owner, () => {
        told.push(...all.slice(cut, cut + during).map((p, i) => pay(owner, p, cut + i)));
      });
      told.push(...all.slice(cut + during).map((p, i) => pay(owner, p, cut + during + i)));
      const other = loaded(`${SNAPSHOT_LAYOUT}`, parts);
      const again = all.slice(cut).map((p, i) => pay(other, p, cut + i));
      assert.deepEqual(again, told.slice(cut));
    }),
    { numRuns: 300 },
  );
});

test("a payment in a frame of an older format ends the profiles; they begin anew behind it", () => {
  const actors = fresh();
  const formats = [3, 3, 2, 3, 3];
  const told = formats.map((format, n) => pay(actors, { user: 0, amount: 100, format }, n));
  assert.deepEqual(
    told.map(([mean]) => mean),
    [Number.NaN, 100, Number.NaN, Number.NaN, 100],
  );
});

test("a snapshot of layout 3, which knows no profiles, is loaded; one of an unknown layout is not", () => {
  const owner = fresh();
  for (let n = 0; n < 5; n++) pay(owner, { user: n % 2, amount: 100, format: 2 }, n);
  const parts = snapshotOf(owner, () => {});
  const other = loaded("3", parts.slice(0, -1));
  assert.equal(other.digest(), owner.digest());
  for (let n = 5; n < 12; n++) {
    const p = { user: n % 2, amount: 100, format: 3 };
    assert.deepEqual(pay(other, p, n), pay(owner, p, n));
  }
  assert.equal(fresh().beginLoad("2"), false);
  assert.equal(fresh().beginLoad(`${SNAPSHOT_LAYOUT + 1}`), false);
});
