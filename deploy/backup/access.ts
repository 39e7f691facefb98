/** How maintenance commands reach a cluster's journals: at a running server, or over a folder that is at rest. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { JetStreamMaintenance } from "../../runtime/nats/journal_maintenance.ts";
import { WrongArgument } from "../commands/arguments.ts";
import { codeOf } from "../engines/errors.ts";
import { DATA_DIR } from "../engines/files.ts";
import { startNats } from "../engines/nats.ts";
import { credentialsFile } from "../engines/nats_users.ts";
import { connectAs, type NatsAccess } from "../node/nats_access.ts";

/** Of a data folder: the logins of its nats-server's users. */
const USERS_DIR = "nats-users";

export interface Access {
  readonly link: NatsLink;
  readonly journals: JetStreamJournalStore;
  readonly maintenance: JetStreamMaintenance;
  close(): Promise<void>;
}

export const ACCESS_HELP = `\
  --data-dir DIR            the cluster's folder (default data): its ready.json names the server; when nothing runs
                            there, a server is started over DIR/nats for the while
  --nats-url URL            the journals of this server (several of one cluster with commas between them)
  --nats-credentials FILE   login of the maintenance account (default: that of the data folder, if it has one)
  --nats-tls-ca FILE        certificate of the authority that vouches for the server (default: likewise)`;

export const ACCESS_OPTIONS = {
  "data-dir": { type: "string", default: DATA_DIR },
  "nats-url": { type: "string" },
  "nats-credentials": { type: "string" },
  "nats-tls-ca": { type: "string" },
} as const;

export interface AccessArguments {
  readonly "data-dir": string;
  readonly "nats-url"?: string | undefined;
  readonly "nats-credentials"?: string | undefined;
  readonly "nats-tls-ca"?: string | undefined;
}

/** Reaches the journals that the arguments name; whoever gets it closes it. */
export async function reach(args: AccessArguments, say: (line: string) => void): Promise<Access> {
  const data_dir = resolve(args["data-dir"]);
  const running = runningServer(data_dir);
  const nats_url = args["nats-url"] ?? running?.nats_url;
  const kept = credentialsFile(join(data_dir, USERS_DIR), "maintenance");
  const nats_credentials = args["nats-credentials"] ?? (existsSync(kept) ? kept : undefined);
  const nats_tls_ca = args["nats-tls-ca"] ?? running?.nats_tls_ca;
  const named = {
    ...(nats_credentials === undefined ? {} : { nats_credentials }),
    ...(nats_tls_ca === undefined ? {} : { nats_tls_ca }),
  };
  if (nats_url !== undefined) return accessOf(await connectAs({ nats_url, ...named }, "journals"), async () => {});
  if (!existsSync(join(data_dir, "nats", "store"))) {
    throw new WrongArgument(`nothing runs in ${data_dir}, nor are journals of one server in it: say --nats-url`);
  }
  say(`nothing runs in ${data_dir}: its journals are read by a server of our own`);
  return over(data_dir, nats_credentials);
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
  const { pid, nats, nats_ca } = JSON.parse(text) as { pid?: unknown; nats?: unknown; nats_ca?: unknown };
  if (typeof pid !== "number" || typeof nats !== "string") {
    throw new WrongArgument(`${path} names no server: say --nats-url`);
  }
  if (!isRunning(pid)) return null;
  return typeof nats_ca === "string" ? { nats_url: nats, nats_tls_ca: nats_ca } : { nats_url: nats };
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
