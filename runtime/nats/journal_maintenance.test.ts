/** The maintenance of journals on a real nats-server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { maintenanceContract } from "../testkit/maintenance_contract.ts";
import { NatsProcess } from "../testkit/nats_process.ts";
import { connectNats, NatsLink } from "./connection.ts";
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

const NO_PEERS = { error: { code: 400, err_code: 10005, description: "no suitable peers for placement" } };

/** A link whose first `refusals` journals to be made are refused, as by servers that do not know of each other yet. */
function lonely(real: NatsLink, refusals: number): NatsLink {
  const request: NatsConnection["request"] = async (subject, payload, o) => {
    if (!subject.includes("STREAM.CREATE") || refusals-- <= 0) return real.client.request(subject, payload, o);
    return { data: Buffer.from(JSON.stringify(NO_PEERS)) } as unknown as Msg;
  };
  const client = new Proxy(real.client, {
    get(target, key) {
      if (key === "request") return request;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return new NatsLink(client, { inbox_prefix: "_INBOX" });
}

test("a journal is made as soon as there are servers for its replicas", async (t) => {
  const real = await connectNats({ servers: server.address });
  t.after(() => real.close());
  const made = { id: "a".repeat(32), shards: 1, firstSequence: 1 };
  const maintenance = new JetStreamMaintenance(lonely(real, 2));
  await maintenance.create(900, made);
  assert.ok((await maintenance.list()).some((j) => j.shard === 900 && j.id === made.id));
  let minutes = 0;
  t.mock.method(performance, "now", () => minutes++ * 60_000);
  await assert.rejects(new JetStreamMaintenance(lonely(real, 1)).create(901, made), /no suitable peers/);
});
