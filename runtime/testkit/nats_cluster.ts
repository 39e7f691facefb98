/** Three real nats-servers for tests, with replicated streams, TLS and users, over a folder of their own. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type NatsEngine, startNats } from "../../deploy/engines/nats.ts";
import { type NatsPlan, planNatsCluster } from "../../deploy/engines/nats_cluster.ts";
import { natsInbox } from "../../deploy/engines/nats_users.ts";
import { connectNats, type NatsLink, type NatsOptions } from "../nats/connection.ts";

const SERVERS = 3;
const ELECTED_MS = 60_000;
const STARTS_MAX = 3;

export class NatsCluster {
  readonly folder: string;
  readonly #plans: readonly NatsPlan[];
  readonly #engines: (NatsEngine | null)[] = [];
  readonly #passwords: Readonly<Record<string, string>>;
  readonly ca: string;

  private constructor(folder: string, plans: readonly NatsPlan[], passwords: Record<string, string>, ca: string) {
    this.folder = folder;
    this.#plans = plans;
    this.#passwords = passwords;
    this.ca = ca;
  }

  /** Servers that elected a leader of JetStream. */
  static async launch(): Promise<NatsCluster> {
    for (let tries = 1; ; tries++) {
      const folder = await mkdtemp(join(tmpdir(), "fraudguard-nats3-"));
      const cluster = await NatsCluster.#startIn(folder).catch(async (error: Error) => {
        await rm(folder, { recursive: true, force: true });
        // A port for the servers' own talk was free when it was chosen, and another process took it since.
        if (tries === STARTS_MAX || !error.message.includes("address already in use")) throw error;
        return null;
      });
      if (cluster === null) continue;
      await cluster.elected();
      return cluster;
    }
  }

  static async #startIn(folder: string): Promise<NatsCluster> {
    const users_dir = join(folder, "users");
    const place = { data_dir: folder, servers: SERVERS, port: 0, users_dir, tls_dir: join(folder, "tls") };
    const plans = await planNatsCluster(place);
    const passwords = JSON.parse(await readFile(join(users_dir, "users.json"), "utf8")) as Record<string, string>;
    const cluster = new NatsCluster(folder, plans, passwords, await readFile(plans[0].tls.ca_file, "utf8"));
    const started = await Promise.allSettled(plans.map((plan) => startNats(plan)));
    const failed = started.find((s) => s.status === "rejected");
    const running = started.flatMap((s) => (s.status === "fulfilled" ? [s.value] : []));
    if (failed !== undefined) {
      for (const engine of running) await engine.stop();
      throw failed.reason;
    }
    cluster.#engines.push(...running);
    return cluster;
  }

  /** host:port of each server, also of one that is down. */
  readonly #addresses: string[] = [];

  get servers(): readonly string[] {
    for (const [i, engine] of this.#engines.entries()) {
      if (engine !== null) this.#addresses[i] = `127.0.0.1:${engine.port}`;
    }
    return this.#addresses;
  }

  /** A connection of a user to all servers. */
  connect(user: string, over: Partial<NatsOptions> = {}): Promise<NatsLink> {
    const login = { user, password: this.#passwords[user], inbox_prefix: natsInbox(user) };
    return connectNats({ servers: this.servers, ...login, tls_ca: this.ca, ...over });
  }

  /** Waits until JetStream of the account of the journals answers. */
  async elected(): Promise<void> {
    const link = await this.connect("maintenance");
    const deadline = performance.now() + ELECTED_MS;
    for (;;) {
      const answer = await link.client.request("$JS.API.INFO", "", { timeout: 1000 }).catch(() => null);
      if (answer !== null && !answer.string().includes('"error":')) return link.close();
      if (performance.now() > deadline) throw new Error("no leader of JetStream");
      await delay(50);
    }
  }

  /** Index of the server that leads a stream of the journals. */
  async leaderOf(stream: string): Promise<number> {
    const running = this.servers.filter((_, i) => this.#engines[i] !== null);
    const link = await this.connect("maintenance", { servers: running });
    try {
      const info = (await link.client.request(`$JS.API.STREAM.INFO.${stream}`)).json() as {
        readonly cluster: { readonly leader?: string };
      };
      return this.#plans.findIndex((plan) => plan.member?.server_name === info.cluster.leader);
    } finally {
      await link.close();
    }
  }

  /** The password of a user. */
  password(user: string): string {
    return this.#passwords[user];
  }

  get ca_file(): string {
    return this.#plans[0].tls.ca_file;
  }

  /** Folder of the roles' logins. */
  get users_dir(): string {
    return join(this.folder, "users");
  }

  pid(server: number): number {
    const engine = this.#engines[server];
    if (engine === null) throw new Error(`server ${server} is down`);
    return engine.pid;
  }

  /** kill -9. */
  async kill(server: number): Promise<void> {
    void this.servers;
    const engine = this.#engines[server];
    if (engine === null) throw new Error(`server ${server} is down`);
    process.kill(engine.pid, "SIGKILL");
    await engine.exited;
    this.#engines[server] = null;
  }

  /** Starts a server that was killed, over its folder and on its port. */
  async start(server: number): Promise<void> {
    const port = Number(this.#addresses[server].split(":")[1]);
    this.#engines[server] = await startNats({ ...this.#plans[server], port });
  }

  async dispose(): Promise<void> {
    for (const engine of this.#engines) await engine?.stop();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
