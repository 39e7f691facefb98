/** How a process of ours reaches NATS: servers, the authority that they are trusted by, and its logins. */
import { readFileSync } from "node:fs";
import { connectNats, type NatsLink } from "../../runtime/nats/connection.ts";
import {
  credentialsFile,
  type NatsCredentials,
  type NatsLogin,
  type NatsRole,
  natsInbox,
} from "../engines/nats_users.ts";

/** What commands take: `--nats-url`, `--nats-credentials`, `--nats-tls-ca`. */
export interface NatsAccess {
  /** `nats://host:port`, or several with commas. */
  readonly nats_url: string;
  /** A role's file; absent: servers that ask for no password. */
  readonly nats_credentials?: string;
  /** PEM file of the authority; absent: no TLS. */
  readonly nats_tls_ca?: string;
}

/** What a ready.json of ours says of its nats-servers. */
export interface SaidNats {
  readonly nats: string;
  /** Folder of the roles' logins; absent: the servers ask for none. */
  readonly nats_users?: string;
  readonly nats_ca?: string;
}

/** The way of a role to the servers of a ready.json. */
export function accessOf(ready: SaidNats, role: NatsRole): NatsAccess {
  const { nats: nats_url, nats_users, nats_ca } = ready;
  return {
    nats_url,
    ...(nats_users === undefined ? {} : { nats_credentials: credentialsFile(nats_users, role) }),
    ...(nats_ca === undefined ? {} : { nats_tls_ca: nats_ca }),
  };
}

/** One line for what goes wrong with a file that the user named. Throws. */
function readNamed(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`--${option}: ${(error as Error).message}`);
  }
}

function isLogin(value: unknown): value is NatsLogin {
  const login = value as NatsLogin | null;
  return typeof login === "object" && typeof login?.user === "string" && typeof login.password === "string";
}

/** Reads a role's file. Throws with a message for the user, which never quotes it. */
function readCredentials(file: string): NatsCredentials {
  const wrong = new Error(`--nats-credentials: ${file} is not a credentials file`);
  let found: NatsCredentials;
  try {
    found = JSON.parse(readNamed("nats-credentials", file)) as NatsCredentials;
  } catch (error) {
    throw error instanceof SyntaxError ? wrong : error;
  }
  if (typeof found !== "object" || found === null) throw wrong;
  for (const login of [found.journals, found.traffic]) if (login !== undefined && !isLogin(login)) throw wrong;
  return found;
}

/** The servers of a URL, as the client wants them. */
function natsServers(nats_url: string): string[] {
  return nats_url.split(",").map((url) => url.trim().replace(/^\w+:\/\//, ""));
}

/**
 * Connects to one of the accounts. Rejects with NatsConnectError, and with an Error when a file is wrong or has no
 * login there. `onRefused` is told what the server does not let this user do.
 */
export async function connectAs(
  access: NatsAccess,
  account: "journals" | "traffic",
  onRefused?: (message: string) => void,
): Promise<NatsLink> {
  const servers = natsServers(access.nats_url);
  const ca = access.nats_tls_ca === undefined ? {} : { tls_ca: readNamed("nats-tls-ca", access.nats_tls_ca) };
  const told = onRefused === undefined ? {} : { onRefused };
  if (access.nats_credentials === undefined) return connectNats({ servers, ...ca, ...told });
  const login = readCredentials(access.nats_credentials)[account];
  if (login === undefined) throw new Error(`${access.nats_credentials} has no login for the ${account}`);
  return connectNats({ servers, ...ca, ...told, ...login, inbox_prefix: natsInbox(login.user) });
}
