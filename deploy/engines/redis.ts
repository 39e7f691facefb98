/**
 * A local Redis or Valkey server with a generated password.
 */
import { join, resolve } from "node:path";
import { type Engine, type EngineOptions, launch } from "./engine.ts";
import { DATA_DIR, writeFileAtomic } from "./files.ts";
import { keptPassword } from "./password.ts";
import { ask, LOOPBACK } from "./ports.ts";
import { provision } from "./provisioner.ts";

/** What a Redis server takes beside the common options. */
export interface RedisOptions extends EngineOptions {
  /** Keep the data in an append-only file synced every second (default true); false holds it in memory only. */
  readonly persist?: boolean;
}

/** A running Redis or Valkey server; `url` is `redis://:PASSWORD@127.0.0.1:PORT`. */
export interface RedisEngine extends Engine {
  readonly password: string;
}

const DEFAULT_PORT = 6379;

/** Starts the server (provisioned when needed) over `data_dir`, default `data/redis`, and waits until it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisEngine> {
  const binary = await provision("redis-server", options.progress === undefined ? {} : { progress: options.progress });
  const data_dir = resolve(options.data_dir ?? join(DATA_DIR, "redis"));
  const password = await keptPassword(data_dir);
  const running = await launch({
    name: "redis",
    data_dir,
    port: options.port ?? DEFAULT_PORT,
    ready_ms: options.ready_ms ?? 60_000,
    stopSignal: "TERM",
    async prepare(port) {
      // The password goes by file: a command line can be read by every account of the machine.
      const config = join(data_dir, "redis.conf");
      await writeFileAtomic(config, configText(data_dir, password, port, options.persist ?? true), 0o600);
      return { command: [binary.path, config] };
    },
    ready: (port, pid) => redisAnswers(port, pid, password),
  });
  const url = `redis://:${password}@${LOOPBACK}:${running.port}`;
  return { name: "redis", host: LOOPBACK, url, password, version: binary.version, data_dir, ...running };
}

function configText(data_dir: string, password: string, port: number, persist: boolean): string {
  return [
    `bind ${LOOPBACK}`,
    `port ${port}`,
    `dir ${JSON.stringify(data_dir)}`,
    `requirepass ${password}`,
    "daemonize no",
    'save ""',
    `appendonly ${persist ? "yes" : "no"}`,
    "appendfsync everysec",
    "",
  ].join("\n");
}

/** Resolves when the server with this process id has loaded its data and lets us in. */
async function redisAnswers(port: number, pid: number, password: string): Promise<void> {
  // Inline commands; QUIT's +OK ends the answer, whatever came before.
  const question = `AUTH ${password}\r\nINFO server\r\nPING\r\nQUIT\r\n`;
  const complete = (text: string): boolean => /(\+PONG|-[A-Z]+ [^\r]*)\r\n\+OK\r\n$/.test(text);
  const answer = await ask(port, question, complete, 2_000);
  if (!answer.includes(`process_id:${pid}\r\n`))
    throw new Error("another server answers on this port, or it is loading");
  if (!answer.includes("+PONG\r\n")) throw new Error("it is loading its data");
}
