/** The way of rows when owners change, fall silent or come back. Times are the simulated world's. */
import assert from "node:assert/strict";
import test from "node:test";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { readAnswersHead, writeRefusal } from "../wire/answers.ts";
import { readHead, WIRE_ROWS } from "../wire/wire_head.ts";
import { finished, idsOf, type Message, requestsTo, three } from "./router_testkit.ts";

const { UNAVAILABLE } = ErrorCode;

test("rows of one message go to the owners of their shards, here and elsewhere, and come back in place", async () => {
  const cluster = three(1);
  const a = cluster.node("a");
  const toB = requestsTo(cluster, "b");
  const messages = [a.send(Array.from({ length: 120 }, (_, i) => i + 1)), a.send([200, 201, 202])];
  assert.equal(a.router.depth, 123);
  await finished(cluster, messages, 50);
  cluster.check(messages);
  assert.equal(messages[0].results.filter((x) => x.code !== 0).length, 1, "the bad one has its own error");
  assert.equal(cluster.journal.size, 122);
  assert.equal(toB.length, 1, "rows of several messages go to a node in one frame");
  for (const node of cluster.nodes.values()) assert.ok(node.decided > 20, `${node.name} decided its share`);
  cluster.checkAtRest();
});

test("a message of bad rows alone is answered without asking anyone, and not before its submit returns", async () => {
  const cluster = three(2);
  const a = cluster.node("a");
  cluster.network.tap = () => assert.fail("nobody is asked");
  const message = a.send([91, 182]);
  assert.ok(!message.isDone);
  await finished(cluster, [message], 1);
  assert.deepEqual(message.codes, [ErrorCode.INVALID]);
  cluster.checkAtRest();
});

test("rows refused by a former owner are asked of the next one as soon as its name is heard", async () => {
  const cluster = three(3);
  const a = cluster.node("a");
  cluster.own(1, "c");
  const message = a.send(idsOf(cluster, 1, 40));
  await cluster.world.advance(30);
  assert.equal(a.router.refused, 40);
  assert.ok(!message.isDone);
  cluster.announce("a");
  await finished(cluster, [message], 15);
  cluster.check([message]);
  assert.deepEqual(message.codes, [0]);
  assert.equal(cluster.node("b").ticked, 0, "refused without waiting for a tick");
  assert.equal(cluster.node("c").decided, 40);
  cluster.checkAtRest();
});

test("a route heard while the refusal was under way is taken at once", async () => {
  const cluster = three(4);
  const a = cluster.node("a");
  cluster.own(1, "c");
  cluster.network.delay_ms = 20;
  const message = a.send(idsOf(cluster, 1, 5));
  // The frame to b is on its way; what b says comes after the news.
  await cluster.world.runUntil(() => cluster.node("b").service.notOwned > 0, 30);
  cluster.announce("a");
  await finished(cluster, [message], 60);
  assert.deepEqual(message.codes, [0]);
  assert.equal(cluster.node("c").decided, 5);
});

test("without news a refused row is asked for again within 50 ms, later less often, at the same owner", async () => {
  const cluster = three(5);
  const { world } = cluster;
  const b = cluster.node("b");
  b.serving.delete(1);
  const message = cluster.node("a").send(idsOf(cluster, 1, 10));
  world.after(20, () => b.serving.add(1));
  await finished(cluster, [message], 80);
  cluster.check([message]);
  assert.equal(cluster.node("a").router.refused, 10);

  b.serving.delete(1);
  const toB = requestsTo(cluster, "b");
  cluster.node("a").send(idsOf(cluster, 1, 10, 1000));
  await world.advance(4000);
  assert.ok(toB.length >= 9 && toB.length <= 16, `asked ${toB.length} times in 4 s`);
  b.serving.add(1);
  await world.advance(500);
  cluster.checkAtRest();

  // What the rows before them in the block went through is not theirs.
  b.serving.delete(1);
  const third = cluster.node("a").send(idsOf(cluster, 1, 10, 2000));
  world.after(20, () => b.serving.add(1));
  await finished(cluster, [third], 80);
});

