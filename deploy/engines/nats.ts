/**
 * A local nats-server with JetStream that syncs every write to disk before it acknowledges it.
 */
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { TlsFiles } from "./certificates.ts";
import { type Engine, type EngineOptions, launch } from "./engine.ts";
import { codeOf } from "./errors.ts";
import { DATA_DIR, randomName, writeFileAtomic } from "./files.ts";
import { accountOfStream, accountsConfig, keptNatsUsers, type NatsLogin, type NatsPasswords } from "./nats_users.ts";
import { ask, LOOPBACK } from "./ports.ts";
import { provision } from "./provisioner.ts";

/** What a nats-server takes beside the common options. */
export interface NatsOptions extends EngineOptions {
  /** HTTP monitoring port, 0 for any free one; absent: any for a member and with TLS, else none. */
  readonly monitor_port?: number;
  /** Largest message, default 1 MiB. */
  readonly max_payload_bytes?: number;
  /** Most bytes of all streams together, default 64 GiB. */
  readonly max_file_bytes?: number;
  /** Folder of the users' passwords, made when missing. Absent: whoever reaches the server may do all. */
  readonly users_dir?: string;
  /** Clients (and other servers) must speak TLS. */
  readonly tls?: TlsFiles;
  /** One server of several; absent: alone. */
  readonly member?: ClusterMember;
}

/** A server's place among those that replicate streams. */
export interface ClusterMember {
  /** The same for good: the others know it, and its votes, by that. */
  readonly server_name: string;
  readonly cluster_port: number;
  /** Cluster ports of the others. */
  readonly routes: readonly number[];
}

/** A running nats-server; `url` is `nats://127.0.0.1:PORT`. */
export interface NatsEngine extends Engine {
  readonly monitor_url: string | undefined;
  /** Resolves when the server is as ready as it was at its start; rejects when it does not answer, or says no. */
  check(): Promise<void>;
}

const DEFAULT_PORT = 4222;
/** How the name of the file ends in which a server writes its ports. */
const PORTS_FILE = ".ports";

/** Starts nats-server (provisioned when needed) over `data_dir`, default `data/nats`, and waits for JetStream. */
export async function startNats(options: NatsOptions = {}): Promise<NatsEngine> {
  const binary = await provision("nats-server", options.progress === undefined ? {} : { progress: options.progress });
  const data_dir = resolve(options.data_dir ?? join(DATA_DIR, "nats"));
  // A name of its own tells this server from another one that happens to answer on the port.
  const server_name = options.member?.server_name ?? `fraudguard-${randomName(6)}`;
  const passwords = options.users_dir === undefined ? undefined : await keptNatsUsers(options.users_dir);
  const isPlain = options.member === undefined && options.tls === undefined;
  const monitor_port = options.monitor_port ?? (isPlain ? undefined : 0);
  const place: Place = { data_dir, server_name, monitor_port, passwords };
  const portsFile = (pid: number): string => join(data_dir, `${basename(binary.path)}_${pid}${PORTS_FILE}`);
  const ready = async (port: number, pid: number): Promise<void> => {
    const monitor_url = monitor_port === undefined ? undefined : await monitorUrl(portsFile(pid));
    if (isPlain) return jetStreamAnswers(port, server_name, passwords);
    // JetStream of a cluster answers when most servers run; this one is ready to be one of them.
    await greets(port, server_name);
    await hasJetStream(monitor_url as string);
  };
  const running = await launch({
    name: "nats",
    data_dir,
    port: options.port ?? DEFAULT_PORT,
    ready_ms: options.ready_ms ?? 60_000,
    stopSignal: "TERM",
    async prepare(port) {
      const config = join(data_dir, "nats.conf");
      await mkdir(data_dir, { recursive: true });
      if (passwords !== undefined) await intoAccounts(data_dir);
      // Of servers that were killed.
      for (const file of await namesIn(data_dir)) if (file.endsWith(PORTS_FILE)) await rm(join(data_dir, file));
      await writeFileAtomic(config, configText(options, place, port), 0o600);
      return { command: [binary.path, "--config", config] };
    },
    ready,
  });
  return {
    name: "nats",
    host: LOOPBACK,
    url: `nats://${LOOPBACK}:${running.port}`,
    monitor_url: monitor_port === undefined ? undefined : await monitorUrl(portsFile(running.pid)),
    version: binary.version,
    data_dir,
    check: () => ready(running.port, running.pid),
    ...running,
  };
}

/** What the configuration says beside the options. */
interface Place {
  readonly data_dir: string;
  readonly server_name: string;
  readonly monitor_port: number | undefined;
  readonly passwords: NatsPasswords | undefined;
}

