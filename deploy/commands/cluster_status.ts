/**
 * One picture of a cluster from what each of its nodes answered: who is there, who has which shard, what is on its way,
 * and what is not as it should be. Nodes that did not answer are shown by what others heard of them.
 */
import {
  type GetStatusResponse,
  MoveState,
  NodeRole,
  ShardPart,
  type ShardStatus,
} from "../../proto/gen/fraudguard/v1/admin_pb.ts";

/** A node's answer, or why there is none. */
export interface Asked {
  /** As ready.json names it; empty when only its address is known. */
  readonly name: string;
  readonly grpc: string;
  readonly answer: GetStatusResponse | null;
  /** Empty with an answer. */
  readonly error: string;
}

export interface NodeView {
  readonly name: string;
  /** Empty for a node that others heard of and that was not asked. */
  readonly grpc: string;
  /** answered, unreachable, or only heard of by others. */
  readonly state: "answered" | "unreachable" | "heard";
  readonly error: string;
  readonly role: string;
  readonly weight: number;
  readonly drained: boolean;
  readonly leaving: boolean;
  /** Whether some node that answered hears it. */
  readonly live: boolean;
  /** Since one that answered heard it, milliseconds; null: none ever did. */
  readonly silent_ms: number | null;
  readonly ready: boolean;
  readonly reason: string;
  readonly boot: string;
  readonly owned: readonly number[];
  readonly followed: readonly number[];
  readonly process: ProcessView | null;
}

export interface ProcessView {
  readonly pid: number;
  readonly uptime_s: number;
  readonly resident_bytes: number;
  readonly heap_bytes: number;
  readonly array_buffers_bytes: number;
  readonly cpu_s: number;
  readonly mailbox_rows: number;
  readonly mailbox_rows_max: number;
  readonly gateway_rows: number;
  readonly ticks_under_way: number;
}

export interface ShardView {
  readonly shard: number;
  /** Null: no node owns it, as far as anybody knows. */
  readonly owner: string | null;
  readonly epoch: number;
  /** Newest acknowledged frame of the owner; null when it did not answer. */
  readonly frame: number | null;
  readonly journal: { readonly first_sequence: number; readonly last_sequence: number; readonly bytes: number } | null;
  readonly followers: readonly { readonly node: string; readonly lag_frames: number | null }[];
  /** Nodes that bring its state up to the tail. */
  readonly loading: readonly { readonly node: string; readonly lag_frames: number | null }[];
  readonly damaged: boolean;
  readonly users: number;
  readonly events: number;
  readonly entities: number;
  readonly entity_events: number;
  readonly memory_bytes: Readonly<Record<string, number>>;
  readonly snapshot: { readonly frame: number; readonly bytes: number; readonly age_s: number } | null;
}

export interface MoveView {
  readonly shard: number;
  readonly from: string;
  readonly to: string;
  readonly state: "waiting" | "ready" | "moving";
}

export interface ClusterStatus {
  readonly nodes: readonly NodeView[];
  readonly shards: readonly ShardView[];
  readonly moves: readonly MoveView[];
  /** What is not as it should be, in plain words; `npm run status` then ends with 1. */
  readonly problems: readonly string[];
}

const ROLES: Readonly<Record<NodeRole, string>> = {
  [NodeRole.NODE_ROLE_UNSPECIFIED]: "?",
  [NodeRole.ROLE_ALL]: "all",
  [NodeRole.ROLE_GATEWAY]: "gateway",
  [NodeRole.ROLE_SHARD]: "shard",
};
const MOVES: Readonly<Record<MoveState, MoveView["state"]>> = {
  [MoveState.MOVE_STATE_UNSPECIFIED]: "waiting",
  [MoveState.MOVE_WAITING]: "waiting",
  [MoveState.MOVE_READY]: "ready",
  [MoveState.MOVE_UNDER_WAY]: "moving",
};

export function clusterStatus(asked: readonly Asked[]): ClusterStatus {
  const answers = asked.map((a) => a.answer).filter((a) => a !== null);
  const nodes = [...asked.map((a) => nodeView(a, answers)), ...onlyHeard(asked, answers)];
  const numbers = new Set(answers.flatMap((a) => a.shards.map((s) => s.shard)));
  const shards = [...numbers].sort((a, b) => a - b).map((shard) => shardView(shard, answers));
  const moves = answers.flatMap((a) =>
    a.moves.map(({ shard, to, state }): MoveView => ({ shard, from: a.node, to, state: MOVES[state] })),
  );
  return { nodes, shards, moves, problems: problemsOf(nodes, shards) };
}

function nodeView({ name: known, grpc, answer, error }: Asked, answers: readonly GetStatusResponse[]): NodeView {
  const name = answer?.node ?? known;
  const heard = hearsay(name, answers);
  const shards = (part: ShardPart): number[] =>
    (answer?.shards ?? []).filter((s) => s.part === part).map((s) => s.shard);
  return {
    name: name === "" ? grpc : name,
    grpc,
    state: answer === null ? "unreachable" : "answered",
    error,
    role: ROLES[answer?.role ?? heard?.role ?? NodeRole.NODE_ROLE_UNSPECIFIED],
    weight: answer?.weight ?? heard?.weight ?? 0,
    drained: answer?.drained ?? false,
    leaving: heard?.leaving ?? false,
    live: heard?.live ?? answer !== null,
    silent_ms: heard === undefined ? null : Math.round(heard.silentMs),
    ready: answer?.ready ?? false,
    reason: answer?.reason ?? "",
    boot: answer?.boot ?? heard?.boot ?? "",
    owned: shards(ShardPart.PART_OWNER),
    followed: shards(ShardPart.PART_FOLLOWER),
    process: processView(answer),
  };
}

