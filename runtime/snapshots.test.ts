/**
 * Snapshots from cut to load over a store in memory: failures at each step, damage while they are written and after,
 * stores that are away, and the bytes under fuzzing.
 */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type ByteReader, ByteWriter } from "./kernel/bytes.ts";
import {
  type Journal,
  JournalDamaged,
  type SnapshotStore,
  SnapshotsUnavailable,
  SnapshotUnusable,
  type SnapshotWriter,
} from "./ports.ts";
import type { ShardActors } from "./program.ts";
import { Shard } from "./shard.ts";
import { SnapshotDecoder, SnapshotEncoder } from "./snapshot_format.ts";
import { type LoadedSnapshot, loadSnapshot, Snapshotter } from "./snapshots.ts";
import { MemorySnapshots } from "./testkit/memory_snapshots.ts";

/** Actors that are a list of numbers, written in steps of two. */
class Numbers implements Partial<ShardActors> {
  held: number[] = [];
  begun = 0;
  abandoned = 0;
  #cut: number[] | null = null;

  beginSnapshot(): void {
    this.begun++;
    this.#cut = [...this.held];
  }

  snapshotStep(w: ByteWriter): boolean {
    const cut = this.#cut as number[];
    const some = cut.splice(0, 2);
    w.u8(cut.length === 0 ? 1 : 0);
    for (const n of some) w.f64(n);
    return cut.length === 0;
  }

  abandonSnapshot(): void {
    this.abandoned++;
    this.#cut = null;
  }

  /** The layout that it reads. */
  reads = "1";

  beginLoad(layout: string): boolean {
    return layout === this.reads;
  }

  loadPart(r: ByteReader): boolean {
    const isLast = r.u8() === 1;
    while (r.left > 0) this.held.push(r.f64());
    return isLast;
  }
}

const JOURNAL = "0123456789abcdef0123456789abcdef";

function newShard(actors: Partial<ShardActors>, journal_id = JOURNAL, firstSequence = 1): Shard {
  const state = async () => ({ firstSequence, lastSequence: 500 });
  return new Shard(0, 2, { id: journal_id, state } as Partial<Journal> as Journal, actors as ShardActors);
}

function at(actors: Partial<ShardActors>, frame: number, epoch = 1): Shard {
  const shard = newShard(actors);
  shard.serving = true;
  shard.nextFrame = frame + 1;
  shard.committedFrame = frame;
  shard.epoch = epoch;
  shard.checksum = new Uint8Array(16).fill(frame);
  shard.watermarks.set([0, frame * 2]);
  return shard;
}

function snapshotter(store: SnapshotStore) {
  const told = { done: [] as number[], failed: [] as string[] };
  const snapshots = new Snapshotter({
    store,
    layout: "1",
    clock: { monotonicUs: () => 0 } as never,
    timers: { after: (_ms: number, run: () => void) => void setImmediate(run) } as never,
    onDone: (_shard, frame) => told.done.push(frame),
    onFailed: (_shard, e) => told.failed.push(e.message),
  });
  return { snapshots, told };
}

interface Loaded extends LoadedSnapshot {
  readonly held: number[];
  readonly passed: (string | null)[];
  readonly shards: number;
}

async function loaded(
  store: SnapshotStore,
  slept = async (): Promise<void> => {},
  reads = "1",
  firstSequence = 1,
): Promise<Loaded> {
  const passed: (string | null)[] = [];
  const made: Numbers[] = [];
  const anew = (): Shard => {
    made.push(Object.assign(new Numbers(), { reads }));
    return newShard(made.at(-1) as Numbers, JOURNAL, firstSequence);
  };
  const onUnusable = (name: string | null): void => void passed.push(name);
  let nowUs = 0;
  const clock = { monotonicUs: () => nowUs };
  const sleep = (ms: number): Promise<void> => {
    nowUs += ms * 1000;
    return slept();
  };
  const result = await loadSnapshot(anew(), { store, anew, clock, onUnusable, pause: () => {}, sleep });
  return { ...result, held: (made.at(-1) as Numbers).held, passed, shards: made.length };
}

