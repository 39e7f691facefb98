/**
 * A node's shards from start to end: opens journals, recovers and claims them, runs the tick loop, keeps leases, takes
 * snapshots. It owns no adapter: everything outside comes through ports.
 */
import { FORMAT_NEWEST } from "../proto/frame/frame_header.ts";
import { Cluster, type ClusterOptions } from "./cluster/cluster.ts";
import { InboxGaps } from "./inbox.ts";
import { Abandoned } from "./journal/checked.ts";
import { Mailbox } from "./mailbox.ts";
import type { NodeOptions } from "./node_options.ts";
import {
  type FollowerLag,
  followerLags,
  type KnownSnapshot,
  type Move,
  movesOf,
  type ShardStatus,
  shardStatuses,
  unreadyReason,
} from "./node_status.ts";
import { Deposed, FormatUnknown, type Intake, JournalDamaged, JournalPurged } from "./ports.ts";
import { Poisoned, Quarantine } from "./quarantine.ts";
import { RecallStalled } from "./recalls.ts";
import { releaseAll } from "./release.ts";
import { Repeats } from "./repeats.ts";
import { Shard } from "./shard.ts";
import { type LifeParts, Released, ShardLife, Unwanted } from "./shard_life.ts";
import { Snapshotter } from "./snapshots.ts";
import { TickLoop } from "./tick_loop.ts";

/** How often a node of several looks whether another one should own one of its shards, milliseconds. */
const PLACE_MS = 500;
/** Nodes that have a shard's state: the first ones of its ranking. One of them owns it, the others follow. */
const REPLICAS = 2;
/** A node that joins listens so long before it follows anything, milliseconds. */
const LISTEN_MS = 500;
/** How often a node that serves without a lease looks who owns the journal, milliseconds. */
const LOOK_MS = 1000;
/** Pause before a state whose fold failed on this node's scratch or memory is loaded again, milliseconds. */
const AGAIN_MS = 1000;

/** What comes behind a life: another one, which keeps the lease to serve again as soon as it has loaded, or none. */
type NextLife = "as owner" | "as follower" | "none";

/** Not the error is kept while the next life lasts: its stack holds the shard of the one before. */
function nextLife(why: Error): NextLife {
  // Another node's scratch does not stand still.
  if (why instanceof Poisoned) return why.cause instanceof RecallStalled ? "as follower" : "as owner";
  return why instanceof Deposed || why instanceof Released ? "as follower" : "none";
}

export class RuntimeNode {
  readonly #o: NodeOptions;
  readonly mailbox: Mailbox;
  /** By number; a shard that is followed anew is another object. */
  readonly shards: readonly Shard[];
  readonly loop: TickLoop;
  readonly repeats: Repeats;
  readonly cluster: Cluster | null;
  readonly #lives: readonly ShardLife[];
  readonly #snapshotter: Snapshotter;
  readonly #gaps: InboxGaps;
  readonly #quarantine: Quarantine;
  /** Shards whose journals this node, or one it heard of, found damaged. */
  readonly #damaged = new Set<number>();
  /** By shard: the newest that was taken here. */
  readonly #snapshots = new Map<number, KnownSnapshot>();
  #toldFormat = 0;
  /** Shards given to other nodes as planned, and tries of it that failed, since start. */
  handOvers = 0;
  handOversFailed = 0;
  #closing = false;
  #stops: (() => void)[] = [];
  /** The start failed: nothing that waits goes on. */
  #abandoned = false;

