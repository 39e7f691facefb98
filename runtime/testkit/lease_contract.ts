/** What every LeaseStore must do, whatever is behind it. */
import assert from "node:assert/strict";
import type { LeaseStore } from "../ports.ts";
import { checks } from "./contract.ts";

export interface LeaseHarness {
  readonly store: LeaseStore;
  readonly other: LeaseStore;
  /** Takes the bucket away, as a restart of a server with a memory bucket does. */
  wipe(): Promise<void>;
  close(): Promise<void>;
}

/** Registers the suite; `harness` gives an empty bucket each time. */
export function leaseContract(name: string, harness: () => Promise<LeaseHarness>): void {
  const check = checks(name, harness);

  check("a lease is taken once, renewed by revision, read by others", async ({ store, other }) => {
    assert.equal(await store.read(1), null);
    const taken = await store.update(1, "a", 0);
    assert.equal(taken?.node, "a");
    assert.equal(await other.update(1, "b", 0), null);
    assert.deepEqual(await other.read(1), taken);
    const renewed = await store.update(1, "a", taken.revision);
    assert.ok(renewed !== null && renewed.revision > taken.revision);
    assert.equal(await other.update(1, "b", taken.revision), null);
    const moved = await other.update(1, "b", renewed.revision);
    assert.equal(moved?.node, "b");
    assert.equal(await store.update(1, "a", renewed.revision), null);
    assert.equal(await store.read(2), null);
  });

  check("of many rivals one wins", async ({ store, other }) => {
    const tries = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? store : other).update(4, `n${i}`, 0));
    assert.equal((await Promise.all(tries)).filter((lease) => lease !== null).length, 1);
  });

  check("a released lease is free; an old revision releases nothing", async ({ store, other }) => {
    const first = await store.update(1, "a", 0);
    assert.ok(first !== null);
    const second = await store.update(1, "a", first.revision);
    assert.ok(second !== null);
    await store.release(1, first.revision);
    assert.deepEqual(await other.read(1), second);
    await store.release(1, second.revision);
    assert.equal(await other.read(1), null);
    assert.equal((await other.update(1, "b", 0))?.node, "b");
  });

  check("heartbeats do not touch leases", async ({ store, other }) => {
    const lease = await store.update(1, "a", 0);
    await other.heartbeat("some node/with.odd*name");
    await store.heartbeat("a");
    assert.deepEqual(await other.read(1), lease);
  });

  check("a bucket that is gone is made anew", async ({ store, wipe }) => {
    const lease = await store.update(1, "a", 0);
    assert.ok(lease !== null);
    await wipe();
    const deadline = performance.now() + 10_000;
    for (;;) {
      try {
        assert.equal(await store.read(1), null);
        assert.equal((await store.update(1, "a", 0))?.node, "a");
        return;
      } catch (error) {
        if ((error as Error).name !== "JournalUnavailable" || performance.now() > deadline) throw error;
      }
    }
  });
}
