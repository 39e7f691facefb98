/**
 * A cluster for tests of the way of rows: real routers, row services and mailboxes over a network that loses, delays
 * and doubles frames by seed. Ticks and journals are made up: one map holds every decision, drawn at random when it is
 * first committed, so that an answer can only be right by coming from there.
 */
import assert from "node:assert/strict";
import {
  ATTRIBUTE_SLOTS,
  type BatchSink,
  ERROR_NOT_OWNER,
  LOCATION_NONE,
  RAW_FIELDS,
  RAW_MESSAGE,
  RAW_TRANSACTION,
  ROW_PAYMENT,
  type RowBlock,
} from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { Mailbox } from "../mailbox.ts";
import type { Timers, Transport } from "../ports.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { readRowsHead } from "../wire/rows.ts";
import { readHead, WIRE_ANSWERS, WIRE_ROWS } from "../wire/wire_head.ts";
import type { Routes } from "./route_view.ts";
import { Router } from "./router.ts";
import { RowService } from "./row_service.ts";

const TENANTS = ["acme", "globex", "initech"];
const MODEL = "model-7";

/** Timers on the world's queue; `soon` comes after so many milliseconds. */
export function timersOf(world: SimWorld, soon_ms = () => 0): Timers {
  return {
    soon: (run) => world.after(soon_ms(), run),
    after: (ms, run) => world.after(ms, run),
    every: world.every,
  };
}

export class LossyNetwork {
  readonly #world: SimWorld;
  readonly #listeners = new Map<string, (bytes: Uint8Array) => void>();
  /** Chances that a frame is lost, or told twice. */
  loss = 0;
  twice = 0;
  /** Each frame takes from 0.1 to so many milliseconds: later ones overtake earlier ones. */
  delay_ms = 1;
  /** Nodes that neither send nor hear. */
  readonly away = new Set<string>();
  /** Frames that their senders know did not go out. */
  refused = 0;
  /** Sees each frame; false keeps it from going out by itself. */
  tap: (from: string, to: string, bytes: Uint8Array) => boolean = () => true;

  constructor(world: SimWorld) {
    this.#world = world;
  }

  transport(node: string): Transport {
    return {
      node,
      send: (to, bytes) => this.#send(node, to, bytes),
      broadcast: () => assert.fail("nobody broadcasts rows"),
      listen: (onFrame) => this.#listeners.set(node, onFrame),
      close: () => this.#listeners.delete(node),
    };
  }

  /** Tells a frame now. */
  tell(to: string, bytes: Uint8Array): void {
    this.#listeners.get(to)?.(new Uint8Array(bytes));
  }

  #send(from: string, to: string, bytes: Uint8Array): boolean {
    const world = this.#world;
    if (!this.tap(from, to, bytes)) return true;
    if (this.away.has(from)) {
      // A node notices, or does not notice, that it is cut off.
      const noticed = world.chance(0.5);
      if (noticed) this.refused++;
      return !noticed;
    }
    const times = world.chance(this.loss) ? 0 : world.chance(this.twice) ? 2 : 1;
    for (let i = 0; i < times; i++) {
      world.after(world.between(0.1, this.delay_ms), () => {
        if (!this.away.has(to)) this.tell(to, bytes);
      });
    }
    return true;
  }
}

/** What a row was answered: `code` 0 with its score. */
interface Result {
  readonly id: number;
  readonly code: number;
  readonly score: number;
  readonly version: number;
}

/** One message and what came of it. */
export class Message implements BatchSink {
  readonly ids: readonly number[];
  readonly bytes: Uint8Array;
  results: Result[] = [];
  readonly sent_us: number;
  done_us = -1;
  readonly #now: () => number;
  /** Told when the results are there. */
  onDone: () => void = () => {};

  constructor(ids: readonly number[], now: () => number, padding: number) {
    this.ids = ids;
    this.bytes = Buffer.from(ids.map(textOf).join("") + "#".repeat(padding));
    this.#now = now;
    this.sent_us = now();
  }

  done(block: RowBlock, start: number, count: number): void {
    assert.equal(this.done_us, -1, "a message is answered once");
    assert.equal(count, this.ids.length);
    this.done_us = this.#now();
    for (let i = 0; i < count; i++) {
      const r = start + i;
      assert.equal(block.id.lo[r], this.ids[i], "the answered row is the message's own");
      const { error, score, version } = block;
      this.results.push({ id: this.ids[i], code: error[r], score: score[r], version: version[r] });
    }
    this.onDone();
  }