test("a disk full at any step: the actors' snapshot is given up, the file discarded, the next is whole", async () => {
  let failAt = "";
  const calls: string[] = [];
  const step = async (name: string): Promise<void> => {
    calls.push(name);
    if (name === failAt) throw new Error(`no space left at ${name}`);
  };
  const memory = new MemorySnapshots();
  const store: SnapshotStore = {
    list: (shard) => memory.list(shard),
    read: () => assert.fail("nothing is read"),
    removeBefore: async () => assert.fail("nothing is removed"),
    async create(shard, name) {
      await step("create");
      const inner = await memory.create(shard, name);
      return {
        write: (bytes) => step("write").then(() => inner.write(bytes)),
        async *readBack() {
          await step("readBack");
          yield* inner.readBack();
        },
        publish: () => step("publish").then(() => inner.publish()),
        discard: () => step("discard").then(() => inner.discard()),
      };
    },
  };
  const actors = new Numbers();
  actors.held = [1, 2, 3];
  const { snapshots, told } = snapshotter(store);
  for (failAt of ["create", "write", "readBack", "publish"]) {
    calls.length = 0;
    await snapshots.take(at(actors, 5));
    assert.equal(told.failed.pop(), `no space left at ${failAt}`);
    assert.equal(calls.includes("discard"), failAt !== "create");
    assert.equal(snapshots.busy, false);
  }
  assert.deepEqual([actors.begun, actors.abandoned, memory.published.size], [4, 4, 0]);
  failAt = "";
  await snapshots.take(at(actors, 5));
  assert.deepEqual([told.done, told.failed, actors.abandoned, calls.at(-1)], [[5], [], 4, "publish"]);
});

test("one that reads back otherwise than it was written is discarded and reported, never listed", async () => {
  const memory = new MemorySnapshots();
  const changes: ((bytes: Buffer) => Buffer)[] = [
    (b) => b.fill(b[b.length >> 1] ^ 1, b.length >> 1, (b.length >> 1) + 1),
    (b) => b.subarray(0, -1),
    (b) => Buffer.concat([b, Buffer.alloc(1)]),
    (b) => b.subarray(0, 0),
  ];
  for (const change of changes) {
    const store: SnapshotStore = Object.create(memory, {
      create: {
        value: async (shard: number, name: string): Promise<SnapshotWriter> => {
          const inner = await memory.create(shard, name);
          return {
            ...inner,
            async *readBack() {
              const all: Uint8Array[] = [];
              for await (const part of inner.readBack()) all.push(part);
              yield change(Buffer.concat(all));
            },
          };
        },
      },
    });
    const actors = new Numbers();
    actors.held = [1, 2, 3, 4, 5];
    const { snapshots, told } = snapshotter(store);
    await snapshots.take(at(actors, 9));
    assert.equal(told.done.length, 0);
    assert.match(told.failed.join(), /reads back otherwise/);
    assert.deepEqual(await memory.list(0), []);
  }
});

test("the newest is loaded with its place in the journal, and the two newest are kept", async () => {
  const store = new MemorySnapshots();
  const { snapshots, told } = snapshotter(store);
  const actors = new Numbers();
  for (const frame of [3, 20, 100]) {
    actors.held.push(frame);
    await snapshots.take(at(actors, frame));
  }
  // An owner that was replaced ends the one it had begun: an older frame of an older epoch.
  await snapshots.take(at(actors, 50, 0));
  assert.deepEqual(told, { done: [3, 20, 100, 50], failed: [] });
  assert.deepEqual(await store.list(0), ["0000000000000050-00000000", "0000000000000100-00000001"]);
  const { held, from, shard } = await loaded(store);
  assert.deepEqual(held, [3, 20, 100]);
  assert.deepEqual([from.sequence, from.epoch, [...from.checksum]], [100, 1, Array(16).fill(100)]);
  assert.deepEqual([...shard.watermarks], [0, 200]);
  const head = await new SnapshotDecoder(store.read(0, "0000000000000050-00000000")).head();
  assert.deepEqual([head.frame, head.epoch, head.watermarks], [50, 0, [0, 100]]);
});

