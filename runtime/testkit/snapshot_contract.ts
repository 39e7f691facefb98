/** What every SnapshotStore must do, whatever is behind it. */
import assert from "node:assert/strict";
import { type SnapshotStore, SnapshotUnusable, type SnapshotWriter } from "../ports.ts";
import { type Check, checks } from "./contract.ts";

export interface SnapshotHarness {
  readonly store: SnapshotStore;
  /** Another node's way to the same snapshots. */
  readonly other: SnapshotStore;
  close(): Promise<void>;
}

const A = "0000000000000010-00000001";
const B = "0000000000000200-00000001";
const C = "0000000000000200-00000002";
const D = "0000000000003000-00000002";

function noise(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = seed * 2 + 1; i < length; i++) {
    x = Math.imul(x, 0x9e3779b1) + 12345;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

async function all(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const held: Uint8Array[] = [];
  for await (const part of parts) held.push(part);
  return Buffer.concat(held);
}

async function begun(store: SnapshotStore, shard: number, name: string, bytes: Uint8Array): Promise<SnapshotWriter> {
  const out = await store.create(shard, name);
  // In writes of many sizes.
  for (let at = 0, n = 1; at < bytes.length; at += n, n = Math.min(2 * n, 300_000)) {
    await out.write(bytes.subarray(at, at + n));
  }
  assert.ok((await all(out.readBack())).equals(bytes), "reads back as written");
  return out;
}

async function publish(store: SnapshotStore, shard: number, name: string, bytes: Uint8Array): Promise<void> {
  await (await begun(store, shard, name, bytes)).publish();
}

/** Registers the suite; `harness` gives an empty store each time. */
export function snapshotContract(name: string, harness: () => Promise<SnapshotHarness>): void {
  const check = checks(name, harness);

  check("it is seen when it is published, by every node, whole", async ({ store, other }) => {
    assert.deepEqual(await store.list(0), []);
    for (const [i, size] of [1, 1000, 3_000_001].entries()) {
      const bytes = noise(size, size);
      const out = await begun(store, i, B, bytes);
      assert.deepEqual(await other.list(i), []);
      await assert.rejects(all(other.read(i, B)), SnapshotUnusable);
      await out.publish();
      for (const s of [store, other]) {
        assert.deepEqual(await s.list(i), [B]);
        assert.ok((await all(s.read(i, B))).equals(bytes));
      }
    }
    assert.deepEqual(await store.list(3), []);
  });

  check("names come oldest first; two owners' snapshots of one frame stand beside each other", async (used) => {
    const { store, other } = used;
    // The owner that was replaced ends late.
    const late = await begun(store, 1, B, noise(1, 100_000));
    await publish(other, 1, C, noise(2, 200_000));
    await publish(other, 1, D, noise(3, 10));
    await late.publish();
    await publish(store, 1, A, noise(4, 10));
    assert.deepEqual(await other.list(1), [A, B, C, D]);
    assert.ok((await all(other.read(1, B))).equals(noise(1, 100_000)));
    assert.ok((await all(store.read(1, C))).equals(noise(2, 200_000)));
  });

  removalTests(check);
}

function removalTests(check: Check<SnapshotHarness>): void {
  check("one that is given up leaves nothing, and its name can be written again", async ({ store, other }) => {
    const given = await store.create(0, A);
    await given.write(noise(5, 500_000));
    await given.discard();
    assert.deepEqual(await other.list(0), []);
    await assert.rejects(all(other.read(0, A)), SnapshotUnusable);
    await publish(store, 0, A, noise(6, 7));
    assert.ok((await all(other.read(0, A))).equals(noise(6, 7)));
  });

  check("the same name again, as after a snapshot of an idle shard, is the later one", async ({ store, other }) => {
    await publish(store, 0, A, noise(7, 400_000));
    await publish(store, 0, A, noise(8, 400_000));
    assert.deepEqual(await other.list(0), [A]);
    assert.ok((await all(other.read(0, A))).equals(noise(8, 400_000)));
  });

  check("older ones are removed, unfinished ones too, others stay", async ({ store, other }) => {
    const unfinished = await begun(other, 0, A, noise(9, 300_000));
    for (const [i, n] of [B, C, D].entries()) await publish(store, 0, n, noise(i, 1000));
    await publish(store, 10, A, noise(9, 5));
    await store.removeBefore(0, C);
    assert.deepEqual(await other.list(0), [C, D]);
    await assert.rejects(all(other.read(0, B)), SnapshotUnusable);
    assert.deepEqual(await other.list(10), [A]);
    // Whoever still writes it may fail, or publish something: never what reads as a snapshot of other bytes.
    await unfinished.publish().catch(() => {});
    const read = await all(other.read(0, A)).catch((e: Error) => e);
    assert.ok(read instanceof SnapshotUnusable || (read as Buffer).equals(noise(9, 300_000)));
    await store.removeBefore(0, C);
    assert.deepEqual(await other.list(0), [C, D]);
    assert.ok((await all(other.read(0, D))).equals(noise(2, 1000)));
  });
}
