import assert from "node:assert/strict";
import { test } from "node:test";
import { count, duration, Progress } from "./progress.ts";

function harness(isTTY: boolean, total: number | undefined, start = 0) {
  const written: string[] = [];
  let now_us = 1_000_000;
  const progress = new Progress({
    label: "importing",
    unit: "payments",
    total,
    start,
    stream: { isTTY, columns: 100, write: (text: string) => written.push(text) },
    now_us: () => now_us,
  });
  return { written, progress, pass: (us: number) => (now_us += us) };
}

test("elsewhere than on a terminal: whole lines, at most one in 5 s", () => {
  const { written, progress, pass } = harness(false, 1000);
  progress.update(10);
  pass(4_999_999);
  progress.update(100);
  assert.deepEqual(written, []);
  pass(1);
  progress.update(250);
  assert.deepEqual(written, ["importing  25.0%  250/1,000 payments  50/s  15 s left\n"]);
  pass(5_000_000);
  progress.update(1000);
  progress.finish("3 duplicates");
  progress.finish();
  progress.update(1000);
  assert.equal(written.length, 3);
  assert.equal(written[2], "importing  100.0%  1,000/1,000 payments  100/s  in 10 s  3 duplicates\n");
});

test("on a terminal: one line redrawn within its width, ended by finish", () => {
  const { written, progress, pass } = harness(true, 200);
  pass(100_000);
  progress.update(100, "a note that is far too long for the width of this terminal and must therefore be cut off");
  assert.equal(written.length, 1);
  assert.ok(written[0].startsWith("\r\u001b[2Kimporting  [############------------]  50.0%"));
  assert.ok(written[0].length <= 99 + 5);
  pass(50_000);
  progress.update(150);
  assert.equal(written.length, 1);
  progress.finish();
  assert.ok(written[1].endsWith("\n"));
});

test("without a total there is neither share nor time left", () => {
  const { written, progress, pass } = harness(false, undefined);
  pass(10_000_000);
  progress.update(20);
  assert.deepEqual(written, ["importing  20 payments  2/s\n"]);
});

test("a resumed job counts its earlier part in the share and not in the rate", () => {
  const { written, progress, pass } = harness(false, 1000, 500);
  pass(5_000_000);
  progress.update(600);
  assert.deepEqual(written, ["importing  60.0%  600/1,000 payments  20/s  20 s left\n"]);
});

test("numbers and durations in words", () => {
  assert.deepEqual([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
  assert.deepEqual([0.44, 42, 187, 7500].map(duration), ["0.4 s", "42 s", "3 min 07 s", "2 h 05 min"]);
});
