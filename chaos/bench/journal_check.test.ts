import assert from "node:assert/strict";
import { test } from "node:test";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { transactionId } from "../load/payment_message.ts";
import { RowSet } from "../load/row_set.ts";
import { IdTable } from "./id_table.ts";
import { IdCensus } from "./journal_check.ts";

const PREFIX = "0193f1a2-7c1e-7f00-8a2b-";

function census(...ids: string[]): IdCensus {
  const made = new IdCensus(new IdTable(PREFIX, 100, [1, 2]));
  for (const id of ids) {
    keyedHashText(id, 1, 2);
    made.add(H.hi, H.lo);
  }
  return made;
}

function sets(): [RowSet, RowSet] {
  const [acknowledged, unknown] = [new RowSet(), new RowSet()];
  acknowledged.addRange(0, 10);
  unknown.addRange(10, 5);
  return [acknowledged, unknown];
}

const id = (i: number) => transactionId(PREFIX, i);
const acknowledgedIds = Array.from({ length: 10 }, (_, i) => id(i));

test("journals that hold what was acknowledged, and some of the unknown, are right", () => {
  const found = census(...acknowledgedIds, id(12)).compare(100, ...sets());
  assert.partialDeepStrictEqual(found, { ok: true, rows: 11, distinct_ids: 11, unknown_in_journals: 1 });
});

test("a lost, a doubled, a refused and a foreign payment are each seen", () => {
  const check = (...ids: string[]) => census(...ids).compare(100, ...sets());
  assert.partialDeepStrictEqual(check(...acknowledgedIds.slice(1)), { ok: false, acknowledged_missing: 1 });
  assert.partialDeepStrictEqual(check(...acknowledgedIds, id(3)), { ok: false, twice: 1 });
  assert.partialDeepStrictEqual(check(...acknowledgedIds, id(40)), { ok: false, refused_in_journals: 1 });
  assert.partialDeepStrictEqual(check(...acknowledgedIds, "somebody-else"), { ok: false, foreign: 1 });
});
