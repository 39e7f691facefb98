/** Metrics of what a node of several does with the others, read when they are scraped. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Cluster, ClusterCounts } from "../../runtime/cluster/cluster.ts";
import type { RuntimeNode } from "../../runtime/node.ts";

const COUNTERS: readonly [keyof ClusterCounts, string, string][] = [
  ["frames_damaged", "cluster_frames_damaged", "Frames of other nodes that could not be read (frames)"],
  ["announcements_refused", "cluster_announcements_refused", "Announcements of nodes beyond the limit (announcements)"],
  ["rows_asked_again", "gateway_rows_asked_again", "Rows asked for again because no answer came (rows)"],
  ["rows_refused", "gateway_rows_refused", "Rows that were refused by a node that does not own them (rows)"],
  ["answers_late", "gateway_answers_late", "Answers of owners that nobody waited for any more (answers)"],
  ["rows_shed", "gateway_rows_shed", "Rows refused because too many waited for owners (rows)"],
  ["rows_not_owned", "owner_rows_not_owned", "Rows of gateways for shards that are served elsewhere (rows)"],
  ["requests_refused", "owner_requests_refused", "Requests of gateways refused for want of room (requests)"],
  ["requests_repeated", "owner_requests_repeated", "Requests of gateways that came twice (requests)"],
  ["entity_rows_asked", "entity_rows_asked", "Rows whose entities were asked of other nodes (rows)"],
  ["entity_rows_missed", "entity_rows_missed", "Rows whose entities nobody answered in time (rows)"],
];

/** Nothing for a node that is alone. */
export function registerClusterMetrics(registry: Registry, node: RuntimeNode): void {
  const { cluster } = node;
  if (cluster === null) return;
  const registers = [registry];
  for (const [field, name, help] of COUNTERS) counter(registers, name, help, () => cluster.counts()[field]);
  counter(registers, "hand_overs", "Shards given to other nodes as planned (shards)", () => node.handOvers);
  counter(
    registers,
    "hand_overs_failed",
    "Hand-overs that did not end as planned (shards)",
    () => node.handOversFailed,
  );
  registerGauges(registers, node, cluster);
}

function registerGauges(registers: Registry[], node: RuntimeNode, cluster: Cluster): void {
  const rows = "Rows of callers that wait for their owners' answers (rows)";
  gauge(registers, "gateway_rows_waiting", rows, () => cluster.router.depth);
  const requests = "Requests of gateways without an answer yet (requests)";
  gauge(registers, "owner_requests_under_way", requests, () => cluster.requestsUnderWay);
  const live = "Nodes heard within 2 s, this one included (nodes)";
  gauge(registers, "cluster_nodes_live", live, () => cluster.membership.known().filter((n) => n.live).length);
  const owned = "Shards this node decides for (shards)";
  gauge(registers, "shards_owned", owned, () => node.shards.filter((s) => s.serving).length);
  gauge(registers, "shards_to_move", "Shards of this node that another should own (shards)", () => node.moves().length);
  const lags = new Gauge({
    name: "fraudguard_follower_lag_frames",
    help: "Frames of the journal that a followed shard's state does not have yet (frames)",
    labelNames: ["shard"],
    registers,
    async collect() {
      const now = await node.followerLags();
      lags.reset();
      for (const { shard, frames } of now) lags.set({ shard }, frames);
    },
  });
}

function counter(registers: Registry[], name: string, help: string, value: () => number): void {
  const metric = new Counter({
    name: `fraudguard_${name}_total`,
    help,
    registers,
    collect() {
      metric.reset();
      metric.inc(value());
    },
  });
}

function gauge(registers: Registry[], name: string, help: string, value: () => number): void {
  const metric = new Gauge({
    name: `fraudguard_${name}`,
    help,
    registers,
    collect() {
      metric.set(value());
    },
  });
}
