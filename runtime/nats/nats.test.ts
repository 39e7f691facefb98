/** The NATS adapters on a real nats-server: the contract suites, crashes, damage. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { claim, JOURNAL_START } from "../journal/claim.ts";
import type { Committer } from "../journal/committer.ts";
import { replay } from "../journal/replay.ts";
import { Deposed, JournalDamaged } from "../ports.ts";
import { CommitDriver } from "../testkit/commit_driver.ts";
import { nextFrame, rowsFrame, takeoverFrame } from "../testkit/frames.ts";
import { journalContract } from "../testkit/journal_contract.ts";
import { leaseContract } from "../testkit/lease_contract.ts";
import { NatsProcess } from "../testkit/nats_process.ts";
import { transportContract } from "../testkit/transport_contract.ts";
import { connectNats, type NatsLink } from "./connection.ts";
import { measureFsyncRate } from "./fsync_probe.ts";
import { appendResult, JetStreamJournalStore, type JournalOptions } from "./jetstream_journal.ts";
import { KvLeaseStore } from "./kv_lease.ts";
import { NatsTransport } from "./nats_transport.ts";

let server: NatsProcess;
let buckets = 0;
let shards = 500;

before(async () => {
  server = await NatsProcess.launch();
});
after(() => server.dispose());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function open(options: JournalOptions = {}): Promise<{ store: JetStreamJournalStore; link: NatsLink }> {
  const link = await connectNats({ servers: server.address });
  return { link, store: new JetStreamJournalStore(link, options) };
}

journalContract("JetStream journal", async () => {
  const [a, b] = [await open(), await open()];
  const close = async (): Promise<void> => {
    for (const used of [a, b]) {
      used.store.close();
      await used.link.close();
    }
  };
  return { store: a.store, other: b.store, close };
});

leaseContract("KV lease", async () => {
  const links = [await connectNats({ servers: server.address }), await connectNats({ servers: server.address })];
  const bucket = `L${buckets++}`;
  const [store, other] = links.map((link) => new KvLeaseStore(link, { bucket }));
  const wipe = async (): Promise<void> => {
    await links[0].client.request(`$JS.API.STREAM.DELETE.KV_${bucket}`);
  };
  const close = async (): Promise<void> => {
    for (const link of links) await link.close();
  };
  return { store, other, wipe, close };
});

/** Twice, since what the first round brought to the server may be on its way to a link that was flushed before. */
async function flushAll(links: readonly NatsLink[]): Promise<void> {
  for (let round = 0; round < 2; round++) for (const link of links) await link.client.flush();
}

transportContract("NATS transport", async () => {
  const links: NatsLink[] = [];
  const errors: Error[] = [];
  const open = async (node: string): Promise<NatsTransport> => {
    const link = await connectNats({ servers: server.address });
    links.push(link);
    return new NatsTransport(link, node, "key", (error) => errors.push(error));
  };
  const close = async (): Promise<void> => {
    for (const link of links) await link.close();
    assert.deepEqual(errors, []);
  };
  return { open, settle: () => flushAll(links), close };
});

test("answers of the server become results", () => {
  const of = (err_code: number, description: string) => appendResult({ error: { code: 400, err_code, description } });
  assert.deepEqual(appendResult({ seq: 7 }), { kind: "appended", sequence: 7 });
  assert.deepEqual(of(10071, "wrong last sequence: 12"), { kind: "conflict", lastSequence: 12 });
  assert.equal(of(10164, "wrong last sequence").kind, "conflict");
  assert.equal(of(10047, "insufficient storage resources available").kind, "full");
  assert.equal(of(10077, "maximum bytes exceeded").kind, "full");
  assert.equal(of(10077, "disk is on fire").kind, "unknown");
  assert.equal(of(10008, "jetstream system temporarily unavailable").kind, "unknown");
  assert.equal(appendResult({}).kind, "unknown");
});

test("a journal at its byte limit says full, and keeps what it has", async () => {
  const { store, link } = await open({ max_bytes: 20_000 });
  const journal = await store.open(shards++);
  await journal.append(takeoverFrame(journal, { epoch: 1, sequence: 1 }), 0);
  let sequence = 2;
  for (; sequence < 10; sequence++) {
    const result = await journal.append(rowsFrame(journal, { epoch: 1, sequence, body_bytes: 5000 }), sequence - 1);
    if (result.kind === "full") break;
    assert.equal(result.kind, "appended");
  }
  assert.equal(sequence, 5);
  assert.deepEqual([(await journal.state()).firstSequence, (await journal.tail())?.sequence], [1, 4]);
  store.close();
  await link.close();
});