test("any damaged byte: the older one is loaded, into a shard that saw nothing of the newer", async () => {
  const store = new MemorySnapshots(64);
  const { snapshots } = snapshotter(store);
  const actors = new Numbers();
  actors.held = [1, 2, 3, 4, 5];
  await snapshots.take(at(actors, 7));
  actors.held = [6, 7, 8, 9];
  await snapshots.take(at(actors, 8));
  const newest = store.published.get("0/0000000000000008-00000001") as Uint8Array;
  for (let i = 0; i < newest.length; i++) {
    newest[i] ^= 1 << (i % 8);
    const { held, from, passed } = await loaded(store);
    assert.deepEqual([held, from.sequence, passed.length], [[1, 2, 3, 4, 5], 7, 1], `byte ${i}`);
    newest[i] ^= 1 << (i % 8);
  }
  for (let n = 0; n < newest.length; n++) {
    store.published.set("0/0000000000000008-00000001", newest.slice(0, n));
    assert.equal((await loaded(store)).from.sequence, 7, `${n} bytes`);
  }
  store.published.clear();
  const none = await loaded(store);
  assert.deepEqual([none.from.sequence, none.passed], [0, []]);
});

test("another layout is passed over; another journal's stops the shard", async () => {
  const store = new MemorySnapshots();
  const { snapshots } = snapshotter(store);
  await snapshots.take(at(new Numbers(), 7));
  const other = await loaded(store, undefined, "2");
  assert.deepEqual([other.from.sequence, other.passed.length], [0, 1]);
  const clock = { monotonicUs: () => 0 };
  const rest = { store, anew: () => assert.fail(), clock, onUnusable: () => {}, pause: () => {} };
  const foreign = newShard(new Numbers(), "f".repeat(32));
  await assert.rejects(loadSnapshot(foreign, { ...rest, sleep: async () => {} }), JournalDamaged);
});

test("of journals that were restored only their own snapshots are loaded; the others are no damage", async () => {
  const store = new MemorySnapshots();
  const load = (restoreId: string) => {
    const passed: string[] = [];
    const o = { store, anew: () => shard(restoreId), pause: () => {}, sleep: async () => {} };
    const onUnusable = (_: string | null, e: Error): void => void passed.push(e.message);
    return loadSnapshot(shard(restoreId), { ...o, clock: { monotonicUs: () => 0 }, onUnusable }).then(({ from }) => [
      from.sequence,
      passed,
    ]);
  };
  const shard = (restoreId: string): Shard =>
    new Shard(0, 2, { id: JOURNAL, restoreId } as Journal, new Numbers() as Partial<ShardActors> as ShardActors);
  const { snapshots } = snapshotter(store);
  await snapshots.take(at(new Numbers(), 7));
  assert.deepEqual(await load(""), [7, []]);
  assert.deepEqual(await load("r1"), [0, ["of the journals before a restore"]]);
  const restored = shard("r1");
  await snapshots.take(Object.assign(at(new Numbers(), 9), { journal: restored.journal }));
  assert.deepEqual(await load("r1"), [9, []]);
  assert.deepEqual(await load("r2"), [0, Array(2).fill("of the journals before a restore")]);
});

