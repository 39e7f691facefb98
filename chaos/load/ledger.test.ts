import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "./ledger.ts";
import { ResponseWalker, ROW_DECIDED, ROW_REFUSED, ROW_UNKNOWN } from "./response_walker.ts";

function answer(...rows: number[]): ResponseWalker {
  const found = new ResponseWalker();
  found.row.set(rows);
  found.rows = rows.length;
  found.decided = rows.filter((r) => r === ROW_DECIDED).length;
  return found;
}

test("each payment is acknowledged, unknown or refused by its own answer", () => {
  const ledger = new Ledger();
  const first = ledger.reserve(4);
  assert.equal(ledger.reserve(64), 32);
  ledger.sent(first, 4);
  ledger.answered(first, 4, answer(ROW_DECIDED, ROW_REFUSED, ROW_UNKNOWN, ROW_DECIDED));
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => ledger.acknowledged.has(i)),
    [true, false, false, true],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => ledger.unknown.has(i)),
    [false, false, true, false],
  );
});

test("a whole batch is decided at once, refused by one error, or left unknown by a short answer", () => {
  const ledger = new Ledger();
  for (const at of [0, 64, 128]) ledger.sent(at, 64);
  ledger.answered(0, 64, answer(...new Array(64).fill(ROW_DECIDED)));
  ledger.answered(64, 64, answer(ROW_REFUSED));
  ledger.answered(128, 64, answer(ROW_DECIDED, ROW_DECIDED));
  assert.equal(ledger.acknowledged.count(), 66);
  assert.equal(ledger.unknown.count(), 62);
  assert.equal(ledger.unknown.count(64, 128), 0);
});
