/** The way of rows when somebody is full, closes or cannot send. Times are the simulated world's. */
import assert from "node:assert/strict";
import test from "node:test";
import { BLOCK_ROWS } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { finished, idsOf, type Message, requestsTo, three } from "./router_testkit.ts";

const { RESOURCE_EXHAUSTED, UNAVAILABLE } = ErrorCode;

test("a full owner's refusal is the rows' result at once, and says when to ask again", async () => {
  const cluster = three(12, { mailbox_blocks: 1 });
  const a = cluster.node("a");
  const b = cluster.node("b");
  b.commit_ms = Number.POSITIVE_INFINITY;
  const taken = a.send(idsOf(cluster, 1, 900));
  b.mailbox.retryAfterMs = () => 700;
  a.router.drainRate = 1_000_000;
  await cluster.world.advance(10);
  const refused = a.send(idsOf(cluster, 1, 10, 5000));
  await finished(cluster, [refused], 5);
  assert.deepEqual(refused.codes, [RESOURCE_EXHAUSTED]);
  assert.equal(b.service.refused, 1);
  assert.ok(a.router.retryAfterMs() > 650 && a.router.retryAfterMs() <= 700, "what the owner said");
  await cluster.world.advance(700);
  assert.equal(a.router.retryAfterMs(), 20, "what it said is over");
  b.resume(5);
  await finished(cluster, [taken], 5);
  cluster.check([taken, refused]);
  for (const id of refused.ids) assert.ok(!cluster.journal.has(id), "what was refused was not decided");
  cluster.checkAtRest();
});

test("a refusal is no result of rows that an earlier, unanswered request may have brought in", async () => {
  const cluster = three(13, { mailbox_blocks: 1 });
  const a = cluster.node("a");
  const b = cluster.node("b");
  let answers = 0;
  cluster.network.tap = (from) => from !== "b" || ++answers > 1;
  const message = a.send(idsOf(cluster, 1, 10));
  await cluster.world.advance(500);
  assert.equal(cluster.journal.size, 10, "decided, but the answer was lost");
  b.commit_ms = Number.POSITIVE_INFINITY;
  a.send(idsOf(cluster, 1, 900, 5000));
  await cluster.world.advance(1500);
  assert.ok(b.service.refused > 0);
  assert.ok(!message.isDone, "RESOURCE_EXHAUSTED would say that nothing was decided");
  b.resume(5);
  await finished(cluster, [message], 1100);
  cluster.check([message]);
  assert.deepEqual(message.codes, [0]);
  cluster.checkAtRest();

  // The next rows in the same places are new to everyone.
  b.commit_ms = Number.POSITIVE_INFINITY;
  cluster.node("c").send(idsOf(cluster, 1, 900, 9000));
  await cluster.world.advance(10);
  const next = a.send(idsOf(cluster, 1, 10, 20_000));
  await finished(cluster, [next], 10);
  assert.deepEqual(next.codes, [RESOURCE_EXHAUSTED]);
});

test("rows that were refused do not go out again with others of their request that were not", async () => {
  const cluster = three(26, { mailbox_blocks: 1 });
  const { world, network } = cluster;
  const a = cluster.node("a");
  const c = cluster.node("c");
  network.away.add("b");
  const unsure = a.send(idsOf(cluster, 1, 10));
  await world.advance(10);
  // Both messages' rows wait for an owner, then go to c in one frame; it is full.
  cluster.own(1, null);
  cluster.announceAll();
  const sure = a.send(idsOf(cluster, 1, 10, 1000));
  await world.advance(10);
  c.commit_ms = Number.POSITIVE_INFINITY;
  const other = c.send(idsOf(cluster, 2, 900, 5000));
  await world.advance(10);
  cluster.own(1, "c");
  cluster.announceAll();
  await finished(cluster, [sure], 5);
  assert.deepEqual(sure.codes, [RESOURCE_EXHAUSTED]);
  assert.ok(!unsure.isDone);
  c.resume(5);
  await finished(cluster, [unsure, other], 1100);
  cluster.check([unsure, sure, other]);
  assert.deepEqual(unsure.codes, [0]);
  for (const id of sure.ids) assert.ok(!cluster.journal.has(id), "what was refused was not decided");
  await world.advance(100);
  cluster.checkAtRest();
});

test("this node's own refusal does not keep the other rows of the turn back", async () => {
  const cluster = three(27, { mailbox_blocks: 1 });
  const a = cluster.node("a");
  a.commit_ms = Number.POSITIVE_INFINITY;
  cluster.node("b").send(idsOf(cluster, 0, 900));
  await cluster.world.advance(10);
  const here = a.send(idsOf(cluster, 0, 1100, 10_000));
  const there = a.send(idsOf(cluster, 1, 1100, 20_000));
  await finished(cluster, [here, there], 15);
  assert.deepEqual(here.codes, [RESOURCE_EXHAUSTED]);
  assert.deepEqual(there.codes, [0]);
});

