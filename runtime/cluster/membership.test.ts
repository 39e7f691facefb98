/** Tests of the membership on virtual time: against an oracle of what was said, and in a cluster with faults. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FORMAT_NEWEST } from "../../proto/frame/frame_header.ts";
import type { Timers } from "../ports.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { type Announcement, NODE_ROLES } from "../wire/announcement.ts";
import { ANNOUNCE_GAP_MS, ANNOUNCE_MS, AWAY_MS, Membership, NODES_MAX } from "./membership.ts";
import { type Cluster, cluster, type Host, names, SHARDS, said, visible } from "./membership_testkit.ts";
import { MemoryNetwork } from "./memory_transport.ts";

test("nodes hear of each other, and nobody is told of anything while nothing changes", async () => {
  const all = ["a", "b", "c", "d"];
  const { world, join } = cluster(1, all);
  const [a, b, c] = ["a", "b", "c"].map((name) => join(name));
  await world.advance(5);
  const d = join("d");
  await world.advance(5);
  assert.deepEqual([names(a), names(b), names(c), names(d)], [all, all, all, ["d"]]);
  await world.advance(ANNOUNCE_MS);
  assert.deepEqual(names(d), all);
  const before = [a, b, c, d].map((host) => host.changes);
  await world.advance(10_000);
  assert.deepEqual(
    [a, b, c, d].map((host) => host.changes),
    before,
  );
});

test("owners and followers are known; the higher epoch has the route, and keeps it when it is given up", async () => {
  const { world, join } = cluster(2, ["a", "b"]);
  const [a, b] = [join("a"), join("b")];
  a.owned.set(2, 7);
  a.membership.announceNow();
  assert.deepEqual([a.membership.routes.node(2), a.membership.routes.epoch(2)], ["a", 7], "its own at once");
  b.following = [2];
  b.membership.announceNow();
  await world.advance(10);
  for (const { membership } of [a, b]) {
    assert.deepEqual([membership.routes.node(2), membership.routes.epoch(2)], ["a", 7]);
    assert.deepEqual([membership.routes.node(1), membership.routes.epoch(1)], [null, 0]);
    const follows = (name: string, shard: number): boolean => membership.follows(name, shard);
    assert.deepEqual([follows("a", 2), follows("b", 2), follows("b", 1), follows("x", 2)], [false, true, false, false]);
  }
  a.owned.clear();
  a.membership.announceNow();
  await world.advance(10);
  assert.deepEqual([a.membership.routes.node(2), b.membership.routes.node(2)], ["a", "a"]);
  b.owned.set(2, 8);
  b.following = [];
  b.membership.announceNow();
  await world.advance(10);
  for (const { membership } of [a, b]) {
    assert.deepEqual([membership.routes.node(2), membership.routes.epoch(2)], ["b", 8]);
    assert.equal(membership.follows("b", 2), false);
  }
});

test("a silent node is away after 2 s and back with its first word; who stands still thinks so of nobody", async () => {
  const { world, join } = cluster(3, ["a", "b", "c"]);
  const [a, b, c] = ["a", "b", "c"].map((name) => join(name));
  b.owned.set(0, 3);
  b.following = [1];
  b.membership.announceNow();
  await world.advance(1000);
  b.pause();
  const before = b.changes;
  const last_ms = a.heard.findLast((h) => h.a.from === "b")?.at_ms as number;
  await world.runUntil(() => !a.membership.isLive("b"), 5000);
  const silence_ms = world.monotonicUs() / 1000 - last_ms;
  assert.ok(silence_ms >= 2000 && silence_ms <= 2200, `${silence_ms} ms`);
  assert.deepEqual([names(a), a.membership.isLive("c")], [["a", "c"], true]);
  assert.deepEqual([a.membership.routes.node(0), a.membership.routes.epoch(0)], [null, 3]);
  assert.equal(a.membership.follows("b", 1), false);
  await world.advance(5000);
  b.resume();
  await world.advance(10);
  for (const host of [a, b, c]) {
    assert.deepEqual(names(host), ["a", "b", "c"]);
    assert.deepEqual([host.membership.routes.node(0), host.membership.follows("b", 1)], ["b", true]);
  }
  assert.equal(b.changes, before);
  // Then it notices the silence of others as ever, whatever it reads first.
  b.pause();
  await world.advance(5000);
  c.crash();
  b.resume("inbox");
  await world.runUntil(() => !b.membership.isLive("c") && !a.membership.isLive("c"), AWAY_MS + 2 * ANNOUNCE_MS);
});

test("many changes make an announcement each 5 ms, the first at once, the last with what is true then", async () => {
  const { world, join } = cluster(4, ["a", "b"]);
  const [a, b] = [join("a"), join("b")];
  await world.advance(1050);
  const begin_ms = world.monotonicUs() / 1000;
  b.heard = [];
  for (let i = 1; i <= 100; i++) {
    world.after(i / 2, () => {
      a.owned.set(1, i);
      a.membership.announceNow();
      assert.equal(a.membership.routes.epoch(1), i);
    });
  }
  await world.advance(60);
  const epochs = b.heard.filter((h) => h.a.from === "a").map((h) => h.a.owned[0].epoch);
  assert.equal(epochs[0], 1);
  assert.equal(epochs.at(-1), 100);
  assert.ok(epochs.length >= 10 && epochs.length <= 11, `${epochs.length} announcements`);
  for (let i = 1; i < epochs.length; i++) assert.ok(epochs[i] - epochs[i - 1] >= 2 * ANNOUNCE_GAP_MS, `${epochs}`);
  const last = b.heard.at(-1);
  assert.ok((last?.at_ms as number) <= begin_ms + 50 + ANNOUNCE_GAP_MS + 1);
});

test("a node that leaves is there, but not to be given shards; after stop nothing is said or heard", async () => {
  const { world, join } = cluster(5, ["a", "b", "c"]);
  const [a, b] = [join("a"), join("b")];
  await world.advance(500);
  a.leaving = true;
  a.membership.announceNow();
  assert.deepEqual(names(a), ["b"]);
  a.membership.stop();
  const { changes, ticks } = a;
  await world.advance(10);
  assert.deepEqual([names(b), b.membership.isLive("a")], [["b"], true]);
  assert.equal(b.heard.filter((h) => h.a.leaving).length, 1, "its last word");
  const heard = b.heard.length;
  join("c");
  a.membership.announceNow();
  await world.advance(10_000);
  assert.deepEqual([a.changes, a.ticks], [changes, ticks]);
  assert.deepEqual([a.membership.isLive("c"), b.membership.isLive("a")], [false, false]);
  assert.ok(b.heard.slice(heard).every((h) => h.a.from === "c"));
});

test("two processes with one name notice it, and others listen to one of them", async () => {
  const { world, join } = cluster(6, ["a", "b"]);
  const [b, first] = [join("b"), join("a", "x")];
  await world.advance(1000);
  assert.equal(first.membership.doubles, 0);
  const second = join("a", "y");
  await world.advance(1000);
  assert.ok(first.membership.doubles >= 4 && second.membership.doubles >= 4);
  assert.equal(b.membership.doubles, 0);
  first.owned.set(1, 50);
  second.owned.set(2, 60);
  await world.advance(1000);
  assert.deepEqual([b.membership.routes.epoch(1), b.membership.routes.node(2)], [0, "a"]);
  assert.deepEqual(names(second), ["a", "b"]);
});

test("more nodes than a cluster has are refused until one of those known is away", async () => {
  const { world, join } = cluster(7, ["me"]);
  const { membership } = join("me");
  for (let i = 0; i < 70; i++) membership.heard(said(`n${i}`, 1));
  assert.deepEqual([membership.nodes().length, membership.refused], [NODES_MAX, 70 - (NODES_MAX - 1)]);
  assert.equal(membership.isLive("n69"), false);
  await world.advance(ANNOUNCE_MS);
  membership.heard(said("n1", 2));
  for (let number = 2; number < 20; number++) {
    for (let i = 3; i < NODES_MAX - 1; i++) membership.heard(said(`n${i}`, number));
    await world.advance(ANNOUNCE_MS);
  }
  assert.equal(membership.nodes().length, NODES_MAX - 3);
  membership.heard(said("n70", 1));
  // Forgotten was one that is away for longer: this is known to be an old word.
  membership.heard(said("n1", 2));
  assert.equal(membership.isLive("n1"), false);
  for (let i = 71; i < 74; i++) membership.heard(said(`n${i}`, 1));
  assert.deepEqual([membership.nodes().length, membership.refused], [NODES_MAX, 8]);
  assert.deepEqual([membership.isLive("n3"), membership.isLive("n72"), membership.isLive("n73")], [true, true, false]);
});

test("a weight that changes is heard by all, and a gateway is there without being given shards", async () => {
  const { world, join } = cluster(9, ["a", "b"]);
  const [a, b] = [join("a"), join("b")];
  await world.advance(ANNOUNCE_MS);
  const changes = b.changes;
  a.membership.setWeight(0);
  await world.advance(ANNOUNCE_GAP_MS + 1);
  const weights = (host: Host): unknown[] => host.membership.nodes().map(({ name, weight }) => [name, weight]);
  assert.deepEqual(
    [weights(b), b.changes],
    [
      [
        ["b", 1],
        ["a", 0],
      ],
      changes + 1,
    ],
  );
  assert.deepEqual(
    [weights(a), a.membership.weight],
    [
      [
        ["a", 0],
        ["b", 1],
      ],
      0,
    ],
  );
  await world.advance(10 * ANNOUNCE_MS);
  a.membership.setWeight(0);
  await world.advance(10 * ANNOUNCE_MS);
  assert.equal(b.changes, changes + 1, "the same again is no change");
  b.membership.heard(said("g", 1, { role: "gateway", weight: 5, following: [2] }));
  assert.deepEqual(names(b), ["a", "b"]);
  assert.equal(b.membership.isLive("g"), true);
  const g = b.membership.known().find(({ name }) => name === "g");
  assert.deepEqual([g?.role, g?.weight, g?.following, g?.silent_us], ["gateway", 5, [2], 0]);
  await world.advance(AWAY_MS + ANNOUNCE_MS);
  const away = b.membership.known().find(({ name }) => name === "g");
  assert.deepEqual([away?.live, (away?.silent_us ?? 0) >= AWAY_MS * 1000], [false, true]);
});

test("journals are written in a format that every node reads which is there, or was a minute ago", async () => {
  const { world, join } = cluster(11, ["a", "b"]);
  const a = join("a");
  const b = join("b");
  const { membership } = a;
  const announced = (): number[] => {
    const formats = b.wires.splice(0);
    return [...new Set(formats)].sort();
  };
  await world.advance(ANNOUNCE_MS);
  assert.equal(membership.readsFormat, FORMAT_NEWEST);
  await world.advance(2 * ANNOUNCE_MS);
  assert.deepEqual(announced(), [2]);
  // A node of the first format: from now on it is spoken to in its own, too.
  membership.heard(said("old", 1, { reads_format: 1 }));
  assert.equal(membership.readsFormat, 1);
  await world.advance(2 * ANNOUNCE_MS);
  assert.deepEqual(announced(), [1, 2]);
  await world.advance(AWAY_MS + 2 * ANNOUNCE_MS);
  announced();
  await world.advance(2 * ANNOUNCE_MS);
  assert.deepEqual(announced(), [2], "it is away");
  await world.advance(50_000);
  assert.equal(membership.readsFormat, 1, "it may come back as it was");
  await world.advance(10_000);
  assert.equal(membership.readsFormat, FORMAT_NEWEST);
  membership.heard(said("old", 2, { reads_format: 1 }));
  assert.equal(membership.readsFormat, 1);
  // It was upgraded; what it says to older nodes, in their format, is not taken for what it is.
  membership.heard(said("old", 1, { boot: "2", reads_format: FORMAT_NEWEST + 1, role: "shard" }));
  membership.heard(said("old", 2, { boot: "2", reads_format: 1 }));
  assert.equal(membership.readsFormat, FORMAT_NEWEST);
  assert.equal(membership.known().find(({ name }) => name === "old")?.role, "shard");
});

test("the last four boots that were replaced are remembered", async () => {
  const { membership } = cluster(8, ["me"]).join("me");
  const epoch = (): number => membership.routes.epoch(0);
  for (let boot = 1; boot <= 6; boot++) membership.heard(said("a", 1, { boot: `${boot}` }));
  for (const boot of ["2", "3", "4", "5"]) {
    membership.heard(said("a", 9, { boot, owned: [{ shard: 0, epoch: 5 }] }));
    assert.equal(epoch(), 0, `boot ${boot}`);
  }
  membership.heard(said("a", 1, { boot: "1", owned: [{ shard: 0, epoch: 5 }] }));
  assert.equal(epoch(), 5);
});

test("a word of an earlier process of the same name does not shut the running one out for good", async () => {
  const { world, join } = cluster(9, ["me"]);
  const { membership } = join("me");
  const says = (number: number, boot: string): boolean =>
    membership.heard(said("a", number, { boot, reads_format: 2 }));
  const bootOf = (): string | undefined => membership.known().find(({ name }) => name === "a")?.boot;
  // This node came after both started, and cannot know which of them was first.
  assert.ok(says(50, "runs"));
  assert.ok(says(9000, "earlier"));
  assert.equal(says(9000, "earlier"), false);
  for (let number = 51; bootOf() !== "runs"; number++) {
    assert.ok(number < 51 + (AWAY_MS + 2 * ANNOUNCE_MS) / ANNOUNCE_MS, "it is not heard again");
    await world.advance(ANNOUNCE_MS);
    says(number, "runs");
  }
  assert.ok(membership.isLive("a"));
  assert.equal(says(9001, "earlier"), false, "as long as the one that runs is heard");
  assert.equal(bootOf(), "runs");
});

const NAMES = ["x", "y", "z"];
/** An epoch has one owner: its remainder says which. */
const announcement = fc
  .record({
    who: fc.nat(2),
    boot: fc.nat(4).map(String),
    number: fc.nat(6),
    weight: fc.constantFrom(0, 1, 2),
    role: fc.constantFrom(...NODE_ROLES),
    leaving: fc.boolean(),
    owned: fc.uniqueArray(fc.record({ shard: fc.nat(SHARDS), epoch: fc.integer({ min: 1, max: 9 }) }), {
      selector: (o) => o.shard,
      maxLength: 3,
    }),
    following: fc.uniqueArray(fc.nat(SHARDS)),
  })
  .map(
    ({ who, owned, ...rest }): Announcement => ({
      ...rest,
      reads_format: 2,
      damaged: [],
      from: NAMES[who],
      owned: owned.map(({ shard, epoch }) => ({ shard, epoch: 3 * epoch + who })),
    }),
  );

