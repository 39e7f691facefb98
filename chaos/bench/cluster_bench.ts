/**
 * What several nodes cost: the same load on `npm run cluster` with 1, 2, 4... nodes on this machine, and the processor
 * time of a decision. All nodes share the machine's cores, so throughput says little here; time a decision says it all.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { HISTORY_US } from "../load/population.ts";
import { RowSet } from "../load/row_set.ts";
import { Child } from "./child.ts";
import { checkJournals } from "./journal_check.ts";
import { LoadProcess } from "./load_process.ts";
import { commitOf, machineFacts } from "./machine.ts";
import { measurePhase } from "./measured.ts";
import { Metrics } from "./metrics.ts";
import { scrape, type UnderTest } from "./node_under_test.ts";
import type { Plan } from "./plan.ts";

/** The same for every number of nodes, so that only that differs. */
const SHARDS = 8;
const READY_S = 180;

interface ReadyNode {
  readonly pid: number;
  readonly grpc: string;
  readonly rest: string;
}

interface ReadyCluster {
  readonly nats: string;
  readonly nats_pids: readonly number[];
  readonly nats_users?: string;
  readonly nats_ca?: string;
  readonly api_key: string;
  readonly nodes: readonly ReadyNode[];
}

/** `npm run cluster` as a child. */
class ClusterUnderTest implements UnderTest {
  readonly ready: ReadyCluster;
  readonly pids: readonly number[];
  readonly nats_pids: readonly number[];
  readonly #child: Child;

  private constructor(child: Child, ready: ReadyCluster) {
    this.#child = child;
    this.ready = ready;
    this.nats_pids = ready.nats_pids;
    this.pids = ready.nodes.map((n) => n.pid);
  }

  static async start(o: ClusterBenchOptions, data_dir: string, shards: number): Promise<ClusterUnderTest> {
    const { root, nodes, nats } = o;
    const sizes = ["--nodes", String(nodes), "--shards", String(shards), "--nats", String(nats)];
    const options = [...sizes, "--data-dir", data_dir, "--nats-port", "0"];
    const child = new Child("the cluster", [join(root, "deploy/bin/cluster.ts"), ...options], { cwd: root });
    const ready = async () => {
      const text = await readFile(join(data_dir, "ready.json"), "utf8").catch(() => undefined);
      return text === undefined ? undefined : (JSON.parse(text) as ReadyCluster);
    };
    return new ClusterUnderTest(child, await child.until(ready, READY_S));
  }

  check(): void {
    if (this.#child.ended) throw new Error(`the cluster ended: ${this.#child.tail}`);
  }

  async metrics(): Promise<Metrics> {
    const { nodes, api_key } = this.ready;
    const texts = await Promise.all(nodes.map((n) => scrape(n.rest.replace(/^\w+:\/\//, ""), api_key)));
    return new Metrics(texts.join("\n"));
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}

export interface ClusterBenchOptions {
  readonly root: string;
  readonly work_dir: string;
  readonly nodes: number;
  /** nats-servers: 1, or 3 that keep each journal three times and speak TLS. */
  readonly nats: number;
  readonly shards: number | undefined;
  readonly offered_per_s: number;
  readonly plan: Plan;
  readonly seed: number;
  readonly currency: string;
  readonly say: (line: string) => void;
}

/** Runs it; the result is what `--json` writes. */
export async function benchCluster(o: ClusterBenchOptions) {
  const { plan, work_dir, say } = o;
  const shards = o.shards ?? SHARDS;
  const data_dir = join(work_dir, "cluster");
  const cluster = await ClusterUnderTest.start(o, data_dir, shards);
  const load = new LoadProcess(o.root);
  try {
    const { ready } = cluster;
    const id_prefix = randomUUID().slice(0, 24);
    const limit_us = Date.now() * 1000;
    const sent = o.offered_per_s * (plan.warm_up_s + plan.latency_s + 1);
    await load.open({
      grpc: ready.nodes.map((n) => n.grpc).join(","),
      api_key: ready.api_key,
      streams: 4,
      users: plan.users,
      merchants: plan.merchants,
      seed: o.seed,
      id_prefix,
      currency: o.currency,
      event_step_us: plan.event_step_us,
      event_start_us: limit_us - sent * plan.event_step_us - HISTORY_US,
      event_limit_us: limit_us,
    });
    const history = await load.history();
    say(`history: ${history.payments} payments in ${history.seconds} s on ${o.nodes} nodes with ${shards} shards`);
    await load.phase({ name: "warm-up", rate: o.offered_per_s, seconds: plan.warm_up_s });
    const phase = { name: "cluster", rate: o.offered_per_s, seconds: plan.latency_s };
    const measured = await measurePhase(cluster, load, phase);
    const { node, nats, load: generator } = measured.cpu_us_by_process;
    say(`cpu us a decision: nodes ${node}, nats ${nats}, load ${generator}; ms ${JSON.stringify(measured.latency_ms)}`);
    const saved = await load.save(work_dir);
    const journals = await checkJournals({
      data_dir,
      nats: ready,
      id_prefix,
      count: saved.count,
      acknowledged: RowSet.read(join(work_dir, "acknowledged.bin")),
      unknown: RowSet.read(join(work_dir, "unknown.bin")),
      progress: () => {},
    });
    return {
      nodes: o.nodes,
      nats_servers: o.nats,
      shards,
      users: plan.users,
      cpu_us_per_decision: node + nats + generator,
      ...measured,
      journals,
      commit: commitOf(o.root),
      machine: machineFacts(),
    };
  } finally {
    await load.stop();
    await cluster.stop();
  }
}
