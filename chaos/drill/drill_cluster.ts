/**
 * What a drill is done to: a real nats-server, nodes over its journals, each with a network of its own, and clients
 * under open-loop load. Two nodes compete for one shard (one serves, the other follows), or several share six shards.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { FEATURES_VERSION, FraudDecider, MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import { FraudActors, LATE_TOLERANCE_US } from "../../actors/decision/shard_actors.ts";
import { FEATURE_COUNT, USER_AT, WINDOW_COLUMNS, WINDOWS_US } from "../../actors/features/registry.ts";
import { compileRuleSet } from "../../actors/rules/compile.ts";
import { servedShards } from "../../deploy/e2e/testkit/node_log.ts";
import { until } from "../../deploy/e2e/testkit/until.ts";
import { type NatsEngine, startNats } from "../../deploy/engines/nats.ts";
import { credentialsFile, natsInbox } from "../../deploy/engines/nats_users.ts";
import { keepAdminKey } from "../../deploy/node/admin_key.ts";
import { DEFAULT_RULES } from "../../deploy/node/fraud_node.ts";
import { createTenantKey, openIdentity } from "../../gateway/identity/identity.ts";
import { FLAG_LATE, ROW_PAYMENT } from "../../proto/columns.ts";
import { rank } from "../../runtime/cluster/placement.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import { connectNats, type NatsLink } from "../../runtime/nats/connection.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { NatsCluster } from "../../runtime/testkit/nats_cluster.ts";
import { keyText } from "../oracle/journal_row.ts";
import { DrillLoad } from "./drill_load.ts";
import { DrillNode } from "./drill_node.ts";
import type { Case, Verdict, WindowsLine } from "./judge.ts";
import { NetworkProxy } from "./network_proxy.ts";

const JUDGE = new URL("./judge.ts", import.meta.url).pathname;
const READY_MS = 60_000;
const BEFORE_MS = 3000;
const AFTER_MS = 5000;
const LATE_EVENTS_MAX = 16_384;
const SHARED_SHARDS = 6;
/** Tries of a journal that cannot be read before the replay gives up. */
const PAUSES_MAX = 8;

export interface ClusterOptions {
  readonly payments_per_s: number;
  readonly users: number;
  readonly hot: number;
  /** Payments of a client's call; default 8. */
  readonly batch?: number;
  /** Nodes that share the shards out; 0: two compete for one. */
  readonly sharing: number;
  /** nats-servers: 1 (default), or 3 with replicated journals, TLS and users. */
  readonly nats?: 1 | 3;
  /** More arguments of nodes that share. */
  readonly args?: readonly string[];
}

export class DrillCluster {
  readonly dir: string;
  readonly nodes: DrillNode[] = [];
  readonly proxies: NetworkProxy[] = [];
  readonly load: DrillLoad;
  readonly shards: number;
  readonly api_key: string;
  /** Null: there is one server. */
  readonly replicated: NatsCluster | null;
  #nats: NatsEngine | null;

  private constructor(dir: string, nats: NatsEngine | NatsCluster, o: ClusterOptions, api_key: string) {
    this.dir = dir;
    this.api_key = api_key;
    this.replicated = nats instanceof NatsCluster ? nats : null;
    this.#nats = nats instanceof NatsCluster ? null : nats;
    this.shards = o.sharing > 0 ? SHARED_SHARDS : 1;
    // Clients know the nodes that run.
    const endpoints = (): string[] => this.nodes.filter((n) => n.running).map((n) => n.endpoint);
    this.load = new DrillLoad({ endpoints, api_key, ...o });
  }

  static async start(o: ClusterOptions): Promise<DrillCluster> {
    const dir = await mkdtemp(join(tmpdir(), "fraudguard-drill-"));
    const nats = o.nats === 3 ? await NatsCluster.launch() : await startNats({ data_dir: join(dir, "nats"), port: 0 });
    const tenants_path = join(dir, "tenants.json");
    const { key } = createTenantKey(tenants_path, { id: "drill", stand_in: "REVIEW", deadline_ms: 1000 });
    openIdentity({ tenants_path, secrets_path: join(dir, "secrets.json") });
    keepAdminKey(dir);
    const cluster = new DrillCluster(dir, nats, o, key);
    if (o.sharing === 0) await cluster.#startRivals();
    else await cluster.#startSharing(o.sharing, o.args ?? []);
    return cluster;
  }

