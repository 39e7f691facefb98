/**
 * A local nats-server with JetStream that syncs every write to disk before it acknowledges it.
 */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Engine, type EngineOptions, launch } from "./engine.ts";
import { DATA_DIR, randomName, writeFileAtomic } from "./files.ts";
import { ask, freePort, LOOPBACK } from "./ports.ts";
import { provision } from "./provisioner.ts";

/** What a nats-server takes beside the common options. */
export interface NatsOptions extends EngineOptions {
  /** HTTP monitoring port; none when absent, 0 for any free one. */
  readonly monitor_port?: number;
  /** Largest message, default 1 MiB. */
  readonly max_payload_bytes?: number;
  /** Most bytes of all streams together, default 64 GiB. */
  readonly max_file_bytes?: number;
}

/** A running nats-server; `url` is `nats://127.0.0.1:PORT`. */
export interface NatsEngine extends Engine {
  readonly monitor_url: string | undefined;
}

const DEFAULT_PORT = 4222;
const JETSTREAM_INFO = 'CONNECT {"verbose":false,"name":"readiness"}\r\nSUB _INBOX.ready 1\r\n';

/** Starts nats-server (provisioned when needed) over `data_dir`, default `data/nats`, and waits for JetStream. */
export async function startNats(options: NatsOptions = {}): Promise<NatsEngine> {
  const binary = await provision("nats-server", options.progress === undefined ? {} : { progress: options.progress });
  const data_dir = resolve(options.data_dir ?? join(DATA_DIR, "nats"));
  const monitor_port = options.monitor_port === undefined ? undefined : await freePort(options.monitor_port);
  // A name of its own tells this server from another one that happens to answer on the port.
  const server_name = `fraudguard-${randomName(6)}`;
  const running = await launch({
    name: "nats",
    data_dir,
    port: options.port ?? DEFAULT_PORT,
    ready_ms: options.ready_ms ?? 60_000,
    stopSignal: "TERM",
    async prepare(port) {
      const config = join(data_dir, "nats.conf");
      await mkdir(data_dir, { recursive: true });
      await writeFileAtomic(config, configText(options, data_dir, server_name, port, monitor_port), 0o600);
      return { command: [binary.path, "--config", config] };
    },
    ready: (port) => jetStreamAnswers(port, server_name),
  });
  return {
    name: "nats",
    host: LOOPBACK,
    url: `nats://${LOOPBACK}:${running.port}`,
    monitor_url: monitor_port === undefined ? undefined : `http://${LOOPBACK}:${monitor_port}`,
    version: binary.version,
    data_dir,
    ...running,
  };
}

function configText(
  options: NatsOptions,
  data_dir: string,
  server_name: string,
  port: number,
  monitor_port: number | undefined,
): string {
  return [
    `server_name: ${JSON.stringify(server_name)}`,
    `host: ${LOOPBACK}`,
    `port: ${port}`,
    ...(monitor_port === undefined ? [] : [`http: "${LOOPBACK}:${monitor_port}"`]),
    `max_payload: ${options.max_payload_bytes ?? 1 << 20}`,
    "jetstream {",
    `  store_dir: ${JSON.stringify(join(data_dir, "store"))}`,
    "  # An acknowledgement means: on the disk. The default flushes every two minutes.",
    "  sync_interval: always",
    `  max_file_store: ${options.max_file_bytes ?? 64 * 2 ** 30}`,
    `  max_memory_store: ${64 << 20}`,
    "}",
    "",
  ].join("\n");
}

/** Speaks just enough of the protocol to know that this very server has recovered its streams. */
async function jetStreamAnswers(port: number, server_name: string): Promise<void> {
  const question = `${JETSTREAM_INFO}PUB $JS.API.INFO _INBOX.ready 0\r\n\r\n`;
  const answer = await ask(port, question, (text) => /\r\nMSG _INBOX\.ready[^\r]*\r\n[^\r]*\r\n/.test(text), 2_000);
  if (!answer.includes(JSON.stringify(server_name))) throw new Error("another server answers on this port");
  if (/"error":/.test(answer)) throw new Error(`JetStream is not ready: ${answer.slice(-300)}`);
}