  get isDone(): boolean {
    return this.done_us >= 0;
  }

  /** Time from submit to results, milliseconds. */
  get took_ms(): number {
    assert.ok(this.isDone, "the message has its results");
    return (this.done_us - this.sent_us) / 1000;
  }

  /** The codes that occur, each once. */
  get codes(): number[] {
    return [...new Set(this.results.map((x) => x.code))];
  }
}

function textOf(id: number): string {
  return `payment-${String(id).padStart(8, "0")}`;
}

/** Payments that the gateway refuses at decode. */
export function isBad(id: number): boolean {
  return id % 91 === 0;
}

function shardOf(id: number, shards: number): number {
  return (id >>> 3) % shards;
}

/** Writes payment `id` into row r as a gateway's decoder would; its text is the message's `at`-th. */
function fill(b: RowBlock, r: number, id: number, at: number, shards: number): void {
  b.kind[r] = ROW_PAYMENT;
  b.error[r] = isBad(id) ? ErrorCode.INVALID : 0;
  b.errorField[r] = isBad(id) ? 4 : 0;
  b.tenant[r] = id % TENANTS.length;
  b.shard[r] = shardOf(id, shards);
  b.user.hi[r] = shardOf(id, shards);
  b.user.lo[r] = 1;
  for (const key of [b.merchant, b.card, b.device, b.ip, b.payee, b.attributesHash]) {
    key.hi[r] = 0;
    key.lo[r] = 0;
  }
  b.id.hi[r] = 5;
  b.id.lo[r] = id;
  b.eventTimeUs[r] = 1_700_000_000_000_000 + id;
  b.amountMinor[r] = id;
  b.amountBase[r] = id;
  b.latitudeE6[r] = LOCATION_NONE;
  b.longitudeE6[r] = LOCATION_NONE;
  b.attributes.fill(Number.NaN, r * ATTRIBUTE_SLOTS, (r + 1) * ATTRIBUTE_SLOTS);
  b.rawLength.fill(0, r * RAW_FIELDS, (r + 1) * RAW_FIELDS);
  const length = textOf(id).length;
  b.rawStart[r * RAW_FIELDS + RAW_TRANSACTION] = at * length;
  b.rawLength[r * RAW_FIELDS + RAW_TRANSACTION] = length;
  b.score[r] = Number.NaN;
  b.degraded[r] = 0;
  b.flags[r] = 0;
}

interface Route {
  node: string | null;
  epoch: number;
}

/** One node: gateway side and owner side. */
export class SimNode {
  readonly name: string;
  readonly cluster: SimCluster;
  readonly routes: Route[];
  readonly serving = new Set<number>();
  readonly mailbox: Mailbox;
  readonly service: RowService;
  router: Router;
  /** Blocks taken from the mailbox and not given back; rows that were in them; rows decided or told their decision. */
  ticks = 0;
  ticked = 0;
  decided = 0;
  /** How long the router's next turn of the event loop is in coming, milliseconds. */
  soon_ms = 0;
  /** How long its process stood still, microseconds. */
  stood_us = 0;
  /** Longest time from a tick to its commit, milliseconds; Infinity: until resume(). */
  commit_ms = 5;
  #stuck: (() => void)[] = [];
  /** Those it knows. */
  tenants = TENANTS;
  readonly #versions = ["", MODEL];
  #scheduled = false;
  readonly #transport: Transport;

  constructor(cluster: SimCluster, name: string) {
    const { world, shards, mailbox_blocks } = cluster;
    this.name = name;
    this.cluster = cluster;
    this.routes = Array.from({ length: shards }, () => ({ node: null, epoch: 0 }));
    this.mailbox = new Mailbox({ shards, blocks_max: mailbox_blocks, clock: world });
    this.mailbox.onRows = () => this.#soon();
    this.#transport = cluster.network.transport(name);
    this.service = new RowService({
      node: name,
      shards,
      mailbox: this.#watched(),
      serves: (shard) => this.serving.has(shard),
      transport: this.#transport,
      tenantIndex: (id) => this.tenants.indexOf(id),
      versionNames: (index) => ({ model: this.#versions[index], rule_set: "rules-1" }),
      answerLocally: (bytes) => this.router.onFrame(readHead(bytes)),
    });
    this.router = this.#newRouter();
    this.#transport.listen((bytes) => {
      const head = readHead(bytes);
      if (head.kind === WIRE_ROWS) this.service.take(bytes, head);
      else if (head.kind === WIRE_ANSWERS) this.router.onFrame(head);
      else assert.fail(`unexpected frame of kind ${head.kind}`);
    });
  }

