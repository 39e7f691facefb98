/**
 * `npm start`: the main job. Starts the engines, the node and the gateway, makes the demo tenant with its key, feeds
 * the demo stream and prints a line a second. `--no-demo` serves only.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { WEIGHT_MAX } from "../../gateway/control/operations.ts";
import { createDemoTenant } from "../../gateway/identity/identity.ts";
import { createLog } from "../../gateway/log.ts";
import { FORMAT_NEWEST, FORMAT_OLDEST } from "../../proto/frame/frame_header.ts";
import { NODE_ROLES, type NodeRole } from "../../runtime/wire/announcement.ts";
import { serversIn } from "../commands/local_nats.ts";
import { DemoFeed } from "../demo/feed.ts";
import { KeptNats } from "../engines/kept_nats.ts";
import { credentialsFile } from "../engines/nats_users.ts";
import { freePort } from "../engines/ports.ts";
import { keepAdminKey } from "../node/admin_key.ts";
import { clusterKey } from "../node/cluster_key.ts";
import { NodeFeatureExport } from "../node/feature_export.ts";
import { ACTIVE_USERS_MAX, type ClusterPart, type FraudNode, startFraudNode } from "../node/fraud_node.ts";
import { LiveLine } from "../node/live_line.ts";
import { requireSecrets } from "../node/secrets_guard.ts";
import { checkStore, SnapshotUrlError, snapshotStore } from "../node/snapshot_url.ts";
import { printWelcome } from "../node/welcome.ts";

const HELP = `npm start -- [options]     decide payments on this machine

  --no-demo                 serve only: no made-up payments
  --data-dir DIR            everything that is kept (default: data)
  --grpc-port N             default 50051; a free port when taken, 0 for any
  --rest-port N             default 8080
  --nats-port N             default 4222
  --nats-url URL            use this nats-server instead of starting one (JetStream with sync_interval always)
  --nats-credentials FILE   logins of this node's role at that server (a file of its folder of users)
  --nats-tls-ca FILE        speak TLS with it, and trust the authority of this certificate (PEM)
  --nats-replicas N         servers that keep each journal: 1, 3 or 5, fixed with the journal (default 1)
  --shards N                1..64, fixed when the data folder is new (default 1)
  --model DIR               folder of a signed model; "none" decides by rules alone (default: the champion of the
                            registry CONFIG/models, or else the shipped one; see npm run models)
  --trusted-keys FILE       keys that --model may be signed with, beside those of CONFIG/models/trusted_keys.json
  --rules FILE              rule set (JSON)
  --active-users-max N      users that this node keeps in memory; more are known, and wait in scratch files of the data
                            folder until their next payment (default 4000000)
  --snapshot-interval-s N   seconds between snapshots of a shard (default 120, 0: none)
  --snapshot-url URL        keep snapshots there, for all nodes: file:///FOLDER, or s3://BUCKET/PREFIX with AWS_REGION,
                            AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (default: this node's folder)
  --demo-rate N             made-up payments a second (default 200)
  --seed N                  seed of the made-up payments (default 1)
  --export-features DIR     write the features of every decided payment there, labelled by reported outcomes
  --export-from-us N        ... only of payments from this event time on, microseconds since 1970
  --export-to-us N          ... and before this one
  --inference-budget-ms N   time the model has for a tick before decisions go on without it (default 100)
  --cluster                 be one of several nodes on the nats-server of --nats-url: they share the shards out
  --node NAME               name of this node in the cluster (default: one drawn at the first start)
  --weight N                share of the shards it should own, against other nodes' weights (default 100)
  --role ROLE               all; gateway: takes payments, owns and follows no shard; shard: takes no payments
  --config-dir DIR          tenants.json, operators.json, secrets.json, cluster.key, the same for all nodes
                            (default: the data folder)
  --journal-format N        newest format to write journals in (default: the newest that every node of the cluster
                            reads). All formats are read, so a node can go back to an older one at any time
  --take-over               claim the shards at once, without waiting for the lease of a node that holds them
  --no-nats-intake          do not consume fraud.transaction.events
  --log FILE                JSON log (default DIR/logs/node.log; "-" is stdout)
  --help                    this text

Ends with Ctrl-C (or SIGTERM): intake stops, what was taken is answered, the journals are released.
Exit codes: 0 ended on request, 1 a shard stopped or the node could not start, 2 wrong arguments.`;

const OPTIONS = {
  "no-demo": { type: "boolean", default: false },
  "data-dir": { type: "string", default: "data" },
  "grpc-port": { type: "string", default: "50051" },
  "rest-port": { type: "string", default: "8080" },
  "nats-port": { type: "string", default: "4222" },
  "nats-url": { type: "string" },
  "nats-credentials": { type: "string" },
  "nats-tls-ca": { type: "string" },
  "nats-replicas": { type: "string", default: "1" },
  shards: { type: "string", default: "1" },
  model: { type: "string" },
  "trusted-keys": { type: "string" },
  rules: { type: "string" },
  "active-users-max": { type: "string", default: String(ACTIVE_USERS_MAX) },
  "snapshot-interval-s": { type: "string", default: "120" },
  "snapshot-url": { type: "string" },
  "demo-rate": { type: "string", default: "200" },
  seed: { type: "string", default: "1" },
  "export-features": { type: "string" },
  "export-from-us": { type: "string", default: "0" },
  "export-to-us": { type: "string", default: String(Number.MAX_SAFE_INTEGER) },
  "inference-budget-ms": { type: "string", default: "100" },
  cluster: { type: "boolean", default: false },
  node: { type: "string" },
  weight: { type: "string", default: "100" },
  role: { type: "string", default: "all" },
  "config-dir": { type: "string" },
  "journal-format": { type: "string", default: String(FORMAT_NEWEST) },
  "take-over": { type: "boolean", default: false },
  "no-nats-intake": { type: "boolean", default: false },
  log: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

const READY_POLL_MS = 25;

function fail(message: string, code: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

/** Resolves when the file is open: a process that ends before could not write what is left, and fail of it. */
async function openLog(file: string) {
  const to = pino.destination({ dest: file, mkdir: true, sync: false });
  await once(to, "ready");
  return to;
}

