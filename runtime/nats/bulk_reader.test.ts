/** Reading a journal in bulk from a real nats-server while deliveries are lost: only what is gone is damage. */
import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { JOURNAL_START } from "../journal/claim.ts";
import { replay } from "../journal/replay.ts";
import { type Journal, JournalDamaged, JournalPurged, JournalUnavailable } from "../ports.ts";
import { checksumOf, rowsFrame, takeoverFrame } from "../testkit/frames.ts";
import { NatsProcess } from "../testkit/nats_process.ts";
import { tappedLink } from "../testkit/tapped_link.ts";
import { connectNats, type NatsLink } from "./connection.ts";
import { JetStreamJournalStore, journalConfig } from "./jetstream_journal.ts";

const FRAMES = 200;
const FRAME_BYTES = 20_000;
/** Of a test: half of what a journal here waits for an answer. */
const PATIENCE_MS = 60_000;
let server: NatsProcess;
let shards = 0;

before(async () => {
  server = await NatsProcess.launch();
});
after(() => server.dispose());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A shard whose journal has FRAMES frames, and allows what journals refuse. */
async function filled(t: TestContext): Promise<{ shard: number; journal: Journal; manager: JetStreamManager }> {
  const link = await connectNats({ servers: server.address });
  t.after(() => link.close());
  const shard = shards++;
  const manager = await jetstreamManager(link.client);
  const names = { stream: `FG_J${shard}`, subject: `fg.j.${shard}`, id: "0".repeat(31) + shard, options: {} };
  await manager.streams.add({ ...journalConfig(names), deny_delete: false });
  const journal = await new JetStreamJournalStore(link).open(shard);
  let frame = takeoverFrame(journal, { epoch: 1, sequence: 1 });
  for (let sequence = 1; sequence <= FRAMES; sequence++) {
    assert.equal((await journal.append(frame, sequence - 1)).kind, "appended");
    const next = { epoch: 1, sequence: sequence + 1, body_bytes: FRAME_BYTES, previous: checksumOf(frame) };
    frame = rowsFrame(journal, next);
  }
  return { shard, journal, manager };
}

/** Reads all of it as an owner would, without pauses between tries: which frames came, in their order. */
async function readAll(journal: Journal, folded: (sequence: number) => Promise<void> | void): Promise<number[]> {
  const seen: number[] = [];
  const fold = (header: { readonly frameNumber: number }): Promise<void> | void => {
    seen.push(header.frameNumber);
    return folded(header.frameNumber);
  };
  await replay(journal, JOURNAL_START, fold, sleep);
  return seen;
}

const ALL = Array.from({ length: FRAMES }, (_, i) => i + 1);