function configText(options: NatsOptions, place: Place, port: number): string {
  return [
    `server_name: ${JSON.stringify(place.server_name)}`,
    `host: ${LOOPBACK}`,
    `port: ${port}`,
    // Which port it got it writes to a file.
    ...(place.monitor_port === undefined
      ? []
      : [`http: "${LOOPBACK}:${place.monitor_port || -1}"`, `ports_file_dir: ${JSON.stringify(place.data_dir)}`]),
    `max_payload: ${options.max_payload_bytes ?? 1 << 20}`,
    "jetstream {",
    `  store_dir: ${JSON.stringify(join(place.data_dir, "store"))}`,
    "  # An acknowledgement means: on the disk. The default flushes every two minutes.",
    "  sync_interval: always",
    `  max_file_store: ${options.max_file_bytes ?? 64 * 2 ** 30}`,
    `  max_memory_store: ${64 << 20}`,
    "}",
    ...(options.tls === undefined ? [] : tlsConfig(options.tls, false)),
    ...(options.member === undefined ? [] : clusterConfig(options.member, options.tls)),
    ...(place.passwords === undefined ? [] : accountsConfig(place.passwords)),
    "",
  ].join("\n");
}

/** `verify`: the other side must show a certificate of the same authority. */
function tlsConfig(tls: TlsFiles, verify: boolean): string[] {
  return [
    "tls {",
    `  cert_file: ${JSON.stringify(tls.cert_file)}`,
    `  key_file: ${JSON.stringify(tls.key_file)}`,
    ...(verify ? [`  ca_file: ${JSON.stringify(tls.ca_file)}`, "  verify: true"] : []),
    "}",
  ];
}

function clusterConfig(member: ClusterMember, tls: TlsFiles | undefined): string[] {
  return [
    "cluster {",
    "  name: fraudguard",
    `  listen: "${LOOPBACK}:${member.cluster_port}"`,
    `  routes: ${JSON.stringify(member.routes.map((port) => `nats://${LOOPBACK}:${port}`))}`,
    "  # Clients use the addresses that they were given.",
    "  no_advertise: true",
    ...(tls === undefined ? [] : tlsConfig(tls, true)),
    "}",
  ];
}

/** Streams of a store that was made before there were accounts go into theirs; the server must not run. */
async function intoAccounts(data_dir: string): Promise<void> {
  const jetstream = join(data_dir, "store", "jetstream");
  const from = join(jetstream, "$G", "streams");
  for (const stream of await namesIn(from)) {
    const to = join(jetstream, accountOfStream(stream), "streams");
    await mkdir(to, { recursive: true });
    await rename(join(from, stream), join(to, stream));
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return [];
  }
}

/** Speaks just enough of the protocol to know that this very server has recovered its streams. */
async function jetStreamAnswers(
  port: number,
  server_name: string,
  passwords: NatsPasswords | undefined,
): Promise<void> {
  const login: Partial<NatsLogin> =
    passwords === undefined ? {} : { user: "maintenance", password: passwords["maintenance"] };
  const { user, password: pass } = login;
  const words = { verbose: false, name: "readiness", ...(user === undefined ? {} : { user, pass }) };
  const inbox = "_INBOX_maintenance.ready";
  const question = `CONNECT ${JSON.stringify(words)}\r\nSUB ${inbox} 1\r\nPUB $JS.API.INFO ${inbox} 0\r\n\r\n`;
  const isComplete = (text: string) => /\r\nMSG _INBOX_maintenance\.ready[^\r]*\r\n[^\r]*\r\n/.test(text);
  const answer = await ask(port, question, isComplete, 2_000);
  if (!answer.includes(JSON.stringify(server_name))) throw new Error("another server answers on this port");
  if (/"error":/.test(answer)) throw new Error(`JetStream is not ready: ${answer.slice(-300)}`);
}

/** Knows by its first words that this very server listens. */
async function greets(port: number, server_name: string): Promise<void> {
  const answer = await ask(port, "", (text) => text.includes("\r\n"), 2_000);
  if (!answer.includes(JSON.stringify(server_name))) throw new Error("another server answers on this port");
}

/** Where the server is monitored, as it wrote. */
async function monitorUrl(portsFile: string): Promise<string> {
  const { monitoring } = JSON.parse(await readFile(portsFile, "utf8")) as { readonly monitoring: readonly string[] };
  return monitoring[0];
}

/** A server that serves with its JetStream off greets everybody all the same. */
async function hasJetStream(monitor_url: string): Promise<void> {
  const request = "GET /healthz?js-enabled-only=true HTTP/1.0\r\n\r\n";
  const answer = await ask(Number(new URL(monitor_url).port), request, (text) => text.includes("}"), 2_000);
  if (!/^HTTP\/1\.\d 200 /.test(answer)) throw new Error(`JetStream is off: ${answer.slice(-300)}`);
}
