/** The NATS adapters on three real servers, with replicas, TLS and users: contracts, elections, users' permissions. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import type { Msg } from "@nats-io/nats-core";
import { makeAuthority } from "../../deploy/engines/certificates.ts";
import { claim } from "../journal/claim.ts";
import type { Committer } from "../journal/committer.ts";
import { type Journal, JournalUnavailable } from "../ports.ts";
import { CommitDriver } from "../testkit/commit_driver.ts";
import { beginJournal, checksumOf, rowsFrame, takeoverFrame } from "../testkit/frames.ts";
import { journalContract } from "../testkit/journal_contract.ts";
import { leaseContract } from "../testkit/lease_contract.ts";
import { NatsCluster } from "../testkit/nats_cluster.ts";
import { tappedLink } from "../testkit/tapped_link.ts";
import { transportContract } from "../testkit/transport_contract.ts";
import { NatsConnectError, type NatsLink } from "./connection.ts";
import { JetStreamJournalStore } from "./jetstream_journal.ts";
import { KvLeaseStore } from "./kv_lease.ts";
import { NatsTransport } from "./nats_transport.ts";
import { PublicStreams } from "./public_streams.ts";

const num_replicas = 3;
let cluster: NatsCluster;
let shards = 500;
let buckets = 0;

before(async () => {
  cluster = await NatsCluster.launch();
});
after(() => cluster?.dispose());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`not reached in 30 s: ${what}`);
    await sleep(20);
  }
}

async function openStore(): Promise<{ store: JetStreamJournalStore; link: NatsLink; close: () => Promise<void> }> {
  const link = await cluster.connect("shard");
  const store = new JetStreamJournalStore(link, { num_replicas, timeout_ms: 2000 });
  const close = async (): Promise<void> => {
    store.close();
    await link.close();
  };
  return { store, link, close };
}

journalContract("replicated journal", async () => {
  const [a, b] = [await openStore(), await openStore()];
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { store: a.store, other: b.store, close };
});

leaseContract("replicated KV lease", async () => {
  // A bucket of another name is for maintenance only.
  const links = [await cluster.connect("maintenance"), await cluster.connect("maintenance")];
  const bucket = `L${buckets++}`;
  const [store, other] = links.map((link) => new KvLeaseStore(link, { bucket, num_replicas }));
  const wipe = async (): Promise<void> => {
    await links[0].client.request(`$JS.API.STREAM.DELETE.KV_${bucket}`);
  };
  const close = async (): Promise<void> => {
    await wipe();
    for (const link of links) await link.close();
  };
  // Made before, so that no test meets its first election.
  for (const s of [store, other]) {
    const isThere = async () =>
      s.read(9).then(
        () => true,
        () => false,
      );
    await until(isThere, "the bucket");
  }
  return { store, other, wipe, close };
});

transportContract("NATS transport over several servers", async () => {
  const links: NatsLink[] = [];
  const errors: Error[] = [];
  const open = async (node: string): Promise<NatsTransport> => {
    // One server each, so that messages travel between servers.
    const link = await cluster.connect("wire", { servers: [cluster.servers[links.length % cluster.servers.length]] });
    links.push(link);
    return new NatsTransport(link, node, "key", (error) => errors.push(error));
  };
  /** Servers pass messages and interest on by themselves; a pause lets them. */
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      for (const link of links) await link.client.flush();
      await sleep(30);
    }
  };
  const close = async (): Promise<void> => {
    for (const link of links) await link.close();
    assert.deepEqual(errors, []);
  };
  return { open, settle, close };
});

test("no frame lands behind a Takeover that is being replicated", async () => {
  const [a, b] = [await openStore(), await openStore()];
  const shard = shards++;
  const [journal, rival] = [await a.store.open(shard), await b.store.open(shard)];
  await beginJournal(journal);
  const kinds = new Set<string>();
  for (let round = 0, epoch = 1; round < 40; round++) {
    const last = (await journal.state()).lastSequence;
    // The Takeover takes the place of an owner's first frame; the second one expects just that sequence.
    const [takeover, behind] = await Promise.all([
      rival.append(takeoverFrame(journal, { epoch: epoch + 1, sequence: last + 1 }), last),
      journal.append(rowsFrame(journal, { epoch, sequence: last + 2 }), last + 1),
    ]);
    kinds.add(`${takeover.kind}, ${behind.kind}`);
    epoch += takeover.kind === "appended" ? 1 : 0;
    // Both parities of the sequence.
    if (round % 3 === 0) await journal.append(rowsFrame(journal, { epoch, sequence: last + 2 }), last + 1);
  }
  assert.deepEqual([...kinds], ["appended, conflict"]);
  await a.close();
  await b.close();
});