function arguments_() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: false }).values;
  } catch (e) {
    return fail(`${(e as Error).message}\n\n${HELP}`, 2);
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < min || n > max) fail(`--${name} takes a whole number from ${min} to ${max}`, 2);
  return n;
}

/** Writes what is announced, with the nats-server that runs now; nothing before the first decision. */
async function writeReady(): Promise<void> {
  if (announced === null || ending) return;
  const ready = { ...announced, ...(nats === null ? {} : { nats_pid: nats.pid }) };
  await writeFile(`${ready_file}.partial`, `${JSON.stringify(ready, null, 2)}\n`, { mode: 0o600 });
  await rename(`${ready_file}.partial`, ready_file);
}

const args = arguments_();
if (args.help) {
  process.stdout.write(`${HELP}\n`);
  process.exit(0);
}
const started = performance.now();
const data_dir = resolve(args["data-dir"]);
const ready_file = join(data_dir, "ready.json");
/** Of our own nats-server. */
const users_dir = join(data_dir, "nats-users");
await mkdir(join(data_dir, "logs"), { recursive: true }).catch((e: Error) => fail(`--data-dir: ${e.message}`, 2));
const log_file = args.log ?? join(data_dir, "logs", "node.log");
const log = createLog({ name: "fraudguard", ...(log_file === "-" ? {} : { to: await openLog(log_file) }) });
const say = (line: string) => process.stdout.write(`${line}\n`);

let nats: KeptNats | null = null;
let node: FraudNode | null = null;
let feed: DemoFeed | null = null;
let line: LiveLine | null = null;
let features: NodeFeatureExport | null = null;
let ending = false;
let announced: Record<string, unknown> | null = null;
/** Whether the data folder is this process's: until then ready.json may be that of a node that runs. */
let holds_folder = false;

async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  line?.stop();
  feed?.stop();
  if (holds_folder) await rm(ready_file, { force: true });
  await node?.close().catch((e: Error) => log.error({ message: e.message }, "close failed"));
  finishExport();
  await nats?.stop();
  log.info({ code }, "ended");
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void end(0));
// An invariant does not hold: nothing in memory can be trusted any more, so nothing is released or answered.
process.on("uncaughtException", (error) => {
  log.fatal({ name: error.name, message: error.message, stack: error.stack }, "defect");
  process.stderr.write(`defect: ${error.stack}\n`);
  if (holds_folder) rmSync(ready_file, { force: true });
  process.exit(1);
});

