/**
 * Who may do what at a nats-server of ours. Two accounts keep apart what must never meet: JOURNALS holds the journals
 * and the leases, TRAFFIC what nodes say to each other and the public streams. A subject, a reply or a consumer of one
 * account cannot reach the other, so a gateway cannot touch a journal, whatever it sends. A node that owns shards has
 * a login in each.
 *
 * Passwords are random, made at the first start, and kept in files of mode 0600: `users.json` for the server, and one
 * file a role to hand out. They are in no log, URL or argument.
 */
import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./errors.ts";
import { randomName, writeFileAtomic } from "./files.ts";

export interface NatsLogin {
  readonly user: string;
  readonly password: string;
}

/** What a role's file holds: its login in each account that it may enter. */
export interface NatsCredentials {
  readonly journals?: NatsLogin;
  readonly traffic?: NatsLogin;
}

/**
 * `node`: owns shards and takes payments; `shard`: owns shards only; `gateway`: takes payments only; `maintenance`:
 * purges, copies and restores journals; `client`: a payment processor.
 */
export type NatsRole = "node" | "shard" | "gateway" | "maintenance" | "client";

interface User {
  readonly account: "JOURNALS" | "TRAFFIC";
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const API = "$JS.API";
const JOURNAL_READS = [
  `${API}.INFO`,
  `${API}.STREAM.INFO.*`,
  `${API}.STREAM.MSG.GET.*`,
  `${API}.CONSUMER.CREATE.*.*`,
  `${API}.CONSUMER.MSG.NEXT.*.*`,
  `${API}.CONSUMER.DELETE.*.*`,
];

/** The consumer calls that reading `stream` takes. */
function reads(stream: string): string[] {
  const calls = ["CREATE", "INFO", "MSG.NEXT", "DELETE"].map((call) => `${API}.CONSUMER.${call}.${stream}.>`);
  const durable = `${API}.CONSUMER.DURABLE.CREATE.${stream}.>`;
  // Newer servers put domain and account in front.
  const acks = [`$JS.ACK.${stream}.>`, `$JS.ACK.*.*.${stream}.>`];
  return [`${API}.STREAM.INFO.${stream}`, ...calls, durable, ...acks];
}

/** Users other than `client` have an inbox of their own, so that nobody hears answers to others. */
const USERS: Readonly<Record<string, User>> = {
  // Streams are made by whoever needs them first. Changing, emptying and removing them is for maintenance alone.
  shard: {
    account: "JOURNALS",
    publish: ["fg.j.>", "fg.probe", "$KV.FG_LEASES.>", `${API}.STREAM.CREATE.*`, ...JOURNAL_READS],
    subscribe: ["_INBOX_shard.>"],
  },
  maintenance: { account: "JOURNALS", publish: [">"], subscribe: ["_INBOX_maintenance.>"] },
  wire: { account: "TRAFFIC", publish: ["fg.n.>"], subscribe: ["fg.n.>", "_INBOX_wire.>"] },
  gateway: {
    account: "TRAFFIC",
    publish: [
      "fg.n.>",
      "fraud.analysis.events",
      "fraud.transaction.dead-letter",
      `${API}.INFO`,
      `${API}.STREAM.NAMES`,
      `${API}.STREAM.CREATE.FRAUD_TRANSACTIONS`,
      `${API}.STREAM.CREATE.FRAUD_ANALYSIS`,
      `${API}.STREAM.CREATE.FRAUD_DEAD_LETTERS`,
      ...reads("FRAUD_TRANSACTIONS"),
    ],
    subscribe: ["fg.n.>", "_INBOX_gateway.>"],
  },
  client: {
    account: "TRAFFIC",
    publish: ["fraud.transaction.events", `${API}.INFO`, ...reads("FRAUD_ANALYSIS"), ...reads("FRAUD_DEAD_LETTERS")],
    subscribe: ["fraud.analysis.events", "fraud.transaction.dead-letter", "_INBOX.>"],
  },
};

const ROLES: Readonly<Record<NatsRole, { readonly journals?: string; readonly traffic?: string }>> = {
  node: { journals: "shard", traffic: "gateway" },
  shard: { journals: "shard", traffic: "wire" },
  gateway: { traffic: "gateway" },
  maintenance: { journals: "maintenance" },
  client: { traffic: "client" },
};

/** Where a user's answers come. Who is outside uses the client libraries' own default. */
export function natsInbox(user: string): string {
  return user === "client" ? "_INBOX" : `_INBOX_${user}`;
}

export type NatsPasswords = Readonly<Record<string, string>>;

/** The file of a role's logins in the folder of users. */
export function credentialsFile(dir: string, role: NatsRole): string {
  return join(dir, `${role}.json`);
}

/** Passwords of all users, kept in `dir`; made at the first call. The roles' files are written anew each time. */
export async function keptNatsUsers(dir: string): Promise<NatsPasswords> {
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o700);
  const file = join(dir, "users.json");
  const found = await readPasswords(file);
  const passwords = Object.fromEntries(Object.keys(USERS).map((user) => [user, found[user] ?? randomName(24)]));
  await writeFileAtomic(file, `${JSON.stringify(passwords, null, 2)}\n`, 0o600);
  for (const [role, users] of Object.entries(ROLES)) {
    const logins = Object.entries(users).map(([account, user]) => [account, { user, password: passwords[user] }]);
    const text = `${JSON.stringify(Object.fromEntries(logins), null, 2)}\n`;
    await writeFileAtomic(credentialsFile(dir, role as NatsRole), text, 0o600);
  }
  return passwords;
}

async function readPasswords(file: string): Promise<NatsPasswords> {
  try {
    const found = JSON.parse(await readFile(file, "utf8")) as NatsPasswords | null;
    if (found !== null) return found;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return {};
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Error(`${file} is not a file of passwords: remove it for new ones`);
}

/** Lines of a nats-server's configuration. */
export function accountsConfig(passwords: NatsPasswords): string[] {
  const line = ([user, { publish, subscribe }]: [string, User]): string => {
    const permissions = { publish: { allow: publish }, subscribe: { allow: subscribe } };
    return `      ${JSON.stringify({ user, password: passwords[user], permissions })}`;
  };
  const account = (name: User["account"]): string[] => [
    `  ${name} {`,
    "    jetstream: enabled",
    "    users: [",
    ...Object.entries(USERS)
      .filter(([, u]) => u.account === name)
      .map(line),
    "    ]",
    "  }",
  ];
  return ["accounts {", ...account("JOURNALS"), ...account("TRAFFIC"), "}"];
}

/** Where a stream of a store that was made before there were accounts belongs. */
export function accountOfStream(stream: string): User["account"] {
  return stream.startsWith("FRAUD_") ? "TRAFFIC" : "JOURNALS";
}
