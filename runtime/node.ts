/**
 * A node's shards from start to end: opens journals, recovers and claims them, runs the tick loop, keeps leases, takes
 * snapshots. It owns no adapter: everything outside comes through ports.
 */
import type { Sealer } from "../proto/frame/rows_writer.ts";
import { Follower } from "./follower.ts";
import { Abandoned } from "./journal/checked.ts";
import { claim, type JournalPosition } from "./journal/claim.ts";
import { Committer } from "./journal/committer.ts";
import type { Owner } from "./journal/takeover.ts";
import { LAPSE_MS, LeaseKeeper, RENEW_MS } from "./lease/lease_keeper.ts";
import { Mailbox } from "./mailbox.ts";
import type { TickObserver } from "./observer.ts";
import { type Clock, Deposed, type JournalStore, type LeaseStore, type SnapshotStore, type Timers } from "./ports.ts";
import type { Decider, ShardActors } from "./program.ts";
import { FrameFolder, refillInboxes } from "./recovery.ts";
import { Repeats } from "./repeats.ts";
import { Shard } from "./shard.ts";
import { loadSnapshot, Snapshotter } from "./snapshots.ts";
import { TickLoop } from "./tick_loop.ts";

/** Pause before a claim that a rival won is made again, milliseconds: by then the lease was renewed, or is lost. */
const CLAIM_AGAIN_MS = 2 * RENEW_MS;
/** How often a node that serves without a lease looks who owns the journal, milliseconds. */
const LOOK_MS = 1000;

export interface NodeOptions {
  readonly owner: Owner;
  readonly shards: number;
  readonly journals: JournalStore;
  /** Who should try to own a shard; null claims without asking (a lone node, or a forced takeover). */
  readonly leases: LeaseStore | null;
  readonly snapshots: SnapshotStore;
  readonly actors: (shard: number) => ShardActors;
  readonly decider: Decider;
  readonly sealer: (journalId: string) => Sealer;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly observer: TickObserver;
  readonly tenantIndex: (id: string) => number;
  readonly mailbox_blocks_max: number;
  readonly tick_age_us_min: number;
  /** Time between two snapshots of a shard, milliseconds; 0 takes none. */
  readonly snapshot_interval_ms: number;
  readonly features_version: string;
  readonly rates_version: string;
  readonly snapshot_layout: string;
  readonly report: (event: string, detail: Record<string, unknown>) => void;
}

export class RuntimeNode {
  readonly #o: NodeOptions;
  readonly mailbox: Mailbox;
  readonly shards: readonly Shard[];
  readonly loop: TickLoop;
  readonly repeats: Repeats;
  readonly #snapshotter: Snapshotter;
  readonly #keepers: LeaseKeeper[] = [];
  #closing = false;
  #stopLooking: () => void = () => {};
  /** The start failed: nothing that waits goes on. */
  #abandoned = false;

