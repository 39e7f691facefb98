/**
 * The network between simulated nodes: frames arrive after a while, in order from one sender to one receiver, unless
 * the weather loses, repeats, delays or overtakes them. Cut hosts send or hear nothing.
 */
import { MemoryNetwork } from "../../runtime/cluster/memory_transport.ts";
import type { Transport } from "../../runtime/ports.ts";
import type { SimWorld } from "../../runtime/testkit/sim_world.ts";
import type { SimHost } from "./sim_host.ts";

/** Probabilities for each frame, and the longest delay of one that is slow. */
export interface NetworkWeather {
  lost: number;
  twice: number;
  slow: number;
  slow_ms_max: number;
}

export class SimNetwork {
  readonly weather: NetworkWeather = { lost: 0, twice: 0, slow: 0, slow_ms_max: 0 };
  /** Names of hosts that no other node reaches, and that reach none; journals and leases they still do. */
  readonly cut = new Set<string>();
  readonly #world: SimWorld;
  readonly #fail: (error: unknown) => void;
  readonly #network = new MemoryNetwork((run, from, to) => this.#carry(run, from, to));
  readonly #hosts = new Map<string, SimHost>();
  /** When the newest frame from one to another arrives, by pair. */
  readonly #arrivesUs = new Map<string, number>();

  constructor(world: SimWorld, fail: (error: unknown) => void) {
    this.#world = world;
    this.#fail = fail;
  }

  /** The way of one process on a host, to be closed when the process ends. */
  transport(host: SimHost): Transport {
    this.#hosts.set(host.name, host);
    return this.#network.transport(host.name);
  }

  #carry(run: () => void, from: string, to: string): void {
    const w = this.#world;
    if (this.#hosts.get(from)?.requestsCut === true || this.#isCut(from, to) || w.chance(this.weather.lost)) return;
    this.#arrive(run, from, to);
    if (w.chance(this.weather.twice)) this.#arrive(run, from, to);
  }

  #arrive(run: () => void, from: string, to: string): void {
    const w = this.#world;
    const nowUs = w.monotonicUs();
    const pair = `${from}>${to}`;
    let atUs = Math.max(nowUs + w.between(50, 800), this.#arrivesUs.get(pair) ?? 0);
    // A slow one is overtaken by those behind it.
    if (w.chance(this.weather.slow)) atUs = nowUs + w.between(0, this.weather.slow_ms_max) * 1000;
    else this.#arrivesUs.set(pair, atUs);
    const host = this.#hosts.get(to) as SimHost;
    host.after((atUs - nowUs) / 1000, () => {
      if (host.answersCut || this.#isCut(from, to)) return;
      try {
        run();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #isCut(from: string, to: string): boolean {
    return this.cut.has(from) || this.cut.has(to);
  }
}
