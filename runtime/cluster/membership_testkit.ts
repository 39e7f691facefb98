/** Processes with a membership each, on virtual time and a network with faults. */
import type { Timers, Transport } from "../ports.ts";
import { SimWorld } from "../testkit/sim_world.ts";
import { type Announcement, readAnnouncement } from "../wire/announcement.ts";
import { readHead } from "../wire/wire_head.ts";
import { Membership } from "./membership.ts";
import { MemoryNetwork } from "./memory_transport.ts";

export const SHARDS = 4;

/** Everything a listener of `changed` could look at. */
export function visible(m: Membership, names: readonly string[]): string {
  const nodes = m
    .nodes()
    .map(({ name, weight }) => `${name}*${weight}`)
    .sort();
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  const seen = names.map((name) => [m.isLive(name), ...shards.map((shard) => m.follows(name, shard))]);
  return JSON.stringify([nodes, seen, shards.map((shard) => [m.routes.node(shard), m.routes.epoch(shard)])]);
}

/** One process: its membership, what it says of itself, and the turns of its event loop, which can stand still. */
export class Host implements Timers {
  readonly name: string;
  readonly membership: Membership;
  readonly owned = new Map<number, number>();
  following: number[] = [];
  leaving = false;
  /** Calls of `changed`, and what could be seen at the last. */
  changes = 0;
  seen = "";
  ticks = 0;
  /** Formats of the announcements it heard. */
  readonly wires: number[] = [];
  heard: { readonly a: Announcement; readonly at_ms: number }[] = [];
  readonly #world: SimWorld;
  readonly #transport: Transport;
  #state: "runs" | "paused" | "dead" = "runs";
  #timers: (() => void)[] = [];
  #inbox: (() => void)[] = [];

  constructor(world: SimWorld, network: MemoryNetwork, name: string, boot: string, names: readonly string[]) {
    this.#world = world;
    this.name = name;
    this.#transport = network.transport(name);
    this.membership = new Membership({
      node: name,
      boot,
      weight: 1,
      role: "all",
      shards: SHARDS,
      clock: world,
      timers: this,
      transport: this.#transport,
      describe: () => ({
        owned: [...this.owned].sort(([a], [b]) => a - b).map(([shard, epoch]) => ({ shard, epoch })),
        following: [...this.following],
        leaving: this.leaving,
        damaged: [],
      }),
      changed: () => {
        this.changes++;
        this.seen = visible(this.membership, names);
      },
    });
    this.#transport.listen((bytes) => this.#turn(this.#inbox, () => this.#hear(bytes)));
    this.membership.start();
  }

  soon(run: () => void): void {
    this.after(0, run);
  }

  after(delay_ms: number, run: () => void): void {
    this.#world.after(delay_ms, () => this.#turn(this.#timers, run));
  }

  every(delay_ms: number, run: () => void): () => void {
    let ended = false;
    const again = (): void => {
      if (ended) return;
      this.ticks++;
      run();
      this.after(delay_ms, again);
    };
    this.after(delay_ms, again);
    return () => {
      ended = true;
    };
  }

  pause(): void {
    if (this.#state === "runs") this.#state = "paused";
  }

  /** Goes on with what timers waited for, and what lies in the sockets. */
  resume(first: "timers" | "inbox" = "timers"): void {
    if (this.#state === "paused") this.#state = "runs";
    const [timers, inbox] = [this.#timers.splice(0), this.#inbox.splice(0)];
    for (const run of first === "timers" ? [...timers, ...inbox] : [...inbox, ...timers]) run();
  }

  crash(): void {
    this.#state = "dead";
    this.#transport.close();
  }

  #turn(held: (() => void)[], run: () => void): void {
    if (this.#state === "runs") run();
    else if (this.#state === "paused") held.push(run);
  }

  #hear(bytes: Uint8Array): void {
    const { from, reader, format } = readHead(bytes);
    const a = readAnnouncement(reader, from, format);
    this.wires.push(format);
    this.heard.push({ a, at_ms: this.#world.monotonicUs() / 1000 });
    this.membership.heard(a);
  }
}

export interface Cluster {
  readonly world: SimWorld;
  readonly join: (name: string, boot?: string) => Host;
  /** Share of frames that are lost, and most time that one takes, milliseconds. */
  readonly weather: { loss: number; delay_ms: number };
}

export function cluster(seed: number, names: readonly string[]): Cluster {
  const world = new SimWorld(seed);
  const weather = { loss: 0, delay_ms: 1 };
  const network = new MemoryNetwork((run) => {
    if (!world.chance(weather.loss)) world.after(world.between(0, weather.delay_ms), run);
  });
  return { world, weather, join: (name, boot = "1") => new Host(world, network, name, boot, names) };
}

export const names = (host: Host): string[] =>
  host.membership
    .nodes()
    .map(({ name }) => name)
    .sort();

export const said = (from: string, number: number, more: Partial<Announcement> = {}): Announcement => ({
  from,
  boot: "1",
  number,
  weight: 1,
  role: "all",
  reads_format: 2,
  leaving: false,
  owned: [],
  following: [],
  damaged: [],
  ...more,
});
