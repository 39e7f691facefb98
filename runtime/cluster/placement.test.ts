import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type PlacedNode, rank } from "./placement.ts";

const SHARDS = 64;

const node = fc.record({
  name: fc.string({ minLength: 1, maxLength: 12 }),
  weight: fc.constantFrom(0, 0.5, 1, 1, 2, 7),
});
const cluster = fc.uniqueArray(node, { maxLength: 12, selector: (n) => n.name });

/** A cluster and one node of it, which lies at a random place of the list. */
const clusterWithOne = cluster
  .filter((nodes) => nodes.length > 0)
  .chain((nodes) => fc.tuple(fc.constant(nodes), fc.nat(nodes.length - 1)));

/** Shards that each name is the first for, of `shards` many. */
function owned(shards: number, nodes: readonly PlacedNode[]): Map<string, number> {
  const counts = new Map(nodes.map(({ name }) => [name, 0]));
  for (let shard = 0; shard < shards; shard++) {
    const first = rank(shard, nodes)[0];
    counts.set(first, (counts.get(first) as number) + 1);
  }
  return counts;
}

/** Each count is its weight's share of `shards`, within five standard deviations of a fair draw. */
function sharesFollowWeights(counts: Map<string, number>, nodes: readonly PlacedNode[], shards: number): void {
  const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
  for (const { name, weight } of nodes) {
    const share = weight / weights;
    const slack = 5 * Math.sqrt(shards * share * (1 - share));
    const count = counts.get(name) as number;
    assert.ok(Math.abs(count - shards * share) <= slack, `${name}: ${count} of ${shards}, due ${shards * share}`);
  }
}

test("a node that leaves takes no other shard along, and one that joins takes shards only for itself", () => {
  fc.assert(
    fc.property(clusterWithOne, ([nodes, at]) => {
      const others = nodes.filter((_, i) => i !== at);
      for (let shard = 0; shard < SHARDS; shard++) {
        const all = rank(shard, nodes);
        // More than the first place: nobody changes places with a third because of the one that came or went.
        assert.deepEqual(
          all.filter((name) => name !== nodes[at].name),
          rank(shard, others),
        );
      }
    }),
  );
});

test("a greater weight only gains shards, and weight 0 has none", () => {
  fc.assert(
    fc.property(clusterWithOne, ([nodes, at]) => {
      const { name, weight } = nodes[at];
      const heavier = nodes.map((n, i) => (i === at ? { name, weight: 2 * weight + 1 } : n));
      for (let shard = 0; shard < SHARDS; shard++) {
        const before = rank(shard, nodes);
        assert.equal(before.length, nodes.filter((n) => n.weight > 0).length);
        assert.equal(before.includes(name), weight > 0);
        const [first] = rank(shard, heavier);
        assert.ok(first === before[0] || first === name);
      }
    }),
  );
});

test("the order of the nodes does not matter", () => {
  const shuffled = cluster.chain((nodes) =>
    fc.tuple(
      fc.constant(nodes),
      fc.shuffledSubarray(nodes, { minLength: nodes.length, maxLength: nodes.length }),
      fc.nat(SHARDS - 1),
    ),
  );
  fc.assert(
    fc.property(shuffled, ([nodes, others, shard]) => {
      assert.deepEqual(rank(shard, others), rank(shard, nodes));
    }),
  );
});

test("shares follow the weights, and so do those of a node that left", () => {
  const shards = 30_000;
  const named = (names: readonly string[]): PlacedNode[] =>
    names.map((name, i) => ({ name, weight: [1, 2, 5][i] as number }));
  for (const names of [
    ["node-1", "node-2", "node-3"],
    ["a", "b", "c"],
    ["fraudguard-0.zone", "ü", "x".repeat(200)],
  ]) {
    const nodes = named(names);
    sharesFollowWeights(owned(shards, nodes), nodes, shards);
    // Second places of the shards of the last node: what the others inherit.
    const left = nodes.slice(0, 2);
    const inherited = new Map(left.map(({ name }) => [name, 0]));
    let count = 0;
    for (let shard = 0; shard < shards; shard++) {
      const [first, second] = rank(shard, nodes);
      if (first !== names[2]) continue;
      count++;
      inherited.set(second, (inherited.get(second) as number) + 1);
    }
    sharesFollowWeights(inherited, left, count);
  }
});

test("the ranking is the same in every version: nodes of one cluster must not differ about it", () => {
  const nodes = ["node-1", "node-2", "node-3", "ü"].map((name, i) => ({ name, weight: i === 3 ? 0.5 : 1 }));
  const first = Array.from({ length: 16 }, (_, shard) => rank(shard, nodes)[0]);
  assert.equal(first.map((name) => name.at(-1)).join(""), "13233ü321132232ü");
});
