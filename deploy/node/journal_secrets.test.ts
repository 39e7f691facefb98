/** The look at the journals before a node starts; deploy/e2e/secrets.test.ts has other secrets on a real node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Journal, type JournalStore, JournalUnavailable } from "../../runtime/ports.ts";
import { SimJournalStore } from "../../runtime/testkit/sim_journal.ts";
import { requireSecretsOf } from "./journal_secrets.ts";

test("a journal without a leader is waited for; an empty one has nothing to open", async () => {
  const real = new SimJournalStore();
  const asked: number[] = [];
  const store: JournalStore = {
    async open(shard: number): Promise<Journal> {
      asked.push(shard);
      if (asked.length === 2) throw new JournalUnavailable("no leader yet");
      return real.open(shard);
    },
  };
  await requireSecretsOf(store, 2, []);
  assert.deepEqual(asked, [0, 1, 1]);
});

test("what is not a matter of waiting is told at once", async () => {
  const store: JournalStore = { open: () => Promise.reject(new TypeError("no journal")) };
  await assert.rejects(requireSecretsOf(store, 1, []), TypeError);
});
