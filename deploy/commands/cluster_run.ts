/**
 * `npm run cluster`: several nodes on this machine that share the shards out, and the nats-servers under them. It
 * ends them all with itself.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { createDemoTenant, openIdentity } from "../../gateway/identity/identity.ts";
import { writeFileAtomic } from "../engines/files.ts";
import { keepAdminKey } from "../node/admin_key.ts";
import { clusterKey } from "../node/cluster_key.ts";
import { keepText } from "../node/kept_file.ts";
import { requireSecrets } from "../node/secrets_guard.ts";
import { WrongArgument, wholeIn } from "./arguments.ts";
import { LocalNats } from "./local_nats.ts";
import { type NodeProcess, startNodeProcess } from "./node_process.ts";

const HELP = `npm run cluster -- [options]     several nodes on this machine

  --nodes N                 nodes (default 3, at most 16)
  --shards N                1..64, fixed when the folder is new (default: two a node)
  --data-dir DIR            everything that is kept (default: data/cluster)
  --nats N                  nats-servers: 1, or 3 that keep each journal three times and speak TLS (default 1); fixed
                            when the folder is new: a restored one has 1
  --nats-replicas N         servers that keep each journal, fixed when the folder is new (default: all)
  --nats-port N             default 4222; a free port when taken, 0 for any. The second and third take free ones
  --snapshot-url URL        where the nodes keep their snapshots (default: the folder snapshots in --data-dir); see
                            npm start -- --help
  --help                    this text

When every shard has its owner it writes ready.json into the folder: {pid, nats, nats_pid, nats_pids, nats_users,
nats_ca, api_key, admin_key_file, nodes: [{name, pid, grpc, rest}]}. nats_users is a folder with the logins of each
role: node, shard, gateway, maintenance, client (payment processors); nats_ca, when there is one, the certificate to
trust.
Any node takes payments of all users. Kill one, and the others own its shards within seconds.
Ends with Ctrl-C (or SIGTERM). Exit codes: 0 ended on request, 1 it could not start, 2 wrong arguments.`;

interface Arguments {
  readonly nodes: number;
  readonly shards: number;
  readonly data_dir: string;
  readonly nats: number;
  readonly nats_replicas: number;
  readonly nats_port: number;
  readonly snapshot_url: string;
}

const NODES_MAX = 16;
const SHARDS_MAX = 64;

/** Null: help was asked for. Throws with a message for the user. */
function readArguments(argv: readonly string[]): Arguments | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      nodes: { type: "string", default: "3" },
      shards: { type: "string" },
      "data-dir": { type: "string", default: "data/cluster" },
      nats: { type: "string", default: "1" },
      "nats-replicas": { type: "string" },
      "nats-port": { type: "string", default: "4222" },
      "snapshot-url": { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const nodes = wholeIn("nodes", values.nodes, 1, NODES_MAX);
  const nats = wholeIn("nats", values.nats, 1, 3);
  if (nats === 2) throw new WrongArgument("--nats takes 1 or 3: two servers stop when either does");
  const nats_replicas = wholeIn("nats-replicas", values["nats-replicas"] ?? String(nats), 1, nats);
  if (nats_replicas === 2) throw new WrongArgument("--nats-replicas takes 1 or 3");
  const data_dir = resolve(values["data-dir"]);
  return {
    nodes,
    nats,
    nats_replicas,
    snapshot_url: values["snapshot-url"] ?? pathToFileURL(join(data_dir, "snapshots")).href,
    shards: shardsOf(data_dir, values.shards, nodes),
    data_dir,
    nats_port: wholeIn("nats-port", values["nats-port"], 0, 65_535),
  };
}

/** As many as the folder has, if it is not new. */
function shardsOf(data_dir: string, asked: string | undefined, nodes: number): number {
  const file = join(data_dir, "shards");
  const kept = existsSync(file) ? readFileSync(file, "utf8").trim() : null;
  if (kept !== null && asked !== undefined && asked !== kept) {
    throw new WrongArgument(`there are ${kept} shards (${file}), not ${asked}: see npm run reshard`);
  }
  return wholeIn("shards", asked ?? kept ?? String(2 * nodes), 1, SHARDS_MAX);
}

/** What runs, to be ended in the opposite order. */
class LocalCluster {
  readonly #a: Arguments;
  readonly nodes: { name: string; process: NodeProcess }[] = [];
  #nats: LocalNats | null = null;
  #ending = false;
  api_key = "";
  admin_key_file = "";

  constructor(a: Arguments) {
    this.#a = a;
  }

  get ready_file(): string {
    return join(this.#a.data_dir, "ready.json");
  }

  async start(say: (line: string) => void): Promise<void> {
    const { data_dir, nats_port: port, nats: servers, nodes, shards } = this.#a;
    await mkdir(data_dir, { recursive: true });
    requireSecrets(data_dir, data_dir);
    say(servers === 1 ? "starting nats-server ..." : `starting ${servers} nats-servers ...`);
    // From here on the folder is this command's: until then ready.json may be that of a cluster that runs.
    const nats = await LocalNats.start({ data_dir, servers, port, say });
    this.#nats = nats;
    await rm(this.ready_file, { force: true });
    const tenants_path = join(data_dir, "tenants.json");
    this.api_key = createDemoTenant(tenants_path).key;
    // Made once, before nodes would make it at the same time.
    openIdentity({ tenants_path, secrets_path: join(data_dir, "secrets.json") });
    clusterKey(data_dir);
    this.admin_key_file = keepAdminKey(data_dir);
    say(`starting ${nodes} nodes with ${shards} shards ...`);
    const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    await nats.elected();
    const shared = ["--cluster", ...nats.args(this.#a.nats_replicas), "--config-dir", data_dir];
    shared.push("--shards", String(shards), "--snapshot-url", this.#a.snapshot_url);
    const started = await Promise.allSettled(
      names.map(async (name) => {
        const args = [...shared, "--node", name];
        const process = await startNodeProcess({ data_dir: join(data_dir, name), args, takes_published: true });
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
    keepText(join(data_dir, "shards"), `${shards}\n`);
    await this.#writeReady(nats);
  }

  async #writeReady(nats: LocalNats): Promise<void> {
    const nodes = this.nodes.map(({ name, process: p }) => ({ name, pid: p.pid, grpc: p.grpc, rest: p.rest }));
    const { api_key, admin_key_file } = this;
    const ready = { pid: process.pid, ...nats.ready(), api_key, admin_key_file, nodes };
    await writeFileAtomic(this.ready_file, `${JSON.stringify(ready, null, 2)}\n`, 0o600);
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
