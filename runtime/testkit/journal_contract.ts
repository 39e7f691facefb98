/**
 * What every JournalStore must do, whatever is behind it. Run it with an adapter's factory; real and simulated alike.
 */
import assert from "node:assert/strict";
import { type Journal, JournalDamaged, type JournalMessage, type JournalStore } from "../ports.ts";
import { checks } from "./contract.ts";
import { beginJournal, checksumOf, rowsFrame, takeoverFrame } from "./frames.ts";

export interface JournalHarness {
  readonly store: JournalStore;
  /** A second, independent user of the same journals. */
  readonly other: JournalStore;
  close(): Promise<void>;
}

async function all(messages: AsyncIterable<JournalMessage>): Promise<JournalMessage[]> {
  const list: JournalMessage[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

/** A Takeover of epoch 1 and `count` frames behind it; the bytes by sequence - 1. */
async function fill(journal: Journal, count: number, bodyBytes = 32): Promise<Uint8Array[]> {
  const frames = [await beginJournal(journal)];
  for (let sequence = 2; sequence <= count + 1; sequence++) {
    const previous = checksumOf(frames[sequence - 2]);
    frames.push(rowsFrame(journal, { epoch: 1, sequence, previous, body_bytes: bodyBytes }));
  }
  for (let i = 1; i < frames.length; i++) {
    assert.deepEqual(await journal.append(frames[i], i), { kind: "appended", sequence: i + 1 });
  }
  return frames;
}

function sameBytes(message: JournalMessage | null, frame: Uint8Array, sequence: number): void {
  assert.equal(message?.sequence, sequence);
  assert.ok(Buffer.from(message.bytes).equals(frame), `bytes of sequence ${sequence}`);
  assert.equal(message.bytes.byteOffset % 8, 0, "aligned to 8");
}

/** Registers the suite. Every test opens a shard of its own, so that a factory may share one server. */
export function journalContract(name: string, harness: () => Promise<JournalHarness>): void {
  let shard = 0;
  const register = checks(name, harness);
  const check = (what: string, run: (journal: Journal, harness: JournalHarness) => Promise<void>): void => {
    const mine = shard++;
    register(what, async (used) => run(await used.store.open(mine), used));
  };
  openingTests(check);
  conditionTests(check);
  readingTests(check);
}

type Check = (what: string, run: (journal: Journal, harness: JournalHarness) => Promise<void>) => void;

function openingTests(check: Check): void {
  check("a new journal is empty and has a random id", async (journal) => {
    assert.match(journal.id, /^[0-9a-f]{32}$/);
    assert.equal(await journal.tail(), null);
    assert.equal(await journal.read(1), null);
    assert.equal((await journal.state()).lastSequence, 0);
    assert.deepEqual(await all(journal.readFrom(1)), []);
  });

  check("opened again it is the same journal", async (journal, { other }) => {
    const frames = await fill(journal, 1);
    const again = await other.open(journal.shard);
    assert.equal(again.id, journal.id);
    sameBytes(await again.tail(), frames[1], 2);
    const elsewhere = await other.open(journal.shard + 1000);
    assert.notEqual(elsewhere.id, journal.id);
  });
}

function conditionTests(check: Check): void {
  check("an append stands only behind the expected sequence", async (journal) => {
    const frames = await fill(journal, 2);
    const next = rowsFrame(journal, { epoch: 1, sequence: 4 });
    for (const expected of [0, 1, 2, 4, 9]) {
      assert.equal((await journal.append(next, expected)).kind, "conflict", `expected ${expected}`);
    }
    sameBytes(await journal.tail(), frames[2], 3);
    assert.deepEqual(await journal.append(next, 3), { kind: "appended", sequence: 4 });
  });

  check("the same bytes sent twice stand once", async (journal) => {
    await fill(journal, 1);
    const frame = rowsFrame(journal, { epoch: 1, sequence: 3 });
    const [first, second] = await Promise.all([journal.append(frame, 2), journal.append(frame, 2)]);
    assert.deepEqual([first.kind, second.kind].sort(), ["appended", "conflict"]);
    assert.equal((await journal.state()).lastSequence, 3);
  });

  check("as many in flight as it takes, each behind its predecessor, all stand", async (journal) => {
    await fill(journal, 1);
    const frames = [3, 4, 5, 6].map((sequence) => rowsFrame(journal, { epoch: 1, sequence }));
    for (let i = 0; i < 4; i += journal.appends_max) {
      const some = frames.slice(i, i + journal.appends_max);
      assert.deepEqual(
        await Promise.all(some.map((frame, k) => journal.append(frame, 2 + i + k))),
        some.map((_, k) => ({ kind: "appended", sequence: 3 + i + k })),
      );
    }
  });

  check("no first frame but a Takeover", async (journal) => {
    const frame = rowsFrame(journal, { epoch: 1, sequence: 1 });
    assert.equal((await journal.append(frame, 0)).kind, "conflict");
  });

  check("a Takeover in place of the first of two in flight fences the second too", async (journal, { other }) => {
    await fill(journal, 1);
    const rival = await other.open(journal.shard);
    const takeover = takeoverFrame(journal, { epoch: 2, sequence: 3 });
    assert.deepEqual(await rival.append(takeover, 2), { kind: "appended", sequence: 3 });
    const late = await Promise.all([
      journal.append(rowsFrame(journal, { epoch: 1, sequence: 3 }), 2),
      journal.append(rowsFrame(journal, { epoch: 1, sequence: 4 }), 3),
    ]);
    assert.deepEqual(
      late.map((result) => result.kind),
      ["conflict", "conflict"],
    );
    sameBytes(await journal.tail(), takeover, 3);
    const next = rowsFrame(journal, { epoch: 2, sequence: 4 });
    assert.deepEqual(await rival.append(next, 3), { kind: "appended", sequence: 4 });
  });

  check("of many rivals at one sequence one stands", async (journal, { other }) => {
    await fill(journal, 1);
    const rival = await other.open(journal.shard);
    const tries = Array.from({ length: 8 }, (_, i) => {
      const takeover = takeoverFrame(journal, { epoch: 2, sequence: 3 }, `node-${i}`);
      return (i % 2 === 0 ? journal : rival).append(takeover, 2);
    });
    const kinds = (await Promise.all(tries)).map((result) => result.kind).sort();
    assert.deepEqual(kinds, ["appended", ...Array.from({ length: 7 }, () => "conflict")]);
  });
}

function readingTests(check: Check): void {
  check("records are read one by one and in bulk as they were written", async (journal, { other }) => {
    const frames = await fill(journal, 300, 3000);
    const reader = await other.open(journal.shard);
    sameBytes(await reader.read(1), frames[0], 1);
    sameBytes(await reader.read(150), frames[149], 150);
    assert.equal(await reader.read(302), null);
    for (const first of [1, 64, 65, 237, 301]) {
      const messages = await all(reader.readFrom(first));
      assert.equal(messages.length, 302 - first);
      for (let i = 0; i < messages.length; i++) sameBytes(messages[i], frames[first - 1 + i], first + i);
    }
    assert.deepEqual(await all(reader.readFrom(302)), []);
    await assert.rejects(all(reader.readFrom(303)), JournalDamaged);
  });

  check("a bulk read may be broken off and ends at the tail of its start", async (journal) => {
    await fill(journal, 200);
    let seen = 0;
    for await (const message of journal.readFrom(1)) {
      seen = message.sequence;
      if (seen === 1) await journal.append(rowsFrame(journal, { epoch: 1, sequence: 202 }), 201);
    }
    assert.equal(seen, 201);
    for await (const message of journal.readFrom(100)) {
      assert.equal(message.sequence, 100);
      break;
    }
    assert.equal((await all(journal.readFrom(202))).length, 1);
  });

  check("frames of the largest size", async (journal) => {
    await fill(journal, 0);
    const frame = rowsFrame(journal, { epoch: 1, sequence: 2, body_bytes: 512 * 1024 - 88 });
    assert.deepEqual(await journal.append(frame, 1), { kind: "appended", sequence: 2 });
    sameBytes(await journal.tail(), frame, 2);
    sameBytes((await all(journal.readFrom(2)))[0], frame, 2);
  });
}
