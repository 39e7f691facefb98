import assert from "node:assert/strict";
import { test } from "node:test";
import { SimLeaseStore } from "../testkit/sim_lease.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { LAPSE_MS, LeaseKeeper, RENEW_MS } from "./lease_keeper.ts";

interface Member {
  readonly keeper: LeaseKeeper;
  readonly events: string[];
  /** Milliseconds of virtual time at each event. */
  readonly at: number[];
}

function member(world: SimWorld, store: SimLeaseStore, node: string, vacant_ms?: number): Member {
  const events: string[] = [];
  const at: number[] = [];
  const note = (event: string): void => {
    events.push(event);
    at.push(world.monotonicUs() / 1000);
  };
  const listener = { gained: () => note("gained"), lost: (holder: string) => note(`lost to ${holder}`) };
  const options = { shard: 1, node, ...(vacant_ms === undefined ? {} : { vacant_ms: () => vacant_ms }) };
  return { keeper: new LeaseKeeper(store, world, world.every, listener, options), events, at };
}

test("a vacant lease is taken after the lapse, or at once by a node that says it is alone", async () => {
  const world = new SimWorld(1);
  const slow = member(world, new SimLeaseStore(), "a");
  slow.keeper.start();
  const quick = member(world, new SimLeaseStore(), "b", 0);
  quick.keeper.start();
  await world.advance(LAPSE_MS + RENEW_MS);
  assert.deepEqual([slow.events, slow.at, quick.events, quick.at], [["gained"], [LAPSE_MS], ["gained"], [0]]);
});

test("a renewed lease is never taken; a holder that falls silent is replaced after 2 s", async () => {
  const world = new SimWorld(2);
  const store = new SimLeaseStore();
  const a = member(world, store, "a", 0);
  a.keeper.start();
  await world.advance(100);
  const b = member(world, store, "b");
  b.keeper.start();
  await world.advance(20_000);
  assert.deepEqual([a.events, b.events], [["gained"], []]);
  // The holder's process is gone: nobody renews, nobody releases.
  const silent = world.monotonicUs() / 1000;
  const frozen = store.update.bind(store);
  store.update = async (shard, node, revision) => (node === "a" ? { node, revision } : frozen(shard, node, revision));
  await world.advance(4000);
  assert.deepEqual(b.events, ["gained"]);
  assert.ok(b.at[0] - silent >= LAPSE_MS - RENEW_MS && b.at[0] - silent <= LAPSE_MS + 2 * RENEW_MS);
  store.update = frozen;
  await world.advance(1000);
  assert.deepEqual(a.events, ["gained", "lost to b"]);
});

test("while the bucket is away nothing lapses, and the wait begins anew after it", async () => {
  const world = new SimWorld(3);
  const store = new SimLeaseStore();
  await store.update(1, "gone", 0);
  const b = member(world, store, "b");
  b.keeper.start();
  await world.advance(1800);
  store.down = true;
  await world.advance(5000);
  store.down = false;
  const back = world.monotonicUs() / 1000;
  await world.advance(LAPSE_MS - 100);
  assert.deepEqual(b.events, []);
  await world.advance(2 * RENEW_MS);
  assert.deepEqual(b.events, ["gained"]);
  assert.ok(b.at[0] - back >= LAPSE_MS - RENEW_MS);
});

test("a wiped bucket: the holder puts its lease back and nobody else gains it", async () => {
  const world = new SimWorld(4);
  const store = new SimLeaseStore();
  const a = member(world, store, "a", 0);
  a.keeper.start();
  await world.advance(10);
  const b = member(world, store, "b");
  b.keeper.start();
  await world.advance(3000);
  store.wipe();
  await world.advance(5000);
  assert.deepEqual([a.events, b.events, a.keeper.holds], [["gained"], [], true]);
});

test("stop gives the lease back; a restarted node takes its own old lease at once", async () => {
  const world = new SimWorld(5);
  const store = new SimLeaseStore();
  const a = member(world, store, "a", 0);
  a.keeper.start();
  await world.advance(10);
  await a.keeper.stop();
  assert.equal(await store.read(1), null);
  await store.update(1, "a", 0);
  const again = member(world, store, "a");
  again.keeper.start();
  await world.advance(10);
  assert.deepEqual(again.events, ["gained"]);
});