function startExport(dir: string): NodeFeatureExport {
  return new NodeFeatureExport({
    dir: resolve(dir),
    from_us: whole("export-from-us", args["export-from-us"], 0, Number.MAX_SAFE_INTEGER),
    to_us: whole("export-to-us", args["export-to-us"], 0, Number.MAX_SAFE_INTEGER),
    onFailed: (error) => log.error({ message: error.message }, "the feature export ended early"),
  });
}

function finishExport(): void {
  try {
    const meta = features?.finish();
    if (meta !== undefined) log.info({ rows: meta.rows, positives: meta.positives }, "features exported");
  } catch (error) {
    log.error({ message: (error as Error).message }, "the feature export could not be finished");
  }
}

function startKeptNats(port: number): Promise<KeptNats> {
  return KeptNats.start({
    data_dir: join(data_dir, "nats"),
    users_dir,
    port,
    progress: say,
    onDown: (message) => log.error({ message }, "decisions wait until nats-server is back"),
    onUp: ({ pid }) => {
      log.warn({ pid }, "nats-server started again");
      void writeReady();
    },
  });
}

/** How the node comes to the nats-server: ours has users, another one's are named. */
function natsAccess() {
  const [own, url] = [args["nats-url"] === undefined, "only for the nats-server of --nats-url"];
  const [credentials, ca] = [args["nats-credentials"], args["nats-tls-ca"]];
  if (own && credentials !== undefined) fail(`--nats-credentials is ${url}`, 2);
  if (own && ca !== undefined) fail(`--nats-tls-ca is ${url}`, 2);
  const nats_replicas = whole("nats-replicas", args["nats-replicas"], 1, 5);
  if (nats_replicas % 2 === 0) fail("--nats-replicas takes 1, 3 or 5", 2);
  if (own && nats_replicas > 1) fail(`--nats-replicas is ${url}`, 2);
  const file = own ? credentialsFile(users_dir, "node") : credentials;
  return {
    nats_replicas,
    ...(file === undefined ? {} : { nats_credentials: file }),
    ...(ca === undefined ? {} : { nats_tls_ca: ca }),
  };
}

/** The port asked for, or a free one when it is taken. For any one the system chooses, when it is bound. */
async function portOf(name: string, text: string): Promise<number> {
  const port = whole(name, text, 0, 65535);
  return port === 0 ? 0 : freePort(port);
}

/** What this node does, after a check that what makes it one of several is there. */
function roleOf(): NodeRole {
  if (args.cluster && args["nats-url"] === undefined) fail("--cluster needs the --nats-url that all nodes share", 2);
  if (args.cluster && !args["no-demo"]) fail("--cluster serves only: add --no-demo", 2);
  const role = NODE_ROLES.find((r) => r === args.role);
  if (args.role === "workflow") fail("--role workflow: there are no workflows yet", 2);
  if (role === undefined) return fail(`--role takes ${NODE_ROLES.join(", ")}`, 2);
  if (role !== "all" && !args.cluster) fail(`--role ${role} is for one of several nodes: add --cluster`, 2);
  return role;
}

function clusterOf(config_dir: string, role: NodeRole): ClusterPart {
  return { weight: whole("weight", args.weight, 0, WEIGHT_MAX), key: clusterKey(config_dir), role };
}

/** Where snapshots go by --snapshot-url; a store that does not answer is found at the start, not at the first one. */
async function sharedSnapshots() {
  const url = args["snapshot-url"];
  if (url === undefined) return {};
  try {
    const snapshots = snapshotStore(url, process.env);
    await checkStore(snapshots, url);
    return { snapshots };
  } catch (e) {
    if (e instanceof SnapshotUrlError) fail(`--snapshot-url: ${e.message}`, 2);
    throw e;
  }
}

