import assert from "node:assert/strict";
import { test } from "node:test";
import { Flights } from "./flights.ts";

test("batches land in any order, once each, with their own facts", () => {
  const flights = new Flights();
  const a = flights.depart(1.5, 64, 1);
  const b = flights.depart(2.5, 128, 2);
  assert.equal(flights.outstanding, 2);
  assert.ok(flights.land(b));
  assert.deepEqual([flights.due_ms, flights.first, flights.phase], [2.5, 128, 2]);
  assert.ok(!flights.land(b));
  assert.ok(!flights.land(a + (1 << 18)));
  assert.ok(flights.land(a));
  assert.deepEqual([flights.due_ms, flights.first, flights.outstanding], [1.5, 64, 0]);
});

test("abandoned batches do not land; a full ring is refused", () => {
  const flights = new Flights();
  const a = flights.depart(0, 0, 0);
  assert.equal(flights.abandon(), 1);
  assert.ok(!flights.land(a));
  for (let i = 0; i < 1 << 18; i++) flights.depart(0, 0, 0);
  assert.throws(() => flights.depart(0, 0, 0), RangeError);
});
