/**
 * `npm run cluster`: several nodes on this machine that share the shards out, and the nats-server under them. It ends
 * them all with itself.
 */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createDemoTenant, openIdentity } from "../../gateway/identity/identity.ts";
import { KeptNats } from "../engines/kept_nats.ts";
import { clusterKey } from "../node/cluster_key.ts";
import { type NodeProcess, startNodeProcess } from "./node_process.ts";

const HELP = `npm run cluster -- [options]     several nodes on this machine

  --nodes N                 nodes (default 3, at most 16)
  --shards N                1..64, fixed when the folder is new (default: two a node)
  --data-dir DIR            everything that is kept (default: data/cluster)
  --nats-port N             default 4222; a free port when taken, 0 for any
  --help                    this text

When every shard has its owner it writes ready.json into the folder: {pid, nats, nats_pid, api_key,
nodes: [{name, pid, grpc, rest}]}.
Any node takes payments of all users. Kill one, and the others own its shards within seconds.
Ends with Ctrl-C (or SIGTERM). Exit codes: 0 ended on request, 1 it could not start, 2 wrong arguments.`;

interface Arguments {
  readonly nodes: number;
  readonly shards: number;
  readonly data_dir: string;
  readonly nats_port: number;
}

const NODES_MAX = 16;
const SHARDS_MAX = 64;

function whole(name: string, text: string, min: number, max: number): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < min || n > max) throw new RangeError(`--${name} takes ${min} to ${max}, not ${text}`);
  return n;
}

/** Null: help was asked for. Throws with a message for the user. */
function readArguments(argv: readonly string[]): Arguments | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      nodes: { type: "string", default: "3" },
      shards: { type: "string" },
      "data-dir": { type: "string", default: "data/cluster" },
      "nats-port": { type: "string", default: "4222" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const nodes = whole("nodes", values.nodes, 1, NODES_MAX);
  return {
    nodes,
    shards: whole("shards", values.shards ?? String(2 * nodes), 1, SHARDS_MAX),
    data_dir: resolve(values["data-dir"]),
    nats_port: whole("nats-port", values["nats-port"], 0, 65_535),
  };
}

/** What runs, to be ended in the opposite order. */
class LocalCluster {
  readonly #a: Arguments;
  readonly nodes: { name: string; process: NodeProcess }[] = [];
  #nats: KeptNats | null = null;
  #ending = false;
  api_key = "";

  constructor(a: Arguments) {
    this.#a = a;
  }

  get ready_file(): string {
    return join(this.#a.data_dir, "ready.json");
  }

  async start(say: (line: string) => void): Promise<void> {
    const { data_dir, nats_port, nodes, shards } = this.#a;
    await mkdir(data_dir, { recursive: true });
    say("starting nats-server ...");
    // From here on the folder is this command's: until then ready.json may be that of a cluster that runs.
    this.#nats = await KeptNats.start({
      data_dir: join(data_dir, "nats"),
      port: nats_port,
      progress: say,
      onDown: (message) => say(`${message}: decisions wait until it is back`),
      onUp: ({ pid }) => say(`nats-server started again, pid ${pid}`),
    });
    await rm(this.ready_file, { force: true });
    const tenants_path = join(data_dir, "tenants.json");
    this.api_key = createDemoTenant(tenants_path).key;
    // Made once, before nodes would make it at the same time.
    openIdentity({ tenants_path, secrets_path: join(data_dir, "secrets.json") });
    clusterKey(data_dir);
    say(`starting ${nodes} nodes with ${shards} shards ...`);
    const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    const shared = ["--cluster", "--nats-url", this.#nats.url, "--config-dir", data_dir, "--shards", String(shards)];
    const started = await Promise.allSettled(
      names.map(async (name) => {
        const args = [...shared, "--node", name];
        const process = await startNodeProcess({ data_dir: join(data_dir, name), args });
        this.nodes.push({ name, process });
        const gone = (): void => {
          if (!this.#ending)
            say(`${name} ended; its shards go to the other nodes (log: ${join(data_dir, name, "logs")})`);
        };
        process.exited.then(gone, gone);
      }),
    );
    for (const s of started) if (s.status === "rejected") throw s.reason as Error;
    this.nodes.sort((a, b) => a.name.localeCompare(b.name));
    await this.#writeReady(this.#nats.url, this.#nats.pid);
  }

  async #writeReady(nats: string, nats_pid: number): Promise<void> {
    const nodes = this.nodes.map(({ name, process: p }) => ({ name, pid: p.pid, grpc: p.grpc, rest: p.rest }));
    const ready = { pid: process.pid, nats, nats_pid, api_key: this.api_key, nodes };
    const text = `${JSON.stringify(ready, null, 2)}\n`;
    await writeFile(`${this.ready_file}.partial`, text, { mode: 0o600 });
    await rename(`${this.ready_file}.partial`, this.ready_file);
  }

  async stop(): Promise<void> {
    this.#ending = true;
    if (this.#nats === null) return;
    await rm(this.ready_file, { force: true });
    // One after the other: each hands its shards to those that are left.
    for (const { process } of this.nodes.splice(0)) await process.stop();
    await this.#nats.stop();
  }
}

/** Runs until it is asked to end. Resolves with the exit code. */
export async function runCluster(argv: readonly string[]): Promise<number> {
  let a: Arguments | null;
  try {
    a = readArguments(argv);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}\n`);
    return 2;
  }
  if (a === null) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const cluster = new LocalCluster(a);
  const { promise: asked, resolve: ask } = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ask(0));
  // The processes it watches keep no event loop alive.
  const alive = setInterval(() => {}, 60_000);
  try {
    const started = performance.now();
    const starting = cluster.start(say);
    // Asked to end while it starts: what has started is ended, the rest with this process.
    starting.catch(() => {});
    if ((await Promise.race([starting, asked])) === 0) return 0;
    for (const { name, process: p } of cluster.nodes) say(`${name}  gRPC ${p.grpc}  REST ${p.rest}  pid ${p.pid}`);
    say(`API key ${cluster.api_key}`);
    const [{ process: first }] = cluster.nodes;
    say(`try: curl -s ${first.rest}/ready -H 'authorization: Bearer ${cluster.api_key}'`);
    say(`ready after ${((performance.now() - started) / 1000).toFixed(1)} s (${cluster.ready_file})`);
    return await asked;
  } catch (error) {
    process.stderr.write(`could not start: ${(error as Error).message}\n`);
    return 1;
  } finally {
    await cluster.stop();
    clearInterval(alive);
  }
}
