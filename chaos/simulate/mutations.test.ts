/** Each mutation of production code is noticed by the simulator: its checkers check. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MUTATIONS } from "./mutations.ts";
import type { Failure } from "./worker.ts";
import { runSeeds } from "./worker_pool.ts";

const SEEDS_MAX = 1000;

function* seedsOf(first: number | undefined): Generator<{ seed: number; minutes: number; explain: boolean }> {
  if (first !== undefined) yield { seed: first, minutes: 1, explain: false };
  for (let seed = 1; seed <= SEEDS_MAX; seed++) yield { seed, minutes: 1, explain: false };
}

for (const mutation of MUTATIONS) {
  test(`noticed: ${mutation.name}`, async () => {
    let failure: Failure | null = null;
    await runSeeds(seedsOf(mutation.seed), { jobs: 1, mutation }, (outcome) => {
      failure ??= outcome.failure;
      return failure === null;
    });
    assert.ok(failure !== null, `${SEEDS_MAX} seeds passed with it`);
  });
}