test("a single record cannot be deleted", async () => {
  const { store, link } = await open();
  const journal = await store.open(shards++);
  await journal.append(takeoverFrame(journal, { epoch: 1, sequence: 1 }), 0);
  const reply = await link.client.request(`$JS.API.STREAM.MSG.DELETE.FG_J${journal.shard}`, '{"seq":1}');
  assert.ok((reply.json() as { error?: unknown }).error !== undefined);
  assert.equal((await journal.tail())?.sequence, 1);
  store.close();
  await link.close();
});

async function until(done: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`not reached in 30 s: ${what}`);
    await sleep(5);
  }
}

test("kill -9 of the server amid appends: every committed frame stands, and the owner goes on", async () => {
  const { store, link } = await open({ timeout_ms: 1000 });
  const journal = await store.open(shards++);
  const driver = await CommitDriver.start(journal, "a");
  for (let round = 1; round <= 3; round++) {
    const reached = driver.told.length + 60;
    await until(() => driver.told.length >= reached || driver.end !== null, `frames of round ${round}`);
    await server.kill("SIGKILL");
    await server.start();
  }
  const reached = driver.told.length + 20;
  driver.enough = reached;
  await until(() => driver.told.length >= reached || driver.end !== null, "frames after the last restart");
  assert.equal(driver.end, null);
  await until(() => driver.committer?.inFlight === 0, "nothing in flight");
  await driver.check(journal);
  store.close();
  await link.close();
});

test("a second claim fences a busy owner", async () => {
  const [a, b] = [await open(), await open()];
  const shard = shards++;
  const first = await CommitDriver.start(await a.store.open(shard), "a");
  await until(() => first.told.length > 30, "the first owner's frames");
  const journal = await b.store.open(shard);
  const second = await CommitDriver.start(journal, "b");
  second.enough = 40;
  await until(() => first.end !== null && second.told.length >= 40, "the first deposed, the second committing");
  assert.ok(first.end instanceof Deposed && first.end.epoch === 2);
  await until(() => second.committer?.inFlight === 0, "nothing in flight");
  await first.check(journal);
  await second.check(journal);
  assert.ok((first.told.at(-1) as number) < second.told[0]);
  await second.committer?.release({ node: "b", bootId: "b" }, 0);
  const third = await CommitDriver.start(journal, "c");
  assert.equal(third.committer?.epoch, 3);
  third.enough = 0;
  await until(() => third.committer?.inFlight === 0, "nothing in flight");
  for (const used of [a, b]) {
    used.store.close();
    await used.link.close();
  }
});

test("a damaged frame stops the replay and names its sequence", async () => {
  const { store, link } = await open();
  const journal = await store.open(shards++);
  const driver = await CommitDriver.start(journal, "a");
  driver.enough = 5;
  await until(() => driver.committer?.inFlight === 0, "nothing in flight");
  const next = driver.committer?.nextFrameNumber as number;
  const frame = nextFrame(driver.committer as Committer);
  frame[frame.length - 1] ^= 1;
  assert.equal((await journal.append(frame, next - 1)).kind, "appended");
  const folded: number[] = [];
  await assert.rejects(
    replay(journal, JOURNAL_START, (header) => void folded.push(header.frameNumber), sleep),
    (error: unknown) => error instanceof JournalDamaged && error.sequence === next && /checksum/.test(error.message),
  );
  assert.equal(folded.at(-1), next - 1);
  await assert.rejects(claim(journal, { node: "b", bootId: "b" }, 1, sleep), JournalDamaged);
  store.close();
  await link.close();
});