  private constructor(o: NodeOptions, shards: Shard[]) {
    this.#o = o;
    this.shards = shards;
    this.mailbox = new Mailbox({
      shards: o.shards,
      blocks_max: o.mailbox_blocks_max,
      clock: o.clock,
      is_shared: o.cluster !== null,
    });
    const hasMajority = async (): Promise<void> => o.leases?.heartbeat(o.owner.node);
    const onUnwritten = (rows: number, e: Error): void =>
      o.report("quarantine_unwritten", { rows, message: e.message });
    this.#quarantine = new Quarantine(o.quarantined, o.clock, onUnwritten);
    this.repeats = new Repeats(shards, o.decider, o.tenantIndex, hasMajority);
    this.#gaps = new InboxGaps({
      decider: o.decider,
      shards,
      tenantIndex: o.tenantIndex,
      sleep: this.#sleep,
      // A damaged journal also stops its own shard.
      onFailed: (s, source, e) => o.report("inbox_unread", { shard: s.id, source, error: e.name, message: e.message }),
      wake: () => this.loop.wake(),
    });
    this.cluster = o.cluster === null ? null : this.#joinCluster(o, o.cluster);
    this.loop = new TickLoop({
      shards,
      mailbox: this.mailbox,
      decider: o.decider,
      repeats: this.repeats,
      quarantine: this.#quarantine,
      sealers: shards.map((s) => o.sealer(s.journal.id)),
      clock: o.clock,
      timers: o.timers,
      observer: o.observer,
      tick_age_us_min: o.tick_age_us_min,
      features_version: o.features_version,
      rates_version: o.rates_version,
      journalFormat: () => this.journalFormat,
      exchange: this.cluster,
      onGap: this.#gaps.found,
      onRepeatFailed: (shard, e) => o.report("repeat_failed", { shard, error: e.name, message: e.message }),
      onShardStopped: (s, e) => {
        this.#onShardStopped(s, e);
        if (!(e instanceof Poisoned)) this.#lives[s.id].end(e);
      },
    });
    const parts: LifeParts = {
      options: o,
      shards,
      sleep: this.#sleep,
      committed: (shard, sequence) => this.loop.committed(shard, sequence),
      stopped: (shard, error) => this.loop.shardStopped(shard, error),
      gaps: this.#gaps,
      rank: (shard) => this.cluster?.rankHere(shard) ?? 0,
      changed: () => this.cluster?.membership.announceNow(),
    };
    this.#lives = shards.map((s) => new ShardLife(parts, s.id));
    this.#snapshotter = new Snapshotter({
      store: o.snapshots,
      layout: o.snapshot_layout,
      clock: o.clock,
      timers: o.timers,
      onDone: (s, frame, bytes, seconds) => {
        this.#snapshots.set(s.id, { frame, bytes, takenUs: o.clock.monotonicUs() });
        o.report("snapshot", { shard: s.id, frame, bytes, seconds });
      },
      onFailed: (s, e) => o.report("snapshot_failed", { shard: s.id, message: e.message }),
    });
  }

  #joinCluster(o: NodeOptions, options: ClusterOptions): Cluster {
    const { shards, mailbox } = this;
    return new Cluster({
      options,
      node: o.owner.node,
      boot: o.owner.bootId,
      shards,
      mailbox,
      shape: o.decider.shape,
      clock: o.clock,
      timers: o.timers,
      tenantIndex: o.tenantIndex,
      versionNames: (index) => o.decider.versionNames(index),
      versionIndex: (model, ruleSet) => o.decider.versionIndex(model, ruleSet),
      describe: () => ({
        owned: shards.filter((s) => s.accepting).map((s) => ({ shard: s.id, epoch: s.epoch })),
        following: (this.#lives ?? []).filter((l) => l.isFollowing).map((l) => l.id),
        leaving: this.#closing,
        damaged: [...this.#damaged],
      }),
      onGap: this.#gaps.found,
      wake: () => this.loop.wake(),
      changed: () => this.#place(),
      onActorsFailed: (s, e) => this.loop.shardStopped(s, e),
      onQuarantined: (row) => this.#quarantine.add(row),
      onDamage: (shard, by) => this.#condemn(shard, by),
      onHandOver: (shard) => this.#lives[shard]?.hurry(),
    });
  }

  /** The format that frames are written in now: the newest one allowed that every node reads. */
  get journalFormat(): number {
    return Math.min(this.#o.journal_format, this.cluster?.membership.readsFormat ?? FORMAT_NEWEST);
  }

  /** The way in for gateways. */
  get intake(): Intake {
    return this.cluster?.router ?? this.mailbox;
  }

  /**
   * Brings every shard up to its journal's tail and follows it, until this node holds the shard's lease and has claimed
   * it. A node that is alone resolves when all serve, one of several when all are followed. Rejects with
   * JournalDamaged, or what else makes a shard unservable.
   */
  static async start(o: NodeOptions): Promise<RuntimeNode> {
    const shards: Shard[] = [];
    for (let id = 0; id < o.shards; id++) {
      shards.push(new Shard(id, o.shards, await o.journals.open(id), o.actors(id)));
    }
    const node = new RuntimeNode(o, shards);
    try {
      if (node.cluster === null) await node.#serveAll();
      else await node.#liveAll();
    } catch (e) {
      await node.#abandon();
      throw e;
    }
    node.loop.wake();
    node.#snapshotSoon(0);
    node.#stops.push(o.timers.every(LOOK_MS, () => node.#lookForOwners()));
    if (node.cluster !== null) node.#stops.push(o.timers.every(PLACE_MS, () => node.#place()));
    return node;
  }

  async #serveAll(): Promise<void> {
    for (;;) {
      const lives = this.#lives.filter((l) => !l.shard.serving);
      try {
        for (const life of lives) await life.load();
        // Shards are claimed one after the other: a node that holds the first gets the others too. All are followed.
        const broken = lives.map((l) => l.broken);
        for (const life of lives) await Promise.race([...broken, life.own()]);
        break;
      } catch (e) {
        if (!(e instanceof Poisoned)) throw e;
        await this.#sleep(AGAIN_MS);
      }
      for (const life of lives) {
        if (life.shard.serving) continue;
        await life.leave();
        life.begin();
      }
    }
    for (const life of this.#lives) await life.refill();
  }

  /** One of several nodes: a journal that is damaged, purged or too new keeps it from one shard, not from others. */
  async #liveAll(): Promise<void> {
    await this.#sleep(LISTEN_MS);
    this.cluster?.join();
    for (const life of this.#lives) {
      try {
        if (this.#isWanted(life)) await life.load();
      } catch (e) {
        const isOfShard = e instanceof JournalDamaged || e instanceof JournalPurged || e instanceof FormatUnknown;
        if (isOfShard) {
          this.#onShardStopped(life.shard, e);
          continue;
        }
        if (!(e instanceof Poisoned)) throw e;
        life.begin();
      }
      void this.#live(life);
    }
  }

  #isWanted(life: ShardLife): boolean {
    return this.cluster !== null && !this.#damaged.has(life.id) && this.cluster.rankHere(life.id) < REPLICAS;
  }

  /**
   * Another node found a shard's journal damaged. Who owns it and has its appends acknowledged goes on; nobody else
   * begins to, and a restart asks the journal again.
   */
  #condemn(shard: number, by: string): void {
    const s = this.shards[shard];
    if (s === undefined || s.serving || this.#damaged.has(shard)) return;
    this.#onShardStopped(s, new JournalDamaged(`shard ${shard}: node ${by} found its journal damaged`, 0));
  }

  /** One of several nodes: a shard is followed, served for a while, and followed again. */
  async #live(life: ShardLife): Promise<void> {
    let pause_ms = 0;
    for (let isFirst = true; ; isFirst = false) {
      try {
        if (!isFirst) life.begin();
        if (pause_ms > 0) await this.#sleep(pause_ms);
        pause_ms = 0;
        while (!life.isFollowing) {
          if (this.#isWanted(life)) await life.load();
          else await this.#sleep(PLACE_MS / 2);
        }
        this.cluster?.membership.announceNow();
        await life.own();
        await life.refill();
        this.loop.wake();
        const next = await life.ended.then(nextLife);
        // What else ends a shard was told when it happened.
        if (next === "none") return life.leave();
        if (next === "as owner" && life.holdsLease && !this.#closing) continue;
      } catch (e) {
        if (e instanceof Abandoned) return;
        if (e instanceof Poisoned) pause_ms = AGAIN_MS;
        else if (!(e instanceof Deposed || e instanceof Unwanted)) {
          this.#onShardStopped(life.shard, e as Error);
          return life.leave();
        }
      }
      await life.leave();
      if (this.#closing) return;
    }
  }

  /** Ends what a failed start left under way. */
  async #abandon(): Promise<void> {
    this.#abandoned = true;
    this.mailbox.close();
    this.cluster?.close();
    this.loop.end();
    for (const s of this.shards) s.committer?.abandon();
    for (const life of this.#lives) await life.leave();
  }

  readonly #sleep = (ms: number): Promise<void> =>
    new Promise((resolve, reject) => {
      this.#o.timers.after(ms, () => (this.#abandoned ? reject(new Abandoned("the node ended")) : resolve()));
    });

  /** A shard whose actors failed, or that a rival took over, is followed again; what else stops one is for good. */
  #onShardStopped(s: Shard, e: Error): void {
    if (e instanceof Poisoned) {
      this.#onPoisoned(s, e);
      return;
    }
    if (e instanceof JournalDamaged) this.#damaged.add(s.id);
    const event = this.cluster !== null && e instanceof Deposed ? "shard_deposed" : "shard_stopped";
    this.#o.report(event, { shard: s.id, error: e.name, message: e.message });
    this.cluster?.membership.announceNow();
  }

  /** An upgrade, or the way back, is over for this node when the format says so. */
  #tellFormat(): void {
    const format = this.journalFormat;
    if (format === this.#toldFormat) return;
    this.#toldFormat = format;
    this.#o.report("journal_format", { format, up_to: this.#o.journal_format });
  }

  /** Half of the row may be in the shard's memory, which is given up; its journal never had the row. */
  #onPoisoned(s: Shard, e: Poisoned): void {
    const { row, message, thrownAt: stack } = e;
    this.#o.report("shard_poisoned", { shard: s.id, epoch: s.epoch, message, stack, row });
    const life = this.#lives[s.id];
    life.fail(e);
    if (row !== null) this.cluster?.tellQuarantined(row);
    this.cluster?.membership.announceNow();
    if (this.cluster === null) void this.#again(life);
  }

  /** A node that is alone serves the shard again: nobody else would. */
  async #again(life: ShardLife): Promise<void> {
    for (let pause_ms = 0; ; pause_ms = AGAIN_MS) {
      try {
        if (pause_ms > 0) await this.#sleep(pause_ms);
        await life.again();
        this.loop.wake();
        return;
      } catch (e) {
        if (e instanceof Poisoned) continue;
        if (!(e instanceof Abandoned)) this.#onShardStopped(life.shard, e as Error);
        return;
      }
    }
  }

  /** Hands a shard over that another node should own and is ready for; one at a time. */
  #place(): void {
    const { cluster } = this;
    if (cluster === null) return;
    this.#tellFormat();
    for (const life of this.#lives) life.want(this.#isWanted(life), this.#damaged.has(life.id));
    if (this.#lives.some((l) => l.isHandingOver)) return;
    for (const life of this.#lives) {
      const to = life.shard.accepting ? cluster.nextOwner(life.id) : null;
      if (to === null) continue;
      const { id, epoch } = life.shard;
      this.#o.report("hand_over", { shard: id, to });
      life.handOver().then(
        () => {
          this.handOvers++;
          cluster.tellHandOver(to, id, epoch);
          this.#place();
        },
        // Then the shard stopped otherwise, which was told, or goes on and is tried again.
        () => {
          this.handOversFailed++;
        },
      );
      return;
    }
  }

  /** What this node has of each shard. Asks each journal once, waits for it a second at most; never rejects. */
  shardStatuses(): Promise<ShardStatus[]> {
    const { owner, clock, timers } = this.#o;
    return shardStatuses({
      node: owner.node,
      lives: this.#lives,
      cluster: this.cluster,
      damaged: this.#damaged,
      snapshots: this.#snapshots,
      nowUs: clock.monotonicUs(),
      timers,
    });
  }

  /** By how many frames each followed shard's state is behind its journal; those that answer within a second. */
  followerLags(): Promise<FollowerLag[]> {
    return followerLags(this.#lives, this.#o.timers);
  }

  /** Shards of this node that another one should own. */
  moves(): Move[] {
    return this.cluster === null ? [] : movesOf(this.#lives, this.cluster);
  }

  /** Begins what is to be moved now, and tells it; the rest follows one by one. */
  rebalance(): Move[] {
    this.#place();
    return this.moves();
  }

  /** An owner without a lease and without traffic would not notice that it was replaced: the journal says so. */
  #lookForOwners(): void {
    for (const life of this.#lives) {
      if (life.holdsLease || !life.shard.serving) continue;
      // What it finds ends the shard; what else goes wrong is tried again at the next look.
      life.shard.confirmOwner().catch(() => {});
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

  /** Whether payments of all users are decided: here, or where this node would send them. */
  get ready(): boolean {
    return this.reason === "";
  }

  get reason(): string {
    return unreadyReason(this.shards, this.cluster);
  }

  /**
   * Lets nothing in, hands its shards to other nodes, waits for what is under way (at most `limit_ms`), releases the
   * journals.
   */
  async close(limit_ms: number): Promise<void> {
    this.#closing = true;
    for (const stop of this.#stops) stop();
    const { clock, timers } = this.#o;
    const until = clock.monotonicUs() + limit_ms * 1000;
    const pause = (): Promise<void> => new Promise<void>((r) => timers.after(5, r));
    if (this.cluster !== null) {
      this.cluster.membership.announceNow();
      this.#place();
      const moving = (): boolean => this.#lives.some((l) => l.isHandingOver);
      while (moving() && clock.monotonicUs() < until) await pause();
      // What comes now is better asked elsewhere.
      this.cluster.refuseRows();
    }
    this.mailbox.close();
    this.loop.drain();
    const isIdle = (): boolean => this.loop.idle && this.cluster?.router.idle !== false;
    while (!isIdle() && clock.monotonicUs() < until) await pause();
    this.loop.end();
    await releaseAll(this.shards, this.#o.owner, timers, limit_ms, (s, e) =>
      this.#o.report("release_failed", { shard: s.id, message: e.message }),
    );
    this.cluster?.close();
    // What still follows or waits goes on no more.
    if (this.cluster !== null) this.#abandoned = true;
    for (const life of this.#lives) await life.leave();
  }
}