/** What others say of a node: of those that heard it last. */
function hearsay(name: string, answers: readonly GetStatusResponse[]) {
  const heard = answers.filter((a) => a.node !== name).flatMap((a) => a.heard.filter((h) => h.name === name));
  return heard.sort((a, b) => a.silentMs - b.silentMs)[0];
}

/** Nodes that are there by what others say, and that nobody asked. */
function onlyHeard(asked: readonly Asked[], answers: readonly GetStatusResponse[]): NodeView[] {
  const known = new Set(asked.map((a) => a.answer?.node ?? a.name));
  const names = new Set(answers.flatMap((a) => a.heard.filter((h) => h.live && !known.has(h.name)).map((h) => h.name)));
  return [...names].sort().map((name) => {
    const view = nodeView({ name, grpc: "", answer: null, error: "not asked: its address is not known" }, answers);
    const owned = [...new Set(answers.flatMap((a) => a.shards.filter((s) => s.owner === name).map((s) => s.shard)))];
    return { ...view, state: "heard" as const, owned };
  });
}

function processView(answer: GetStatusResponse | null): ProcessView | null {
  const p = answer?.process;
  if (p === undefined) return null;
  return {
    pid: p.pid,
    uptime_s: p.uptimeS,
    resident_bytes: Number(p.residentBytes),
    heap_bytes: Number(p.heapBytes),
    array_buffers_bytes: Number(p.arrayBuffersBytes),
    cpu_s: p.cpuS,
    mailbox_rows: p.mailboxRows,
    mailbox_rows_max: p.mailboxRowsMax,
    gateway_rows: p.gatewayRows,
    ticks_under_way: p.ticksUnderWay,
  };
}

function shardView(shard: number, answers: readonly GetStatusResponse[]): ShardView {
  const told = answers.flatMap((a) => a.shards.filter((s) => s.shard === shard).map((s) => ({ node: a.node, s })));
  const byEpoch = [...told].sort((a, b) => Number(b.s.epoch) - Number(a.s.epoch));
  const own = byEpoch.find(({ s }) => s.part === ShardPart.PART_OWNER);
  // The owner did not answer, and others still hear it.
  const heard = byEpoch.find(({ s }) => s.owner !== "" && !answers.some((a) => a.node === s.owner));
  const of = (part: ShardPart) =>
    told
      .filter(({ s }) => s.part === part)
      .map(({ node, s }) => ({ node, lag_frames: s.lagFrames === undefined ? null : Number(s.lagFrames) }));
  // Of the owner, else of whoever has the state.
  const best = own ?? [...told].sort((a, b) => b.s.part - a.s.part)[0];
  return {
    shard,
    owner: own?.node ?? heard?.s.owner ?? null,
    epoch: Number(byEpoch[0].s.epoch),
    frame: own === undefined ? null : Number(own.s.frame),
    journal: journalView(told.map(({ s }) => s)),
    followers: of(ShardPart.PART_FOLLOWER),
    loading: of(ShardPart.PART_LOADING),
    damaged: told.some(({ s }) => s.damaged),
    users: Number(best.s.users),
    events: Number(best.s.events),
    entities: Number(best.s.entities),
    entity_events: Number(best.s.entityEvents),
    memory_bytes: Object.fromEntries(Object.entries(best.s.memoryBytes).map(([part, n]) => [part, Number(n)])),
    snapshot: snapshotView(told.map(({ s }) => s)),
  };
}

/** Of those that read it the newest. */
function journalView(told: readonly ShardStatus[]): ShardView["journal"] {
  const journals = told.map((s) => s.journal).filter((j) => j !== undefined);
  const [j] = journals.sort((a, b) => Number(b.lastSequence - a.lastSequence));
  if (j === undefined) return null;
  const { firstSequence, lastSequence, sizeBytes } = j;
  return {
    first_sequence: Number(firstSequence),
    last_sequence: Number(lastSequence),
    bytes: Number(sizeBytes),
  };
}

function snapshotView(told: readonly ShardStatus[]): ShardView["snapshot"] {
  const snapshots = told.map((s) => s.snapshot).filter((s) => s !== undefined);
  const [s] = snapshots.sort((a, b) => Number(b.frame - a.frame));
  return s === undefined ? null : { frame: Number(s.frame), bytes: Number(s.sizeBytes), age_s: s.ageS };
}

function problemsOf(nodes: readonly NodeView[], shards: readonly ShardView[]): string[] {
  const problems: string[] = [];
  for (const n of nodes) {
    if (n.state === "unreachable") problems.push(`node ${n.name} does not answer: ${n.error}`);
    if (n.state === "answered" && !n.ready) problems.push(`node ${n.name} is not ready: ${n.reason}`);
  }
  const unasked = nodes.filter((n) => n.state === "heard");
  if (unasked.length > 0)
    problems.push(`${unasked.map((n) => n.name).join(", ")} not asked: what they have is not known`);
  // A drained node follows nothing, as it was told to.
  const able = nodes.filter((n) => n.state === "answered" && n.role !== "gateway" && n.weight > 0 && !n.drained);
  for (const s of shards) {
    if (s.owner === null) problems.push(`shard ${s.shard} has no owner`);
    if (s.damaged) problems.push(`the journal of shard ${s.shard} was found damaged`);
    if (able.length > 1 && unasked.length === 0 && s.followers.length === 0)
      problems.push(`shard ${s.shard} has no follower up to the tail`);
  }
  return problems;
}
