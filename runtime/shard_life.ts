/**
 * One shard on this node: its state is brought up to the journal's tail and kept there, until this node holds the lease
 * and has claimed the journal; then it serves, until another owner took over or it is handed over.
 */
import { Follower, type Pace } from "./follower.ts";
import type { InboxGaps } from "./inbox.ts";
import { Abandoned, type Sleep, untilReachable } from "./journal/checked.ts";
import { claim, type JournalPosition } from "./journal/claim.ts";
import { Committer } from "./journal/committer.ts";
import { LAPSE_MS, LeaseKeeper, RENEW_MS } from "./lease/lease_keeper.ts";
import type { NodeOptions } from "./node_options.ts";
import { Deposed, FormatUnknown, type JournalDamaged } from "./ports.ts";
import type { ShardActors } from "./program.ts";
import { isOfProcess, Poisoned } from "./quarantine.ts";
import { FrameFolder } from "./recovery.ts";
import { Shard } from "./shard.ts";
import { type LoadedSnapshot, loadSnapshot, SnapshotTooOld } from "./snapshots.ts";

/** Pause before a claim that a rival won is made again, milliseconds: by then the lease was renewed, or is lost. */
const CLAIM_AGAIN_MS = 2 * RENEW_MS;
/** By so much later than the one before it in a shard's ranking a node tries for the lease, milliseconds. */
const RANK_MS = 700;
/** After a planned release the next owner looks so often, milliseconds. */
const HURRY_MS = 20;
const HURRIES = 50;
/** A follower that is not wanted stays so long, milliseconds: nodes that go away often come back. */
const UNWANTED_MS = 5000;
/** Pause between two slices of a snapshot that is loaded while other shards are served, milliseconds. */
const LOAD_PAUSE_MS = 2;
/** So long a node keeps the lease of a shard that it has to load again, milliseconds. */
const RELOAD_MS = 1000;
/** How long a hand-over waits for frames under way before it is given up, milliseconds. */
const LAST_FRAMES_MS = 2000;
/** Work of a replay behind which it rests, microseconds. */
const PACE_US = 2000;

/** The shard was handed over as planned. */
export class Released extends Error {
  override name = "Released";
}

/** Other nodes follow the shard in this one's place. */
export class Unwanted extends Error {
  override name = "Unwanted";
}

/** What a life needs of its node. */
export interface LifeParts {
  readonly options: NodeOptions;
  /** The node's shards by number: a life that begins anew puts its shard there. */
  readonly shards: Shard[];
  readonly sleep: Sleep;
  readonly committed: (shard: Shard, sequence: number) => void;
  readonly stopped: (shard: Shard, error: Deposed | JournalDamaged) => void;
  /** Place of this node in the shard's ranking, 0 for the first; Infinity: it must not own it. */
  readonly rank: (shard: number) => number;
  readonly gaps: InboxGaps;
  /** The shard began or ceased to follow the tail or to serve. */
  readonly changed: () => void;
}

export class ShardLife {
  readonly id: number;
  readonly #p: LifeParts;
  #keeper: LeaseKeeper | null = null;
  #follower: Follower | null = null;
  #broken: Promise<never> = new Promise(() => {});
  #ended = Promise.withResolvers<Error>();
  #unwanted = Promise.withResolvers<never>();
  #unwantedUs: number | null = null;
  #handingOver = false;
  /** Where the state stands that was released; null without one. */
  #from: JournalPosition | null = null;

  constructor(parts: LifeParts, id: number) {
    this.#p = parts;
    this.id = id;
  }

  get shard(): Shard {
    return this.#p.shards[this.id];
  }

  /** Whether its state is at the journal's tail, without serving. */
  get isFollowing(): boolean {
    return this.#follower?.isCaughtUp === true && !this.shard.serving;
  }

  get holdsLease(): boolean {
    return this.#keeper === null || this.#keeper.holds;
  }

  /** Rejects when the journal cannot be followed: with JournalDamaged. Never resolves. */
  get broken(): Promise<never> {
    return this.#broken;
  }

