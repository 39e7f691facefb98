/**
 * Traffic over a bad network while shards move, nodes fall silent, fill up and come back: every row gets one result,
 * which is right; and when all is well again everything is answered and nothing is held.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { isBad, type Message, SimCluster } from "./router_testkit.ts";

const SEEDS = 12;
const NODES = ["a", "b", "c"];
const SHARDS = 5;
const FAULTS_MS = 6000;

interface Run {
  readonly cluster: SimCluster;
  readonly world: SimWorld;
  readonly messages: Message[];
  /** Ids that more than one message had. */
  readonly repeated: Set<number>;
  nextId: number;
  shed: number;
}

function pick<T>(world: SimWorld, from: readonly T[]): T {
  return from[Math.floor(world.random() * from.length)];
}

function begin(seed: number): Run {
  const world = new SimWorld(seed);
  const cluster = new SimCluster(world, { nodes: NODES, shards: SHARDS, blocks_max: 2, mailbox_blocks: 2 });
  for (let shard = 0; shard < SHARDS; shard++) cluster.own(shard, pick(world, NODES));
  cluster.announceAll();
  cluster.network.loss = pick(world, [0, 0.02, 0.3]);
  cluster.network.twice = pick(world, [0, 0, 0.2]);
  cluster.network.delay_ms = pick(world, [1, 5, 60]);
  return { cluster, world, messages: [], repeated: new Set(), nextId: 1, shed: 0 };
}

/** A message of new payments, and now and then of one that was sent before. */
function offer(run: Run): void {
  const { cluster, world, messages } = run;
  const size = world.chance(0.05) ? 700 : 1 + Math.floor(world.between(0, 40));
  const ids = Array.from({ length: size }, () => run.nextId++);
  if (messages.length > 0 && world.chance(0.2)) {
    const id = pick(world, messages).ids[0];
    run.repeated.add(id);
    ids.push(id);
  }
  const message = cluster.node(pick(world, NODES)).offer(ids);
  if (message === null) run.shed++;
  else messages.push(message);
}

/** Something goes wrong, or is well again after a while. */
function fault(run: Run): void {
  const { cluster, world } = run;
  const name = pick(world, NODES);
  const node = cluster.node(name);
  const shard = Math.floor(world.random() * SHARDS);
  const while_ms = world.between(50, 3000);
  switch (Math.floor(world.random() * 5)) {
    case 0:
      // A hand-over or a takeover; a gap without an owner is part of it.
      cluster.own(shard, null);
      world.after(world.between(0, 300), () => cluster.own(shard, pick(world, NODES)));
      break;
    case 1:
      cluster.network.away.add(name);
      world.after(while_ms, () => cluster.network.away.delete(name));
      break;
    case 2:
      // The journal stands still; the mailbox fills up.
      node.commit_ms = Number.POSITIVE_INFINITY;
      world.after(while_ms, () => node.resume(pick(world, [3, 300])));
      break;
    case 3:
      // It has forgotten who owns what.
      for (const route of node.routes) route.node = null;
      break;
    default:
      for (const route of node.routes) route.node = pick(world, NODES);
      node.router.routesChanged();
  }
}

function heal({ cluster, world }: Run): void {
  const { network } = cluster;
  network.loss = 0;
  network.twice = 0;
  network.delay_ms = 1;
  network.away.clear();
  for (const node of cluster.nodes.values()) node.resume(3);
  cluster.owners.forEach((owner, shard) => {
    if (owner.node === null) cluster.own(shard, pick(world, NODES));
  });
  cluster.announceAll();
}

async function go(seed: number): Promise<{ asked: number; refused: number; failed: number; shed: number }> {
  const run = begin(seed);
  const { cluster, world, messages } = run;
  const doubled = cluster.network.twice > 0;
  const until_us = FAULTS_MS * 1000;
  const repeat = (mean_ms: number, what: (run: Run) => void): void => {
    if (world.monotonicUs() >= until_us) return;
    what(run);
    world.after(world.between(0, 2 * mean_ms), () => repeat(mean_ms, what));
  };
  repeat(8, offer);
  world.after(500, () => repeat(600, fault));
  repeat(150, () => cluster.announce(pick(world, NODES)));
  // Faults that end later end before the healing.
  await world.advance(FAULTS_MS + 3100);
  heal(run);
  await world.runUntil(() => messages.every((m) => m.isDone), 10_060, "a result for every row");
  cluster.check(messages);
  for (const message of messages) assert.ok(message.took_ms <= 10_060, `${message.took_ms} ms`);
  // Frames and ticks that nobody waits for any more.
  await world.advance(500);
  cluster.checkAtRest();
  if (!doubled) checkRefused(run);
  await askAgain(run);
  const nodes = [...cluster.nodes.values()];
  const sum = (of: (node: (typeof nodes)[0]) => number): number => nodes.reduce((n, node) => n + of(node), 0);
  const failed = messages.reduce((n, m) => n + m.results.filter((x) => x.code !== 0 && !isBad(x.id)).length, 0);
  return { asked: sum((n) => n.router.askedAgain), refused: sum((n) => n.router.refused), failed, shed: run.shed };
}

/** "Too much waits" says that nothing was decided. */
function checkRefused({ cluster, messages, repeated }: Run): void {
  for (const { id, code } of messages.flatMap((m) => m.results)) {
    if (code !== ErrorCode.RESOURCE_EXHAUSTED || repeated.has(id)) continue;
    assert.ok(!cluster.journal.has(id), `payment ${id} was refused and decided`);
  }
}

/** Everything is asked for again at another gateway: now it has its decision, and the one that was told before. */
async function askAgain({ cluster, world, messages }: Run): Promise<void> {
  const told = new Map(cluster.journal);
  for (const message of messages) {
    const again = cluster.node(pick(world, NODES)).send(message.ids);
    await world.runUntil(() => again.isDone, 100, "an answer after healing");
    cluster.check([again]);
    for (const { id, code } of again.results) assert.equal(code === 0, !isBad(id));
  }
  for (const [id, score] of told) assert.equal(cluster.journal.get(id), score);
  cluster.checkAtRest();
}

test("whatever becomes of frames and owners, every row has one result, and it is right", async () => {
  const seen = { asked: 0, refused: 0, failed: 0, shed: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      const now = await go(seed);
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += now[key];
    } catch (e) {
      throw new Error(`seed ${seed}`, { cause: e });
    }
  }
  // The runs went through what they are about.
  for (const [what, rows] of Object.entries(seen)) assert.ok(rows > 100, `${what}: ${rows}`);
});
