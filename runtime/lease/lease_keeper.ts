/**
 * Keeps, or waits for, the lease of one shard. A lease is a hint who should try to own the shard: gaining it means
 * "claim the journal now", losing it means nothing until a Takeover says so, since an owner whose appends are
 * acknowledged serves on.
 *
 * The holder renews every 500 ms by revision. Others watch: a lease has lapsed when its revision has not moved for 2 s
 * of their monotonic clock while the bucket accepted their own heartbeats all the time (else the bucket, not the
 * holder, is what stands still). A missing lease counts like one that does not move: its holder puts it back at its
 * next renewal.
 */
import { type Clock, JournalUnavailable, type Lease, type LeaseStore } from "../ports.ts";

export const RENEW_MS = 500;
export const LAPSE_MS = 2000;

/** A repeating timer; returns the function that ends it. */
export type Every = (ms: number, run: () => void) => () => void;

export interface LeaseEvents {
  /** This node should claim the journal. */
  gained(): void;
  /** Another node holds the lease. */
  lost(holder: string): void;
}

export interface LeaseKeeperOptions {
  readonly shard: number;
  readonly node: string;
  /** How long a lease nobody holds must be seen missing; default LAPSE_MS. Asked at each look. */
  readonly vacant_ms?: () => number;
  /** How long the holder's lease must be seen standing still; default LAPSE_MS. Asked at each look. */
  readonly lapse_ms?: () => number;
}

export class LeaseKeeper {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #every: Every;
  readonly #events: LeaseEvents;
  readonly #options: LeaseKeeperOptions;
  #stopTimer: (() => void) | null = null;
  #busy: Promise<void> | null = null;
  /** Revision this node holds; 0: it does not hold the lease. */
  #held = 0;
  /** The revision watched (0: none there) and since when it stands still; -1: not watching. */
  #seen = -1;
  #seenSinceUs = 0;

  constructor(store: LeaseStore, clock: Clock, every: Every, events: LeaseEvents, options: LeaseKeeperOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#every = every;
    this.#events = events;
    this.#options = options;
  }

  get shard(): number {
    return this.#options.shard;
  }

  get holds(): boolean {
    return this.#held > 0;
  }

  start(): void {
    if (this.#stopTimer !== null) return;
    this.#stopTimer = this.#every(RENEW_MS, () => this.#tick());
    this.#tick();
  }

  /** Looks now, not at the next turn: something happened to the lease. */
  look(): void {
    if (this.#stopTimer !== null) this.#tick();
  }

  /** Ends the timer and gives the lease back, so that another node need not wait for it to lapse. */
  async stop(): Promise<void> {
    this.#stopTimer?.();
    this.#stopTimer = null;
    await this.#busy;
    const held = this.#held;
    this.#held = 0;
    if (held === 0) return;
    try {
      await this.#store.release(this.#options.shard, held);
    } catch (error) {
      // A hint that cannot be given back lapses by itself.
      if (!(error instanceof JournalUnavailable)) throw error;
    }
  }

  /** One round; a round that is still waiting for the bucket is not overtaken. */
  #tick(): void {
    if (this.#busy !== null) return;
    this.#busy = this.#round().finally(() => {
      this.#busy = null;
    });
  }

  async #round(): Promise<void> {
    try {
      if (this.#held > 0) await this.#renew();
      else await this.#watch();
    } catch (error) {
      if (!(error instanceof JournalUnavailable)) throw error;
      // The bucket did not answer: what was seen before says nothing about the holder.
      this.#seen = -1;
    }
  }

  async #renew(): Promise<void> {
    const { shard, node } = this.#options;
    const renewed = await this.#store.update(shard, node, this.#held);
    if (renewed !== null) {
      this.#held = renewed.revision;
      return;
    }
    const lease = await this.#store.read(shard);
    if (lease === null || lease.node === node) {
      // The bucket was made anew, or the answer to an earlier renewal was lost: put the own name back.
      const again = await this.#store.update(shard, node, lease?.revision ?? 0);
      if (again !== null) this.#held = again.revision;
      return;
    }
    this.#held = 0;
    this.#seen = -1;
    this.#events.lost(lease.node);
  }

  async #watch(): Promise<void> {
    const { shard, node } = this.#options;
    const nowUs = this.#clock.monotonicUs();
    await this.#store.heartbeat(node);
    const lease = await this.#store.read(shard);
    const revision = lease?.revision ?? 0;
    if (revision !== this.#seen) {
      this.#seen = revision;
      this.#seenSinceUs = nowUs;
    }
    // The own name is from an earlier start of this node, which is over.
    if (this.#waitMs(lease) * 1000 > nowUs - this.#seenSinceUs) return;
    const taken = await this.#store.update(shard, node, revision);
    if (taken === null) {
      this.#seen = -1;
      return;
    }
    this.#held = taken.revision;
    this.#seen = -1;
    this.#events.gained();
  }

  #waitMs(lease: Lease | null): number {
    if (lease === null) return this.#options.vacant_ms?.() ?? LAPSE_MS;
    return lease.node === this.#options.node ? 0 : (this.#options.lapse_ms?.() ?? LAPSE_MS);
  }
}
