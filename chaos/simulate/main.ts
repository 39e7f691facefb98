/** The command `npm run simulate`: many seeds, their counts, the first failure with how to run it again. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runCommand, WrongArgument, wholeIn } from "../../deploy/commands/arguments.ts";
import { Progress } from "../../deploy/progress.ts";
import { type CoverageSummary, summarise } from "./coverage.ts";
import type { Failure, Order, Outcome } from "./worker.ts";
import { runSeeds } from "./worker_pool.ts";

const HELP = `npm run simulate -- --seeds N [--seed S] [--json FILE]     the runtime on a simulated world

Runs the unmodified runtime, actors and gateway core with simulated clock, network, journals, leases and disks; crashes,
pauses, cuts, outages and more strike as each seed says, and every invariant is checked. Equal seeds give equal runs.

  --seeds N         how many seeds to run (default 100)
  --seed S          the first of them (default 1)
  --minutes N       simulated minutes of each, besides the healed phase (default 1)
  --only A,B        of a seed's faults only these numbers (for a shrunk failure; with one seed)
  --jobs N          processes side by side (default: the processors of the machine)
  --json FILE       writes {seeds, failed, first_failure, simulated_minutes, payments, faults, real_seconds, ...}
  --help            this text

Exit codes: 0 all seeds passed, 1 one failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  seeds: { type: "string", default: "100" },
  seed: { type: "string", default: "1" },
  minutes: { type: "string", default: "1" },
  only: { type: "string" },
  jobs: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

class Totals {
  seeds = 0;
  failed = 0;
  first_failure: Failure | null = null;
  simulated_ms = 0;
  payments = 0;
  decisions = 0;
  faults = 0;
  readonly events = new Map<string, number>();

  add(o: Outcome): void {
    this.seeds++;
    this.simulated_ms += o.simulated_ms;
    this.payments += o.payments;
    this.decisions += o.decisions;
    this.faults += o.faults;
    for (const [name, n] of Object.entries(o.events)) this.events.set(name, (this.events.get(name) ?? 0) + n);
    if (o.failure === null) return;
    this.failed++;
    this.first_failure ??= o.failure;
  }
}

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const seeds = wholeIn("seeds", args.seeds, 1, 10_000_000);
  const seed = wholeIn("seed", args.seed, 0, 2 ** 31);
  const minutes = wholeIn("minutes", args.minutes, 1, 60);
  const only = args.only === undefined ? undefined : numbers(args.only);
  if (only !== undefined && seeds !== 1) throw new WrongArgument("--only goes with --seeds 1");
  const jobs = args.jobs === undefined ? {} : { jobs: wholeIn("jobs", args.jobs, 1, 64) };
  const began = performance.now();
  const now_us = (): number => performance.now() * 1000;
  const progress = new Progress({ label: "simulating", unit: "seeds", total: seeds, stream: process.stderr, now_us });
  const totals = new Totals();
  const orders = Array.from({ length: seeds }, (_, i): Order => {
    return { seed: seed + i, minutes, explain: true, ...(only === undefined ? {} : { only }) };
  });
  const ranges = await runSeeds(orders, { ...jobs, signal }, (outcome) => {
    totals.add(outcome);
    progress.update(totals.seeds);
    return true;
  });
  progress.finish();
  signal.throwIfAborted();
  const coverage = summarise(ranges);
  const real_seconds = (performance.now() - began) / 1000;
  print(totals, coverage, real_seconds);
  if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify(report(totals, coverage, real_seconds))}\n`);
  if (totals.failed > 0) throw new Error(`${totals.failed} of ${totals.seeds} seeds failed`);
});

function numbers(text: string): number[] {
  if (text === "") return [];
  return text.split(",").map((part) => wholeIn("only", part, 0, 1000));
}

function report(t: Totals, coverage: CoverageSummary, real_seconds: number) {
  const { seeds, failed, first_failure, payments, decisions, faults } = t;
  const simulated_minutes = t.simulated_ms / 60_000;
  const events = Object.fromEntries([...t.events].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    seeds,
    failed,
    first_failure,
    simulated_minutes,
    payments,
    decisions,
    faults,
    real_seconds,
    events,
    coverage,
  };
}

function print(t: Totals, coverage: CoverageSummary, real_seconds: number): void {
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const minutes = t.simulated_ms / 60_000;
  say(`${t.seeds} seeds, ${t.failed} failed; ${minutes.toFixed(0)} simulated minutes in ${real_seconds.toFixed(0)} s`);
  say(`${t.payments} payments, ${t.decisions} decisions, ${t.faults} faults`);
  for (const [name, n] of [...t.events].sort(([a], [b]) => (a < b ? -1 : 1))) say(`  ${name.padEnd(40)} ${n}`);
  const share = (covered: number, branches: number) => `${((100 * covered) / Math.max(1, branches)).toFixed(1)} %`;
  say(`branches that ran: ${coverage.covered} of ${coverage.branches}, ${share(coverage.covered, coverage.branches)}`);
  for (const f of coverage.files.slice(0, 10)) say(`  ${f.file.padEnd(40)} ${share(f.covered, f.branches)}`);
  if (t.first_failure !== null) explain(t.first_failure, say);
}

function explain(f: Failure, say: (text: string) => void): void {
  say(`\nseed ${f.seed} failed: ${f.message}`);
  say(f.stack);
  for (const line of f.trace) say(`  ${line}`);
  say(`faults it needs: ${f.faults?.join("; ") || "none"}`);
  say(`run it again: npm run simulate -- --seeds 1 --seed ${f.seed} --only "${f.only?.join(",") ?? ""}"`);
}
