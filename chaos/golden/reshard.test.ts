/**
 * Golden journals get other numbers of shards: several tenants, degraded rows, outcomes, events, rows of other shards.
 * Everything is there afterwards, also when frames must be divided; what is missing is noticed.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_RULES } from "../../deploy/node/fraud_node.ts";
import { ReshardError } from "../../deploy/reshard/errors.ts";
import { type JournalsFacts, type JournalsParts, readAll, rewrite } from "../../deploy/reshard/rewrite.ts";
import { verify } from "../../deploy/reshard/verify.ts";
import { FORMAT_NEWEST, FORMAT_OLDEST } from "../../proto/frame/frame_header.ts";
import type { Journal } from "../../runtime/ports.ts";
import { SimJournalStore, SimMaintenance } from "../../runtime/testkit/sim_journal.ts";
import { seeded } from "../../runtime/testkit/sim_world.ts";
import { goldenProgram } from "../simulate/program.ts";
import { readGolden } from "./golden_journal.ts";

const { tenants } = await goldenProgram();
const rules: unknown = JSON.parse(readFileSync(DEFAULT_RULES, "utf8"));
const away = () => Promise.reject(new Error("simulated journals are always there"));
const random = seeded(1);
const fillRandom = (bytes: Uint8Array): void => {
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
};

/** The golden journals without the last `missing` records of the first. */
async function golden(format: number, missing = 0): Promise<Journal[]> {
  const store = new SimJournalStore();
  const journals: Journal[] = [];
  for (const [shard, { id, records }] of readGolden(format).entries()) {
    await new SimMaintenance(store.streams).create(shard, { id, firstSequence: 1 });
    const journal = await store.open(shard);
    const kept = shard === 0 ? records.slice(0, records.length - missing) : records;
    for (const [i, record] of kept.entries()) assert.equal((await journal.append(record, i)).kind, "appended");
    journals.push(journal);
  }
  return journals;
}

function partsOf(journals: readonly Journal[]): JournalsParts {
  return { tenants, journals, rules, late_tolerance_us: 3600e6, sleep: away, onRows: () => {} };
}

async function divided(journals: readonly Journal[], shards: number, frame_bytes_max?: number) {
  const store = new SimJournalStore();
  const to = await Promise.all(Array.from({ length: shards }, (_, i) => store.open(i)));
  const owner = { node: "test", bootId: "boot" };
  const limit = frame_bytes_max === undefined ? {} : { frame_bytes_max };
  const facts = await rewrite({ ...partsOf(journals), to, owner, fillRandom, ...limit });
  const verified = await verify(facts, partsOf(to));
  // One payment in them is an hour and a half behind its merchant's newest: late in one order, and not in another.
  assert.ok(verified.entities > 30 && verified.entities_different <= 1, JSON.stringify(verified));
  return { to, facts, verified };
}

const said = ({ rows, state: { users, user_count, entities } }: JournalsFacts) => ({
  rows: rows.text,
  kinds: rows.kinds.join(),
  users,
  user_count,
  entities: entities.size,
});

for (let format = FORMAT_OLDEST; format <= FORMAT_NEWEST; format++) {
  test(`format ${format}: 1, 2, 5 shards and back hold the same rows and windows`, async () => {
    const journals = await golden(format);
    const before = said(await readAll(partsOf(journals), () => {}));
    let from = journals;
    for (const shards of [1, 5, 2, journals.length]) {
      const { to, facts } = await divided(from, shards);
      assert.deepEqual(said(facts), before, `what is divided into ${shards}`);
      from = to;
    }
    assert.deepEqual(said(await readAll(partsOf(from), () => {})), before);
  });
}

test("frames that would be too long are divided", async () => {
  const journals = await golden(FORMAT_NEWEST);
  const whole = await divided(journals, 2);
  const parts = await divided(journals, 2, 700);
  assert.deepEqual(said(parts.facts), said(whole.facts));
  assert.ok(parts.verified.frames > whole.verified.frames, "none was divided");
});

test("rows that are missing are noticed", async () => {
  const facts = await readAll(partsOf(await golden(FORMAT_NEWEST)), () => {});
  for (const missing of [2, 5]) {
    const parts = partsOf(await golden(FORMAT_NEWEST, missing));
    await assert.rejects(verify(facts, parts), (e) => e instanceof ReshardError && e.code === "differs");
  }
});
