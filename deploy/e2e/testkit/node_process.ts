/**
 * A real node as its users run it: deploy/bin/start.ts in a process of its own over a scratch data folder, with the
 * nats-server that it starts. It can be killed with -9 and started again on the same folder.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTenantKey } from "../../../gateway/identity/identity.ts";
import { NODE_FLAGS } from "../../node/node_flags.ts";
import { CommandProcess } from "./command_process.ts";
import { nodeLog, nodeLogText } from "./node_log.ts";

const START = new URL("../../bin/start.ts", import.meta.url).pathname;
const READY_MS = 60_000;
/** Characters shown of its log. */
const SAID_MAX = 4000;

/** What ready.json says. */
export interface Ready {
  readonly pid: number;
  readonly nats_pid: number;
  readonly grpc: string;
  readonly rest: string;
  readonly nats: string;
  /** Folder of the logins at its own nats-server; absent when it uses another one. */
  readonly nats_users?: string;
  readonly api_key: string;
}

export interface NodeProcessOptions {
  readonly shards?: number;
  readonly snapshot_interval_s?: number;
  /** More arguments of start.ts. */
  readonly args?: readonly string[];
}

/** Tenants of every test folder; their keys stay good over restarts (the demo tenant's do not). */
export interface TestKeys {
  /** Test cards on, stand-in REVIEW after 1,500 ms. */
  readonly acme: string;
  /** No test cards, no stand-in: UNAVAILABLE after 1,500 ms. */
  readonly strict: string;
  /** Base currency VND: the largest payments in USD are more than an amount column holds. */
  readonly dong: string;
}

export class NodeProcess {
  readonly data_dir: string;
  readonly keys: TestKeys;
  readonly #options: NodeProcessOptions;
  #process: CommandProcess | null = null;
  #ready: Ready | null = null;

  private constructor(data_dir: string, keys: TestKeys, options: NodeProcessOptions) {
    this.data_dir = data_dir;
    this.keys = keys;
    this.#options = options;
  }

  /** A started node over a new folder. */
  static async launch(options: NodeProcessOptions = {}): Promise<NodeProcess> {
    const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-"));
    const node = new NodeProcess(data_dir, makeTenants(data_dir), options);
    await node.start();
    return node;
  }

  get ready(): Ready {
    if (this.#ready === null) throw new Error("the node is not started");
    return this.#ready;
  }

  get grpcPort(): number {
    return Number(this.ready.grpc.split(":")[1]);
  }

  get running(): boolean {
    return this.#process?.running === true;
  }

  /** Starts it (again) and waits for its ready.json. */
  async start(over: NodeProcessOptions = {}): Promise<void> {
    if (this.running) throw new Error("the node runs already");
    const o = { ...this.#options, ...over };
    const ports = ["--grpc-port", "0", "--rest-port", "0", "--nats-port", "0"];
    const rest = ["--shards", String(o.shards ?? 1), "--snapshot-interval-s", String(o.snapshot_interval_s ?? 0)];
    const args = [...NODE_FLAGS, START, "--no-demo", "--data-dir", this.data_dir, ...ports, ...rest];
    await rm(this.#readyFile, { force: true });
    const started = new CommandProcess("the node", [...args, ...(o.args ?? [])], () => this.words());
    this.#process = started;
    const isReady = async () => {
      this.#ready = await this.readReady();
      return this.#ready !== null;
    };
    await started.ready(isReady, READY_MS);
  }

  /** ready.json as it is now; null when there is none. */
  async readReady(): Promise<Ready | null> {
    return readFile(this.#readyFile, "utf8").then(
      (text) => JSON.parse(text) as Ready,
      () => null,
    );
  }

  get #readyFile(): string {
    return join(this.data_dir, "ready.json");
  }

  /** kill -9, and waits until the process is gone. Its nats-server follows by itself. */
  async kill(): Promise<void> {
    await this.#process?.end("SIGKILL");
  }

  /** SIGTERM: the planned end. Resolves with the exit code. */
  async stop(): Promise<number> {
    await this.#process?.end("SIGTERM");
    return this.#process?.exitCode ?? -1;
  }

  /** Resolves with the exit code when the process ends by itself. */
  async ended(limit_ms?: number): Promise<number> {
    await this.#process?.ended(limit_ms);
    return this.#process?.exitCode ?? -1;
  }

  /** Ends it for good and removes its folder. */
  async dispose(): Promise<void> {
    if (this.running) await this.stop().catch(() => this.kill());
    await rm(this.data_dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  /** Its log, one object a line. */
  async log(): Promise<Record<string, unknown>[]> {
    return nodeLog(this.data_dir);
  }

  /** What it said last: for the message of a failed wait. */
  async words(): Promise<string> {
    const log = await nodeLogText(this.data_dir);
    return `printed: ${this.#process?.said ?? ""}\nlog: ${log.slice(-SAID_MAX)}`;
  }
}

/** Writes the tenants file of a new folder. */
export function makeTenants(data_dir: string): TestKeys {
  const path = join(data_dir, "tenants.json");
  const common = { deadline_ms: 1500 };
  const attributes = [
    { name: "basket_items", type: "number", slot: 0 },
    { name: "note", type: "string", slot: -1 },
    // Together more text than a frame holds, in one batch.
    ...Array.from({ length: 8 }, (_, i) => ({ name: `text_${i}`, type: "string", slot: -1 }) as const),
  ] as const;
  const acme = createTenantKey(path, { ...common, id: "acme", stand_in: "REVIEW", magic_cards: true, attributes });
  const strict = createTenantKey(path, { ...common, id: "strict", stand_in: "NONE" });
  const dong = createTenantKey(path, { ...common, id: "dong", base_currency: "VND" });
  return { acme: acme.key, strict: strict.key, dong: dong.key };
}