test("an owner's appends are not refused for its own, and a Takeover deposes it", async () => {
  const [a, b] = [await openStore(), await openStore()];
  const shard = shards++;
  const driver = await CommitDriver.start(await a.store.open(shard), "a");
  driver.enough = 40;
  await until(() => driver.told.length >= 40, "40 frames");
  const begin = performance.now();
  driver.enough = 140;
  driver.fill();
  await until(() => driver.told.length >= 140 || driver.end !== null, "100 more frames");
  // A refused append costs a look at the tail and a pause of 20 ms each time.
  assert.ok(performance.now() - begin < 100 * 20, `100 frames took ${performance.now() - begin} ms`);
  const next = (driver.committer as Committer).nextFrameNumber;
  const rival = await b.store.open(shard);
  await claim(rival, { node: "c", bootId: "d" }, 1, sleep);
  driver.enough = Number.POSITIVE_INFINITY;
  driver.fill();
  await until(() => driver.end !== null, "the first owner deposed");
  assert.equal((await rival.tail())?.sequence, next);
  await a.close();
  await b.close();
});

test("kill -9 of the leader of a journal amid appends: each committed frame stands, the owner goes on", async () => {
  const used = await openStore();
  const journal = await used.store.open(shards++);
  const driver = await CommitDriver.start(journal, "a");
  await until(() => driver.told.length >= 50, "frames before");
  const leader = await cluster.leaderOf(`FG_J${journal.shard}`);
  await cluster.kill(leader);
  const died = performance.now();
  const reached = driver.told.length + 50;
  await until(() => driver.told.length >= reached || driver.end !== null, "frames by the next leader");
  assert.ok(performance.now() - died < 15_000, `${performance.now() - died} ms without a commit`);
  await cluster.start(leader);
  driver.enough = driver.told.length + 50;
  await until(() => driver.told.length >= driver.enough || driver.end !== null, "frames with three servers again");
  assert.equal(driver.end, null);
  await until(() => driver.committer?.inFlight === 0, "nothing in flight");
  await driver.check(journal);
  await used.close();
});

test("an older tail than was seen is no answer of a replicated journal", async () => {
  const used = await openStore();
  const maintenance = await cluster.connect("maintenance");
  const journal = await used.store.open(shards++);
  await beginJournal(journal);
  assert.equal((await journal.tail())?.sequence, 1);
  // What a leader that does not know it yet would say: nothing is there.
  const { config } = (await maintenance.client.request(`$JS.API.STREAM.INFO.FG_J${journal.shard}`)).json() as {
    readonly config: object;
  };
  await maintenance.client.request(`$JS.API.STREAM.DELETE.FG_J${journal.shard}`);
  const made = await maintenance.client.request(`$JS.API.STREAM.CREATE.FG_J${journal.shard}`, JSON.stringify(config));
  assert.ok(!made.string().includes('"error"'), made.string());
  await assert.rejects(journal.tail(), JournalUnavailable);
  await assert.rejects(journal.state(), JournalUnavailable);
  await maintenance.close();
  await used.close();
});

/** What becomes of one answer to a look at the tail. */
type Fate = (answer: Msg, deliver: (answer: Msg) => void) => void;

/** A replicated journal of two frames; `next` decides about the next answer to a look at its tail. */
async function twoFrames(t: TestContext): Promise<{ journal: Journal; next: (fate: Fate) => void }> {
  const real = await cluster.connect("shard");
  let coming: Fate | null = null;
  const link = tappedLink(real, (message, deliver) => {
    const fate = message.string().includes("stream_msg_get_response") ? coming : null;
    if (fate === null) return deliver(message);
    coming = null;
    fate(message, deliver);
  });
  const store = new JetStreamJournalStore(link, { num_replicas });
  const journal = await store.open(shards++);
  const first = await beginJournal(journal);
  await journal.append(rowsFrame(journal, { epoch: 1, sequence: 2, previous: checksumOf(first) }), 1);
  const next = (fate: Fate): void => {
    coming = fate;
  };
  t.after(async () => {
    store.close();
    await real.close();
  });
  return { journal, next };
}

/** The answer of a server that has the first frame only. */
const behind: Fate = (answer, deliver) => {
  const text = answer.string().replace(/"seq":\d+/, '"seq":1');
  deliver(new Proxy(answer, { get: (m, key) => (key === "string" ? () => text : Reflect.get(m, key)) }));
};

