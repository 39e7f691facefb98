/** What operators may ask of a real node: its status, and a change of its share of the shards. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { OperationRefused, type Operations } from "../../gateway/control/operations.ts";
import {
  type GetStatusResponseSchema,
  type MoveSchema,
  MoveState,
  ShardPart as Part,
  type ProcessStatusSchema,
  NodeRole as Role,
  type ShardStatusSchema,
} from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import type { Cluster } from "../../runtime/cluster/cluster.ts";
import type { KnownNode } from "../../runtime/cluster/membership.ts";
import type { RuntimeNode } from "../../runtime/node.ts";
import type { Move, ShardPart, ShardStatus } from "../../runtime/node_status.ts";
import type { NodeRole } from "../../runtime/wire/announcement.ts";
import type { KeptWeight } from "./kept_weight.ts";

const ROLES: Readonly<Record<NodeRole, Role>> = {
  all: Role.ROLE_ALL,
  gateway: Role.ROLE_GATEWAY,
  shard: Role.ROLE_SHARD,
};
const PARTS: Readonly<Record<ShardPart, Part>> = {
  none: Part.PART_NONE,
  loading: Part.PART_LOADING,
  follower: Part.PART_FOLLOWER,
  owner: Part.PART_OWNER,
};
const MOVES: Readonly<Record<Move["state"], MoveState>> = {
  waiting: MoveState.MOVE_WAITING,
  ready: MoveState.MOVE_READY,
  moving: MoveState.MOVE_UNDER_WAY,
};

export interface NodeOperationsParts {
  readonly node: string;
  readonly boot: string;
  readonly role: NodeRole;
  readonly runtime: RuntimeNode;
  readonly weight: KeptWeight;
}

export class NodeOperations implements Operations {
  readonly node: string;
  readonly #p: NodeOperationsParts;

  constructor(parts: NodeOperationsParts) {
    this.#p = parts;
    this.node = parts.node;
  }

  async status(): Promise<MessageInitShape<typeof GetStatusResponseSchema>> {
    const { node, boot, role, runtime, weight } = this.#p;
    const shards = await runtime.shardStatuses();
    return {
      node,
      boot,
      role: ROLES[role],
      weight: weight.weight,
      drained: weight.drained,
      ready: runtime.ready,
      reason: runtime.reason,
      inCluster: runtime.cluster !== null,
      process: processStatus(runtime),
      heard: runtime.cluster?.membership.known().map(heardNode) ?? [],
      shards: shards.map(shardStatus),
      moves: runtime.moves().map(move),
    };
  }

  drain(): { shards: number[] } {
    const cluster = this.#mayBeWithout("drain");
    this.#p.weight.setDrained(true);
    this.#announce(cluster);
    return { shards: this.#p.runtime.shards.filter((s) => s.serving).map((s) => s.id) };
  }

  undrain(): { weight: number } {
    const cluster = this.#cluster("undrain");
    this.#p.weight.setDrained(false);
    this.#announce(cluster);
    return { weight: this.#p.weight.weight };
  }

  setWeight(weight: number): { weightBefore: number; drained: boolean } {
    const what = "change the weight of";
    const cluster = weight === 0 ? this.#mayBeWithout(what) : this.#cluster(what);
    const { weight: weightBefore, drained } = this.#p.weight;
    this.#p.weight.setWeight(weight);
    this.#announce(cluster);
    return { weightBefore, drained };
  }

  rebalance(): { moves: MessageInitShape<typeof MoveSchema>[] } {
    this.#cluster("rebalance");
    return { moves: this.#p.runtime.rebalance().map(move) };
  }

  #announce(cluster: Cluster): void {
    cluster.membership.setWeight(this.#p.weight.announced);
    // What can be handed over at once is.
    this.#p.runtime.rebalance();
  }

  #cluster(what: string): Cluster {
    const { runtime, role, node } = this.#p;
    if (runtime.cluster === null) throw new OperationRefused(`cannot ${what} ${node}: it is alone and owns all shards`);
    if (role === "gateway") throw new OperationRefused(`cannot ${what} ${node}: as a gateway it owns no shards`);
    return runtime.cluster;
  }

  /** The cluster, when some other node could own this one's shards. */
  #mayBeWithout(what: string): Cluster {
    const cluster = this.#cluster(what);
    const others = cluster.membership.nodes().filter(({ name, weight }) => name !== this.node && weight > 0);
    if (others.length === 0)
      throw new OperationRefused(`cannot ${what} ${this.node}: no other node could own its shards`);
    return cluster;
  }
}

function processStatus(runtime: RuntimeNode): MessageInitShape<typeof ProcessStatusSchema> {
  const memory = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    pid: process.pid,
    uptimeS: process.uptime(),
    residentBytes: BigInt(memory.rss),
    heapBytes: BigInt(memory.heapUsed),
    arrayBuffersBytes: BigInt(memory.arrayBuffers),
    cpuS: (user + system) / 1e6,
    mailboxRows: runtime.mailbox.depth,
    mailboxRowsMax: runtime.mailbox.rowsMax,
    gatewayRows: runtime.cluster?.router.depth ?? 0,
    ticksUnderWay: runtime.loop.underWay,
  };
}

function heardNode(n: KnownNode) {
  const { name, boot, weight, live, leaving } = n;
  return { name, boot, role: ROLES[n.role], weight, live, leaving, silentMs: n.silent_us / 1000 };
}

function move(m: Move): MessageInitShape<typeof MoveSchema> {
  return { shard: m.shard, to: m.to, state: MOVES[m.state] };
}

function shardStatus(s: ShardStatus): MessageInitShape<typeof ShardStatusSchema> {
  const { users, events, entities, entityEvents, bytes } = s.sizes;
  const { journal, snapshot } = s;
  return {
    shard: s.shard,
    part: PARTS[s.part],
    reason: s.reason,
    owner: s.owner,
    epoch: BigInt(s.epoch),
    frame: BigInt(s.frame),
    ...(journal === null ? {} : { journal: journalStatus(journal) }),
    ...(journal === null || s.part === "none"
      ? {}
      : { lagFrames: BigInt(Math.max(0, journal.lastSequence - s.frame)) }),
    damaged: s.damaged,
    users: BigInt(users),
    events: BigInt(events),
    entities: BigInt(entities),
    entityEvents: BigInt(entityEvents),
    memoryBytes: Object.fromEntries(Object.entries(bytes).map(([part, size]) => [part, BigInt(Math.round(size))])),
    ...(snapshot === null ? {} : { snapshot: snapshotStatus(snapshot) }),
  };
}

function journalStatus(j: NonNullable<ShardStatus["journal"]>) {
  return {
    firstSequence: BigInt(j.firstSequence),
    lastSequence: BigInt(j.lastSequence),
    sizeBytes: BigInt(j.bytes),
  };
}

function snapshotStatus(s: NonNullable<ShardStatus["snapshot"]>) {
  return { frame: BigInt(s.frame), sizeBytes: BigInt(s.bytes), ageS: s.age_us / 1e6 };
}