test("rows of a shard without a known owner wait for one, and are unavailable after 10 s", async () => {
  const cluster = three(6);
  const a = cluster.node("a");
  cluster.own(1, null);
  cluster.announceAll();
  const first = a.send(idsOf(cluster, 1, 3));
  const never = a.send(idsOf(cluster, 1, 3, 500));
  await cluster.world.advance(2000);
  assert.ok(!first.isDone);
  cluster.own(1, "c");
  cluster.own(1, null);
  await cluster.world.advance(7900);
  const late = a.send(idsOf(cluster, 1, 3, 900));
  await finished(cluster, [first, never], 200);
  assert.deepEqual(never.codes, [UNAVAILABLE]);
  assert.ok(never.took_ms >= 10_000 && never.took_ms <= 10_060, `${never.took_ms} ms`);
  cluster.own(1, "b");
  cluster.announceAll();
  await finished(cluster, [late], 15);
  assert.deepEqual(late.codes, [0]);
  cluster.checkAtRest();
});

test("a silent owner: unavailable after 10 s, the block is free, and what it says later touches no row", async () => {
  const cluster = three(7, { blocks_max: 1 });
  const a = cluster.node("a");
  const b = cluster.node("b");
  b.commit_ms = Number.POSITIVE_INFINITY;
  const slow = [
    a.send(idsOf(cluster, 2, 3, 700)),
    a.send(idsOf(cluster, 2, 3, 800)),
    a.send(idsOf(cluster, 1, 3, 900)),
  ];
  await cluster.world.advance(200);
  b.resume(Number.POSITIVE_INFINITY);
  await finished(cluster, slow, 10);
  const before = a.send(idsOf(cluster, 1, 30));
  await finished(cluster, [before], 10_060);
  assert.ok(before.took_ms >= 10_000, `${before.took_ms} ms`);
  assert.deepEqual(before.codes, [UNAVAILABLE]);
  assert.equal(a.router.freeBlocks, 1);
  assert.equal(a.router.depth, 0);
  assert.equal(b.service.repeated, 9, "what came again while it was under way was not taken twice");
  // The same rows of the same block, other payments.
  const after = a.send(idsOf(cluster, 1, 30, 1000));
  await cluster.world.advance(20);
  b.resume(400);
  await finished(cluster, [after], 450);
  cluster.check([before, after]);
  assert.deepEqual(after.codes, [0]);
  await cluster.world.advance(5);
  assert.ok(a.router.late > 0, "the late answer was noticed as such");
  cluster.checkAtRest();
});

test("a lost frame goes out again after a second, as it was", async () => {
  const cluster = three(8);
  const a = cluster.node("a");
  const frames: Uint8Array[] = [];
  cluster.network.tap = (from, _to, bytes) => {
    if (from !== "a") return true;
    frames.push(bytes);
    return frames.length > 1;
  };
  const message = a.send(idsOf(cluster, 1, 20));
  await finished(cluster, [message], 1100);
  assert.ok(message.took_ms >= 1000);
  assert.deepEqual(message.codes, [0]);
  assert.equal(frames.length, 2);
  assert.deepEqual(frames[0], frames[1]);
  cluster.checkAtRest();
});

test("a lost answer: the rows are asked for again and have the decision they had", async () => {
  const cluster = three(9);
  let lost = 0;
  cluster.network.tap = (from) => from !== "b" || ++lost > 1;
  const message = cluster.node("a").send(idsOf(cluster, 1, 20));
  await cluster.world.advance(500);
  assert.equal(cluster.journal.size, 20);
  const decided = new Map(cluster.journal);
  await finished(cluster, [message], 1100);
  cluster.check([message]);
  assert.deepEqual(cluster.journal, decided);
  assert.equal(cluster.node("b").decided, 40);
});

test("a row whose owner changes is asked of the next one; that the former one cannot tell is no result", async () => {
  const cluster = three(10);
  const b = cluster.node("b");
  const c = cluster.node("c");
  b.commit_ms = Number.POSITIVE_INFINITY;
  const message = cluster.node("a").send(idsOf(cluster, 1, 20));
  await cluster.world.advance(10);
  cluster.own(1, "c");
  c.commit_ms = Number.POSITIVE_INFINITY;
  cluster.announceAll();
  await cluster.world.advance(10);
  b.resume(5);
  await cluster.world.advance(20);
  assert.ok(!message.isDone, "b was deposed before its commit: UNAVAILABLE of an older request");
  c.resume(5);
  await finished(cluster, [message], 5);
  assert.deepEqual(message.codes, [0]);
  cluster.check([message]);
  cluster.checkAtRest();
});

