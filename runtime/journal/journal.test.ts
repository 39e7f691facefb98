/** Verdicts one by one: claim, committer and replay over a journal whose answers the test writes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KIND_RELEASE } from "../../proto/frame/frame_header.ts";
import {
  type AppendResult,
  Deposed,
  type Journal,
  JournalDamaged,
  type JournalMessage,
  JournalUnavailable,
} from "../ports.ts";
import { checksumOf, nextFrame, rowsFrame, takeoverFrame } from "../testkit/frames.ts";
import { SimJournalStore } from "../testkit/sim_journal.ts";
import { settle } from "../testkit/sim_world.ts";
import { JournalFull } from "./checked.ts";
import { claim, JOURNAL_START, type JournalPosition, positionOf } from "./claim.ts";
import { Committer } from "./committer.ts";
import { JournalReader, replay } from "./replay.ts";
import { readOwner } from "./takeover.ts";

const owner = { node: "node-1", bootId: "boot-1" };
const noSleep = async (): Promise<void> => settle();
const UNKNOWN: AppendResult = { kind: "unknown", message: "scripted" };

interface Rig {
  readonly store: SimJournalStore;
  readonly journal: Journal;
  /** Answers to give instead of the true ones, oldest first; the append is carried out unless `drop`. */
  readonly script: { answer: AppendResult; drop?: boolean }[];
  readonly appended: Uint8Array[];
  readonly committer: Committer;
  readonly told: number[];
  readonly ends: Error[];
  readonly takeover: JournalPosition;
}

async function rig(): Promise<Rig> {
  const store = new SimJournalStore();
  const real = await store.open(3);
  const script: Rig["script"] = [];
  const appended: Uint8Array[] = [];
  const journal: Journal = {
    shard: real.shard,
    id: real.id,
    appends_max: real.appends_max,
    append: async (bytes, expected) => {
      appended.push(bytes);
      const scripted = script.shift();
      if (scripted === undefined) return real.append(bytes, expected);
      if (!scripted.drop) await real.append(bytes, expected);
      return scripted.answer;
    },
    tail: () => real.tail(),
    read: (sequence) => real.read(sequence),
    readFrom: (first) => real.readFrom(first),
    state: () => real.state(),
  };
  const takeover = await claim(journal, owner, 100, noSleep);
  const told: number[] = [];
  const ends: Error[] = [];
  const events = { committed: (n: number) => void told.push(n), stopped: (e: Error) => void ends.push(e) };
  const committer = new Committer(journal, takeover, events, noSleep);
  appended.length = 0;
  return { store, journal, script, appended, committer, told, ends, takeover };
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await settle();
}

test("a first claim writes the Takeover that begins the journal", async () => {
  const { store, journal, takeover } = await rig();
  assert.deepEqual([takeover.sequence, takeover.epoch, takeover.frameTimeUs], [1, 1, 100]);
  assert.deepEqual(readOwner(store.records(3)[0]), owner);
  const again = await claim(journal, { node: "b", bootId: "c" }, 50, noSleep);
  assert.deepEqual([again.sequence, again.epoch, again.frameTimeUs], [2, 2, 100], "frame time does not run back");
});

test("a claim whose acknowledgement was lost finds its own Takeover", async () => {
  const { store, journal, script } = await rig();
  script.push({ answer: UNKNOWN });
  assert.equal((await claim(journal, owner, 1, noSleep)).epoch, 2);
  script.push({ answer: UNKNOWN, drop: true });
  assert.equal((await claim(journal, owner, 1, noSleep)).epoch, 3);
  assert.equal(store.records(3).length, 3);
});

test("a claim gives way to a rival's Takeover and to damage, and says full", async () => {
  const { store, journal, script, takeover } = await rig();
  const rival = takeoverFrame(journal, { epoch: 2, sequence: 2, previous: takeover.checksum }, "rival");
  script.push({ answer: UNKNOWN, drop: true });
  const racing: Journal = {
    ...journal,
    append: async (bytes, expected) => {
      if (store.records(3).length === 1) await (await store.open(3)).append(rival, 1);
      return journal.append(bytes, expected);
    },
  };
  await assert.rejects(claim(racing, owner, 1, noSleep), (e: unknown) => e instanceof Deposed && e.epoch === 2);
  script.push({ answer: { kind: "full", message: "no space" }, drop: true });
  await assert.rejects(claim(journal, owner, 1, noSleep), JournalFull);
  store.records(3)[1][20] ^= 1;
  await assert.rejects(
    claim(journal, owner, 1, noSleep),
    (e: unknown) => e instanceof JournalDamaged && e.sequence === 2,
  );
});

test("acknowledged frames are told in order; release stands behind them", async () => {
  const { store, committer, told } = await rig();
  committer.submit(nextFrame(committer));
  committer.submit(nextFrame(committer));
  assert.equal(committer.canSubmit, false);
  assert.throws(() => committer.submit(nextFrame(committer)));
  await committer.release(owner, 999);
  assert.deepEqual(told, [2, 3, 4]);
  assert.equal(store.records(3)[3][6], KIND_RELEASE);
  assert.deepEqual(readOwner(store.records(3)[3]), owner);
  assert.equal(committer.canSubmit, false);
});