  /** The newest frame in its state: acknowledged while it serves, else folded. */
  get frame(): number {
    return this.shard.serving ? this.shard.committedFrame : (this.#follower?.frame ?? 0);
  }

  /** Its state is being brought up to the journal's tail. */
  get isLoading(): boolean {
    return this.#follower !== null && !this.#follower.isCaughtUp;
  }

  get isHandingOver(): boolean {
    return this.#handingOver;
  }

  /** Resolves with the reason when it serves no more. */
  get ended(): Promise<Error> {
    return this.#ended.promise;
  }

  /** The newest usable snapshot and the journal behind it; from then on the journal is followed. */
  async load(): Promise<void> {
    await this.#named(this.#load());
    const follower = this.#follower as Follower;
    this.#broken = this.#named(follower.follow()).then(() => new Promise<never>(() => {}));
    // Whoever waits for the lease hears of it.
    this.#broken.catch(() => {});
  }

  async #load(): Promise<void> {
    const { options: o, shards, sleep } = this.#p;
    const started = o.clock.monotonicUs();
    const { shard, from } = await this.#loadSnapshot();
    this.#from = null;
    const { firstSequence } = await untilReachable(sleep, () => shard.journal.state());
    // The frame at the snapshot's end must be there too: it shows that both are of one history.
    if (firstSequence > Math.max(1, from.sequence)) throw new SnapshotTooOld(from.sequence, firstSequence);
    const snapshot_seconds = (o.clock.monotonicUs() - started) / 1e6;
    const folder = new FrameFolder(shard, shards.length, o.decider, o.features_version, o.tenantIndex);
    this.#follower = new Follower(shard, from, folder, sleep, this.#pace());
    await this.#follower.catchUp();
    const seconds = (o.clock.monotonicUs() - started) / 1e6;
    const { frames, rows, compared } = folder;
    o.report("shard_loaded", {
      shard: shard.id,
      snapshot_frame: from.sequence,
      replayed_frames: frames,
      replayed_rows: rows,
      compared_frames: compared,
      /** Of `seconds`, loading the snapshot. */
      snapshot_seconds,
      seconds,
    });
  }

  /** The state as it was released, else that of the newest usable snapshot, else none. */
  async #loadSnapshot(): Promise<LoadedSnapshot> {
    const { options: o, sleep } = this.#p;
    if (this.#from !== null) return { shard: this.shard, from: this.#from };
    return loadSnapshot(this.shard, {
      store: o.snapshots,
      clock: o.clock,
      anew: () => this.#anew(o.actors(this.id)),
      onUnusable: (name, e) => {
        const event = name === null ? "snapshots_unavailable" : "snapshot_unusable";
        o.report(event, { shard: this.id, name, message: e.message });
      },
      // Whoever serves other shards goes on meanwhile.
      pause: () => (this.#nodeServes ? sleep(LOAD_PAUSE_MS) : undefined),
      sleep,
    });
  }

  /** Whether some shard of the node would have to wait for what is done at full speed. */
  get #nodeServes(): boolean {
    return this.#p.shards.some((s) => s.serving);
  }

