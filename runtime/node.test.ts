/** What a shard ends by, and what only costs it another load: on nodes with a program that does nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FORMAT_NEWEST } from "../proto/frame/frame_header.ts";
import { MemoryNetwork } from "./cluster/memory_transport.ts";
import { timersOf } from "./cluster/router_testkit.ts";
import { PassiveRecordLost } from "./kernel/windows/passive_log.ts";
import { RuntimeNode } from "./node.ts";
import { ACCEPTED, type Decider, type ShardActors } from "./program.ts";
import { RECALL_MS } from "./recalls.ts";
import { MemorySnapshots } from "./testkit/memory_snapshots.ts";
import { PLAIN_SEALER, plainActors, plainDecider, submitPayments } from "./testkit/plain_program.ts";
import { SimJournalStore } from "./testkit/sim_journal.ts";
import { SimLeaseStore } from "./testkit/sim_lease.ts";
import { SimWorld, settle } from "./testkit/sim_world.ts";

interface Program {
  readonly actors?: Partial<ShardActors>;
  readonly decider?: Partial<Decider>;
}

/** One shard's journal and lease, and nodes that come and go. */
class Nodes {
  readonly world = new SimWorld(1);
  readonly leases = new SimLeaseStore();
  readonly #journals = new SimJournalStore(this.world);
  readonly #network = new MemoryNetwork((run) => this.world.after(0.1, run));
  #boots = 0;
  /** What the nodes reported. */
  readonly events: string[] = [];

