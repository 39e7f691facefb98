/** The simulator on production code as it is: fixed seeds, fresh ones, equal runs, and the command itself. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import type { Failure, Outcome } from "./worker.ts";
import { runSeeds } from "./worker_pool.ts";

const FIXED_SEEDS = 40;
const FRESH_SEEDS = 20;

async function outcomesOf(first: number, seeds: number): Promise<Outcome[]> {
  const orders = Array.from({ length: seeds }, (_, i) => ({ seed: first + i, minutes: 1, explain: true }));
  const outcomes: Outcome[] = [];
  await runSeeds(orders, { jobs: 1 }, (outcome) => outcomes.push(outcome) > 0);
  return outcomes;
}

function told(f: Failure | null): string {
  if (f === null) return "";
  return `npm run simulate -- --seeds 1 --seed ${f.seed} --only "${f.only}"\n${f.stack}\n${f.trace.join("\n")}`;
}

test(`seeds 1 to ${FIXED_SEEDS} hold every invariant`, async () => {
  const outcomes = await outcomesOf(1, FIXED_SEEDS);
  assert.equal(outcomes.length, FIXED_SEEDS);
  for (const o of outcomes) assert.equal(o.failure, null, told(o.failure));
  // Else they would show little: a simulated minute has payments and a fault.
  for (const o of outcomes) assert.ok(o.payments >= 1000 && o.faults >= 1, `seed ${o.seed}: ${o.payments} payments`);
});

test(`${FRESH_SEEDS} fresh seeds hold every invariant`, async () => {
  const first = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
  for (const o of await outcomesOf(first, FRESH_SEEDS)) assert.equal(o.failure, null, told(o.failure));
});

test("equal seeds give equal runs", async () => {
  const facts = ({ real_ms: _, ...o }: Outcome) => o;
  const [a] = await outcomesOf(3, 1);
  const [b] = await outcomesOf(3, 1);
  assert.deepEqual(facts(a), facts(b));
});

test("the command writes its result, and refuses wrong arguments", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fraudguard-simulate-"));
  const main = join(import.meta.dirname, "main.ts");
  const run = (...args: string[]) => promisify(execFile)(process.execPath, [main, ...args]);
  try {
    const file = join(folder, "result.json");
    const { stdout } = await run("--seeds", "2", "--seed", "5", "--jobs", "1", "--json", file);
    assert.match(stdout, /2 seeds, 0 failed/);
    const result = JSON.parse(await readFile(file, "utf8"));
    assert.deepEqual([result.seeds, result.failed, result.first_failure], [2, 0, null]);
    assert.ok(result.simulated_minutes > 2 && result.payments > 2000 && result.faults >= 2 && result.real_seconds > 0);
    assert.ok(result.coverage.covered > 1000 && result.coverage.covered < result.coverage.branches);
    await assert.rejects(run("--seeds", "none"), { code: 2 });
  } finally {
    await rm(folder, { recursive: true });
  }
});
