import assert from "node:assert/strict";
import { test } from "node:test";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { transactionId } from "../load/payment_message.ts";
import { IdTable } from "./id_table.ts";

const PREFIX = "0193f1a2-7c1e-7f00-8a2b-";
const KEY = [0x1234, 0x9abcdef0] as const;

test("every id is found by its hash, no other id is", () => {
  const count = 20_000;
  const table = new IdTable(PREFIX, count, KEY);
  for (let i = 0; i < count; i++) {
    keyedHashText(transactionId(PREFIX, i), KEY[0], KEY[1]);
    assert.equal(table.find(H.hi, H.lo), i);
  }
  for (let i = count; i < 2 * count; i++) {
    keyedHashText(transactionId(PREFIX, i), KEY[0], KEY[1]);
    assert.equal(table.find(H.hi, H.lo), -1);
  }
});