/** Stands between a client and the server; of what the server says it lets through so many bytes, then it cuts. */
async function flakyProxy(
  t: TestContext,
): Promise<{ address: string; cutAfter: (bytes: number) => void; cuts: () => number }> {
  let [room, cuts] = [Number.POSITIVE_INFINITY, 0];
  const open = new Set<Socket>();
  const proxy = createServer((client) => {
    const upstream = connect(Number(server.address.split(":")[1]), "127.0.0.1");
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on("data", (bytes) => {
      client.write(bytes.subarray(0, room));
      room -= bytes.length;
      if (room > 0) return;
      cuts++;
      room = Number.POSITIVE_INFINITY;
      upstream.removeAllListeners("data");
      // The client has what was let through.
      setTimeout(() => client.destroy(), 50);
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    proxy.close();
  });
  const at = proxy.address();
  assert.ok(at !== null && typeof at === "object");
  const cutAfter = (bytes: number): void => {
    room = bytes;
  };
  return { address: `127.0.0.1:${at.port}`, cutAfter, cuts: () => cuts };
}

/** A journal over a link of its own, with a patience that no test waits for. */
async function opened(t: TestContext, link: NatsLink, shard: number): Promise<Journal> {
  const store = new JetStreamJournalStore(link, { timeout_ms: 2 * PATIENCE_MS });
  t.after(async () => {
    store.close();
    await link.close();
  });
  return store.open(shard);
}

for (const records of [30, 80]) {
  test(`a connection that breaks after ${records} records, and is back at once, costs only time`, {
    timeout: PATIENCE_MS,
  }, async (t) => {
    const { shard } = await filled(t);
    const proxy = await flakyProxy(t);
    const link = await connectNats({ servers: proxy.address });
    const journal = await opened(t, link, shard);
    proxy.cutAfter(records * FRAME_BYTES);
    // The fold is slow, so that the link is down and up again before the reader looks.
    const seen = await readAll(journal, async (sequence) => {
      if (sequence === 5) while (proxy.cuts() === 0 || !link.up) await sleep(5);
      if (sequence === 6) await sleep(400);
    });
    assert.deepEqual([seen, proxy.cuts()], [ALL, 1]);
  });
}

test("a record that is lost on the way is fetched by itself", { timeout: PATIENCE_MS }, async (t) => {
  const { shard } = await filled(t);
  const real = await connectNats({ servers: server.address });
  t.after(() => real.close());
  const lost = new Set([7, 64, 65, 128, 150]);
  const link = tappedLink(real, (message, deliver) => {
    const isLost = message.reply?.startsWith("$JS.ACK.") && lost.has(Number(message.reply.split(".")[5]));
    if (!isLost) deliver(message);
  });
  const journal = await opened(t, link, shard);
  assert.deepEqual(await readAll(journal, () => {}), ALL);
});

for (const unheard of [[1], [2], [1, 2, 3], [4]]) {
  test(`pulls that nobody hears are sent again: ${unheard.join(", ")}`, { timeout: PATIENCE_MS }, async (t) => {
    const { shard } = await filled(t);
    const real = await connectNats({ servers: server.address });
    t.after(() => real.close());
    let pulls = 0;
    const link = tappedLink(
      real,
      (message, deliver) => deliver(message),
      (subject) => {
        if (!subject.startsWith("$JS.API.CONSUMER.MSG.NEXT.")) return subject;
        return unheard.includes(++pulls) ? "nobody.hears" : subject;
      },
    );
    const journal = await opened(t, link, shard);
    assert.deepEqual(await readAll(journal, () => {}), ALL);
    assert.ok(pulls > unheard.length);
  });
}

test("pulls that nobody ever hears end as unavailable", { timeout: PATIENCE_MS }, async (t) => {
  const { shard } = await filled(t);
  const real = await connectNats({ servers: server.address });
  t.after(() => real.close());
  const link = tappedLink(
    real,
    (message, deliver) => deliver(message),
    (subject) => (subject.startsWith("$JS.API.CONSUMER.MSG.NEXT.") ? "nobody.hears" : subject),
  );
  const journal = await opened(t, link, shard);
  const first = async (): Promise<void> => {
    for await (const _ of journal.readFrom(1)) return;
  };
  await assert.rejects(first, (e: unknown) => e instanceof JournalUnavailable && /nobody answers/.test(e.message));
});

test("a record that is not there is damage, at its sequence", async (t) => {
  const { shard, journal, manager } = await filled(t);
  await manager.streams.deleteMessage(`FG_J${shard}`, 70);
  await assert.rejects(
    readAll(journal, () => {}),
    (e: unknown) => e instanceof JournalDamaged && e.sequence === 70 && /missing/.test(e.message),
  );
});

test("records that are purged while it reads are purged, not damaged", async (t) => {
  const { shard, journal, manager } = await filled(t);
  const purge = async (sequence: number): Promise<void> => {
    if (sequence === 10) await manager.streams.purge(`FG_J${shard}`, { seq: 190 });
  };
  await assert.rejects(readAll(journal, purge), JournalPurged);
});
