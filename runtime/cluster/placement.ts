/**
 * Which nodes should serve a shard: weighted rendezvous hashing. Every node computes it from what it heard, without
 * asking anyone; nodes that heard the same agree. A node that comes or goes moves only the shards it gains or leaves.
 *
 * Source: D. G. Thaler and C. V. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); the weighted
 * score is that of J. Resch, "New Hashing Algorithms for Data Storage" (2015). The mixing steps are MurmurHash3's.
 */

/** A node that may serve shards. Its share of all shards is its weight's share of all weights; 0 serves none. */
export interface PlacedNode {
  readonly name: string;
  readonly weight: number;
}

/**
 * The names of the nodes with a weight above 0, the one that should own `shard` first, the one that should follow it
 * second. The order of `nodes` does not matter; names are distinct.
 */
export function rank(shard: number, nodes: readonly PlacedNode[]): string[] {
  const scored = nodes
    .filter(({ weight }) => weight > 0)
    .map(({ name, weight }) => ({ name, score: -weight / Math.log(draw(name, shard)) }));
  scored.sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1));
  return scored.map(({ name }) => name);
}

/** A number in (0, 1), of 53 bits, that only the name and the shard decide: two 32-bit hashes, mixed at the end. */
function draw(name: string, shard: number): number {
  let a = step(0, shard, 0xcc9e2d51, 0x1b873593, 0xe6546b64);
  let b = step(0, shard, 0x239b961b, 0xab0e9789, 0x38b34ae5);
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    a = step(a, unit, 0xcc9e2d51, 0x1b873593, 0xe6546b64);
    b = step(b, unit, 0x239b961b, 0xab0e9789, 0x38b34ae5);
  }
  b = finish(b ^ name.length ^ a);
  a = finish(a + b);
  const bits = (a & 0x1fffff) * 2 ** 32 + (b >>> 0);
  // 0 has no logarithm.
  return Math.max(1, bits) / 2 ** 53;
}

function step(hash: number, value: number, c1: number, c2: number, add: number): number {
  const k = Math.imul(value, c1);
  const h = hash ^ Math.imul((k << 15) | (k >>> 17), c2);
  return (Math.imul((h << 13) | (h >>> 19), 5) + add) | 0;
}

function finish(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