test("a store that is away is waited for; one that stays away is reported, and the journal has to do", async () => {
  const store = new MemorySnapshots();
  const { snapshots } = snapshotter(store);
  const actors = new Numbers();
  actors.held = [4];
  await snapshots.take(at(actors, 7));
  store.isAway = true;
  let sleeps = 0;
  const back = await loaded(store, async () => {
    store.isAway = ++sleeps < 3;
  });
  assert.deepEqual([back.from.sequence, back.held, back.passed, sleeps], [7, [4], [null], 3]);
  store.isAway = true;
  let asked = 0;
  const without = await loaded(store, async () => void asked++);
  assert.deepEqual([without.from.sequence, without.passed], [0, [null]]);
  assert.equal(asked, 20, "ten seconds");
  const ended = loaded(store, () => Promise.reject(new Error("the node ended")));
  await assert.rejects(ended, /the node ended/);
});

test("a store that answers nothing is given up by time; behind a purge it is asked as long as it takes", async () => {
  const store = new MemorySnapshots();
  const { snapshots } = snapshotter(store);
  const actors = new Numbers();
  actors.held = [4];
  await snapshots.take(at(actors, 7));
  let nowUs = 0;
  let asked = 0;
  const silent: Pick<SnapshotStore, "list" | "read"> = {
    read: (shard, name) => store.read(shard, name),
    list: async () => {
      asked++;
      nowUs += 8e6;
      throw new SnapshotsUnavailable("no answer");
    },
  };
  const rest = { anew: () => assert.fail(), onUnusable: () => {}, pause: () => {}, sleep: async () => {} };
  const clock = { monotonicUs: () => nowUs };
  const { from } = await loadSnapshot(newShard(new Numbers()), { store: silent, clock, ...rest });
  assert.deepEqual([from.sequence, asked], [0, 3]);
  store.isAway = true;
  let sleeps = 0;
  const isBackAt = async (at: number): Promise<void> => {
    store.isAway = ++sleeps < at;
  };
  const back = await loaded(store, () => isBackAt(1000), "1", 5);
  assert.deepEqual([back.from.sequence, back.held, sleeps], [7, [4], 1000]);
  assert.deepEqual(back.passed, [null, null], "told when it went away, and when nothing else will do");
  store.isAway = true;
  const ended = loaded(store, () => (++sleeps < 2000 ? Promise.resolve() : Promise.reject(new Error("ended"))), "1", 5);
  await assert.rejects(ended, /ended/);
});

test("random bytes, and a snapshot with random changes, are unusable, and nothing else happens", async () => {
  const e = new SnapshotEncoder();
  const rest = { journal_id: JOURNAL, layout: "1", frame_time_us: 1, epoch: 1, watermarks: [0, 5] };
  const slice = (bytes: number): Uint8Array => {
    const w = new ByteWriter();
    e.beginSlice(w);
    w.bytes(new Uint8Array(bytes));
    assert.ok(e.endSlice(w));
    return w.copy();
  };
  const parts = [e.head({ ...rest, shard: 0, frame: 7 }), slice(900), slice(20)];
  const whole = Buffer.concat([...parts, e.foot({ checksum: "0".repeat(32), bytes: 920 })]);
  const read = async (bytes: Uint8Array): Promise<string> => {
    const decoder = new SnapshotDecoder(
      (async function* () {
        for (let i = 0; i < bytes.length; i += 100) yield bytes.subarray(i, i + 100);
      })(),
    );
    try {
      await decoder.head();
      while ((await decoder.slice()) !== null) void 0;
      return (await decoder.foot()).checksum;
    } catch (error) {
      assert.ok(error instanceof SnapshotUnusable, `${error}`);
      return "unusable";
    } finally {
      await decoder.close();
    }
  };
  assert.equal(await read(whole), "0".repeat(32));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, isHeaded) => {
      const text = isHeaded ? Buffer.concat([whole.subarray(0, 8), bytes]) : bytes;
      assert.equal(await read(text), "unusable");
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (i, change) => {
      const changed = Buffer.from(whole);
      changed[i] ^= change;
      assert.equal(await read(changed), "unusable");
    }),
  );
});