test("a frame that does not follow is refused before it is sent", async () => {
  const { committer, journal, appended } = await rig();
  assert.throws(() => committer.submit(rowsFrame(journal, { epoch: 1, sequence: 3 })));
  assert.throws(() => committer.submit(rowsFrame(journal, { epoch: 1, sequence: 2 })));
  assert.throws(() =>
    committer.submit(rowsFrame(journal, { epoch: 2, sequence: 2, previous: committer.lastChecksum })),
  );
  assert.equal(appended.length, 0);
});

test("a lost acknowledgement: the tail shows the frame, nothing is sent again", async () => {
  const { committer, told, script, appended } = await rig();
  script.push({ answer: UNKNOWN });
  committer.submit(nextFrame(committer));
  await quiet();
  assert.deepEqual([told, appended.length], [[2], 1]);
});

test("a lost first of two: the same bytes again, then the second", async () => {
  const { committer, told, script, appended, store } = await rig();
  script.push({ answer: UNKNOWN, drop: true });
  const frames = [nextFrame(committer)];
  committer.submit(frames[0]);
  frames.push(nextFrame(committer));
  committer.submit(frames[1]);
  await quiet();
  assert.deepEqual(told, [2, 3]);
  assert.deepEqual(appended, [frames[0], frames[1], frames[0], frames[1]]);
  assert.equal(store.records(3).length, 3);
});

test("the second's acknowledgement decides the first too", async () => {
  const { committer, told, script, appended } = await rig();
  script.push({ answer: UNKNOWN });
  committer.submit(nextFrame(committer));
  committer.submit(nextFrame(committer));
  await quiet();
  assert.deepEqual([told, appended.length], [[2, 3], 2]);
});

test("full and unreachable: it keeps trying and says why", async () => {
  const { committer, told, store } = await rig();
  store.max_bytes = 0;
  committer.submit(nextFrame(committer));
  await quiet();
  assert.deepEqual([told, committer.blocked], [[], "full"]);
  store.max_bytes = 1e6;
  store.down = true;
  await quiet();
  assert.equal(committer.blocked, "unreachable");
  store.down = false;
  await quiet();
  assert.deepEqual([told, committer.blocked], [[2], null]);
});

test("a higher epoch deposes; later answers say nothing more", async () => {
  const { committer, told, ends, journal } = await rig();
  await claim(journal, { node: "rival", bootId: "x" }, 1, noSleep);
  committer.submit(nextFrame(committer));
  const waiting = assert.rejects(committer.whenCommitted(2), Deposed);
  committer.submit(nextFrame(committer));
  await quiet();
  await waiting;
  assert.deepEqual([told, ends.length, committer.inFlight], [[], 1, 0]);
  assert.ok(ends[0] instanceof Deposed && ends[0].epoch === 2);
});

test("a tail below an acknowledged frame, or a foreign frame of the own epoch: damaged", async () => {
  const lost = await rig();
  lost.committer.submit(nextFrame(lost.committer));
  await quiet();
  lost.store.loseTail(3, 1);
  lost.committer.submit(nextFrame(lost.committer));
  await quiet();
  assert.ok(lost.ends[0] instanceof JournalDamaged && lost.ends[0].sequence === 2);

  const foreign = await rig();
  const frame = rowsFrame(foreign.journal, { epoch: 1, sequence: 2, previous: foreign.takeover.checksum });
  await foreign.journal.append(frame, 1);
  foreign.committer.submit(nextFrame(foreign.committer));
  await quiet();
  assert.ok(foreign.ends[0] instanceof JournalDamaged && foreign.ends[0].sequence === 2);
  assert.deepEqual(foreign.told, []);
});

test("abandon ends it without a verdict", async () => {
  const { committer, ends, store } = await rig();
  store.down = true;
  committer.submit(nextFrame(committer));
  const waiting = assert.rejects(committer.whenCommitted(2), { name: "Abandoned" });
  committer.abandon();
  await waiting;
  assert.deepEqual([ends, committer.inFlight], [[], 0]);
});

async function filled(count: number): Promise<Rig> {
  const made = await rig();
  for (let i = 0; i < count; i++) {
    made.committer.submit(nextFrame(made.committer));
    await made.committer.whenCommitted(made.committer.nextFrameNumber - 1);
  }
  return made;
}

function damagedAt(sequence: number, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof JournalDamaged, String(error));
    assert.equal(error.sequence, sequence);
    assert.match(error.message, message);
    return true;
  };
}

test("replay hands over all frames, resumes from a position, follows a growing journal", async () => {
  const { journal, committer } = await filled(5);
  const seen: JournalPosition[] = [];
  const end = await replay(journal, JOURNAL_START, (header) => void seen.push(positionOf(header)), noSleep);
  assert.deepEqual(
    seen.map((position) => position.sequence),
    [1, 2, 3, 4, 5, 6],
  );
  assert.deepEqual(end, seen[5]);
  const rest: number[] = [];
  const reader = new JournalReader(journal, seen[3], (header) => void rest.push(header.frameNumber), noSleep);
  await reader.catchUp();
  committer.submit(nextFrame(committer));
  await committer.whenCommitted(7);
  await reader.catchUp();
  assert.deepEqual(rest, [5, 6, 7]);
});