  /** The gateway's process is another one from now on; its rows are forgotten. */
  restartRouter(): void {
    this.router = this.#newRouter();
  }

  #newRouter(): Router {
    const { world, shards, blocks_max } = this.cluster;
    const routes: Routes = { node: (s) => this.routes[s].node, epoch: (s) => this.routes[s].epoch };
    return new Router({
      node: this.name,
      shards,
      blocks_max,
      transport: this.#transport,
      routes,
      local: this.service,
      clock: { monotonicUs: () => world.monotonicUs() + this.stood_us, wallUs: () => world.wallUs() },
      timers: timersOf(world, () => this.soon_ms),
      tenantId: (index) => TENANTS[index],
      versionIndex: (model) => {
        if (!this.#versions.includes(model)) this.#versions.push(model);
        return this.#versions.indexOf(model);
      },
    });
  }

  /** The mailbox; rows that this node does not serve must come marked. */
  #watched(): Pick<Mailbox, "open" | "submit" | "retryAfterMs"> {
    const { mailbox, serving } = this;
    return {
      open: (rows, bytes) => mailbox.open(rows, bytes),
      retryAfterMs: () => mailbox.retryAfterMs(),
      submit: (block, count, bytes, sink) => {
        for (let r = block.n; r < block.n + count; r++) {
          assert.equal(block.error[r], serving.has(block.shard[r]) ? 0 : ERROR_NOT_OWNER);
          const start = block.rawStart[r * RAW_FIELDS + RAW_TRANSACTION];
          const text = bytes.subarray(start, start + block.rawLength[r * RAW_FIELDS + RAW_TRANSACTION]);
          assert.equal(Buffer.from(text).toString(), textOf(block.id.lo[r]));
        }
        mailbox.submit(block, count, bytes, sink);
      },
    };
  }

  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.cluster.world.after(1, () => {
      this.#scheduled = false;
      const block = this.mailbox.take();
      if (block === null) return;
      this.#tick(block);
      if (this.mailbox.waiting) this.#soon();
    });
  }

  #tick(block: RowBlock): void {
    const { world } = this.cluster;
    this.ticks++;
    this.ticked += block.n;
    for (let r = 0; r < block.n; r++) {
      if (block.error[r] === 0 && !this.serving.has(block.shard[r])) block.error[r] = ERROR_NOT_OWNER;
    }
    const commit = (): void => {
      for (let r = 0; r < block.n; r++) if (block.error[r] === 0) this.#commit(block, r);
      for (let i = 0; i < block.batchCount; i++) {
        const { sink, start, count } = block.batches[i];
        sink?.done(block, start, count);
      }
      this.mailbox.giveBack(block);
      this.ticks--;
    };
    if (this.commit_ms === Number.POSITIVE_INFINITY) this.#stuck.push(commit);
    else world.after(world.between(Math.min(1, this.commit_ms), this.commit_ms), commit);
  }

  /** Ends the ticks that are stuck; later ones take `commit_ms`. */
  resume(commit_ms: number): void {
    this.commit_ms = commit_ms;
    for (const commit of this.#stuck.splice(0)) commit();
  }

  #commit(block: RowBlock, r: number): void {
    const { journal, world } = this.cluster;
    if (!this.serving.has(block.shard[r])) {
      block.error[r] = ErrorCode.UNAVAILABLE;
      return;
    }
    const id = block.id.lo[r];
    if (!journal.has(id)) journal.set(id, Math.fround(world.random()));
    block.score[r] = journal.get(id) as number;
    block.version[r] = 1;
    this.decided++;
  }

  /** Hands a message to the gateway; null when it was shed. `padding`: bytes that each row's message has besides. */
  offer(ids: readonly number[], padding = 0): Message | null {
    const message = new Message(ids, () => this.cluster.world.monotonicUs(), padding);
    const block = this.router.open(ids.length, message.bytes.length);
    if (block === null) return null;
    ids.forEach((id, i) => {
      fill(block, block.n + i, id, i, this.cluster.shards);
      block.rawStart[(block.n + i) * RAW_FIELDS + RAW_MESSAGE] = message.bytes.length - padding;
      block.rawLength[(block.n + i) * RAW_FIELDS + RAW_MESSAGE] = padding;
    });
    this.router.submit(block, ids.length, message.bytes, message);
    return message;
  }

  /** The same, where there is room. */
  send(ids: readonly number[], padding = 0): Message {
    return this.offer(ids, padding) ?? assert.fail("the router shed a message");
  }
}