test("answers that are behind are no lost history, however far apart", async (t) => {
  const { journal, next } = await twoFrames(t);
  const { now } = performance;
  let later_ms = 0;
  t.mock.method(performance, "now", () => now.call(performance) + later_ms);
  for (let minute = 0; minute < 3; minute++, later_ms += 60_000) {
    next(behind);
    await assert.rejects(journal.tail(), JournalUnavailable);
  }
  assert.equal((await journal.tail())?.sequence, 2);
});

test("an acknowledgement and a lost answer begin the grace anew", async (t) => {
  const { journal, next } = await twoFrames(t);
  const { now } = performance;
  let later_ms = 0;
  t.mock.method(performance, "now", () => now.call(performance) + later_ms);
  const away: Fate = (answer, deliver) => {
    const text = JSON.stringify({ error: { code: 503, err_code: 10008, description: "temporarily unavailable" } });
    deliver(new Proxy(answer, { get: (m, key) => (key === "string" ? () => text : Reflect.get(m, key)) }));
  };
  for (let second = 0; second < 60; second += 4, later_ms += 4000) {
    if (second === 16)
      assert.equal((await journal.append(rowsFrame(journal, { epoch: 1, sequence: 3 }), 2)).kind, "appended");
    next(second === 36 ? away : behind);
    await assert.rejects(journal.tail(), JournalUnavailable, `after ${second} s`);
  }
});

test("a tail that was asked for before an acknowledgement is an answer behind it", async (t) => {
  const { journal, next } = await twoFrames(t);
  const held = Promise.withResolvers<() => void>();
  next((message, deliver) => held.resolve(() => deliver(message)));
  const tail = journal.tail();
  const answer = await held.promise;
  assert.equal((await journal.append(rowsFrame(journal, { epoch: 1, sequence: 3 }), 2)).kind, "appended");
  answer();
  assert.equal((await tail)?.sequence, 2);
});

test("a frame that a snapshot ends with is looked for until the server has caught up", async (t) => {
  const { journal } = await twoFrames(t);
  const { store, close } = await openStore();
  t.after(close);
  const other = await store.open(journal.shard);
  await assert.rejects(other.read(3, true), JournalUnavailable);
  await journal.append(rowsFrame(journal, { epoch: 1, sequence: 3 }), 2);
  assert.equal((await other.read(3, true))?.sequence, 3);
});

test("a journal keeps its number of replicas, and another one is refused by its name", async () => {
  const used = await openStore();
  const shard = shards++;
  await used.store.open(shard);
  const single = new JetStreamJournalStore(used.link, { num_replicas: 1 });
  await assert.rejects(
    single.open(shard),
    (e: Error) => e instanceof JournalUnavailable && e.message.includes(`FG_J${shard}`) && /3 replicas/.test(e.message),
  );
  const any = new JetStreamJournalStore(used.link);
  await any.open(shard);
  for (const store of [single, any]) store.close();
  await used.close();
});

test("a server of another authority, a wrong password and nobody there are told apart", async () => {
  const is = (code: string) => (e: unknown) => e instanceof NatsConnectError && e.code === code;
  const wrong_ca = makeAuthority("another").certificate;
  await assert.rejects(cluster.connect("shard", { tls_ca: wrong_ca }), is("tls"));
  const [first] = cluster.servers;
  const without = cluster.connect("shard", { servers: first, tls_ca: undefined as unknown as string });
  await assert.rejects(without, is("tls"));
  const guessed = cluster.connect("shard", { password: "guessed" });
  await assert.rejects(guessed, (e: Error) => is("credentials")(e) && !e.message.includes("guessed"));
  const nobody = cluster.connect("shard", { servers: "127.0.0.1:1", connect_timeout_ms: 500 });
  await assert.rejects(nobody, is("unreachable"));
});

/** What a user is refused of `subjects`, by the server's own words. */
async function refusedOf(user: string, subjects: readonly string[]): Promise<string[]> {
  const refused: string[] = [];
  const link = await cluster.connect(user, {
    onRefused: (message) => refused.push(/"(.*)"/.exec(message)?.[1] ?? message),
  });
  for (const subject of subjects) link.client.publish(subject, "{}");
  await link.client.flush();
  await sleep(20);
  await link.close();
  return refused;
}