test("without a server: unknown at once, and it works again when it is back", async () => {
  const { store, link } = await open({ timeout_ms: 500 });
  const journal = await store.open(shards++);
  const takeover = takeoverFrame(journal, { epoch: 1, sequence: 1 });
  assert.equal((await journal.append(takeover, 0)).kind, "appended");
  await server.kill();
  await until(() => !link.up, "link down");
  const begin = performance.now();
  assert.equal((await journal.append(rowsFrame(journal, { epoch: 1, sequence: 2 }), 1)).kind, "unknown");
  await assert.rejects(journal.tail(), { name: "JournalUnavailable" });
  assert.ok(performance.now() - begin < 300);
  await server.start();
  await until(() => link.up, "link up");
  let tail = await journal.tail().catch(() => null);
  await until(() => {
    if (tail === null)
      void journal.tail().then(
        (found) => (tail = found),
        () => {},
      );
    return tail !== null;
  }, "tail readable");
  assert.equal(tail?.sequence, 1);
  store.close();
  await link.close();
});

test("the fsync probe measures and leaves nothing behind", async () => {
  const link = await connectNats({ servers: server.address });
  const rate = await measureFsyncRate(link, { duration_ms: 200 });
  assert.ok(rate > 20, `${rate} appends/s`);
  const names = await link.client.request("$JS.API.STREAM.NAMES", "");
  assert.ok(!names.string().includes("FG_PROBE_"));
  await link.close();
});

/** Two nodes; what b heard (it throws at a first byte of 9), and what it reported. */
async function pair(): Promise<{ a: NatsTransport; links: NatsLink[]; got: number[]; errors: string[] }> {
  const links = [await connectNats({ servers: server.address }), await connectNats({ servers: server.address })];
  const [got, errors]: [number[], string[]] = [[], []];
  const a = new NatsTransport(links[0], "a", "key", (error) => errors.push(`a: ${error.message}`));
  const b = new NatsTransport(links[1], "b", "key", (error) => errors.push(`b: ${error.message}`));
  b.listen((bytes) => {
    got.push(bytes[0]);
    if (bytes[0] === 9) throw new Error("nine");
  });
  await flushAll(links);
  return { a, links, got, errors };
}

test("a transport's listener that throws hears on, and its link works on", async () => {
  const { a, links, got, errors } = await pair();
  for (const byte of [1, 9, 2]) a.send("b", Uint8Array.of(byte));
  a.broadcast(Uint8Array.of(9));
  a.broadcast(Uint8Array.of(3));
  await flushAll(links);
  assert.deepEqual(
    [got, errors],
    [
      [1, 9, 2, 9, 3],
      ["b: nine", "b: nine"],
    ],
  );
  assert.ok(links[1].up);
  for (const link of links) await link.close();
});

test("a transport refuses frames while its link is down, and its listener hears again afterwards", async () => {
  const { a, links, got, errors } = await pair();
  await server.kill();
  await until(() => !links[0].up && !links[1].up, "links down");
  assert.deepEqual([a.send("b", Uint8Array.of(1)), a.broadcast(Uint8Array.of(2))], [false, false]);
  await server.start();
  await until(() => links[0].up && links[1].up, "links up");
  await flushAll(links);
  assert.deepEqual([a.send("b", Uint8Array.of(3)), a.broadcast(Uint8Array.of(4))], [true, true]);
  await flushAll(links);
  assert.deepEqual([got, errors], [[3, 4], []]);
  for (const link of links) await link.close();
  assert.equal(a.send("b", Uint8Array.of(5)), false);
});

test("nodes hear only messages with the tag of their cluster's key", async (t) => {
  const links = await Promise.all([0, 1, 2].map(() => connectNats({ servers: server.address })));
  t.after(() => Promise.all(links.map((l) => l.close())));
  const errors: string[] = [];
  const make = (i: number, node: string, key: string) =>
    new NatsTransport(links[i], node, key, (error) => errors.push(error.message));
  const [a, b, stranger] = [make(0, "a", "ours"), make(1, "b", "ours"), make(2, "x", "theirs")];
  const heard: number[] = [];
  b.listen((bytes) => heard.push(bytes[0]));
  await links[1].client.flush();
  stranger.send("b", Uint8Array.of(1));
  links[2].client.publish(`fg.n.${Buffer.from("b").toString("base64url")}`, Uint8Array.of(2));
  await links[2].client.flush();
  await links[1].client.flush();
  a.send("b", Uint8Array.of(3));
  await until(() => heard.length > 0, "the node's own message");
  assert.deepEqual(heard, [3]);
  assert.equal(b.foreign, 2);
  assert.equal(errors.length, 1, "said once, counted always");
});
