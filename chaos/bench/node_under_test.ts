/**
 * The node that is measured: a real one with its own nats-server, started as `npm start -- --no-demo` starts it, and
 * what it says of itself in ready.json and /metrics.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../deploy/node/node_flags.ts";
import { Child } from "./child.ts";
import { Metrics } from "./metrics.ts";

/** What a phase reads of those who are measured. */
export interface UnderTest {
  /** Processes of the nodes. */
  readonly pids: readonly number[];
  readonly nats_pids: readonly number[];
  /** Throws when one has ended. */
  check(): void;
  /** Of all nodes together. */
  metrics(): Promise<Metrics>;
}

export interface NodeOptions {
  readonly root: string;
  readonly data_dir: string;
  readonly shards: number | undefined;
  readonly snapshot_interval_s: number;
  /** More flags of Node itself. */
  readonly node_flags?: readonly string[];
}

interface Ready {
  readonly pid: number;
  readonly nats_pid: number;
  readonly grpc: string;
  readonly rest: string;
  readonly nats: string;
  readonly api_key: string;
}

/** Recovery of a long journal is part of it. */
const READY_S = 300;

export class NodeUnderTest implements UnderTest {
  readonly #child: Child;
  readonly data_dir: string;
  readonly pids: readonly number[];
  readonly nats_pids: readonly number[];
  /** host:port each. */
  readonly grpc: string;
  readonly nats: string;
  readonly api_key: string;
  readonly #rest: string;

  private constructor(child: Child, data_dir: string, ready: Ready) {
    this.#child = child;
    this.data_dir = data_dir;
    this.pids = [ready.pid];
    this.nats_pids = [ready.nats_pid];
    this.grpc = ready.grpc;
    this.nats = ready.nats.replace(/^\w+:\/\//, "");
    this.#rest = ready.rest.replace(/^\w+:\/\//, "");
    this.api_key = ready.api_key;
  }

  static async start(o: NodeOptions): Promise<NodeUnderTest> {
    const ports = ["--grpc-port", "0", "--rest-port", "0", "--nats-port", "0"];
    const child = new Child(
      "the node",
      [
        ...NODE_FLAGS,
        ...(o.node_flags ?? []),
        join(o.root, "deploy/bin/start.ts"),
        "--no-demo",
        ...["--data-dir", o.data_dir],
        ...ports,
        ...["--snapshot-interval-s", String(o.snapshot_interval_s)],
        ...(o.shards === undefined ? [] : ["--shards", String(o.shards)]),
      ],
      { cwd: o.root, env: NODE_ENVIRONMENT },
    );
    const ready = await child.until(() => readReady(join(o.data_dir, "ready.json")), READY_S);
    return new NodeUnderTest(child, o.data_dir, ready);
  }

  /** Throws when the node has ended. */
  check(): void {
    if (this.#child.ended) throw new Error(`the node ended: ${this.#child.tail}`);
  }

  async metrics(): Promise<Metrics> {
    return new Metrics(await scrape(this.#rest, this.api_key));
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}

/** The text of a node's /metrics; `rest` is host:port. */
export async function scrape(rest: string, api_key: string): Promise<string> {
  const answer = await fetch(`http://${rest}/metrics`, { headers: { authorization: `Bearer ${api_key}` } });
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  return answer.text();
}

async function readReady(path: string): Promise<Ready | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Ready);
}
