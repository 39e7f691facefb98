/**
 * Several nodes as their users run them: deploy/bin/cluster.ts in a process of its own over a scratch data folder. A
 * single node can be ended by any signal, and started again by the arguments that the command gave it.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTenantKey } from "../../../gateway/identity/identity.ts";
import { rank } from "../../../runtime/cluster/placement.ts";
import type { ReadyNats } from "../../commands/local_nats.ts";
import { type NodeProcess, startNodeProcess } from "../../commands/node_process.ts";
import { identify, isAlive, type ProcessIdentity, readLock } from "../../engines/lock.ts";
import { CommandProcess } from "./command_process.ts";
import { nodeLog, nodeLogText, servedShards } from "./node_log.ts";
import { makeTenants, type TestKeys } from "./node_process.ts";
import { until } from "./until.ts";

export const CLUSTER_COMMAND = new URL("../../bin/cluster.ts", import.meta.url).pathname;
export const NODES = ["node-1", "node-2", "node-3"] as const;
export const SHARDS = 6;
/** Of every node of the command. */
const WEIGHT = 100;
const READY_MS = 60_000;
const SETTLED_MS = 20_000;
const END_MS = 30_000;
/** Characters shown of each log. */
const SAID_MAX = 3000;

export type NodeName = (typeof NODES)[number];

export interface ClusterNode {
  readonly name: string;
  readonly pid: number;
  readonly grpc: string;
  readonly rest: string;
}

/** What the command's ready.json says. */
export interface ReadyCluster extends ReadyNats {
  /** Of the demo tenant. */
  readonly api_key: string;
  readonly nodes: readonly ClusterNode[];
}

/** The tenants of every test folder, and one that waits 5,000 ms for a decision before its stand-in REVIEW. */
export interface ClusterKeys extends TestKeys {
  readonly patient: string;
}

export class ClusterProcess {
  readonly data_dir: string;
  readonly keys: ClusterKeys;
  readonly #nodes = new Map<string, ClusterNode & { readonly process: ProcessIdentity }>();
  /** Those that were started again: not the command's any more. */
  readonly #restarted = new Map<string, NodeProcess>();
  #process: CommandProcess | null = null;
  #ready: ReadyCluster | null = null;

  private constructor(data_dir: string, keys: ClusterKeys) {
    this.data_dir = data_dir;
    this.keys = keys;
  }

  /** A started cluster over a new folder. */
  static async launch(): Promise<ClusterProcess> {
    const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-cluster-"));
    const keys = makeTenants(data_dir);
    const patient = createTenantKey(join(data_dir, "tenants.json"), { id: "patient", deadline_ms: 5000 });
    const cluster = new ClusterProcess(data_dir, { ...keys, patient: patient.key });
    await cluster.start();
    return cluster;
  }

  get ready(): ReadyCluster {
    if (this.#ready === null) throw new Error("the cluster is not started");
    return this.#ready;
  }

  get running(): boolean {
    return this.#process?.running === true;
  }

  /** The arguments of the command; `shards` other than the folder's to be refused. */
  args(shards = SHARDS): string[] {
    const counts = ["--nodes", String(NODES.length), "--shards", String(shards)];
    return [...counts, "--data-dir", this.data_dir, "--nats-port", "0"];
  }

  /** Starts the command (again) and waits for its ready.json. */
  async start(): Promise<void> {
    if (this.running) throw new Error("the cluster runs already");
    const started = new CommandProcess("the cluster", [CLUSTER_COMMAND, ...this.args()], () => this.words());
    this.#process = started;
    // The file may be one that a killed command left behind.
    const isReady = async () => {
      this.#ready = await this.readReady();
      return this.#ready?.nodes.every(({ pid }) => started.said.includes(`pid ${pid}\n`)) === true;
    };
    await started.ready(isReady, READY_MS);
    for (const node of this.ready.nodes) this.#took(node);
  }

  /** ready.json as it is now; null when there is none. */
  async readReady(): Promise<ReadyCluster | null> {
    return readFile(join(this.data_dir, "ready.json"), "utf8").then(
      (text) => JSON.parse(text) as ReadyCluster,
      () => null,
    );
  }

  #took(node: ClusterNode): void {
    const process = identify(node.pid);
    if (process === undefined) throw new Error(`${node.name} ended before it was looked at`);
    this.#nodes.set(node.name, { ...node, process });
  }