interface SimClusterOptions {
  readonly nodes: readonly string[];
  readonly shards: number;
  /** Blocks of each router, of each mailbox. */
  readonly blocks_max?: number;
  readonly mailbox_blocks?: number;
}

export class SimCluster {
  readonly world: SimWorld;
  readonly network: LossyNetwork;
  readonly shards: number;
  readonly blocks_max: number;
  readonly mailbox_blocks: number;
  readonly nodes = new Map<string, SimNode>();
  /** Scores by id: every decision of the cluster. */
  readonly journal = new Map<number, number>();
  readonly owners: Route[];

  constructor(world: SimWorld, o: SimClusterOptions) {
    this.world = world;
    this.network = new LossyNetwork(world);
    this.shards = o.shards;
    this.blocks_max = o.blocks_max ?? 4;
    this.mailbox_blocks = o.mailbox_blocks ?? 4;
    this.owners = Array.from({ length: o.shards }, () => ({ node: null, epoch: 0 }));
    for (const name of o.nodes) this.nodes.set(name, new SimNode(this, name));
  }

  node(name: string): SimNode {
    return this.nodes.get(name) as SimNode;
  }

  /** The shard's owner is `to` from now on, or nobody; nobody has heard of it yet. */
  own(shard: number, to: string | null): void {
    const owner = this.owners[shard];
    if (owner.node !== null) this.node(owner.node).serving.delete(shard);
    owner.node = to;
    owner.epoch++;
    if (to !== null) this.node(to).serving.add(shard);
  }

  /** A node hears who owns what. */
  announce(to: string): void {
    const node = this.node(to);
    this.owners.forEach((owner, shard) => {
      Object.assign(node.routes[shard], owner);
    });
    node.router.routesChanged();
  }

  /** What was decided is what stands in the journal, and errors are what a caller may be told. */
  check(messages: readonly Message[]): void {
    for (const message of messages) {
      assert.ok(message.isDone, "every message is answered");
      for (const { id, code, score, version } of message.results) {
        if (code === 0) {
          assert.ok(!isBad(id));
          assert.equal(score, this.journal.get(id), "the decision is the one of its id");
          assert.equal(version, 1);
        } else if (isBad(id)) assert.equal(code, ErrorCode.INVALID);
        else assert.ok(code === ErrorCode.RESOURCE_EXHAUSTED || code === ErrorCode.UNAVAILABLE, `code ${code}`);
      }
    }
  }

  /** At rest nothing is held: blocks, requests and ticks are all back. */
  checkAtRest(): void {
    for (const { name, router, service, ticks, mailbox } of this.nodes.values()) {
      assert.equal(router.depth, 0, `rows of ${name}`);
      assert.ok(router.idle);
      assert.equal(router.freeBlocks, this.blocks_max, `blocks of ${name}`);
      assert.equal(service.underWay, 0, `requests of ${name}`);
      assert.equal(ticks, 0);
      assert.equal(mailbox.depth, 0);
    }
  }

  announceAll(): void {
    for (const name of this.nodes.keys()) this.announce(name);
  }
}

/** `count` good ids of one shard, from `first` on. */
export function idsOf(cluster: SimCluster, shard: number, count: number, first = 1): number[] {
  const ids: number[] = [];
  for (let id = first; ids.length < count; id++) if (shardOf(id, cluster.shards) === shard && !isBad(id)) ids.push(id);
  return ids;
}

/** Nodes a, b and c; shard 0 is a's, 1 is b's, 2 is c's. Rows enter at a. */
export function three(seed: number, o: Partial<SimClusterOptions> = {}): SimCluster {
  const cluster = new SimCluster(new SimWorld(seed), { nodes: ["a", "b", "c"], shards: 3, ...o });
  cluster.own(0, "a");
  cluster.own(1, "b");
  cluster.own(2, "c");
  cluster.announceAll();
  return cluster;
}

export function finished(cluster: SimCluster, messages: readonly Message[], max_ms: number): Promise<void> {
  return cluster.world.runUntil(() => messages.every((m) => m.isDone), max_ms, "results");
}

/** Ids of the requests sent from a to `to`. */
export function requestsTo(cluster: SimCluster, to: string): number[] {
  const seen: number[] = [];
  cluster.network.tap = (from, receiver, bytes) => {
    const { kind, reader } = readHead(bytes);
    if (kind === WIRE_ROWS && from === "a" && receiver === to) seen.push(readRowsHead(reader, from).request);
    return true;
  };
  return seen;
}
