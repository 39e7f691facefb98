/** What `npm run status` prints for people: tables of nodes and shards, moves, and what is not as it should be. */
import type { ClusterStatus, MoveView, NodeView, ShardView } from "./cluster_status.ts";

export function statusReport(status: ClusterStatus): string {
  const parts = [
    table(NODE_COLUMNS, status.nodes.map(nodeCells)),
    table(SHARD_COLUMNS, status.shards.map(shardCells)),
    movesReport(status.moves),
    status.problems.length === 0 ? "all is as it should be" : status.problems.map((p) => `! ${p}`).join("\n"),
  ];
  return `${parts.filter((p) => p !== "").join("\n\n")}\n`;
}

export function movesReport(moves: readonly MoveView[]): string {
  return moves.map((m) => `shard ${m.shard}: ${m.from} -> ${m.to}, ${MOVE_TEXTS[m.state]}`).join("\n");
}

const MOVE_TEXTS: Readonly<Record<MoveView["state"], string>> = {
  waiting: "waits until the new owner has its state",
  ready: "is next",
  moving: "is being released",
};

/** A name that begins with > is aligned to the right. */
const NODE_COLUMNS = [
  "node",
  "state",
  "role",
  ">weight",
  ">owns",
  ">follows",
  ">memory",
  ">processor",
  ">up",
  ">mailbox rows",
  ">gateway rows",
  ">ticks",
  ">pid",
  "address",
];

function nodeCells(n: NodeView): string[] {
  const p = n.process;
  const of = (text: (p: NonNullable<NodeView["process"]>) => string): string => (p === null ? "-" : text(p));
  return [
    n.name,
    nodeState(n),
    n.role,
    String(n.weight),
    n.state === "unreachable" ? "-" : String(n.owned.length),
    n.state === "answered" ? String(n.followed.length) : "-",
    of((v) => bytesText(v.resident_bytes)),
    of((v) => `${v.cpu_s.toFixed(1)} s`),
    of((v) => durationText(v.uptime_s)),
    of((v) => `${v.mailbox_rows} of ${v.mailbox_rows_max}`),
    of((v) => String(v.gateway_rows)),
    of((v) => String(v.ticks_under_way)),
    of((v) => String(v.pid)),
    n.grpc === "" ? "-" : n.grpc,
  ];
}

function nodeState(n: NodeView): string {
  if (n.state === "unreachable") {
    if (n.silent_ms === null) return "unreachable";
    return n.live ? "unreachable, others hear it" : `unreachable, silent for ${durationText(n.silent_ms / 1000)}`;
  }
  if (n.leaving) return "leaving";
  if (n.state === "heard") return "not asked, others hear it";
  if (n.drained) return n.owned.length + n.followed.length === 0 ? "drained" : "draining";
  return n.ready ? "ready" : "not ready";
}

const SHARD_COLUMNS = [
  ">shard",
  "owner",
  ">epoch",
  ">frame",
  ">journal",
  "followers (frames behind)",
  ">users",
  ">events",
  ">entities",
  ">memory",
  "snapshot",
];

function shardCells(s: ShardView): string[] {
  const memory_bytes = Object.values(s.memory_bytes).reduce((sum, n) => sum + n, 0);
  const behind = ({ node, lag_frames }: ShardView["followers"][number]): string => `${node} (${lag_frames ?? "?"})`;
  const loading = s.loading.map((l) => `${behind(l)} loading`);
  const { snapshot } = s;
  return [
    String(s.shard),
    s.damaged ? `${s.owner ?? "none"}, damaged` : (s.owner ?? "none"),
    String(s.epoch),
    s.frame === null ? "?" : String(s.frame),
    s.journal === null ? "?" : bytesText(s.journal.bytes),
    [...s.followers.map(behind), ...loading].join(", ") || "none",
    String(s.users),
    String(s.events),
    String(s.entities),
    bytesText(memory_bytes),
    snapshot === null ? "-" : `frame ${snapshot.frame}, ${durationText(snapshot.age_s)} ago`,
  ];
}

function table(columns: readonly string[], rows: readonly string[][]): string {
  if (rows.length === 0) return "";
  const isRight = columns.map((c) => c.startsWith(">"));
  const all = [columns.map((c) => c.replace(/^>/, "")), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i].length)));
  const pad = (text: string, i: number): string => (isRight[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  return all.map((cells) => cells.map(pad).join("  ").trimEnd()).join("\n");
}

function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function durationText(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}