/** Of all announcements in the order heard, those that count: none older than one heard, none of an earlier boot. */
function counting(heard: readonly Announcement[]): Announcement[] {
  const counted: Announcement[] = [];
  for (const a of heard) {
    const before = counted.filter(({ from }) => from === a.from);
    const isNewBoot = before.every(({ boot }) => boot !== a.boot);
    const newest = before.at(-1);
    if (isNewBoot || (newest?.boot === a.boot && a.number > newest.number)) counted.push(a);
  }
  return counted;
}

/** What is to be known after these: each node as it last spoke, each shard's highest epoch. */
function expected(counted: readonly Announcement[]): { seen: string; raw: string } {
  const last = NAMES.map((name) => counted.findLast(({ from }) => from === name));
  const nodes = last
    .filter((a) => a !== undefined && !a.leaving && a.role !== "gateway")
    .map((a) => `${a?.from}*${a?.weight}`);
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  const seen = last.map((a) => [a !== undefined, ...shards.map((shard) => a?.following.includes(shard) === true)]);
  const routes = shards.map((shard) => {
    const owners = counted.flatMap((a) => a.owned.filter((o) => o.shard === shard).map((o) => [a.from, o.epoch]));
    return owners.sort(([, a], [, b]) => Number(b) - Number(a))[0] ?? [null, 0];
  });
  const visible = JSON.stringify([["me*1", ...nodes].sort(), seen, routes]);
  return { seen: visible, raw: visible + JSON.stringify(last.map((a) => [a?.weight, a?.role, a?.leaving])) };
}

