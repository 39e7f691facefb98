/** Reads stored decisions wherever they are: of this node's shards here, of others from their owners. */
import type { DecisionReader } from "../../gateway/ports.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { Cluster } from "../../runtime/cluster/cluster.ts";
import type { StoredDecisions } from "./stored_decisions.ts";

export function clusterDecisions(
  cluster: Cluster,
  stored: StoredDecisions,
  tenants: readonly Tenant[],
): DecisionReader {
  const byId = new Map(tenants.map((t) => [t.id, t.index]));
  cluster.findHere = async (tenant, id, user, shards) => {
    const index = byId.get(tenant);
    if (index === undefined) throw new Error(`no tenant ${tenant} on this node`);
    return stored.findAmong(index, id, user, shards);
  };
  return {
    findDecision: (tenant, id, user) => cluster.finder.find(tenants[tenant].id, id, user),
  };
}
