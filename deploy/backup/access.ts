/** How maintenance commands reach a cluster's journals: at a running server, or over a folder that is at rest. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { JetStreamMaintenance } from "../../runtime/nats/journal_maintenance.ts";
import { JournalUnavailable } from "../../runtime/ports.ts";
import { WrongArgument } from "../commands/arguments.ts";
import { LocalNats, serversIn } from "../commands/local_nats.ts";
import { codeOf } from "../engines/errors.ts";
import { DATA_DIR } from "../engines/files.ts";
import { startNats } from "../engines/nats.ts";
import { credentialsFile } from "../engines/nats_users.ts";
import { connectAs, type NatsAccess } from "../node/nats_access.ts";

const ELECTED_MS = 60_000;
const POLL_MS = 200;

/** Of a data folder: the logins of its nats-server's users. */
const USERS_DIR = "nats-users";

export interface Access {
  readonly link: NatsLink;
  readonly journals: JetStreamJournalStore;
  readonly maintenance: JetStreamMaintenance;
  close(): Promise<void>;
}

export const ACCESS_HELP = `\
  --data-dir DIR            the cluster's folder (default: data/cluster or data, whichever runs or has journals): its
                            ready.json names the server; when nothing runs there, servers of our own read the journals
                            for the while
  --nats-url URL            the journals of this server (several of one cluster with commas between them)
  --nats-credentials FILE   login of the maintenance account (default: that of the data folder, if it has one)
  --nats-tls-ca FILE        certificate of the authority that vouches for the server (default: likewise)`;

export const ACCESS_OPTIONS = {
  "data-dir": { type: "string" },
  "nats-url": { type: "string" },
  "nats-credentials": { type: "string" },
  "nats-tls-ca": { type: "string" },
} as const;

export interface AccessArguments {
  readonly "data-dir"?: string | undefined;
  readonly "nats-url"?: string | undefined;
  readonly "nats-credentials"?: string | undefined;
  readonly "nats-tls-ca"?: string | undefined;
}

/** Reaches the journals that the arguments name; whoever gets it closes it. */
export async function reach(args: AccessArguments, say: (line: string) => void): Promise<Access> {
  const data_dir = dataFolder(args);
  const running = runningServer(data_dir);
  const nats_url = args["nats-url"] ?? running?.nats_url;
  const kept = credentialsFile(join(data_dir, USERS_DIR), "maintenance");
  const nats_credentials = args["nats-credentials"] ?? (existsSync(kept) ? kept : undefined);
  const nats_tls_ca = args["nats-tls-ca"] ?? running?.nats_tls_ca;
  const named = {
    ...(nats_credentials === undefined ? {} : { nats_credentials }),
    ...(nats_tls_ca === undefined ? {} : { nats_tls_ca }),
  };
  say(nats_url === undefined ? `folder ${data_dir}` : `folder ${data_dir}, server ${nats_url}`);
  if (nats_url !== undefined) return accessOf(await connectAs({ nats_url, ...named }, "journals"), async () => {});
  const servers = serversIn(data_dir);
  if (servers === 0) throw new WrongArgument(`nothing runs in ${data_dir}, nor are journals in it: say --nats-url`);
  say(`nothing runs in ${data_dir}: its journals are read by ${servers === 1 ? "a server" : "servers"} of our own`);
  return servers === 1 ? over(data_dir, nats_credentials) : overSeveral(data_dir, servers, say);
}

/** The folder asked for, else the first of those that commands use by default that runs, or that has journals. */
export function dataFolder(args: AccessArguments): string {
  if (args["data-dir"] !== undefined) return resolve(args["data-dir"]);
  const folders = [join(DATA_DIR, "cluster"), DATA_DIR].map((folder) => resolve(folder));
  const runs = folders.find((folder) => existsSync(join(folder, "ready.json")));
  return runs ?? folders.find((folder) => serversIn(folder) > 0) ?? resolve(DATA_DIR);
}

/** Journals in a new folder, with logins of their own. */
export function newJournals(data_dir: string): Promise<Access> {
  return over(data_dir, credentialsFile(join(data_dir, USERS_DIR), "maintenance"));
}

/** By a server over the folder, which has users if there are credentials. */
async function over(data_dir: string, nats_credentials: string | undefined): Promise<Access> {
  const users = nats_credentials === undefined ? {} : { users_dir: join(data_dir, USERS_DIR) };
  const engine = await startNats({ data_dir: join(data_dir, "nats"), port: 0, ...users });
  try {
    const login = nats_credentials === undefined ? {} : { nats_credentials };
    return accessOf(await connectAs({ nats_url: engine.url, ...login }, "journals"), () => engine.stop());
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** By the servers of a cluster's folder; a majority of them elects a leader for each journal first. */
async function overSeveral(data_dir: string, servers: number, say: (line: string) => void): Promise<Access> {
  const nats = await LocalNats.start({ data_dir, servers, port: 0, say });
  try {
    await nats.elected();
    const access = accessOf(await connectAs(nats.access("maintenance"), "journals"), () => nats.stop());
    try {
      await leadersOf(access.maintenance);
    } catch (error) {
      await access.link.close();
      throw error;
    }
    return access;
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

/** Resolves when each journal has a leader, who answers for it. */
async function leadersOf(maintenance: JetStreamMaintenance): Promise<void> {
  const deadline_ms = performance.now() + ELECTED_MS;
  for (;;) {
    try {
      await maintenance.list();
      return;
    } catch (error) {
      if (!(error instanceof JournalUnavailable) || performance.now() > deadline_ms) throw error;
      await delay(POLL_MS);
    }
  }
}

function accessOf(link: NatsLink, end: () => Promise<void>): Access {
  const journals = new JetStreamJournalStore(link);
  return {
    link,
    journals,
    maintenance: new JetStreamMaintenance(link),
    async close() {
      journals.close();
      await link.close();
      await end();
    },
  };
}

/** The server that a running node or cluster of the folder uses; null when none runs. */
function runningServer(data_dir: string): Pick<NatsAccess, "nats_url" | "nats_tls_ca"> | null {
  const path = join(data_dir, "ready.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  const { pid, nats, nats_ca } = saidIn(text);
  if (typeof pid !== "number" || !(pid > 0) || typeof nats !== "string") {
    throw new WrongArgument(`${path} names no server: say --nats-url`);
  }
  if (!isRunning(pid)) return null;
  return typeof nats_ca === "string" ? { nats_url: nats, nats_tls_ca: nats_ca } : { nats_url: nats };
}

/** What a ready.json says; nothing when it is none. */
function saidIn(text: string): { pid?: unknown; nats?: unknown; nats_ca?: unknown } {
  try {
    return (JSON.parse(text) as object | null) ?? {};
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return {};
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It runs, and is another user's.
    return codeOf(error) === "EPERM";
  }
}