test("each user may do what its role needs, and nothing else", async () => {
  const api = "$JS.API";
  const changes = ["STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.LEADER.STEPDOWN"];
  const forbidden = changes.map((verb) => `${api}.${verb}.FG_J0`);
  const journals = ["fg.j.0.99", "$KV.FG_LEASES.s0", `${api}.STREAM.CREATE.FG_J0`, `${api}.STREAM.MSG.GET.FG_J0`];
  const traffic = ["fg.n.x", "fraud.analysis.events", "fraud.transaction.dead-letter", "fraud.transaction.events"];
  // Harmless in their own account: a stream that is not there, a subject that no stream takes.
  const asShard = [...forbidden, "fg.other", "fraud.transaction.events"];
  assert.deepEqual(await refusedOf("shard", asShard), asShard);
  assert.deepEqual(await refusedOf("shard", [`${api}.STREAM.MSG.GET.FG_J0`, `${api}.STREAM.INFO.FG_J0`]), []);
  assert.deepEqual(await refusedOf("gateway", [...forbidden, ...journals]), [...forbidden, ...journals]);
  assert.deepEqual(await refusedOf("gateway", traffic), ["fraud.transaction.events"]);
  assert.deepEqual(await refusedOf("wire", [...journals, ...traffic]), [...journals, ...traffic.slice(1)]);
  assert.deepEqual(await refusedOf("client", [...forbidden, ...journals]), [...forbidden, ...journals]);
  assert.deepEqual(await refusedOf("client", traffic), traffic.slice(0, 3));
  const consumer = `${api}.CONSUMER.CREATE.FRAUD_TRANSACTIONS.x`;
  assert.deepEqual(await refusedOf("client", [consumer, `${api}.STREAM.PURGE.FRAUD_ANALYSIS`]), [
    consumer,
    `${api}.STREAM.PURGE.FRAUD_ANALYSIS`,
  ]);
  assert.deepEqual(await refusedOf("maintenance", forbidden.slice(0, 1)), []);
});

test("nobody hears answers to others: subscriptions outside a user's own are refused", async () => {
  for (const [user, subject] of [
    ["shard", "_INBOX_maintenance.>"],
    ["gateway", "fraud.>"],
    ["client", "fg.n.>"],
    ["client", "_INBOX_gateway.>"],
    ["client", ">"],
  ] as const) {
    const refused: string[] = [];
    const link = await cluster.connect(user, { onRefused: (message) => refused.push(message) });
    link.client.subscribe(subject, { callback: () => {} });
    await link.client.flush();
    await until(() => refused.length > 0, `${user} refused ${subject}`);
    await link.close();
  }
});

test("what a gateway makes the server say to a journal's subject does not arrive there", async () => {
  const used = await openStore();
  const journal = await used.store.open(shards++);
  await beginJournal(journal);
  const link = await cluster.connect("gateway");
  const streams = await PublicStreams.open(link, { num_replicas });
  // The acknowledgement of a publish, an answer of the API and a delivered message go where the asker says.
  const reply = `fg.j.${journal.shard}.2`;
  link.client.publish("fraud.analysis.events", "forged", { reply });
  link.client.publish("$JS.API.INFO", "", { reply });
  link.client.publish("$JS.API.CONSUMER.MSG.NEXT.FRAUD_TRANSACTIONS.fraudguard", "", { reply });
  const client = await cluster.connect("client");
  await client.client.request("fraud.transaction.events", "payment");
  await until(async () => (await streams.backlog()) > 0, "the payment in its stream");
  await link.client.flush();
  await sleep(200);
  assert.equal((await journal.tail())?.sequence, 1);
  for (const l of [client, link]) await l.close();
  await used.close();
});

test("a server that stops reading makes the transport drop, not grow", async () => {
  const server = 0;
  const [link] = [await cluster.connect("wire", { servers: cluster.servers[server], ping_ms: 60_000 })];
  const errors: string[] = [];
  const transport = new NatsTransport(link, "a", "key", (error) => errors.push(error.message));
  const frame = new Uint8Array(100_000);
  process.kill(cluster.pid(server), "SIGSTOP");
  try {
    let taken = 0;
    let sent = true;
    for (; sent && taken < 1000; taken++) {
      sent = transport.send("b", frame);
      await sleep(0);
    }
    assert.ok(!sent && transport.dropped > 0, `${taken} frames of 100 KB were taken`);
    assert.ok(transport.pending_bytes <= 16 << 20);
  } finally {
    process.kill(cluster.pid(server), "SIGCONT");
  }
  await until(() => transport.send("b", frame), "it sends again");
  assert.deepEqual(errors, []);
  transport.close();
  await link.close();
});
