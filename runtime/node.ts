/**
 * A node's shards from start to end: opens journals, recovers and claims them, runs the tick loop, keeps leases, takes
 * snapshots. It owns no adapter: everything outside comes through ports.
 */
import type { Sealer } from "../proto/frame/rows_writer.ts";
import { claim } from "./journal/claim.ts";
import { Committer } from "./journal/committer.ts";
import { replay } from "./journal/replay.ts";
import type { Owner } from "./journal/takeover.ts";
import { LeaseKeeper } from "./lease/lease_keeper.ts";
import { Mailbox } from "./mailbox.ts";
import type { TickObserver } from "./observer.ts";
import type { Clock, JournalStore, LeaseStore, SnapshotStore, Timers } from "./ports.ts";
import type { Decider, ShardActors } from "./program.ts";
import { FrameFolder, refillInboxes } from "./recovery.ts";
import { Repeats } from "./repeats.ts";
import { Shard } from "./shard.ts";
import { loadSnapshot, Snapshotter } from "./snapshots.ts";
import { TickLoop } from "./tick_loop.ts";

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

  /** Recovers and claims every shard; resolves when all serve. */
  static async start(o: NodeOptions): Promise<RuntimeNode> {
    const shards: Shard[] = [];
    for (let id = 0; id < o.shards; id++) {
      shards.push(new Shard(id, o.shards, await o.journals.open(id), o.actors(id)));
    }
    const node = new RuntimeNode(o, shards);
    const sleep = (ms: number) => new Promise<void>((resolve) => o.timers.after(ms, resolve));
    for (const shard of shards) {
      await node.#recover(shard, sleep).catch((e: Error) => {
        // The first word of whoever reads the log or the terminal: which journal it is about.
        e.message = `shard ${shard.id}: ${e.message}`;
        throw e;
      });
    }
    if (shards.length > 1) {
      for (const shard of shards) await refillInboxes(shard, shards, o.decider, o.tenantIndex);
    }
    node.loop.wake();
    node.#snapshotSoon(0);
    return node;
  }

  async #recover(shard: Shard, sleep: (ms: number) => Promise<void>): Promise<void> {
    const o = this.#o;
    const started = o.clock.monotonicUs();
    const from = await loadSnapshot(shard, o.snapshots, o.snapshot_layout, (name, e) =>
      o.report("snapshot_unusable", { shard: shard.id, name, message: e.message }),
    );
    await this.#lease(shard);
    const takeover = await claim(shard.journal, o.owner, o.clock.wallUs(), sleep);
    const folder = new FrameFolder(shard, o.shards, o.decider, o.features_version, o.tenantIndex);
    await replay(shard.journal, from, (header, bytes) => folder.fold(header, bytes), sleep);
    const committer = new Committer(
      shard.journal,
      takeover,
      {
        committed: (sequence) => this.loop.committed(shard, sequence),
        stopped: (error) => this.loop.shardStopped(shard, error),
      },
      sleep,
    );
    shard.serve(takeover, committer, o.clock);
    o.report("shard_serving", {
      shard: shard.id,
      epoch: takeover.epoch,
      snapshot_frame: from.sequence,
      replayed_frames: folder.frames,
      replayed_rows: folder.rows,
      compared_frames: folder.compared,
      ...shard.actors.sizes(),
      seconds: (o.clock.monotonicUs() - started) / 1e6,
    });
  }

  /**
   * Waits until this node holds the shard's lease, and keeps it. Losing it later means nothing: the journal
   * decides.
   */
  #lease(shard: Shard): Promise<void> {
    const { leases, clock, timers, owner, report } = this.#o;
    if (leases === null) return Promise.resolve();
    return new Promise((resolve) => {
      const events = {
        gained: () => resolve(),
        lost: (holder: string) => report("lease_lost", { shard: shard.id, holder }),
      };
      const every = (ms: number, run: () => void) => timers.every(ms, run);
      const options = { shard: shard.id, node: owner.node, vacant_ms: 0 };
      const keeper = new LeaseKeeper(leases, clock, every, events, options);
      this.#keepers.push(keeper);
      shard.reason = "waiting for the lease";
      keeper.start();
    });
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
