/** When an answer that says less than was known is the truth. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BEHIND_MS, KnownEnd } from "./known_end.ts";

/** An end at 9 of three replicas, and a clock. */
function rig(): { end: KnownEnd; isTrue: (last: number) => boolean; pass: (ms: number) => void } {
  let now_ms = 1000;
  const end = new KnownEnd(3, () => now_ms);
  end.stands(9);
  const pass = (ms: number): void => {
    now_ms += ms;
  };
  return { end, isTrue: (last) => end.isAnswer(last, end.sequence), pass };
}

/** Answers that are behind, one each second; which of them was the first that was believed, -1 for none. */
function believed(isTrue: (last: number) => boolean, pass: (ms: number) => void, seconds: number): number {
  for (let s = 0; s <= seconds; s++) {
    if (isTrue(8)) return s;
    pass(1000);
  }
  return -1;
}

test("what all answers say for so long that every election is over is true", () => {
  const { isTrue, pass } = rig();
  assert.equal(believed(isTrue, pass, 60), BEHIND_MS / 1000 + 1);
});

test("one answer long ago is no beginning of a row", () => {
  const { isTrue, pass } = rig();
  assert.equal(isTrue(8), false);
  pass(10 * BEHIND_MS);
  assert.equal(isTrue(8), false);
  assert.equal(believed(isTrue, pass, BEHIND_MS / 1000), -1);
});

for (const [what, happens] of [
  ["an acknowledgement", (end: KnownEnd) => end.stands(10)],
  ["no answer", (end: KnownEnd) => end.unanswered()],
  ["an answer that is not behind", (end: KnownEnd) => assert.ok(end.isAnswer(9, end.sequence))],
] as const) {
  test(`${what} ends a row`, () => {
    const { end, isTrue, pass } = rig();
    assert.equal(believed(isTrue, pass, BEHIND_MS / 1000 - 1), -1);
    happens(end);
    assert.equal(believed(isTrue, pass, BEHIND_MS / 1000), -1);
  });
}

test("an answer is held against what was known when it was asked for", () => {
  const { end } = rig();
  const asked = end.sequence;
  end.stands(10);
  assert.equal(end.isAnswer(9, asked), true);
  assert.equal(end.isAnswer(9, end.sequence), false);
});

test("what a snapshot knows counts, and one server alone is always believed", () => {
  const { end } = rig();
  end.know(12);
  assert.equal(end.isAnswer(9, end.sequence), false);
  const alone = new KnownEnd(1, () => 0);
  alone.stands(9);
  assert.equal(alone.isAnswer(0, alone.sequence), true);
});