  /** A shard that nothing was folded into, over the same journal, in the place of the present one. */
  #anew(actors: ShardActors): Shard {
    const { shards } = this.#p;
    shards[this.id] = new Shard(this.id, shards.length, this.shard.journal, actors);
    return this.shard;
  }

  /**
   * Waits for the lease, claims the journal, folds what came until then, and serves. Rejects with JournalDamaged, also
   * while it waits; with Deposed when a rival was faster at the very end; with Unwanted (see want).
   */
  own(): Promise<void> {
    this.#unwanted = Promise.withResolvers<never>();
    this.#unwantedUs = null;
    return Promise.race([this.#broken, this.#unwanted.promise, this.#named(this.#own())]);
  }

  /**
   * Whether this node should follow the shard; a follower that should not for a while gives up waiting to own it, at
   * once when the journal is damaged.
   */
  want(isWanted: boolean, isDamaged: boolean): void {
    const nowUs = this.#p.options.clock.monotonicUs();
    const isWaiting = this.isFollowing && this.#keeper?.holds === false;
    if (isWanted || !isWaiting) this.#unwantedUs = null;
    else this.#unwantedUs ??= nowUs;
    const stays_ms = isDamaged ? 0 : UNWANTED_MS;
    if (this.#unwantedUs === null || nowUs - this.#unwantedUs < stays_ms * 1000) return;
    this.#unwanted.reject(new Unwanted(`shard ${this.id} is followed elsewhere`));
  }

  async #own(): Promise<void> {
    const { clock, report } = this.#p.options;
    const { shard } = this;
    const follower = this.#follower as Follower;
    const ended = this.#ended;
    await this.#lease();
    const gained = clock.monotonicUs();
    const takeover = await this.#claim(follower);
    await follower.finish(takeover);
    const committer = new Committer(
      shard.journal,
      takeover,
      {
        committed: (sequence) => this.#p.committed(shard, sequence),
        stopped: (error) => {
          this.#p.stopped(shard, error);
          ended.resolve(error);
        },
      },
      this.#p.sleep,
    );
    shard.serve(takeover, committer, clock);
    this.#introduce();
    this.#p.changed();
    report("shard_serving", {
      shard: shard.id,
      epoch: takeover.epoch,
      folded_frames: follower.folder.frames,
      ...shard.actors.sizes(),
      /** From the lease to serving. */
      seconds: (clock.monotonicUs() - gained) / 1e6,
    });
  }

  /** The shards of this node hear of each other's epochs: rows that an earlier one announced leave the overlays. */
  #introduce(): void {
    const { shard } = this;
    for (const other of this.#p.shards) {
      if (other === shard || !other.serving) continue;
      other.admits(shard.id, shard.epoch, shard.takeover);
      shard.admits(other.id, other.epoch, other.takeover);
    }
  }

  /** Queues what other shards committed for this one and it did not fold; once it has all, its entities may answer. */
  async refill(): Promise<void> {
    const { shard } = this;
    let isWhole = true;
    for (const source of this.#p.shards) {
      if (source.id === this.id) continue;
      await this.#p.gaps.read(shard, source.id).catch((e: Error) => {
        if (!(e instanceof FormatUnknown)) throw named(e, source.id);
        // Users are decided; entities that may lack rows answer nobody. Newer code goes on from the watermarks.
        isWhole = false;
        const { name: error, message } = e;
        this.#p.options.report("inbox_unread", { shard: shard.id, source: source.id, error, message });
      });
    }
    if (isWhole) shard.refilled();
  }

  /** A rival whose Takeover came first has a lease of its own, or none: this node holds one and tries again. */
  async #claim(follower: Follower): Promise<JournalPosition> {
    const { clock, owner, report } = this.#p.options;
    const { shard } = this;
    for (;;) {
      try {
        return await claim(shard.journal, owner, clock.wallUs(), this.#p.sleep);
      } catch (e) {
        if (!(e instanceof Deposed)) throw e;
        report("claim_lost", { shard: shard.id, epoch: e.epoch });
        do await this.#p.sleep(CLAIM_AGAIN_MS);
        while (!this.holdsLease);
        if (this.#follower !== follower) throw new Abandoned("the shard is loaded anew");
      }
    }
  }

  /** Waits until this node holds the shard's lease, and keeps it. Losing it later means: look who owns the journal. */
  async #lease(): Promise<void> {
    const { leases, clock, timers, owner, report } = this.#p.options;
    if (leases === null || this.#keeper?.holds === true) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const events = {
      gained: () => resolve(),
      lost: (holder: string) => report("lease_lost", { shard: this.id, holder }),
    };
    const every = (ms: number, run: () => void) => timers.every(ms, run);
    const later_ms = (): number => this.#p.rank(this.id) * RANK_MS;
    const keeper = new LeaseKeeper(leases, clock, every, events, {
      shard: this.id,
      node: owner.node,
      // A bucket that lost everything must not depose an owner that is well: it puts its name back. The follower of the
      // time: a lease outlives it when the shard is loaded anew.
      vacant_ms: () => (this.#follower?.isVacant(owner.node) === true ? 0 : LAPSE_MS) + later_ms(),
      lapse_ms: () => LAPSE_MS + later_ms(),
    });
    this.#keeper = keeper;
    this.shard.reason = "following, without the lease";
    keeper.start();
    await promise;
    // A lease that is gained while a failed start ends, or is given back, must not lead to a claim.
    await this.#p.sleep(0);
    if (this.#keeper !== keeper) throw new Abandoned("the lease was given back");
  }

  /** While other shards are served here a rest as long as the work: their ticks must not wait for a long replay. */
  #pace(): Pace {
    const { options, sleep } = this.#p;
    const nowUs = (): number => options.clock.monotonicUs();
    let work_us = 0;
    return {
      nowUs,
      rest: (began_us) => {
        work_us += nowUs() - began_us;
        if (work_us < PACE_US || !this.#nodeServes) return undefined;
        const rest_ms = Math.ceil(work_us / 1000);
        work_us = 0;
        return sleep(rest_ms);
      },
    };
  }

  /** The owner released the shard for this node. */
  hurry(): void {
    let left = HURRIES;
    const again = (): void => {
      if (this.shard.serving || this.#keeper?.holds === true || left-- === 0) return;
      this.#follower?.hurry();
      this.#keeper?.look();
      this.#p.options.timers.after(HURRY_MS, again);
    };
    again();
  }

  /**
   * The planned end of serving: takes no new rows, waits for the frames under way, releases journal and lease. Rejects
   * when the shard stops first.
   */
  async handOver(): Promise<void> {
    const { shard } = this;
    const { owner } = this.#p.options;
    if (this.#handingOver || !shard.serving || shard.committer === null) return;
    const { committer } = shard;
    this.#handingOver = true;
    shard.accepting = false;
    try {
      // A frame may wait for the journal of another shard of its tick: nobody would decide meanwhile.
      const late = this.#p.sleep(LAST_FRAMES_MS).then(() => Promise.reject(new Error("its frames are not committed")));
      await Promise.race([shard.whenCommitted(shard.nextFrame - 1), late]);
      await committer.release(owner, shard.frameTimeUs + 1);
    } catch (e) {
      this.#handingOver = false;
      // Once it has begun to release it cannot go back: then it ends like any owner that is replaced.
      if (shard.serving && committer.isOpen) shard.accepting = true;
      throw e;
    }
    const released = new Released(`released by ${owner.node}`);
    this.#from = committer.committed;
    committer.abandon();
    shard.stop(released);
    await this.leave();
    this.#handingOver = false;
    this.#ended.resolve(released);
  }

  /** It serves no more: what is under way is unknown. */
  end(error: Error): void {
    this.shard.committer?.abandon();
    this.#ended.resolve(error);
  }

  /** Its actors failed: the next life begins with what the journal says. */
  fail(error: Error): void {
    const { options: o } = this.#p;
    this.end(error);
    if (o.cluster === null) return;
    // A follower is ready already: it should not wait for a state that takes long to load.
    o.timers.after(RELOAD_MS, () => {
      if (!this.isFollowing && !this.shard.serving) void this.leave();
    });
  }

  /** A new life until it serves, on a node that is alone: nobody else would serve the shard, so the lease is kept. */
  async again(): Promise<void> {
    if (!this.holdsLease) await this.leave();
    this.begin();
    await this.load();
    await this.own();
    await this.refill();
  }

  /** Gives the lease back, if it is held, and asks for it no more. */
  async leave(): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = null;
    await keeper?.stop();
  }

  /**
   * Begins anew behind the end of serving, over the same journal: with the state as it was released, else from an empty
   * one.
   */
  begin(): void {
    const { options: o, shards } = this.#p;
    const before = this.shard;
    const actors = this.#from === null ? o.actors(this.id) : before.actors;
    const shard = this.#anew(actors);
    if (this.#from !== null) {
      shard.watermarks.set(before.watermarks);
      for (let source = 0; source < shards.length; source++) actors.abandon(source, 0);
    }
    this.#follower?.end();
    this.#follower = null;
    this.#ended = Promise.withResolvers<Error>();
  }

  /**
   * The first word of whoever reads the log or the terminal: which journal an error is about. A fold that failed on
   * what this process has says nothing against the journal, and is made again.
   */
  #named<T>(work: Promise<T>): Promise<T> {
    return work.catch((e: Error) => {
      if (!isOfProcess(e)) throw named(e, this.id);
      const poisoned = new Poisoned(null, e);
      const { message, thrownAt: stack, row } = poisoned;
      this.#p.options.report("shard_poisoned", { shard: this.id, epoch: 0, message, stack, row });
      throw named(poisoned, this.id);
    });
  }
}

function named(e: Error, shard: number): Error {
  if (!(e instanceof Abandoned) && !e.message.startsWith("shard ")) e.message = `shard ${shard}: ${e.message}`;
  return e;
}
