/**
 * What a node says of its shards to whoever looks after it: which part it has in each, how far its state is, what its
 * journal holds, and which of its shards are on their way to another node.
 */
import type { Cluster } from "./cluster/cluster.ts";
import type { Journal, Timers } from "./ports.ts";
import type { ShardActors } from "./program.ts";
import type { Shard } from "./shard.ts";
import type { ShardLife } from "./shard_life.ts";

/** A journal that does not answer within this is told as unknown, milliseconds. */
const JOURNAL_MS = 1000;

/** owner: decides its users; follower: has its state up to the tail; loading: is on its way there; none: neither. */
export type ShardPart = "none" | "loading" | "follower" | "owner";

/** The newest snapshot that this process knows of. */
export interface KnownSnapshot {
  readonly frame: number;
  readonly bytes: number;
  /** Monotonic, microseconds. */
  readonly takenUs: number;
}

export interface JournalStatus {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly bytes: number;
}

export interface ShardStatus {
  readonly shard: number;
  readonly part: ShardPart;
  /** Why it does not serve, in plain words; empty for an owner. */
  readonly reason: string;
  /** The owner that this node would ask, and its epoch; "" and 0 when none is known. */
  readonly owner: string;
  readonly epoch: number;
  /** Newest frame in the state. */
  readonly frame: number;
  /** Null: it did not answer in time. */
  readonly journal: JournalStatus | null;
  /** A journal that was found damaged, here or by another node. */
  readonly damaged: boolean;
  readonly sizes: ReturnType<ShardActors["sizes"]>;
  /** Null: this process took none. */
  readonly snapshot: { readonly frame: number; readonly bytes: number; readonly age_us: number } | null;
}

/** waiting: its next owner does not follow it up to the tail yet; ready: it is next; moving: it is being released. */
export type MoveState = "waiting" | "ready" | "moving";

/** A shard of this node that another one should own. */
export interface Move {
  readonly shard: number;
  readonly to: string;
  readonly state: MoveState;
}

/** What of a node its status is made of. */
export interface StatusParts {
  readonly node: string;
  readonly lives: readonly ShardLife[];
  readonly cluster: Cluster | null;
  readonly damaged: ReadonlySet<number>;
  readonly snapshots: ReadonlyMap<number, KnownSnapshot>;
  readonly nowUs: number;
  readonly timers: Timers;
}

/** All shards, in order. Asks each journal once; never rejects. */
export function shardStatuses(p: StatusParts): Promise<ShardStatus[]> {
  return Promise.all(p.lives.map((life) => shardStatus(p, life)));
}

async function shardStatus(p: StatusParts, life: ShardLife): Promise<ShardStatus> {
  const journal = await journalStatus(life.shard.journal, p.timers);
  const { shard, id } = life;
  const routes = p.cluster?.membership.routes;
  const taken = p.snapshots.get(id);
  return {
    shard: id,
    part: partOf(life),
    reason: shard.reason,
    owner: (shard.serving ? p.node : routes?.node(id)) ?? "",
    epoch: shard.serving ? shard.epoch : (routes?.epoch(id) ?? 0),
    frame: life.frame,
    journal,
    damaged: p.damaged.has(id),
    sizes: shard.actors.sizes(),
    snapshot: taken === undefined ? null : { ...taken, age_us: p.nowUs - taken.takenUs },
  };
}

export interface FollowerLag {
  readonly shard: number;
  readonly frames: number;
}

/** Of the shards that are followed up to the tail, those whose journal answers in time. */
export async function followerLags(lives: readonly ShardLife[], timers: Timers): Promise<FollowerLag[]> {
  const followed = lives.filter((life) => life.isFollowing);
  const lags = await Promise.all(
    followed.map(async (life) => {
      const journal = await journalStatus(life.shard.journal, timers);
      return journal === null ? [] : [{ shard: life.id, frames: Math.max(0, journal.lastSequence - life.frame) }];
    }),
  );
  return lags.flat();
}

function partOf(life: ShardLife): ShardPart {
  if (life.shard.serving) return "owner";
  if (life.isFollowing) return "follower";
  return life.isLoading ? "loading" : "none";
}

function journalStatus(journal: Journal, timers: Timers): Promise<JournalStatus | null> {
  return new Promise((resolve) => {
    timers.after(JOURNAL_MS, () => resolve(null));
    journal.state().then(resolve, () => resolve(null));
  });
}

/** Why payments of some users cannot be decided, here or where this node would send them; empty: all can. */
export function unreadyReason(shards: readonly Shard[], cluster: Cluster | null): string {
  for (const s of shards) {
    if (s.serving && s.committer !== null) {
      if (s.committer.blocked !== null) return `shard ${s.id}: journal ${s.committer.blocked}`;
    } else if (cluster === null) return `shard ${s.id}: ${s.reason}`;
    else if (cluster.membership.routes.node(s.id) === null) return `shard ${s.id}: no node owns it`;
  }
  return "";
}

/** Shards that this node owns and another one should, those under way first. */
export function movesOf(lives: readonly ShardLife[], cluster: Cluster): Move[] {
  const moves: Move[] = [];
  for (const life of lives) {
    if (!life.shard.serving) continue;
    const to = cluster.betterOwner(life.id);
    if (to !== null) moves.push({ shard: life.id, to, state: stateOf(life, cluster, to) });
  }
  const order: readonly MoveState[] = ["moving", "ready", "waiting"];
  return moves.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
}

function stateOf(life: ShardLife, cluster: Cluster, to: string): MoveState {
  if (life.isHandingOver) return "moving";
  return cluster.membership.follows(to, life.id) ? "ready" : "waiting";
}
