/** Searches over nodes: what is found stands, "none" needs every owner, and silence is not "none". */
import assert from "node:assert/strict";
import test from "node:test";
import { SimWorld, settle } from "../testkit/sim_world.ts";
import { readFind, readFound } from "../wire/find.ts";
import { readHead, WIRE_FIND } from "../wire/wire_head.ts";
import { Finder, FindUnavailable } from "./finder.ts";
import { LossyNetwork, timersOf } from "./router_testkit.ts";

const SHARDS = 4;
const USER = [7, 1] as const;
const NODES = ["a", "b", "c"];

/** Shards 0 and 3 are a's, 1 is b's, 2 is c's; `stored`: by shard, the ids that it holds. */
class Searches {
  readonly world = new SimWorld(1);
  readonly network = new LossyNetwork(this.world);
  readonly owner: (string | null)[] = ["a", "b", "c", "a"];
  readonly serving = new Map<string, Set<number>>([
    ["a", new Set([0, 3])],
    ["b", new Set([1])],
    ["c", new Set([2])],
  ]);
  readonly stored = new Map<number, number>();
  /** What findHere was asked: node and shards. */
  readonly asked: string[] = [];
  /** Nodes whose journals cannot be read. */
  readonly broken = new Set<string>();
  readonly finders = new Map<string, Finder>();

  constructor() {
    for (const node of NODES) this.start(node);
  }

  start(node: string): Finder {
    const transport = this.network.transport(node);
    const finder = new Finder({
      node,
      shards: SHARDS,
      transport,
      routes: { node: (shard) => this.owner[shard] },
      serves: (shard) => this.serving.get(node)?.has(shard) === true,
      clock: this.world,
      timers: timersOf(this.world),
      findHere: async (tenant, id, user, shards) => {
        this.asked.push(`${node} ${shards.join(" ")}`);
        if (this.broken.has(node)) throw new Error("journal unavailable");
        assert.equal(tenant, "acme");
        const shard = this.stored.get(id[1]);
        if (shard === undefined || !shards.includes(shard)) return null;
        return Buffer.from(`${id[0]} ${id[1]} of ${user === null ? "somebody" : user.join(" ")}`);
      },
    });
    transport.listen((bytes) => {
      const { kind, from, reader } = readHead(bytes);
      if (kind === WIRE_FIND) finder.take(readFind(reader, from));
      else finder.onFound(readFound(reader, from));
    });
    this.finders.set(node, finder);
    return finder;
  }

  /** What find() at a node came to, after at most 2 s. */
  async find(node: string, id: number, user: readonly [number, number] | null): Promise<string> {
    let result: string | null = null;
    const finder = this.finders.get(node) as Finder;
    finder.find("acme", [9, id], user).then(
      (bytes) => {
        result = bytes === null ? "none" : Buffer.from(bytes).toString();
      },
      (e: Error) => {
        assert.ok(e instanceof FindUnavailable);
        result = `unavailable: ${e.message}`;
      },
    );
    await settle();
    const before_us = this.world.monotonicUs();
    await this.world.runUntil(() => result !== null, 2010, "an answer");
    this.took_ms = (this.world.monotonicUs() - before_us) / 1000;
    return result as unknown as string;
  }
  took_ms = 0;
}

test("with a user the owner of the user's shard alone is asked", async () => {
  const s = new Searches();
  s.stored.set(50, 3);
  assert.equal(await s.find("a", 50, USER), "9 50 of 7 1");
  assert.equal(await s.find("b", 50, USER), "9 50 of 7 1");
  assert.equal(await s.find("b", 51, USER), "none");
  assert.deepEqual(s.asked, ["a 3", "a 3", "a 3"]);
});

test("a shard that this node serves is searched here, whatever its routes say", async () => {
  const s = new Searches();
  s.stored.set(50, 3);
  s.owner[3] = "c";
  assert.equal(await s.find("a", 50, USER), "9 50 of 7 1");
  assert.deepEqual(s.asked, ["a 3"]);
});

test("without a user every owner is asked, once, and one finds it", async () => {
  const s = new Searches();
  s.stored.set(60, 2);
  assert.equal(await s.find("b", 60, null), "9 60 of somebody");
  await s.world.advance(10);
  assert.deepEqual(s.asked.toSorted(), ["a 0 3", "b 1", "c 2"]);
  assert.equal(await s.find("b", 61, null), "none");
});

