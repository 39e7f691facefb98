/**
 * Nanoseconds a row of the default rules and of the policy. `node actors/rules/rules.bench.ts [--json] [--ticks N]`
 * Rows are drawn from a seed: most are ordinary, and every row has all features, which is the slow case.
 */
import { parseArgs } from "node:util";
import { Policy, TestCards } from "../decision/policy.ts";
import { FEATURE_COUNT, FEATURES } from "../features/registry.ts";
import { compileRuleSet } from "./compile.ts";
import definition from "./default_rules.json" with { type: "json" };
import { RowWriter } from "./row_testkit.ts";

const ROWS = 512;
const RUNS = 7;

const { values } = parseArgs({
  options: { json: { type: "boolean" }, help: { type: "boolean" }, ticks: { type: "string", default: "400" } },
});
const ticks = Number(values.ticks);
if (values.help || !Number.isInteger(ticks) || ticks < 1) {
  console.log(
    "usage: node actors/rules/rules.bench.ts [--json] [--ticks N]\nTimes N ticks of 512 rows, best of 7 runs.",
  );
  process.exit(values.help ? 0 : 2);
}

/** Park and Miller's generator: uniform in (0, 1), the same on every run. */
let seed = 42;
function uniform(): number {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647;
}

const channels = ["card_present", "ecommerce", "mobile", "atm", "transfer"];
const w = new RowWriter(ROWS);
for (let r = 0; r < ROWS; r++) {
  w.write(r, {
    channel: channels[Math.floor(uniform() * channels.length)],
    category: uniform() < 0.05 ? "7995" : "5411",
    has_device: uniform() < 0.8,
    has_payee: uniform() < 0.1,
    score: uniform() ** 4,
    status: "ATTEMPTED",
  });
  // Heavy-tailed values of the right order of size: clauses pass now and then, as they do on payments.
  for (let k = 0; k < FEATURE_COUNT; k++) {
    const scale =
      { "minor units": 5000, s: 100000, "km/h": 50, km: 20, share: 0.01, "0 or 1": 1 }[FEATURES[k].unit] ?? 3;
    w.F[r * FEATURE_COUNT + k] = scale === 1 ? Number(uniform() < 0.2) : scale * 0.5 * uniform() ** -0.4;
  }
}

const set = compileRuleSet(definition);
const policy = new Policy(set);
const cards = new TestCards(1);

/** Best of RUNS, ns a row. */
function nsPerRow(tick: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const from = process.hrtime.bigint();
    for (let i = 0; i < ticks; i++) tick();
    best = Math.min(best, Number(process.hrtime.bigint() - from) / (ticks * ROWS));
  }
  return best;
}

const rules_ns = nsPerRow(() => set.evaluate(w.block, w.F, 0, ROWS));
const policy_ns = nsPerRow(() => policy.decide(w.block, 0, ROWS, cards));
let fired = 0;
for (let r = 0; r < ROWS; r++) fired += Number((w.block.rules.hi[r] | w.block.rules.lo[r]) !== 0);
const result = {
  rules: set.rules.length,
  rules_ns_per_row: Math.round(rules_ns * 10) / 10,
  rules_ns_per_row_for_20: Math.round((rules_ns * 200) / set.rules.length) / 10,
  policy_ns_per_row: Math.round(policy_ns * 10) / 10,
  rows_with_a_fired_rule: fired / ROWS,
};
if (values.json) console.log(JSON.stringify(result));
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(26)} ${value}`);