test("a decision is taken from an older request too, and the newer answer then finds nobody waiting", async () => {
  const cluster = three(11);
  const a = cluster.node("a");
  const b = cluster.node("b");
  const c = cluster.node("c");
  b.commit_ms = Number.POSITIVE_INFINITY;
  c.commit_ms = Number.POSITIVE_INFINITY;
  const message = a.send(idsOf(cluster, 1, 20));
  await cluster.world.advance(10);
  // b committed before it lost the shard, its answer is on its way.
  b.resume(5);
  cluster.own(1, "c");
  cluster.announceAll();
  await finished(cluster, [message], 5);
  cluster.check([message]);
  assert.deepEqual(message.codes, [0]);
  await cluster.world.advance(10);
  c.resume(5);
  await cluster.world.advance(10);
  assert.ok(a.router.late > 0);
  cluster.checkAtRest();
});

test("an answer to a router that ran before under the same name is not taken", async () => {
  const cluster = three(19);
  const { network, world } = cluster;
  const held: Uint8Array[] = [];
  network.tap = (from, _to, bytes) => from !== "b" || held.push(bytes) < 0;
  cluster.node("a").send(idsOf(cluster, 1, 10));
  await world.advance(20);
  cluster.node("a").restartRouter();
  network.tap = () => true;
  const b = cluster.node("b");
  b.commit_ms = Number.POSITIVE_INFINITY;
  const message = cluster.node("a").send(idsOf(cluster, 1, 10, 1000));
  await world.advance(5);
  for (const bytes of held) network.tell("a", bytes);
  assert.ok(!message.isDone);
  b.resume(5);
  await finished(cluster, [message], 15);
  cluster.check([message]);
});

test("answers of a node that was not asked, and frames cut short, change nothing", async () => {
  const cluster = three(20);
  const { network, world } = cluster;
  const a = cluster.node("a");
  const answers: Uint8Array[] = [];
  let frames = 0;
  network.tap = (from, to, bytes) => {
    if (from === "b") return answers.push(bytes) < 0;
    // Each of the request's first bytes is a whole frame's beginning.
    if (frames++ === 0) for (let end = 10; end < bytes.length; end += 7) network.tell(to, bytes.subarray(0, end));
    return true;
  };
  const message = a.send(idsOf(cluster, 1, 10));
  await world.advance(20);
  assert.ok(cluster.node("b").service.damaged > 50);
  const [answer] = answers;
  assert.equal(readAnswersHead(readHead(answer).reader, "b").rows, 10);
  const forged = Buffer.from(answer);
  forged[forged.indexOf("b", 6)] = "c".charCodeAt(0);
  assert.equal(readHead(forged).from, "c");
  network.tell("a", forged);
  for (let end = 10; end < answer.length; end++) network.tell("a", answer.subarray(0, end));
  assert.ok(a.router.damaged > 50);
  assert.ok(!message.isDone);
  network.tell("a", answer);
  assert.ok(message.isDone);
  network.tell("a", answer);
  cluster.check([message]);
  cluster.checkAtRest();
});

test("rows of a tenant that the owner does not know are dropped there, not decided for another", async () => {
  const cluster = three(21);
  const b = cluster.node("b");
  b.tenants = ["acme"];
  const message = cluster.node("a").send(idsOf(cluster, 1, 10));
  await finished(cluster, [message], 10_100);
  assert.deepEqual(message.codes, [UNAVAILABLE]);
  assert.ok(b.service.damaged >= 9);
  assert.equal(cluster.journal.size, 0);
});

test("a sink may hand in the next message while it is told", async () => {
  const cluster = three(23);
  const a = cluster.node("a");
  const messages: Message[] = [];
  const next = (): void => {
    const message = a.send(idsOf(cluster, messages.length % 3, 700, 1 + messages.length * 10_000));
    messages.push(message);
    if (messages.length < 9) message.onDone = next;
  };
  next();
  next();
  await cluster.world.runUntil(() => messages.length >= 9 && messages.every((m) => m.isDone), 300);
  cluster.check(messages);
  cluster.checkAtRest();
});

test("submit() without open() is an error", () => {
  const cluster = three(24);
  const a = cluster.node("a");
  const block = a.router.open(1, 10);
  assert.ok(block !== null);
  const sink = { done: () => assert.fail() };
  assert.throws(() => cluster.node("b").router.submit(block, 1, new Uint8Array(10), sink), /not open/);
  assert.throws(() => a.router.submit(block, 0, new Uint8Array(10), sink), /0 rows/);
});

test("frames of another kind are the dispatcher's mistake", () => {
  const { router, service } = three(25).node("a");
  const bytes = writeRefusal("b", 1, 20);
  const head = readHead(bytes);
  assert.throws(() => router.onFrame({ ...head, kind: WIRE_ROWS }), /kind/);
  assert.throws(() => service.take(bytes, head), /kind/);
});
