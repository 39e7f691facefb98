/** The maintenance of journals on a real nats-server. */
import { after, before } from "node:test";
import { maintenanceContract } from "../testkit/maintenance_contract.ts";
import { NatsProcess } from "../testkit/nats_process.ts";
import { connectNats } from "./connection.ts";
import { JetStreamJournalStore } from "./jetstream_journal.ts";
import { JetStreamMaintenance } from "./journal_maintenance.ts";

let server: NatsProcess;

before(async () => {
  server = await NatsProcess.launch();
});
after(() => server.dispose());

maintenanceContract("JetStream maintenance", 0, async () => {
  const link = await connectNats({ servers: server.address });
  const store = new JetStreamJournalStore(link);
  const close = async (): Promise<void> => {
    store.close();
    await link.close();
  };
  return { store, maintenance: new JetStreamMaintenance(link), close };
});