test("whatever is said in whatever order, the newest boot's newest word counts, each change is told once", () => {
  fc.assert(
    fc.property(fc.array(announcement, { maxLength: 40 }), (all) => {
      const turns: (() => void)[] = [];
      const timers: Timers = { soon: (run) => void turns.push(run), after: () => {}, every: () => () => {} };
      let changes = 0;
      const membership = new Membership({
        node: "me",
        boot: "1",
        weight: 1,
        role: "all",
        shards: SHARDS,
        clock: new SimWorld(1),
        timers,
        transport: new MemoryNetwork(() => {}).transport("me"),
        describe: () => ({ owned: [], following: [], leaving: false, damaged: [] }),
        changed: () => void changes++,
      });
      let before = expected([]);
      for (let i = 0; i < all.length; i++) {
        membership.heard(all[i]);
        const after = expected(counting(all.slice(0, i + 1)));
        assert.equal(visible(membership, NAMES), after.seen);
        assert.equal(turns.length, after.raw === before.raw ? 0 : 1);
        for (const turn of turns.splice(0)) turn();
        before = after;
      }
      for (const from of ["u", "v", "w"]) membership.heard(said(from, 1));
      assert.equal(turns.length, 1, "many changes, one call");
      for (const turn of turns.splice(0)) turn();
      const told = changes;
      for (const a of all) membership.heard({ ...a, from: "me", boot: "1" });
      assert.deepEqual([changes, membership.doubles, turns.length], [told, 0, 0]);
    }),
  );
});

