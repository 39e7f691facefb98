/**
 * The places of several nats-servers on this machine that replicate streams among themselves: a folder, a name and
 * ports for each. Names and folders are the same at each start; ports may change, the servers know each other by name.
 */
import { join } from "node:path";
import { keptCertificates, type TlsFiles } from "./certificates.ts";
import type { NatsOptions } from "./nats.ts";
import { keptNatsUsers } from "./nats_users.ts";
import { freePort } from "./ports.ts";

/** What the servers have in common. */
export interface NatsClusterOptions {
  readonly data_dir: string;
  /** 3 or 5. */
  readonly servers: number;
  /** Wanted by the first server; the others take free ones. 0: all do. */
  readonly port: number;
  /** As NatsOptions say it. */
  readonly users_dir: string;
  /** Folder of certificates, made when missing. */
  readonly tls_dir: string;
}

export type NatsPlan = NatsOptions & { readonly tls: TlsFiles };

/** What to start each server with. They elect a leader, and serve, when most of them run. */
export async function planNatsCluster(o: NatsClusterOptions): Promise<NatsPlan[]> {
  // Made once, before the servers would make them at the same time.
  await keptNatsUsers(o.users_dir);
  const tls = await keptCertificates(o.tls_dir);
  const ports = await distinctPorts(o.servers);
  return ports.map((cluster_port, i) => ({
    data_dir: join(o.data_dir, `server-${i + 1}`),
    port: i === 0 ? o.port : 0,
    users_dir: o.users_dir,
    tls,
    member: {
      server_name: `fraudguard-${i + 1}`,
      cluster_port,
      routes: ports.filter((port) => port !== cluster_port),
    },
  }));
}

async function distinctPorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort(0));
  return [...ports];
}
