/**
 * Servers of ours that replicate streams among themselves, each started again whenever it ends unasked. Two of three
 * are enough for everything.
 */
import { KeptNats } from "./kept_nats.ts";
import { type NatsClusterOptions, planNatsCluster } from "./nats_cluster.ts";

export interface KeptNatsClusterOptions extends NatsClusterOptions {
  /** Told when a server ended unasked, and when a try to start it failed. */
  readonly onDown: (message: string) => void;
  /** Told when one serves again. */
  readonly onUp: (pid: number) => void;
  readonly progress?: (line: string) => void;
  /** As KeptNatsOptions say it. */
  readonly check_ms?: number;
}

export class KeptNatsCluster {
  readonly #servers: readonly KeptNats[];
  /** PEM file of the authority that vouches for the servers. */
  readonly ca_file: string;

  private constructor(servers: readonly KeptNats[], ca_file: string) {
    this.#servers = servers;
    this.ca_file = ca_file;
  }

  /** Resolves when every server runs; they may still elect a leader. */
  static async start(o: KeptNatsClusterOptions): Promise<KeptNatsCluster> {
    const plans = await planNatsCluster(o);
    const { progress, check_ms } = o;
    const common = { ...(progress === undefined ? {} : { progress }), ...(check_ms === undefined ? {} : { check_ms }) };
    const told = { onDown: o.onDown, onUp: ({ pid }: { readonly pid: number }) => o.onUp(pid) };
    const tries = await Promise.allSettled(plans.map((plan) => KeptNats.start({ ...plan, ...common, ...told })));
    const started = tries.flatMap((t) => (t.status === "fulfilled" ? [t.value] : []));
    const failed = tries.find((t) => t.status === "rejected");
    if (failed === undefined) return new KeptNatsCluster(started, plans[0].tls.ca_file);
    await Promise.all(started.map((server) => server.stop()));
    throw failed.reason as Error;
  }

  /** All servers, with commas. */
  get url(): string {
    return this.#servers.map((server) => server.url).join(",");
  }

  /** Of the processes that serve now, or served last. */
  get pids(): number[] {
    return this.#servers.map((server) => server.pid);
  }

  /** Ends them; they are not started again. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }
}
