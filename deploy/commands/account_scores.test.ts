/** Labels that no node was told: accounts judged by their payments, and what is learnt from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tenant } from "../../proto/tenant.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { Accounts } from "../datasets/accounts_file.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { ScoredPayments } from "../metrics/scored_payments.ts";
import { AccountScores } from "./account_scores.ts";
import { TrainingLabels } from "./training_labels.ts";

const row = (transactionId: string, userId: string, merchantId: string, fraud?: 0 | 1): HistoryRow => {
  return { transactionId, userId, merchantId, amountMinor: 1, currency: "USD", eventTimeUs: 0, fraud };
};

const shown = (t: ScoredPayments) => Array.from({ length: t.n }, (_, r) => [t.score[r], t.fraud[r]]);

test("an account has the highest score at either end, and one flagged in both graphs can be left out", () => {
  const trained = new Accounts(
    "a",
    "",
    new Map([
      ["1", 1],
      ["2", 1],
      ["9", 1],
    ] as const),
  );
  const flags = [
    ["p/1", 1],
    ["p/2", 0],
    ["p/3", 1],
    ["p/4", 0],
  ] as const;
  const scores = new AccountScores([trained, new Accounts("b", "p/", new Map(flags))]);
  scores.add(row("a", "p/1", "p/2"), 0.25);
  scores.add(row("b", "p/3", "p/1"), 0.75);
  scores.add(row("c", "p/2", "p/1"), 0.5);
  assert.deepEqual(shown(scores.all()), [
    [0.75, 1],
    [0.5, 0],
    [0.75, 1],
    [0, 0],
  ]);
  assert.deepEqual(shown(scores.withoutShared()), [
    [0.5, 0],
    [0.75, 1],
    [0, 0],
  ]);
});

test("one graph alone is refused", () => {
  assert.throws(() => new AccountScores([new Accounts("a", "", new Map())]), RangeError);
});

test("payments without a label are kept out of training; frauds of accounts come from the data", () => {
  const tenant = { hash_key: [0x01234567, 0x89abcdef] } as unknown as Tenant;
  const asked = (labels: TrainingLabels, id: string) => {
    keyedHashText(id, tenant.hash_key[0], tenant.hash_key[1]);
    const { isUnlabelled, isFraud } = labels.part("dir");
    return [isUnlabelled?.(H.hi, H.lo), isFraud?.(H.hi, H.lo)];
  };
  for (const accounts of [false, true]) {
    const labels = new TrainingLabels(tenant, accounts);
    for (const [id, fraud] of [
      ["none", undefined],
      ["genuine", 0],
      ["fraud", 1],
    ] as const) {
      labels.see(row(id, "u", "m", fraud));
    }
    assert.deepEqual(asked(labels, "none"), [true, accounts ? false : undefined]);
    assert.deepEqual(asked(labels, "genuine"), [false, accounts ? false : undefined]);
    assert.deepEqual(asked(labels, "fraud"), [false, accounts ? true : undefined]);
  }
});