  /** The first node serves, the second follows. */
  async #startRivals(): Promise<void> {
    const [a, b] = [await this.add(), await this.add()];
    a.start();
    await this.serves(a, 1);
    b.start();
    await this.follows(b, 1);
  }

  async #startSharing(nodes: number, args: readonly string[]): Promise<void> {
    for (let i = 0; i < nodes; i++) (await this.add(["--cluster", ...args])).start();
    await this.spread();
  }

  /** The only server. */
  get nats(): NatsEngine {
    if (this.#nats === null) throw new Error("there are several nats-servers");
    return this.#nats;
  }

  /** A connection that may read the journals. */
  async journalsLink(): Promise<NatsLink> {
    if (this.replicated !== null) return this.replicated.connect("maintenance");
    return connectNats({ servers: this.nats.url.replace("nats://", "") });
  }

  /** Arguments of a new node: by a proxy of its own to the only server, or directly to all. */
  async #natsArgs(): Promise<string[]> {
    const { replicated } = this;
    if (replicated === null) {
      const proxy = await NetworkProxy.start(() => this.nats.port);
      this.proxies.push(proxy);
      return ["--nats-url", `nats://127.0.0.1:${proxy.port}`];
    }
    const login = ["--nats-credentials", credentialsFile(replicated.users_dir, "node")];
    const url = ["--nats-url", replicated.servers.map((server) => `nats://${server}`).join()];
    return [...url, ...login, "--nats-tls-ca", replicated.ca_file, "--nats-replicas", "3"];
  }

  /** One more node, not yet started. */
  async add(more: readonly string[] = []): Promise<DrillNode> {
    const name = `node-${String.fromCharCode(97 + this.nodes.length)}`;
    const shared = ["--config-dir", this.dir, "--shards", String(this.shards), "--node", name];
    const args = [...(await this.#natsArgs()), ...shared];
    const node = await DrillNode.make(name, join(this.dir, name), [...args, ...more]);
    this.nodes.push(node);
    return node;
  }

  /** Shards that a node serves now, by its log. */
  async served(node: DrillNode): Promise<ReadonlySet<number>> {
    return node.running ? servedShards(await node.log()) : new Set();
  }

  /** Waits until the running nodes together serve all shards. */
  async covered(): Promise<void> {
    const isCovered = async (): Promise<boolean> => {
      const served = await Promise.all(this.nodes.map((n) => this.served(n)));
      return served.reduce((sum, s) => sum + s.size, 0) === this.shards;
    };
    await until("every shard is served", isCovered, READY_MS, () => this.nodes[0].words());
  }

  /** Waits until each shard is served by the running node that should own it. */
  async spread(): Promise<void> {
    const isSpread = async (): Promise<boolean> => {
      const running = this.nodes.filter((n) => n.running);
      const weighted = running.map(({ name }) => ({ name, weight: 100 }));
      const served = await Promise.all(running.map((n) => this.served(n)));
      const isAtHome = (shard: number): boolean => {
        const [first] = rank(shard, weighted);
        return served[running.findIndex((n) => n.name === first)]?.has(shard) === true;
      };
      return Array.from({ length: this.shards }, (_, shard) => shard).every(isAtHome);
    };
    await until("the shards are spread", isSpread, READY_MS, () => this.nodes[0].words());
  }

  /** Waits until the node has begun to serve so many times in its life. */
  async serves(node: DrillNode, times: number): Promise<void> {
    const has = async () => (await node.logged("shard_serving")).length >= times;
    await until(`${node.name} serves`, has, READY_MS, () => node.words());
  }

  /** Waits until the node has loaded its state so many times in its life. */
  async follows(node: DrillNode, times: number): Promise<void> {
    const has = async () => (await node.logged("shard_loaded")).length >= times;
    await until(`${node.name} follows`, has, READY_MS, () => node.words());
  }

  /** How often the nodes' logs say something, in all. */
  async countLogged(msg: string): Promise<number> {
    const lines = await Promise.all(this.nodes.map((n) => n.logged(msg)));
    return lines.flat().length;
  }

  /** kill -9 of nats-server. */
  async killNats(): Promise<void> {
    process.kill(this.nats.pid, "SIGKILL");
    await this.nats.exited;
  }

  async startNats(): Promise<void> {
    this.#nats = await startNats({ data_dir: join(this.dir, "nats"), port: this.nats.port });
  }

  /** File of the first journal's newest messages. */
  get journalFile(): string {
    return join(this.dir, "nats", "store", "jetstream", "$G", "streams", "FG_J0", "msgs", "1.blk");
  }

  /** Payments come before, during and behind what is done, and all have their decisions in the end. */
  async underLoad(during: () => Promise<void>): Promise<void> {
    this.load.start();
    await delay(BEFORE_MS);
    await during();
    await delay(AFTER_MS);
    await this.settle();
  }

  /** Waits until every payment has its decision. */
  async settle(): Promise<void> {
    this.load.stop();
    const words = async () =>
      `${this.load.decided} of ${this.load.payments.length} decided\n${await this.nodes[0].words()}`;
    await until("every payment is decided", () => this.load.settled, READY_MS, words);
    await this.load.askAgain();
  }

  #natsOfJudge(): Pick<Case, "nats" | "login"> {
    const { replicated } = this;
    if (replicated === null) return { nats: [this.nats.url.replace("nats://", "")] };
    const pass = replicated.password("maintenance");
    const login = { user: "maintenance", pass, inboxPrefix: natsInbox("maintenance"), tls: { ca: replicated.ca } };
    return { nats: replicated.servers, login };
  }

  /** What the judge says, and what stopped the replay that tells it the windows, if anything did. */
  async judge(): Promise<{ verdict: Verdict; broken: string[] }> {
    const windows_file = join(this.dir, "windows.jsonl");
    const broken = await this.#writeWindows(windows_file).then(
      () => [],
      (error: Error) => [`replay stops: ${error.message}`],
    );
    const secrets = JSON.parse(await readFile(join(this.dir, "secrets.json"), "utf8")) as {
      secrets: Record<string, { seal_key: string }>;
    };
    const order: Case = {
      ...this.#natsOfJudge(),
      shards: this.shards,
      shape: MATRIX_SHAPE,
      tenants: [{ id: "drill", seal_key: secrets.secrets["drill"].seal_key }],
      acknowledged: this.load.payments
        .filter((p) => p.decided_ms !== null)
        .map((p) => ({ id: String(p.payment.transactionId), outcome: p.outcome, score: p.score })),
      windows_file,
      windows_us: WINDOWS_US,
      late_tolerance_us: LATE_TOLERANCE_US,
      late_events_max: LATE_EVENTS_MAX,
    };
    const file = join(this.dir, "case.json");
    await writeFile(file, JSON.stringify(order));
    const { stdout } = await promisify(execFile)(process.execPath, [JUDGE, file]);
    return { verdict: JSON.parse(stdout) as Verdict, broken };
  }

  /**
   * The windows of every decision, by replay. Each frame's whole feature matrix must have the checksum that the frame
   * recorded when it was decided, so these are the windows that were decided with.
   */
  async #writeWindows(path: string): Promise<void> {
    const out = createWriteStream(path);
    const link = await this.journalsLink();
    const store = new JetStreamJournalStore(link);
    try {
      const ruleSet = compileRuleSet(JSON.parse(await readFile(DEFAULT_RULES, "utf8")));
      const decider = new FraudDecider(null, ruleSet, new Policy(ruleSet), new TestCards(1), () => {});
      for (let id = 0; id < this.shards; id++) {
        const actors = new FraudActors({ late_tolerance_us: LATE_TOLERANCE_US, events_max: 64e6 });
        const shard = new Shard(id, this.shards, await store.open(id), actors);
        const folder = new FrameFolder(shard, this.shards, decider, FEATURES_VERSION, () => 0);
        folder.onFolded = (b, matrix) => {
          for (let r = 0; r < b.n; r++) {
            if (b.kind[r] !== ROW_PAYMENT || (b.flags[r] & FLAG_LATE) !== 0) continue;
            const at = r * FEATURE_COUNT + USER_AT;
            const line: WindowsLine = {
              user: keyText(b.user.hi[r], b.user.lo[r]),
              id: keyText(b.id.hi[r], b.id.lo[r]),
              columns: Array.from(matrix.subarray(at, at + WINDOW_COLUMNS), (v) => (Number.isNaN(v) ? null : v)),
            };
            out.write(`${JSON.stringify(line)}\n`);
          }
        };
        let pauses = 0;
        const sleep = async (ms: number): Promise<void> => {
          if (++pauses > PAUSES_MAX) throw new Error("the journal cannot be read to its end");
          await delay(ms);
        };
        await replay(shard.journal, JOURNAL_START, (header, bytes) => folder.fold(header, bytes), sleep);
      }
    } finally {
      store.close();
      await link.close();
      out.end();
      await once(out, "finish");
    }
  }

  async close(): Promise<void> {
    this.load.close();
    for (const node of this.nodes) await node.end("SIGKILL");
    for (const proxy of this.proxies) proxy.close();
    await this.#nats?.stop();
    await this.replicated?.dispose();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
