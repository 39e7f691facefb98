/** The nats-servers under a local cluster: one, or several that replicate and speak TLS; with users either way. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KeptNats } from "../engines/kept_nats.ts";
import { KeptNatsCluster } from "../engines/kept_nats_cluster.ts";
import { credentialsFile } from "../engines/nats_users.ts";
import { connectAs, type NatsAccess } from "../node/nats_access.ts";
import { WrongArgument } from "./arguments.ts";

export interface LocalNatsOptions {
  /** Of the cluster; the servers' folders are in it. */
  readonly data_dir: string;
  readonly servers: number;
  readonly port: number;
  readonly say: (line: string) => void;
}

/** What ready.json says of them. */
export interface ReadyNats {
  /** All, with commas. */
  readonly nats: string;
  readonly nats_pid: number;
  readonly nats_pids: readonly number[];
  /** Folder of the roles' logins. */
  readonly nats_users: string;
  /** Absent without TLS. */
  readonly nats_ca?: string;
}

/** How many nats-servers keep the journals of a cluster's folder; 0 when there are none. */
export function serversIn(data_dir: string): 0 | 1 | 3 {
  const nats = join(data_dir, "nats");
  if (existsSync(join(nats, "store"))) return 1;
  return existsSync(join(nats, "server-1")) ? 3 : 0;
}

const ELECTED_MS = 60_000;
const POLL_MS = 100;

export class LocalNats {
  readonly #servers: KeptNats | KeptNatsCluster;
  readonly #users_dir: string;

  private constructor(servers: KeptNats | KeptNatsCluster, users_dir: string) {
    this.#servers = servers;
    this.#users_dir = users_dir;
  }

  /** Rejects with WrongArgument when the folder's journals are those of another number of servers. */
  static async start({ data_dir, servers, port, say }: LocalNatsOptions): Promise<LocalNats> {
    const there = serversIn(data_dir);
    // They would begin with no journals, beside those that are there.
    if (there !== 0 && there !== servers) {
      const whose = there === 1 ? "one nats-server" : `${there} nats-servers`;
      throw new WrongArgument(`the journals in ${data_dir} are those of ${whose}: start it with --nats ${there}`);
    }
    const users_dir = join(data_dir, "nats-users");
    const up = (pid: number) => say(`nats-server started again, pid ${pid}`);
    if (servers === 1) {
      const onDown = (message: string) => say(`${message}: decisions wait until it is back`);
      const kept = { data_dir: join(data_dir, "nats"), port, users_dir, progress: say };
      return new LocalNats(await KeptNats.start({ ...kept, onDown, onUp: ({ pid }) => up(pid) }), users_dir);
    }
    const place = { data_dir: join(data_dir, "nats"), servers, port, users_dir, tls_dir: join(data_dir, "nats-tls") };
    const onDown = (message: string) => say(`${message}: the others go on`);
    return new LocalNats(await KeptNatsCluster.start({ ...place, progress: say, onDown, onUp: up }), users_dir);
  }

  get #ca(): string | undefined {
    return this.#servers instanceof KeptNatsCluster ? this.#servers.ca_file : undefined;
  }

  /** How a user of that role reaches them. */
  access(role: "node" | "maintenance"): NatsAccess {
    const ca = this.#ca;
    const tls = ca === undefined ? {} : { nats_tls_ca: ca };
    return { nats_url: this.#servers.url, nats_credentials: credentialsFile(this.#users_dir, role), ...tls };
  }

  /** Resolves when JetStream answers: several servers elect a leader first. */
  async elected(): Promise<void> {
    const link = await connectAs(this.access("maintenance"), "journals");
    const deadline_ms = performance.now() + ELECTED_MS;
    try {
      for (;;) {
        const answer = await link.client.request("$JS.API.INFO", "", { timeout: 1000 }).catch(() => null);
        if (answer !== null && !answer.string().includes('"error":')) return;
        if (performance.now() > deadline_ms) throw new Error("the nats-servers elect no leader: see their logs");
        await delay(POLL_MS);
      }
    } finally {
      await link.close();
    }
  }

  /** Arguments of a node that uses them. */
  args(replicas: number): string[] {
    const { nats_url, nats_credentials = "", nats_tls_ca } = this.access("node");
    const login = ["--nats-url", nats_url, "--nats-credentials", nats_credentials];
    const tls = nats_tls_ca === undefined ? [] : ["--nats-tls-ca", nats_tls_ca];
    return [...login, ...tls, "--nats-replicas", String(replicas)];
  }

  ready(): ReadyNats {
    const pids = this.#servers instanceof KeptNatsCluster ? this.#servers.pids : [this.#servers.pid];
    const ca = this.#ca;
    const said = { nats: this.#servers.url, nats_pid: pids[0], nats_pids: pids, nats_users: this.#users_dir };
    return ca === undefined ? said : { ...said, nats_ca: ca };
  }

  async stop(): Promise<void> {
    await this.#servers.stop();
  }
}