  private constructor(o: NodeOptions, shards: readonly Shard[]) {
    this.#o = o;
    this.shards = shards;
    this.mailbox = new Mailbox({ shards: o.shards, blocks_max: o.mailbox_blocks_max, clock: o.clock });
    this.repeats = new Repeats(shards, o.decider, o.tenantIndex);
    this.loop = new TickLoop({
      shards,
      mailbox: this.mailbox,
      decider: o.decider,
      repeats: this.repeats,
      sealers: shards.map((s) => o.sealer(s.journal.id)),
      clock: o.clock,
      timers: o.timers,
      observer: o.observer,
      tick_age_us_min: o.tick_age_us_min,
      features_version: o.features_version,
      rates_version: o.rates_version,
      onRepeatFailed: (shard, e) => o.report("repeat_failed", { shard, error: e.name, message: e.message }),
      onShardStopped: (s, e) => o.report("shard_stopped", { shard: s.id, error: e.name, message: e.message }),
    });
    this.#snapshotter = new Snapshotter({
      store: o.snapshots,
      layout: o.snapshot_layout,
      clock: o.clock,
      timers: o.timers,
      onDone: (s, frame, bytes, seconds) => o.report("snapshot", { shard: s.id, frame, bytes, seconds }),
      onFailed: (s, e) => o.report("snapshot_failed", { shard: s.id, message: e.message }),
    });
  }

  /**
   * Brings every shard up to its journal's tail and follows it, until this node holds the shard's lease and has claimed
   * it; resolves when all serve. Rejects with JournalDamaged, or what else makes a shard unservable.
   */
  static async start(o: NodeOptions): Promise<RuntimeNode> {
    const shards: Shard[] = [];
    for (let id = 0; id < o.shards; id++) {
      shards.push(new Shard(id, o.shards, await o.journals.open(id), o.actors(id)));
    }
    const node = new RuntimeNode(o, shards);
    try {
      await node.#serveAll();
    } catch (e) {
      await node.#abandon();
      throw e;
    }
    node.loop.wake();
    node.#snapshotSoon(0);
    node.#stopLooking = o.timers.every(LOOK_MS, () => node.#lookForOwners());
    return node;
  }

  async #serveAll(): Promise<void> {
    const { decider, tenantIndex } = this.#o;
    const followers: Follower[] = [];
    for (const shard of this.shards) followers.push(await ofShard(shard, this.#load(shard)));
    // Shards are claimed one after the other: a node that holds the first gets the others too. All are followed.
    const { promise: broken, reject } = Promise.withResolvers<never>();
    for (const f of followers) ofShard(f.shard, f.follow()).catch(reject);
    for (const f of followers) await Promise.race([broken, ofShard(f.shard, this.#own(f))]);
    if (this.shards.length === 1) return;
    for (const shard of this.shards) await refillInboxes(shard, this.shards, decider, tenantIndex, this.#sleep);
  }

  /** Ends what a failed start left under way. */
  async #abandon(): Promise<void> {
    this.#abandoned = true;
    this.mailbox.close();
    this.loop.end();
    for (const s of this.shards) s.committer?.abandon();
    for (const keeper of this.#keepers) await keeper.stop();
  }

  readonly #sleep = (ms: number): Promise<void> =>
    new Promise((resolve, reject) => {
      this.#o.timers.after(ms, () => (this.#abandoned ? reject(new Abandoned("the start failed")) : resolve()));
    });

  /** The newest usable snapshot and the journal behind it. */
  async #load(shard: Shard): Promise<Follower> {
    const o = this.#o;
    const started = o.clock.monotonicUs();
    const from = await loadSnapshot(shard, o.snapshots, o.snapshot_layout, (name, e) =>
      o.report("snapshot_unusable", { shard: shard.id, name, message: e.message }),
    );
    const folder = new FrameFolder(shard, o.shards, o.decider, o.features_version, o.tenantIndex);
    const follower = new Follower(shard, from, folder, this.#sleep);
    await follower.catchUp();
    const seconds = (o.clock.monotonicUs() - started) / 1e6;
    const { frames, rows, compared } = folder;
    o.report("shard_loaded", {
      shard: shard.id,
      snapshot_frame: from.sequence,
      replayed_frames: frames,
      replayed_rows: rows,
      compared_frames: compared,
      seconds,
    });
    return follower;
  }

  /** Waits for the lease, claims the journal, folds what came until then, and serves. */
  async #own(follower: Follower): Promise<void> {
    const { clock, report } = this.#o;
    const { shard, folder } = follower;
    await this.#lease(shard, (node) => follower.isVacant(node));
    this.#goOn();
    const gained = clock.monotonicUs();
    const takeover = await this.#claim(shard);
    this.#goOn();
    await follower.finish(takeover);
    const committer = new Committer(
      shard.journal,
      takeover,
      {
        committed: (sequence) => this.loop.committed(shard, sequence),
        stopped: (error) => this.loop.shardStopped(shard, error),
      },
      this.#sleep,
    );
    shard.serve(takeover, committer, clock);
    report("shard_serving", {
      shard: shard.id,
      epoch: takeover.epoch,
      folded_frames: folder.frames,
      ...shard.actors.sizes(),
      /** From the lease to serving. */
      seconds: (clock.monotonicUs() - gained) / 1e6,
    });
  }

  /** A lease that is gained while a failed start ends must not lead to a claim. */
  #goOn(): void {
    if (this.#abandoned) throw new Abandoned("the start failed");
  }

  /** A rival whose Takeover came first has a lease of its own, or none: this node holds one and tries again. */
  async #claim(shard: Shard): Promise<JournalPosition> {
    const { clock, owner, report } = this.#o;
    for (;;) {
      try {
        return await claim(shard.journal, owner, clock.wallUs(), this.#sleep);
      } catch (e) {
        if (!(e instanceof Deposed)) throw e;
        report("claim_lost", { shard: shard.id, epoch: e.epoch });
        const keeper = this.#keepers.find((k) => k.shard === shard.id);
        do await this.#sleep(CLAIM_AGAIN_MS);
        while (keeper !== undefined && !keeper.holds);
      }
    }
  }

  /** Waits until this node holds the shard's lease, and keeps it. Losing it later means: look who owns the journal. */
  #lease(shard: Shard, isVacant: (node: string) => boolean): Promise<void> {
    const { leases, clock, timers, owner, report } = this.#o;
    if (leases === null) return Promise.resolve();
    return new Promise((resolve) => {
      const events = {
        gained: () => resolve(),
        lost: (holder: string) => report("lease_lost", { shard: shard.id, holder }),
      };
      const every = (ms: number, run: () => void) => timers.every(ms, run);
      // A bucket that lost everything must not depose an owner that is well: it puts its name back.
      const vacant_ms = (): number => (isVacant(owner.node) ? 0 : LAPSE_MS);
      const keeper = new LeaseKeeper(leases, clock, every, events, { shard: shard.id, node: owner.node, vacant_ms });
      this.#keepers.push(keeper);
      shard.reason = "following, without the lease";
      keeper.start();
    });
  }

  /** An owner without a lease and without traffic would not notice that it was replaced: the journal says so. */
  #lookForOwners(): void {
    for (const keeper of this.#keepers) {
      const shard = this.shards[keeper.shard];
      if (keeper.holds || !shard.serving) continue;
      // What it finds ends the shard; what else goes wrong is tried again at the next look.
      shard.confirmOwner().catch(() => {});
    }
  }

  #snapshotSoon(shard: number): void {
    const { snapshot_interval_ms, timers } = this.#o;
    if (snapshot_interval_ms === 0 || this.#closing) return;
    timers.after(snapshot_interval_ms / this.shards.length, () => {
      if (this.#closing) return;
      this.#snapshotter.take(this.shards[shard]).then(() => this.#snapshotSoon((shard + 1) % this.shards.length));
    });
  }

  /** Takes a snapshot of every shard now. */
  async snapshot(): Promise<void> {
    for (const s of this.shards) await this.#snapshotter.take(s);
  }

  get ready(): boolean {
    return this.shards.every((s) => s.serving && s.committer?.blocked === null);
  }

  get reason(): string {
    const s = this.shards.find((x) => !x.serving || x.committer?.blocked !== null);
    return s === undefined ? "" : `shard ${s.id}: ${s.reason || `journal ${s.committer?.blocked}`}`;
  }

  /** Lets nothing in, waits for what is under way (at most `limit_ms`), releases the journals. */
  async close(limit_ms: number): Promise<void> {
    this.#closing = true;
    this.#stopLooking();
    this.mailbox.close();
    const { clock, timers, owner } = this.#o;
    const until = clock.monotonicUs() + limit_ms * 1000;
    this.loop.drain();
    while (!this.loop.idle && clock.monotonicUs() < until) await new Promise<void>((r) => timers.after(5, r));
    this.loop.end();
    const { promise: late, reject } = Promise.withResolvers<void>();
    late.catch(() => {});
    const stopTimer = timers.every(limit_ms, () => reject(new Error("release timed out")));
    for (const s of this.shards) {
      if (!s.serving || s.committer === null) continue;
      try {
        await Promise.race([s.committer.release(owner, s.frameTimeUs + 1), late]);
      } catch (e) {
        this.#o.report("release_failed", { shard: s.id, message: (e as Error).message });
        s.committer.abandon();
      }
      s.stop(new Error("released"));
    }
    stopTimer();
    for (const keeper of this.#keepers) await keeper.stop();
  }
}

/** The first word of whoever reads the log or the terminal: which journal an error is about. */
function ofShard<T>(shard: Shard, work: Promise<T>): Promise<T> {
  return work.catch((e: Error) => {
    if (!e.message.startsWith("shard ")) e.message = `shard ${shard.id}: ${e.message}`;
    throw e;
  });
}
