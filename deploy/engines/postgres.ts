/**
 * A local PostgreSQL server with password authentication over loopback; no unix socket.
 */
import { execFile } from "node:child_process";
import { chown, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { type Account, accountFor, accountIds } from "./account.ts";
import { type Engine, type EngineOptions, launch } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { DATA_DIR, randomName } from "./files.ts";
import { keptPassword } from "./password.ts";
import { LOOPBACK } from "./ports.ts";
import { type Provisioned, provision } from "./provisioner.ts";

/** What a PostgreSQL server takes beside the common options. */
export interface PostgresOptions extends EngineOptions {
  /** Made when missing; default `fraudguard`. */
  readonly database?: string;
  /** Server settings by name, for example `{ shared_buffers: "256MB" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A running PostgreSQL server; `url` is `postgres://USER:PASSWORD@127.0.0.1:PORT/DATABASE`. */
export interface PostgresEngine extends Engine {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

const DEFAULT_PORT = 5432;
const USER = "fraudguard";
const run = promisify(execFile);

/** Starts the server (provisioned when needed) over `data_dir`, default `data/postgres`, making its cluster first. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresEngine> {
  const binary = await provision("postgres", options.progress === undefined ? {} : { progress: options.progress });
  const data_dir = resolve(options.data_dir ?? join(DATA_DIR, "postgres"));
  const database = options.database ?? "fraudguard";
  const password = await keptPassword(data_dir);
  const cluster = join(data_dir, "cluster");
  const running = await launch({
    name: "postgres",
    data_dir,
    port: options.port ?? DEFAULT_PORT,
    ready_ms: options.ready_ms ?? 60_000,
    // SIGINT is its fast shutdown; SIGTERM waits for clients to go.
    stopSignal: "INT",
    async prepare(port) {
      const ids = await accountIds(cluster);
      const account = await accountFor(ids, [cluster, binary.path]);
      await makeCluster(binary, cluster, password, account, ids);
      const command = [binary.path, "-D", cluster, ...settingArgs(options, port)];
      return { command, env: { LC_ALL: "C" }, ...account };
    },
    ready: (port, pid) => postgresAnswers(cluster, port, pid, password),
  });
  try {
    await makeDatabase(running.port, password, database);
  } catch (error) {
    await running.stop();
    throw error;
  }
  const url = `postgres://${USER}:${password}@${LOOPBACK}:${running.port}/${database}`;
  const login = { user: USER, password, database };
  return { name: "postgres", host: LOOPBACK, url, ...login, version: binary.version, data_dir, ...running };
}

function settingArgs(options: PostgresOptions, port: number): string[] {
  const settings = {
    listen_addresses: LOOPBACK,
    port: String(port),
    unix_socket_directories: "",
    ...options.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** Runs initdb into a scratch folder and renames it: a cluster is there as a whole or not at all. */
async function makeCluster(
  binary: Provisioned,
  cluster: string,
  password: string,
  account: Account,
  ids: { uid: number; gid: number } | undefined,
): Promise<void> {
  const made = await readFile(join(cluster, "PG_VERSION"), "utf8").catch(() => undefined);
  if (made !== undefined) {
    if (made.trim() === String(Number.parseInt(binary.version, 10))) return;
    const advice = `${cluster} was made by PostgreSQL ${made.trim()}, ${binary.path} is ${binary.version}`;
    throw new EngineError("data_version", "postgres", `${advice}; set FRAUDGUARD_POSTGRES or use another data folder`);
  }
  const scratch = `${cluster}.new-${randomName()}`;
  const passwordFile = `${scratch}.password`;
  try {
    await mkdir(scratch, { mode: 0o700 });
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    if (ids !== undefined) {
      await chown(scratch, ids.uid, ids.gid);
      await chown(passwordFile, ids.uid, ids.gid);
    }
    const common = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", `--username=${USER}`];
    const args = [`--pgdata=${scratch}`, `--pwfile=${passwordFile}`, ...common];
    const [file = "", ...rest] = [...(account.wrapper ?? []), join(dirname(binary.path), "initdb"), ...args];
    const { uid, gid } = account;
    const who = uid === undefined || gid === undefined ? {} : { uid, gid };
    await run(file, rest, { cwd: "/", env: { ...process.env, LC_ALL: "C" }, timeout: 120_000, ...who });
    await rename(scratch, cluster);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(passwordFile, { force: true });
  }
}

/** Resolves when the server over this cluster, with this process id, runs a query. */
async function postgresAnswers(cluster: string, port: number, pid: number, password: string): Promise<void> {
  const lines = (await readFile(join(cluster, "postmaster.pid"), "utf8")).split("\n");
  if (Number(lines[0]) !== pid) throw new Error("its postmaster.pid names another process");
  await query(port, password, "postgres", (client) => client.query("SELECT 1"));
}

async function makeDatabase(port: number, password: string, database: string): Promise<void> {
  await query(port, password, "postgres", async (client) => {
    const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  });
}

async function query(
  port: number,
  password: string,
  database: string,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({
    host: LOOPBACK,
    port,
    user: USER,
    password,
    database,
    connectionTimeoutMillis: 5_000,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end();
  }
}