  node(name: NodeName): ClusterNode {
    return this.#known(name);
  }

  #known(name: NodeName) {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`${name} was never started`);
    return node;
  }

  isRunning(name: NodeName): boolean {
    return isAlive(this.#known(name).process);
  }

  /** Signals one node and waits until its process is gone. */
  async end(name: NodeName, signal: NodeJS.Signals): Promise<void> {
    process.kill(this.#known(name).pid, signal);
    await until(
      `${name} has ended by ${signal}`,
      () => !this.isRunning(name),
      END_MS,
      () => this.words(),
    );
  }

  /** Starts a node that ended again, by the same arguments and `more`, and waits until it serves. */
  async startNode(name: NodeName, more: readonly string[] = []): Promise<void> {
    const data_dir = join(this.data_dir, name);
    const isFree = async () => (await readLock(join(data_dir, "node", "engine.lock"))) === undefined;
    await until(`nobody holds the folder of ${name}`, isFree, END_MS, () => this.words());
    const nats = ["--nats-url", this.ready.nats, "--nats-credentials", join(this.ready.nats_users, "node.json")];
    const own = ["--node", name, ...more];
    const args = ["--cluster", ...nats, "--config-dir", this.data_dir, "--shards", String(SHARDS), ...own];
    const started = await startNodeProcess({ data_dir, args });
    this.#restarted.set(name, started);
    this.#took({ name, pid: started.pid, grpc: started.grpc, rest: started.rest });
  }

  /** A node's log, one object a line, over all its starts. */
  log(name: NodeName): Promise<Record<string, unknown>[]> {
    return nodeLog(join(this.data_dir, name));
  }

  /** Shards that a node serves now, by its log. */
  async served(name: NodeName): Promise<number[]> {
    if (!this.isRunning(name)) return [];
    return [...servedShards(await this.log(name))].sort();
  }

  /** Waits until every shard is served. */
  async covered(limit_ms: number): Promise<void> {
    const isCovered = async () => {
      const served = await Promise.all(NODES.map((name) => this.served(name)));
      return new Set(served.flat()).size === SHARDS;
    };
    await until("every shard is served", isCovered, limit_ms, () => this.words());
  }

  /** Waits until every shard is served by the node that should own it, of those that run. */
  async settled(): Promise<void> {
    const isSettled = async () => {
      const served = await Promise.all(NODES.map((name) => this.served(name)));
      return NODES.every((name, i) => served[i].join() === this.#shouldOwn(name).join());
    };
    await until("every shard is where it should be", isSettled, SETTLED_MS, () => this.words());
  }

  #shouldOwn(name: NodeName): number[] {
    const there = NODES.filter((n) => this.isRunning(n)).map((n) => ({ name: n, weight: WEIGHT }));
    return Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => rank(shard, there)[0] === name);
  }

  /** The command's processes that live: itself, its nats-server, all nodes. To be asked again for after their end. */
  async processes(): Promise<ProcessIdentity[]> {
    const command = this.#process?.pid === undefined ? undefined : identify(this.#process.pid);
    const nats = (await readLock(join(this.data_dir, "nats", "engine.lock")))?.engine;
    const nodes = [...this.#nodes.values()].map((n) => n.process);
    return [command, nats, ...nodes].filter((p) => p !== undefined && isAlive(p)) as ProcessIdentity[];
  }

  /** Signals the command and waits until it is gone. Resolves with its exit code, null when the signal ended it. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const running = this.#process;
    if (running === null || !this.running) throw new Error("the cluster does not run");
    await running.end(signal);
    return running.exitCode;
  }

  /** Ends everything for good and removes the folder. */
  async dispose(): Promise<void> {
    for (const node of this.#restarted.values()) await node.stop();
    if (this.running) await this.stop().catch(() => this.stop("SIGKILL"));
    await rm(this.data_dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  /** What was said last: for the message of a failed wait. */
  async words(): Promise<string> {
    const logs = NODES.map(async (name) => {
      const text = await nodeLogText(join(this.data_dir, name));
      return `${name}: ${text.slice(-SAID_MAX)}`;
    });
    return [`printed: ${this.#process?.said ?? ""}`, ...(await Promise.all(logs))].join("\n");
  }
}
