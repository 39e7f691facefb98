/**
 * The last act of some simulations: a journal is damaged. No node may go on with it; each stops loudly, and a damaged
 * frame is named.
 */
import type { SimWorld } from "../../runtime/testkit/sim_world.ts";
import type { SimClients } from "./sim_clients.ts";
import type { SimCluster } from "./sim_cluster.ts";
import { Violation } from "./violation.ts";

/** In this time every node must have noticed. */
const NOTICED_MS = 30_000;
const FRAMES_LOST_MAX = 3;

/** Lets the world run for `ms`, or until `done`; not being done by then is the violation `late`, if given. */
export type RunUntil = (done: () => boolean, ms: number, late?: Violation) => Promise<void>;

export class DamagePhase {
  readonly #world: SimWorld;
  readonly #cluster: SimCluster;
  readonly #clients: SimClients;
  readonly #until: RunUntil;

  constructor(world: SimWorld, cluster: SimCluster, clients: SimClients, until: RunUntil) {
    this.#world = world;
    this.#cluster = cluster;
    this.#clients = clients;
    this.#until = until;
  }

  /** Throws Violation. */
  async run(): Promise<void> {
    const cluster = this.#cluster;
    const shard = this.#below(cluster.shards);
    cluster.damaged = true;
    const acts = [() => this.#frame(shard), () => this.#tail(shard), () => this.#recreate(shard)];
    await acts[this.#below(acts.length)]();
  }

  /** A bit of a stored frame flips; every node replays from the first frame. */
  async #frame(shard: number): Promise<void> {
    const cluster = this.#cluster;
    const records = cluster.journals.records(shard);
    const sequence = 1 + this.#below(records.length);
    const bytes = records[sequence - 1].slice();
    bytes[this.#below(bytes.length)] ^= 1 << this.#below(8);
    records[sequence - 1] = bytes;
    cluster.note(`damage: frame ${sequence} of shard ${shard}`);
    for (const m of cluster.machines) {
      cluster.end(m);
      m.disk.wipe();
      cluster.boot(m);
    }
    await this.#noticed(() => cluster.machines.every((m) => m.damage !== null));
    for (const { host, damage } of cluster.machines) {
      // One that follows other shards hears of it.
      const heard = cluster.isShared && damage?.includes("found its journal damaged") === true;
      const found = damage?.includes(`(sequence ${sequence})`) === true || heard;
      const named = found && damage?.includes(`shard ${shard}:`) === true;
      if (named) continue;
      throw new Violation("damage", `${host.name} says "${damage}" of frame ${sequence} of shard ${shard}`);
    }
  }

  /** The newest frames are gone, as from a server that lied about its disk; owner and followers knew them. */
  async #tail(shard: number): Promise<void> {
    const cluster = this.#cluster;
    const lost = Math.min(1 + this.#below(FRAMES_LOST_MAX), cluster.journals.records(shard).length);
    cluster.note(`damage: ${lost} newest frames of shard ${shard} lost`);
    cluster.journals.loseTail(shard, lost);
    await this.#traffic();
  }

  /**
   * An empty stream stands in the journal's place: every node notices, and one with a snapshot does not begin anew
   * after a restart.
   */
  async #recreate(shard: number): Promise<void> {
    const cluster = this.#cluster;
    cluster.note(`damage: journal ${shard} made anew`);
    cluster.journals.recreate(shard);
    await this.#traffic();
    for (const m of cluster.machines) {
      if (!m.disk.names.some((name) => name.startsWith(`${shard}/`))) continue;
      cluster.end(m);
      m.damage = null;
      cluster.boot(m);
      await this.#noticed(() => m.damage !== null);
    }
  }

  /** Payments come again, until every node has stopped. */
  async #traffic(): Promise<void> {
    this.#clients.resume();
    await this.#noticed(() => this.#cluster.machines.every((m) => m.damage !== null));
    this.#clients.stop();
  }

  #noticed(isDone: () => boolean): Promise<void> {
    return this.#until(isDone, NOTICED_MS, new Violation("damage", "a damaged journal is served"));
  }

  #below(n: number): number {
    return Math.floor(this.#world.random() * n);
  }
}