test("replay stops at what is damaged, missing, reordered or foreign, and names it", async () => {
  const ignore = (): void => {};
  const run = (made: Rig, from: JournalPosition = JOURNAL_START) => replay(made.journal, from, ignore, noSleep);
  const bit = await filled(5);
  bit.store.records(3)[2][100] ^= 4;
  await assert.rejects(run(bit), damagedAt(3, /checksum/));
  const swapped = await filled(5);
  const records = swapped.store.records(3);
  [records[2], records[3]] = [records[3], records[2]];
  await assert.rejects(run(swapped), damagedAt(3, /number/));
  const missing = await filled(5);
  missing.store.records(3).splice(3, 1);
  await assert.rejects(run(missing), damagedAt(4, /number/));
  const other = await filled(5);
  const mine = await filled(5);
  other.store.records(3)[4] = mine.store.records(3)[4].slice();
  other.store.records(3)[4].set(nextFrame(mine.committer).subarray(56, 72), 56);
  await assert.rejects(run(other), damagedAt(5, /checksum/));
  const unowned = await filled(1);
  const previous = checksumOf(unowned.store.records(3)[1]);
  unowned.store.records(3).push(rowsFrame(unowned.journal, { epoch: 2, sequence: 3, previous }));
  await assert.rejects(run(unowned), damagedAt(3, /epoch/));
});

test("a position that is not of this history is refused", async () => {
  const { journal, store } = await filled(3);
  const from = { ...JOURNAL_START, sequence: 2, epoch: 1, checksum: new Uint8Array(16) };
  await assert.rejects(
    replay(journal, from, () => {}, noSleep),
    damagedAt(2, /another/),
  );
  const good = { ...from, sequence: 4, checksum: checksumOf(store.records(3)[3]) };
  store.loseTail(3, 1);
  await assert.rejects(
    replay(journal, good, () => {}, noSleep),
    damagedAt(4, /gone/),
  );
});

test("a frame to resume from is asked for again of a server that is behind; never given, it is gone", async () => {
  const { store, journal } = await filled(3);
  const from = { ...JOURNAL_START, sequence: 4, checksum: checksumOf(store.records(3)[3]) };
  let asked = 0;
  let known = 0;
  const behind = (until: number): Journal => ({
    ...journal,
    read: async (sequence, isKnown) => {
      if (isKnown === true) known = sequence;
      return ++asked < until ? null : journal.read(sequence);
    },
    state: async () => {
      if (++asked < until) throw new JournalUnavailable("a server that is behind answered");
      return journal.state();
    },
  });
  assert.equal((await replay(behind(4), from, () => {}, noSleep)).sequence, 4);
  assert.deepEqual([asked > 4, known], [true, 4]);
  const never: Journal = { ...journal, read: async () => null };
  await assert.rejects(
    replay(never, from, () => {}, noSleep),
    damagedAt(4, /gone/),
  );
});

test("an unreachable journal is waited for, amid a replay too", async () => {
  const { journal } = await filled(5);
  let failures = 3;
  const shaky: Journal = {
    ...journal,
    async *readFrom(first: number): AsyncIterable<JournalMessage> {
      for await (const message of journal.readFrom(first)) {
        if (message.sequence % 2 === 0 && failures-- > 0) {
          throw new JournalUnavailable("scripted");
        }
        yield message;
      }
    },
  };
  const seen: number[] = [];
  await replay(shaky, JOURNAL_START, (header) => void seen.push(header.frameNumber), noSleep);
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
});

test("a tail read before an acknowledgement and answered after it is no loss", async () => {
  const { journal, takeover } = await rig();
  const gates: (() => void)[] = [];
  let late: () => Promise<unknown> = async () => {};
  const told: number[] = [];
  const ends: Error[] = [];
  const slow: Journal = {
    ...journal,
    append: async (bytes, expected) => {
      if (expected === 1) {
        late = () => journal.append(bytes, expected);
        return UNKNOWN;
      }
      await new Promise<void>((resolve) => gates.push(resolve));
      return journal.append(bytes, expected);
    },
    tail: async () => {
      const tail = await journal.tail();
      await new Promise<void>((resolve) => gates.push(resolve));
      return tail;
    },
  };
  const events = { committed: (n: number) => void told.push(n), stopped: (e: Error) => void ends.push(e) };
  const committer = new Committer(slow, takeover, events, noSleep);
  committer.submit(nextFrame(committer));
  committer.submit(nextFrame(committer));
  await quiet();
  assert.equal(gates.length, 2, "the second append and the tail wait");
  await late();
  gates[0]();
  await quiet();
  assert.deepEqual(told, [2, 3]);
  committer.submit(nextFrame(committer));
  for (let opened = 1; opened < gates.length; opened++) {
    gates[opened]();
    await quiet();
  }
  assert.deepEqual([ends, told], [[], [2, 3, 4]]);
});
