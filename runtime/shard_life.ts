/**
 * One shard on this node: its state is brought up to the journal's tail and kept there, until this node holds the lease
 * and has claimed the journal; then it serves, until another owner took over or it is handed over.
 */
import { Follower } from "./follower.ts";
import type { InboxGaps } from "./inbox.ts";
import { Abandoned, type Sleep } from "./journal/checked.ts";
import { claim, type JournalPosition } from "./journal/claim.ts";
import { Committer } from "./journal/committer.ts";
import { LAPSE_MS, LeaseKeeper, RENEW_MS } from "./lease/lease_keeper.ts";
import type { NodeOptions } from "./node.ts";
import { Deposed, type JournalDamaged } from "./ports.ts";
import { FrameFolder } from "./recovery.ts";
import { Shard } from "./shard.ts";
import { loadSnapshot } from "./snapshots.ts";

/** Pause before a claim that a rival won is made again, milliseconds: by then the lease was renewed, or is lost. */
const CLAIM_AGAIN_MS = 2 * RENEW_MS;
/** By so much later than the one before it in a shard's ranking a node tries for the lease, milliseconds. */
const RANK_MS = 700;
/** After a planned release the next owner looks so often, milliseconds. */
const HURRY_MS = 20;
const HURRIES = 50;
/** A follower that is not wanted stays so long, milliseconds: nodes that go away often come back. */
const UNWANTED_MS = 5000;
/** How long a hand-over waits for frames under way before it is given up, milliseconds. */
const LAST_FRAMES_MS = 2000;

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
    const { shard } = this;
    const started = o.clock.monotonicUs();
    const onUnusable = (name: string, e: Error): void =>
      o.report("snapshot_unusable", { shard: shard.id, name, message: e.message });
    const from = this.#from ?? (await loadSnapshot(shard, o.snapshots, o.snapshot_layout, onUnusable));
    this.#from = null;
    const folder = new FrameFolder(shard, shards.length, o.decider, o.features_version, o.tenantIndex);
    this.#follower = new Follower(shard, from, folder, sleep);
    await this.#follower.catchUp();
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
    await this.#lease(follower);
    const gained = clock.monotonicUs();
    const takeover = await this.#claim();
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

  /** Queues what other shards committed for this one and it did not fold; from then on its entities may answer. */
  async refill(): Promise<void> {
    const { shard } = this;
    for (const source of this.#p.shards) {
      if (source.id === this.id) continue;
      await this.#p.gaps.read(shard, source.id).catch((e: Error) => {
        throw named(e, source.id);
      });
    }
    shard.refilled();
  }

  /** A rival whose Takeover came first has a lease of its own, or none: this node holds one and tries again. */
  async #claim(): Promise<JournalPosition> {
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
      }
    }
  }

  /** Waits until this node holds the shard's lease, and keeps it. Losing it later means: look who owns the journal. */
  async #lease(follower: Follower): Promise<void> {
    const { leases, clock, timers, owner, report } = this.#p.options;
    if (leases === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const events = {
      gained: () => resolve(),
      lost: (holder: string) => report("lease_lost", { shard: this.id, holder }),
    };
    const every = (ms: number, run: () => void) => timers.every(ms, run);
    const later_ms = (): number => this.#p.rank(this.id) * RANK_MS;
    this.#keeper = new LeaseKeeper(leases, clock, every, events, {
      shard: this.id,
      node: owner.node,
      // A bucket that lost everything must not depose an owner that is well: it puts its name back.
      vacant_ms: () => (follower.isVacant(owner.node) ? 0 : LAPSE_MS) + later_ms(),
      lapse_ms: () => LAPSE_MS + later_ms(),
    });
    this.shard.reason = "following, without the lease";
    this.#keeper.start();
    await promise;
    // A lease that is gained while a failed start ends, or is given back, must not lead to a claim.
    await this.#p.sleep(0);
    if (this.#keeper === null) throw new Abandoned("the lease was given back");
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
      if (shard.serving && committer.canSubmit) shard.accepting = true;
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
    const shard = new Shard(this.id, shards.length, before.journal, actors);
    if (this.#from !== null) {
      shard.watermarks.set(before.watermarks);
      for (let source = 0; source < shards.length; source++) actors.abandon(source, 0);
    }
    shards[this.id] = shard;
    this.#follower?.end();
    this.#follower = null;
    this.#ended = Promise.withResolvers<Error>();
  }

  /** The first word of whoever reads the log or the terminal: which journal an error is about. */
  #named<T>(work: Promise<T>): Promise<T> {
    return work.catch((e: Error) => {
      throw named(e, this.id);
    });
  }
}

function named(e: Error, shard: number): Error {
  if (!(e instanceof Abandoned) && !e.message.startsWith("shard ")) e.message = `shard ${shard}: ${e.message}`;
  return e;
}