/** Twenty seconds of faults; then all runs, and each shard has an owner. Returns the hosts and the owners by shard. */
async function storm({ world, weather, join }: Cluster, all: readonly string[]): Promise<[Host[], string[]]> {
  const hosts = all.map((name) => join(name));
  const epochs = new Array<number>(SHARDS).fill(0);
  const owners = new Array<number>(SHARDS).fill(-1);
  let boots = 1;
  const pick = (n: number): number => Math.floor(world.between(0, n));
  const own = (shard: number, at: number): void => {
    const old = hosts[owners[shard]];
    if (old !== undefined && old !== hosts[at]) world.after(world.between(0, 500), () => old.owned.delete(shard));
    owners[shard] = at;
    hosts[at].owned.set(shard, ++epochs[shard]);
    hosts[at].membership.announceNow();
  };
  weather.loss = 0.2;
  weather.delay_ms = 60;
  for (let step = 0; step < 100; step++) {
    const at = pick(hosts.length);
    const host = hosts[at];
    const what = world.random();
    if (what < 0.1) {
      host.pause();
      world.after(world.between(0, 4000), () => host.resume());
    } else if (what < 0.2) {
      host.crash();
      hosts[at] = join(all[at], String(++boots));
      for (let shard = 0; shard < SHARDS; shard++) if (owners[shard] === at) owners[shard] = -1;
    } else if (what < 0.5) own(pick(SHARDS), at);
    else if (what < 0.7) host.following = [pick(SHARDS)];
    await world.advance(200);
  }
  weather.loss = 0;
  weather.delay_ms = 1;
  for (const host of hosts) host.resume();
  for (let shard = 0; shard < SHARDS; shard++) if (owners[shard] === -1) own(shard, pick(hosts.length));
  await world.advance(500 + AWAY_MS + 2 * ANNOUNCE_MS);
  return [hosts, owners.map((at) => all[at])];
}

test("after lost, late and overtaken frames, pauses and restarts all agree, and none missed a change", async () => {
  const all = ["a", "b", "c", "d", "e"];
  for (let seed = 1; seed <= 30; seed++) {
    const [hosts, owners] = await storm(cluster(seed, all), all);
    const views = hosts.map(({ membership }) => visible(membership, all));
    for (const [i, host] of hosts.entries()) {
      const { routes } = host.membership;
      assert.deepEqual(
        owners.map((_, shard) => routes.node(shard)),
        owners,
        `seed ${seed}, ${host.name}`,
      );
      assert.deepEqual(names(host), all, `seed ${seed}, ${host.name}`);
      assert.equal(views[i], views[0], `seed ${seed}, ${host.name}`);
      assert.equal(host.seen, views[i], `seed ${seed}, ${host.name}`);
    }
  }
});