test("a process that stood still gives up old rows once, although it never sent them", async () => {
  const cluster = three(28);
  const a = cluster.node("a");
  await cluster.world.advance(1);
  a.soon_ms = 60;
  const message = a.send(idsOf(cluster, 1, 10));
  a.stood_us = 11_000_000;
  await finished(cluster, [message], 60);
  assert.deepEqual(message.codes, [UNAVAILABLE]);
  const late = a.send(idsOf(cluster, 1, 10, 100));
  await finished(cluster, [late], 80);
  assert.deepEqual(late.codes, [0]);
  cluster.checkAtRest();
});

test("a node that closes sends rows on: nothing is refused to callers", async () => {
  const cluster = three(14);
  const b = cluster.node("b");
  b.service.close();
  b.mailbox.close();
  const message = cluster.node("a").send(idsOf(cluster, 1, 10));
  await cluster.world.advance(10);
  assert.ok(!message.isDone);
  cluster.own(1, "c");
  cluster.announceAll();
  await finished(cluster, [message], 15);
  assert.deepEqual(message.codes, [0]);
});

test("a frame that is known not to go out waits for the next look, not for a second", async () => {
  const cluster = three(15);
  cluster.network.away.add("a");
  const message = cluster.node("a").send(idsOf(cluster, 1, 10));
  await cluster.world.runUntil(() => cluster.network.refused > 0, 2000);
  cluster.network.away.delete("a");
  await finished(cluster, [message], 120);
  assert.deepEqual(message.codes, [0]);
});

test("a full router sheds, and takes rows again when it has given results", async () => {
  const cluster = three(16, { blocks_max: 2 });
  const a = cluster.node("a");
  const b = cluster.node("b");
  b.commit_ms = Number.POSITIVE_INFINITY;
  const messages: Message[] = [];
  for (let i = 0; i < 4; i++) messages.push(a.send(idsOf(cluster, 1, 1000, 1 + i * 10_000)));
  assert.equal(a.router.rowsMax, 2 * BLOCK_ROWS);
  assert.ok(a.offer(idsOf(cluster, 1, 49, 90_000)) === null);
  assert.equal(a.router.shed, 49);
  assert.equal(a.router.depth, 4000);
  assert.ok(a.offer(idsOf(cluster, 1, BLOCK_ROWS + 1, 90_000)) === null, "more than a block holds");
  // What fits behind the last message still fits.
  messages.push(a.send(idsOf(cluster, 1, 48, 90_000)));
  await cluster.world.advance(20);
  b.resume(5);
  await finished(cluster, messages, 15);
  cluster.check(messages);
  cluster.checkAtRest();
  a.send(idsOf(cluster, 1, 49, 95_000));
});

test("a message larger than a block's share of bytes has a block of its own", async () => {
  const cluster = three(17, { blocks_max: 2 });
  const a = cluster.node("a");
  const small = a.send(idsOf(cluster, 1, 2), 120_000);
  const large = a.send(idsOf(cluster, 1, 1, 100), 400_000);
  assert.ok(a.offer(idsOf(cluster, 1, 1, 200), 400_000) === null);
  await finished(cluster, [small, large], 50);
  cluster.check([small, large]);
  assert.deepEqual(large.codes, [0]);
  cluster.checkAtRest();
});

test("rows that are too many for one frame go in several; one that fits into none is refused alone", async () => {
  const cluster = three(18);
  const a = cluster.node("a");
  const toB = requestsTo(cluster, "b");
  const wide = a.send(idsOf(cluster, 1, 8), 100_000);
  const monster = a.send(idsOf(cluster, 1, 1, 500), 600_000);
  const small = a.send(idsOf(cluster, 1, 5, 700));
  await finished(cluster, [wide, monster, small], 50);
  cluster.check([wide, monster, small]);
  assert.deepEqual(wide.codes, [0]);
  assert.deepEqual(monster.codes, [RESOURCE_EXHAUSTED]);
  assert.deepEqual(small.codes, [0]);
  assert.equal(toB.length, 3, "800 KB in two frames, the small rows in another");
  cluster.checkAtRest();
});

test("a closed router lets nothing in, and gives results to what is in", async () => {
  const cluster = three(22);
  const a = cluster.node("a");
  const message = a.send(idsOf(cluster, 1, 10));
  a.router.close();
  assert.ok(a.offer(idsOf(cluster, 1, 10, 100)) === null);
  assert.equal(a.router.idle, false);
  await finished(cluster, [message], 20);
  assert.deepEqual(message.codes, [0]);
  cluster.checkAtRest();
});
