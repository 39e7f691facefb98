/** The contract suites on the simulated adapters; runtime/nats runs the same ones on a real server. */
import { MemoryNetwork } from "../cluster/memory_transport.ts";
import { journalContract } from "./journal_contract.ts";
import { leaseContract } from "./lease_contract.ts";
import { SimJournalStore } from "./sim_journal.ts";
import { SimLeaseStore } from "./sim_lease.ts";
import { settle } from "./sim_world.ts";
import { transportContract } from "./transport_contract.ts";

journalContract("simulated journal", async () => {
  const store = new SimJournalStore();
  return { store, other: new SimJournalStore(null, store.streams), close: async () => {} };
});

leaseContract("simulated lease", async () => {
  const store = new SimLeaseStore();
  return { store, other: store, wipe: async () => store.wipe(), close: async () => {} };
});

transportContract("transport in one process", async () => {
  const network = new MemoryNetwork((run) => setImmediate(run));
  return { open: async (node) => network.transport(node), settle, close: async () => {} };
});
