/** Whether a cluster is at rest: nobody renews a lease, no journal grows. */
import type { Sleep } from "../../runtime/journal/checked.ts";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import type { JournalSet } from "../../runtime/nats/journal_set.ts";
import { KvLeaseStore } from "../../runtime/nats/kv_lease.ts";
import type { JournalFacts } from "../../runtime/ports.ts";
import { ReshardError } from "./errors.ts";

/** An owner renews its lease every 500 ms. */
const QUIET_MS = 1600;

export interface Cluster {
  readonly link: NatsLink;
  readonly sleep: Sleep;
  readonly served: JournalSet;
  /** Of each journal; the bucket of leases is made with as many when it is not there. */
  readonly replicas: number;
}

/**
 * Rejects with ReshardError `served` when the lease of one of so many shards is renewed, or a journal grows, came or
 * went since `before` was read.
 */
export async function checkQuiet(c: Cluster, shards: number, before: readonly JournalFacts[]): Promise<void> {
  const leases = new KvLeaseStore(c.link, { num_replicas: c.replicas });
  const read = async () => {
    const held = await Promise.all(Array.from({ length: shards }, (_, shard) => leases.read(shard)));
    return held.map((lease) => ({ node: lease?.node ?? "", revision: lease?.revision ?? 0 }));
  };
  const first = await read();
  await c.sleep(QUIET_MS);
  const now = await read();
  for (const [shard, { node, revision }] of now.entries()) {
    if (node === "" || revision === first[shard].revision) continue;
    throw new ReshardError("served", `node ${node} holds the lease of shard ${shard}: stop the cluster first`);
  }
  const after = await c.served.list();
  const other = after.find((j, i) => j.id !== before[i]?.id || j.lastSequence !== before[i].lastSequence);
  const shard = other?.shard ?? (after.length < before.length ? before[after.length].shard : null);
  if (shard !== null) throw new ReshardError("served", `the journal of shard ${shard} grows: a node serves`);
}