  /** Begins to start a node, alone or of several; resolves with it when it has. */
  begin(program: Program, isAlone = false): Promise<RuntimeNode> {
    const { world } = this;
    return RuntimeNode.start({
      owner: { node: "a", bootId: `boot-${this.#boots++}` },
      shards: 1,
      journals: this.#journals,
      leases: this.leases,
      snapshots: new MemorySnapshots(),
      quarantined: null,
      actors: () => plainActors(program.actors),
      decider: plainDecider(program.decider),
      sealer: () => PLAIN_SEALER,
      clock: world,
      timers: timersOf(world),
      observer: { staged() {}, decided() {}, acknowledged() {} },
      tenantIndex: () => 0,
      mailbox_blocks_max: 4,
      tick_age_us_min: 0,
      snapshot_interval_ms: 0,
      // Not to be compared: nobody computes features.
      features_version: `f${this.#boots}`,
      rates_version: "r",
      journal_format: FORMAT_NEWEST,
      snapshot_layout: "1",
      cluster: isAlone
        ? null
        : { transport: this.#network.transport("a"), weight: 1, router_blocks_max: 4, tenantId: () => "a" },
      report: (event) => void this.events.push(event),
    });
  }

  async start(program: Program, isAlone = false): Promise<RuntimeNode> {
    const node = await this.finished(this.begin(program, isAlone), "the start");
    await this.world.runUntil(() => node.shards[0].serving, 10_000, "the shard to serve");
    return node;
  }

  async finished<T>(work: Promise<T>, what: string): Promise<T> {
    let isDone = false;
    const done = (): void => {
      isDone = true;
    };
    work.then(done, done);
    await this.world.runUntil(() => isDone, 20_000, what);
    return work;
  }

  /** Errors of one payment's answer. */
  async pay(node: RuntimeNode): Promise<number[]> {
    let errors: number[] = [];
    submitPayments(node.mailbox, [0], (e) => {
      errors = e;
    });
    await this.world.runUntil(() => errors.length > 0, 10_000, "the answer");
    return errors;
  }

  /** A journal with a payment in it, of a node that ended as planned. */
  async leaveOne(): Promise<void> {
    const node = await this.start({});
    assert.deepEqual(await this.pay(node), [0]);
    await this.finished(node.close(1000), "the end");
    this.events.length = 0;
  }
}

/** A recall of which only the calls named fail, counted from 1. */
function failingRecall(...calls: number[]): ShardActors["recall"] {
  let n = 0;
  return () => (calls.includes(++n) ? Promise.reject(new PassiveRecordLost("EIO")) : null);
}

for (const isAlone of [false, true]) {
  const kind = isAlone ? "alone" : "of several";
  test(`a node ${kind}: a fold that cannot read its scratch is made again, and ends nothing`, async () => {
    const nodes = new Nodes();
    await nodes.leaveOne();
    const node = await nodes.start({ actors: { recall: failingRecall(1, 2) } }, isAlone);
    assert.deepEqual(nodes.events.filter((e) => e.startsWith("shard_")).slice(0, 3), [
      "shard_poisoned",
      "shard_poisoned",
      "shard_loaded",
    ]);
    assert.deepEqual(await nodes.pay(node), [0]);
    assert.equal(nodes.events.includes("shard_stopped"), false);
  });

  test(`a node ${kind}: so is one behind a row that an actor failed on`, async () => {
    const nodes = new Nodes();
    await nodes.leaveOne();
    // The first is the start's, the second the payment's, the third the reload's.
    const node = await nodes.start({ actors: { recall: failingRecall(2, 3) } }, isAlone);
    const first = node.shards[0];
    assert.notDeepEqual(await nodes.pay(node), [0]);
    const isBack = (): boolean => node.shards[0] !== first && node.shards[0].serving;
    await nodes.world.runUntil(isBack, 20_000, "the shard to serve again");
    assert.deepEqual(await nodes.pay(node), [0]);
    assert.deepEqual([nodes.events.includes("shard_stopped"), node.ready], [false, true]);
  });
}

test("a follower whose scratch stands still begins anew, and claims nothing meanwhile", async () => {
  const nodes = new Nodes();
  await nodes.leaveOne();
  let calls = 0;
  const recall = (): Promise<void> | null => (++calls === 1 ? new Promise(() => {}) : null);
  await nodes.start({ actors: { recall } });
  const order = nodes.events.filter((e) => e.startsWith("shard_"));
  assert.deepEqual([order.slice(0, 3), calls], [["shard_poisoned", "shard_loaded", "shard_serving"], 2]);
});

test("the state that was given up is freed while the next one serves", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const nodes = new Nodes();
  await nodes.leaveOne();
  let calls = 0;
  const accept = (): number => {
    // The first is the start's fold, the second the payment.
    if (++calls === 2) throw new Error("poison");
    return ACCEPTED;
  };
  const node = await nodes.start({ actors: { accept } });
  const first = new WeakRef(node.shards[0]);
  assert.notDeepEqual(await nodes.pay(node), [0]);
  await nodes.world.runUntil(() => node.ready && node.shards[0].serving, 20_000, "the shard to serve again");
  // Timers that knew it run out; no row comes that would take its place in what is used again.
  await nodes.world.advance(5000);
  for (let i = 0; i < 10 && first.deref() !== undefined; i++) {
    await settle();
    collect();
  }
  assert.ok(first.deref() === undefined, "its shard is held");
});

test("a shard that ends for good gives its lease and its journal up", async () => {
  const nodes = new Nodes();
  const node = await nodes.start({ decider: { score: () => Promise.reject(new Error("a defect")) } });
  const { committer } = node.shards[0];
  assert.equal((await nodes.leases.read(0))?.node, "a");
  assert.notDeepEqual(await nodes.pay(node), [0]);
  await nodes.world.advance(100);
  assert.deepEqual([nodes.events.includes("shard_stopped"), node.shards[0].serving], [true, false]);
  assert.notEqual(committer?.stopped, null);
  assert.equal(await nodes.leases.read(0), null, "another node may own it");
});

test("a shard whose scratch stands still gives its lease back at once", async () => {
  const nodes = new Nodes();
  const node = await nodes.start({ actors: { recall: () => new Promise(() => {}) } });
  const paid = nodes.pay(node);
  const start = nodes.world.monotonicUs();
  let isFree = false;
  const look = (): void => {
    nodes.leases.read(0).then((lease) => {
      isFree ||= lease === null;
    });
    if (!isFree) nodes.world.after(1, look);
  };
  look();
  assert.notDeepEqual(await paid, [0]);
  await nodes.world.runUntil(() => isFree, 100, "the lease to be free");
  assert.ok(nodes.world.monotonicUs() - start < (RECALL_MS + 50) * 1000);
});
