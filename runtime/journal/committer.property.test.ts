/**
 * Rival owners over the simulated journal with every fault at once: whatever the seed, the journal is a prefix of what
 * each owner sent, nothing is reported that does not stand, no owner's frame lands behind a rival's Takeover, and once
 * the faults end everybody gets on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Deposed, type Journal } from "../ports.ts";
import { nextFrame } from "../testkit/frames.ts";
import { NO_FAULTS, SimJournalStore } from "../testkit/sim_journal.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { claim, JOURNAL_START } from "./claim.ts";
import { Committer } from "./committer.ts";
import { replay } from "./replay.ts";

interface Reign {
  readonly epoch: number;
  readonly takeover: number;
  readonly sent: Map<number, Buffer>;
  readonly told: number[];
}

interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly frames: number;
  readonly fault: number;
  readonly inFlight: number;
  readonly replicated: boolean;
}

/** One node: claims, commits frames, and when deposed claims again after a while, until its quota stands. */
class Node {
  readonly reigns: Reign[] = [];
  done = false;
  failed: Error | null = null;
  readonly #world: SimWorld;
  readonly #journal: Journal;
  readonly #name: string;
  readonly #plan: Plan;
  #stood = 0;

  constructor(world: SimWorld, journal: Journal, name: string, plan: Plan) {
    this.#world = world;
    this.#journal = journal;
    this.#name = name;
    this.#plan = plan;
  }

  get #inFlight(): number {
    return Math.min(this.#plan.inFlight, this.#journal.appends_max);
  }

  async run(): Promise<void> {
    try {
      while (this.#stood < this.#plan.frames) {
        await this.#world.sleep(this.#world.between(1, 400));
        await this.#reign();
      }
      this.done = true;
    } catch (error) {
      this.failed = error as Error;
    }
  }

  async #reign(): Promise<void> {
    const owner = { node: this.#name, bootId: `${this.reigns.length}` };
    let takeover: Awaited<ReturnType<typeof claim>>;
    try {
      takeover = await claim(this.#journal, owner, this.#world.wallUs(), this.#world.sleep);
    } catch (error) {
      if (error instanceof Deposed) return;
      throw error;
    }
    const reign: Reign = { epoch: takeover.epoch, takeover: takeover.sequence, sent: new Map(), told: [] };
    this.reigns.push(reign);
    await new Promise<void>((resolve, reject) => {
      const committed = (sequence: number): void => {
        reign.told.push(sequence);
        if (++this.#stood === this.#plan.frames) resolve();
      };
      const stopped = (error: Error): void => (error instanceof Deposed ? resolve() : reject(error));
      const events = { committed, stopped };
      const committer = new Committer(this.#journal, takeover, events, this.#world.sleep, this.#inFlight);
      const feed = (): void => {
        if (committer.stopped !== null || this.#stood >= this.#plan.frames) return;
        if (committer.canSubmit) {
          const number = committer.nextFrameNumber;
          const frame = nextFrame(committer, 16, this.#world.between(0, 256));
          reign.sent.set(number, Buffer.from(frame));
          committer.submit(frame);
        }
        this.#world.after(this.#world.between(0, 3), feed);
      };
      feed();
    });
  }
}

async function simulate(plan: Plan): Promise<{ nodes: Node[]; store: SimJournalStore; world: SimWorld }> {
  const world = new SimWorld(plan.seed);
  const stores = [new SimJournalStore(world)];
  while (stores.length < plan.nodes) stores.push(new SimJournalStore(world, stores[0].streams));
  for (const store of stores) store.replicated = plan.replicated;
  const nodes: Node[] = [];
  for (const store of stores) nodes.push(new Node(world, await store.open(0), `n${nodes.length}`, plan));
  for (const store of stores) for (const fault of faultNames) store.faults[fault] = plan.fault * world.random();
  // A partition for one, and the end of all faults.
  world.after(300, () => {
    stores[0].down = true;
  });
  world.after(900, () => {
    stores[0].down = false;
  });
  world.after(3000, () => {
    for (const store of stores) store.faults = { ...NO_FAULTS };
  });
  for (const node of nodes) void node.run();
  const over = (): boolean => nodes.every((node) => node.done) || nodes.some((node) => node.failed !== null);
  await world.runUntil(over, 120_000, "every node's quota");
  return { nodes, store: stores[0], world };
}

const faultNames = Object.keys(NO_FAULTS) as (keyof typeof NO_FAULTS)[];

async function check(plan: Plan): Promise<number> {
  const { nodes, store, world } = await simulate(plan);
  for (const node of nodes) assert.equal(node.failed, null, `${node.failed?.stack}`);
  // What was late arrives now, and must change nothing.
  await world.advance(500);
  const records = store.records(0).map((bytes) => Buffer.from(bytes));
  const epochs: number[] = [];
  const reader = new SimJournalStore(null, store.streams);
  await replay(await reader.open(0), JOURNAL_START, (header) => void epochs.push(header.epoch), world.sleep);
  assert.equal(epochs.length, records.length);
  let told = 0;
  const seen = new Set<number>();
  for (const reign of nodes.flatMap((node) => node.reigns)) {
    assert.ok(!seen.has(reign.epoch), `two reigns of epoch ${reign.epoch}`);
    seen.add(reign.epoch);
    assert.deepEqual(
      reign.told,
      reign.told.map((_, i) => reign.takeover + 1 + i),
      "told in order and gapless",
    );
    for (const sequence of reign.told) {
      assert.ok(reign.sent.get(sequence)?.equals(records[sequence - 1]), `told frame ${sequence} stands as sent`);
    }
    // The journal's part of this epoch is a prefix of what this reign sent.
    for (let sequence = reign.takeover + 1; epochs[sequence - 1] === reign.epoch; sequence++) {
      assert.ok(reign.sent.get(sequence)?.equals(records[sequence - 1]), `frame ${sequence} of epoch ${reign.epoch}`);
    }
    told += reign.told.length;
  }
  return told;
}

const plans = fc.record({
  seed: fc.integer({ min: 1, max: 2 ** 31 }),
  nodes: fc.integer({ min: 1, max: 3 }),
  frames: fc.integer({ min: 1, max: 60 }),
  fault: fc.constantFrom(0, 0.02, 0.1, 0.3, 0.6),
  inFlight: fc.integer({ min: 1, max: 2 }),
  replicated: fc.boolean(),
});

test("rivals with faults: prefix, order, fencing, liveness", async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const told = await check(plan);
      assert.ok(told >= plan.frames * plan.nodes);
    }),
    { numRuns: 120 },
  );
});

test("equal seeds give equal journals", async () => {
  const plan = { seed: 77, nodes: 2, frames: 40, fault: 0.3, inFlight: 2, replicated: true };
  const [a, b] = [await simulate(plan), await simulate(plan)];
  assert.ok(Buffer.concat(a.store.records(0)).equals(Buffer.concat(b.store.records(0))));
});
