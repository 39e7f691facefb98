/** Decisions that fail cost their shard, and never the order of another shard's frames. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { timersOf } from "./cluster/router_testkit.ts";
import { claim } from "./journal/claim.ts";
import { Committer } from "./journal/committer.ts";
import { Mailbox } from "./mailbox.ts";
import type { Decider, ShardActors } from "./program.ts";
import { Poisoned, Quarantine } from "./quarantine.ts";
import type { Repeats } from "./repeats.ts";
import { Shard } from "./shard.ts";
import { PLAIN_SEALER, plainActors, plainDecider, submitPayments } from "./testkit/plain_program.ts";
import { SimJournalStore } from "./testkit/sim_journal.ts";
import { SimWorld } from "./testkit/sim_world.ts";
import { TickLoop } from "./tick_loop.ts";

const SHARDS = 2;
const UNAVAILABLE = ErrorCode.UNAVAILABLE;

/** A loop over two shards that serve, with what they were given up for. */
async function serving(decider: Partial<Decider>, actors: Partial<ShardActors> = {}) {
  const world = new SimWorld(1);
  const store = new SimJournalStore(world);
  const stopped: [number, Error][] = [];
  const shards: Shard[] = [];
  for (let id = 0; id < SHARDS; id++) {
    const journal = await store.open(id);
    const s = new Shard(id, SHARDS, journal, plainActors(actors));
    let position = null as Awaited<ReturnType<typeof claim>> | null;
    claim(journal, { node: "a", bootId: "boot" }, 1, world.sleep).then((p) => {
      position = p;
    });
    await world.runUntil(() => position !== null, 10_000, "the claim");
    if (position === null) throw new Error("not claimed");
    const events = { committed: (n: number) => loop.committed(s, n), stopped: () => {} };
    s.serve(position, new Committer(journal, position, events, world.sleep), world);
    s.answering = true;
    shards.push(s);
  }
  const mailbox = new Mailbox({ shards: SHARDS, blocks_max: 6, clock: world, is_shared: false });
  const quarantine = new Quarantine(null, world);
  const loop: TickLoop = new TickLoop({
    shards,
    mailbox,
    decider: plainDecider(decider),
    repeats: {} as Repeats,
    quarantine,
    sealers: [PLAIN_SEALER, PLAIN_SEALER],
    observer: { staged() {}, decided() {}, acknowledged() {} },
    clock: world,
    timers: timersOf(world),
    tick_age_us_min: 0,
    features_version: "f",
    rates_version: "r",
    journalFormat: () => 2,
    exchange: null,
    onGap: () => {},
    onRepeatFailed: () => {},
    onShardStopped: (s, e) => {
      stopped.push([s.id, e]);
      s.committer?.abandon();
    },
  });
  return { world, mailbox, loop, stopped, quarantine };
}

const BAD = 666;
const failOnBad = (error: Error): Decider["decide"] => {
  return (b, from, to) => {
    for (let r = from; r < to; r++) if (b.amountMinor[r] === BAD) throw error;
  };
};

test("a rule that fails gives its shard up; the next tick's frame of another shard stays behind", async () => {
  const scored: ((ok: boolean) => void)[] = [];
  const { world, mailbox, stopped, loop } = await serving({
    score: () => new Promise((resolve) => scored.push(resolve)),
    decide: failOnBad(new Error("a rule fails")),
  });
  const answers: [string, number[]][] = [];
  const submit = (name: string, shard: number, amount: number): void =>
    submitPayments(mailbox, [shard], (errors) => answers.push([name, errors]), amount);
  // One tick of both shards, then one of shard 1 alone, which is scored first.
  submit("bad", 0, BAD);
  submit("good", 1, 1);
  await world.runUntil(() => scored.length === 1, 100, "the first tick");
  submit("behind", 1, 1);
  await world.runUntil(() => scored.length === 2, 100, "the second tick");
  scored[1](true);
  await world.advance(1);
  scored[0](true);
  await world.runUntil(() => answers.length === 3, 1000, "the answers");
  answers.sort();
  assert.deepEqual(answers, [
    ["bad", [UNAVAILABLE]],
    ["behind", [0]],
    ["good", [0]],
  ]);
  assert.deepEqual([stopped.map(([id]) => id), loop.underWay], [[0], 0]);
});

test("a score that fails otherwise than late stops all shards, and its rows are answered", async () => {
  const { world, mailbox, stopped, loop } = await serving({ score: () => Promise.reject(new Error("a defect")) });
  let errors: number[] = [];
  submitPayments(mailbox, [0, 1], (e) => {
    errors = e;
  });
  await world.runUntil(() => errors.length > 0, 1000, "the answer");
  assert.deepEqual(errors, [UNAVAILABLE, UNAVAILABLE]);
  assert.deepEqual(
    [stopped.map(([id, e]) => [id, e.message]), loop.underWay],
    [
      [
        [0, "a defect"],
        [1, "a defect"],
      ],
      0,
    ],
  );
});

test("a row whose decision finds no memory is not quarantined", async () => {
  const decide = failOnBad(new RangeError("Array buffer allocation failed"));
  const { world, mailbox, stopped, quarantine } = await serving({ decide });
  let errors: number[] = [];
  submitPayments(
    mailbox,
    [0],
    (e) => {
      errors = e;
    },
    BAD,
  );
  await world.runUntil(() => errors.length > 0, 1000, "the answer");
  const [[, error]] = stopped;
  assert.ok(error instanceof Poisoned);
  assert.deepEqual([errors, error.row, quarantine.size], [[UNAVAILABLE], null, 0]);
});