test("none is said only when all owners said so", async () => {
  const cases: [string, (s: Searches) => void, RegExp][] = [
    ["nobody is known", (s) => s.owner.fill(null, 2, 3), /nobody is known to serve shard 2/],
    ["the owner serves no more", (s) => s.serving.get("c")?.clear(), /node c cannot tell/],
    ["the journal cannot be read", (s) => s.broken.add("c"), /node c cannot tell/],
    ["nor here", (s) => s.broken.add("a"), /journal unavailable/],
    ["this node is owner by name alone", (s) => s.serving.get("a")?.delete(3), /shard 3 is not served here/],
  ];
  for (const [name, harm, message] of cases) {
    const s = new Searches();
    s.stored.set(70, 1);
    harm(s);
    assert.match(await s.find("a", 71, null), message, name);
    assert.ok(s.took_ms < 10, name);
    assert.equal(await s.find("a", 70, null), "9 70 of somebody", `${name}: what is found stands all the same`);
  }
});

test("a silent owner is unavailable after 2 s, and its late answer changes nothing", async () => {
  const s = new Searches();
  s.stored.set(80, 0);
  const held: Uint8Array[] = [];
  s.network.tap = (from, _to, bytes) => from !== "c" || held.push(bytes) < 0;
  assert.match(await s.find("a", 81, null), /node c is silent/);
  assert.equal(s.took_ms, 2000);
  assert.equal(await s.find("a", 80, null), "9 80 of somebody", "no need to wait for the silent one");
  assert.ok(s.took_ms < 10);
  for (const bytes of held) s.network.tell("a", bytes);
});

test("a node that cannot be reached is unavailable at once", async () => {
  const s = new Searches();
  s.network.away.add("a");
  s.network.delay_ms = 0.2;
  let quick = 0;
  for (let i = 0; i < 10; i++) {
    const result = await s.find("a", i, [1, 1]);
    if (/cannot be reached/.test(result)) quick++;
    else assert.match(result, /silent/);
  }
  assert.equal(quick, s.network.refused);
  assert.ok(quick > 0);
});

test("answers to another asker, of another node or to a former process of this name are not taken", async () => {
  const s = new Searches();
  s.stored.set(90, 1);
  s.stored.set(91, 1);
  const held: Uint8Array[] = [];
  s.network.tap = (from, _to, bytes) => from !== "b" || held.push(bytes) < 0;
  assert.match(await s.find("a", 90, [1, 1]), /silent/);
  s.start("a");
  s.network.tap = (from) => from === "a";
  const finding = s.find("a", 91, [1, 1]);
  await settle();
  for (const bytes of held) s.network.tell("a", bytes);
  assert.match(await finding, /silent/, "the decision of 90 is not told as that of 91");

  s.network.tap = (from, to, bytes) => {
    if (from !== "b") return true;
    const forged = Buffer.from(bytes);
    forged[forged.indexOf("b", 6)] = "c".charCodeAt(0);
    s.network.tell(to, forged);
    return false;
  };
  assert.match(await s.find("a", 90, [1, 1]), /silent/);
});

test("a search of a shard that does not exist, or of none, cannot be answered", async () => {
  const s = new Searches();
  const said: string[] = [];
  s.network.tap = (from, _to, bytes) => {
    const { reader } = readHead(bytes);
    said.push(readFound(reader, from).result);
    return false;
  };
  const question = { from: "b", tenant: "acme", idHi: 9, idLo: 1, userHi: 0, userLo: 0 };
  const a = s.finders.get("a") as Finder;
  a.take({ ...question, request: 1, shards: [0, 60] });
  a.take({ ...question, request: 2, shards: [] });
  a.take({ ...question, request: 3, shards: [0] });
  await settle();
  assert.deepEqual(said.toSorted(), ["none", "unavailable", "unavailable"]);
});

test("more searches for others than a node bears are unavailable at once", async () => {
  const s = new Searches();
  const said: string[] = [];
  s.network.tap = (from, _to, bytes) => {
    said.push(readFound(readHead(bytes).reader, from).result);
    return false;
  };
  const a = s.finders.get("a") as Finder;
  const question = { from: "b", tenant: "acme", idHi: 9, idLo: 1, userHi: 0, userLo: 0, shards: [0] };
  for (let request = 0; request < 300; request++) a.take({ ...question, request });
  assert.equal(said.length, 44, "those beyond 256");
  await settle();
  assert.equal(said.filter((x) => x === "none").length, 256);
  a.take({ ...question, request: 1000 });
  await settle();
  assert.equal(said.at(-1), "none", "and then there is room again");
});