/** The model that is asked for; nothing: the registry's champion, or the shipped one. */
function modelOf() {
  const keys = args["trusted-keys"];
  return {
    ...(args.model === undefined ? {} : { model_dir: args.model === "none" ? null : resolve(args.model) }),
    ...(keys === undefined ? {} : { trusted_keys: resolve(keys) }),
  };
}

async function main(): Promise<void> {
  const shards = whole("shards", args.shards, 1, 64);
  const nats_port = whole("nats-port", args["nats-port"], 0, 65535);
  const role = roleOf();
  const access = natsAccess();
  const config_dir = resolve(args["config-dir"] ?? data_dir);
  if (args["nats-url"] === undefined) {
    if (serversIn(data_dir) > 1) fail(`${data_dir} is that of several nats-servers: npm run cluster -- --nats 3`, 2);
    requireSecrets(data_dir, config_dir);
    say("starting nats-server ...");
    nats = await startKeptNats(nats_port);
  }
  holds_folder = true;
  await rm(ready_file, { force: true });
  const nats_url = args["nats-url"] ?? (nats as KeptNats).url;
  const tenants_path = join(config_dir, "tenants.json");
  // The tenants of a cluster are made once, not by each of its nodes.
  const api_key = args.cluster ? "" : createDemoTenant(tenants_path).key;
  const admin = args.cluster ? {} : { admin_key_file: keepAdminKey(config_dir) };
  say("starting the node ...");
  node = await startFraudNode({
    data_dir,
    nats_url,
    ...access,
    tenants_path,
    secrets_path: join(config_dir, "secrets.json"),
    ...(args.cluster ? { cluster: clusterOf(config_dir, role) } : {}),
    ...(args.node === undefined ? {} : { node_name: args.node }),
    grpc_port: await portOf("grpc-port", args["grpc-port"]),
    rest_port: await portOf("rest-port", args["rest-port"]),
    shards,
    log,
    ...modelOf(),
    ...(args.rules === undefined ? {} : { rules_path: resolve(args.rules) }),
    ...(await sharedSnapshots()),
    active_users_max: whole("active-users-max", args["active-users-max"], 1, 100_000_000),
    snapshot_interval_ms: 1000 * whole("snapshot-interval-s", args["snapshot-interval-s"], 0, 86400),
    take_over: args["take-over"],
    journal_format: whole("journal-format", args["journal-format"], FORMAT_OLDEST, FORMAT_NEWEST),
    public_streams: !args["no-nats-intake"],
    inference_budget_ms: whole("inference-budget-ms", args["inference-budget-ms"], 1, 600_000),
    ...(process.env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] === undefined
      ? {}
      : { otlp_url: process.env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] }),
    onShardStopped: () => void end(1),
  });
  if (args["export-features"] !== undefined) {
    features = startExport(args["export-features"]);
    features.listen(node.observer);
  }
  const ready = {
    pid: process.pid,
    grpc: `127.0.0.1:${node.gateway.grpcPort}`,
    rest: `http://127.0.0.1:${node.gateway.restPort}`,
    nats: nats_url,
    ...(nats === null ? {} : { nats_users: users_dir }),
    api_key,
    ...admin,
  };
  if (!args.cluster) printWelcome(ready, say);
  // A node of several is ready when it knows an owner for every shard.
  while (args.cluster && !node.runtime.ready && !ending) await delay(READY_POLL_MS);
  const announce = async () => {
    announced = ready;
    await writeReady();
    say(`ready after ${((performance.now() - started) / 1000).toFixed(1)} s (${ready_file})`);
  };
  if (args["no-demo"]) return announce();
  startFeed(node, ready.grpc, api_key, () => void announce());
}

/** Made-up payments, and a line a second about them; `onFirst` is told of the first decision. */
function startFeed(to: FraudNode, grpc: string, api_key: string, onFirst: () => void): void {
  const seed = whole("seed", args.seed, 0, 2 ** 31);
  const rate = whole("demo-rate", args["demo-rate"], 1, 20_000);
  feed = new DemoFeed({ grpc, api_key, seed, rate, onFirst });
  line = new LiveLine(to, feed, say);
  feed.start();
}

main().catch((e: Error) => {
  log.fatal({ name: e.name, message: e.message, stack: e.stack }, "could not start");
  process.stderr.write(`could not start: ${e.message}\n`);
  void end(1);
});
