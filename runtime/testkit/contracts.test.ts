/** The contract suites on the simulated adapters; runtime/nats runs the same ones on a real server. */
import { MemoryNetwork } from "../cluster/memory_transport.ts";
import { journalContract } from "./journal_contract.ts";
import { leaseContract } from "./lease_contract.ts";
import { maintenanceContract } from "./maintenance_contract.ts";
import { MemorySnapshots } from "./memory_snapshots.ts";
import { SimJournalStore, SimMaintenance } from "./sim_journal.ts";
import { SimLeaseStore } from "./sim_lease.ts";
import { settle } from "./sim_world.ts";
import { snapshotContract } from "./snapshot_contract.ts";
import { transportContract } from "./transport_contract.ts";

journalContract("simulated journal", async () => {
  const store = new SimJournalStore();
  return { store, other: new SimJournalStore(null, store.streams), close: async () => {} };
});

maintenanceContract("simulated maintenance", 0, async () => {
  const store = new SimJournalStore();
  return { store, maintenance: new SimMaintenance(store.streams), close: async () => {} };
});

leaseContract("simulated lease", async () => {
  const store = new SimLeaseStore();
  return { store, other: store, wipe: async () => store.wipe(), close: async () => {} };
});

transportContract("transport in one process", async () => {
  const network = new MemoryNetwork((run) => setImmediate(run));
  return { open: async (node) => network.transport(node), settle, close: async () => {} };
});

snapshotContract("snapshots in memory", async () => {
  const store = new MemorySnapshots(7000);
  return { store, other: store, close: async () => {} };
});
