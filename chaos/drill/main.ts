/** The command `npm run drill`: real processes, real faults, under load; one result a drill. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runCommand, WrongArgument, wholeIn } from "../../deploy/commands/arguments.ts";
import { DrillCluster } from "./drill_cluster.ts";
import { DRILLS, type Drill } from "./drills.ts";

const HELP = `npm run drill -- [NAME...] [--json FILE]     real faults on real processes, under load

Starts a nats-server and two nodes (one serves, one follows), sends payments at a steady rate, does the drill, waits
until every payment has its decision, and holds the clients' records against the journals and the windows that decisions
were made with against an oracle in another process. Without names all drills run.

  --list               what there is
  --rate N             payments a second (default 400)
  --users N            users they come from (default 300)
  --json FILE          writes [{drill, passed, acked, lost_acked, duplicated, wrong_windows, unreadable_acked,
                       unavailable_ms_p100, provisional, degraded_rows, notes}]; passed null: cannot be done here
  --help               this text

unavailable_ms_p100: the longest time from a user's first failed try to its first decision after it, milliseconds.
Exit codes: 0 no drill failed, 1 one failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  list: { type: "boolean", default: false },
  rate: { type: "string", default: "400" },
  users: { type: "string", default: "300" },
  json: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

interface Result {
  readonly drill: string;
  readonly passed: boolean | null;
  readonly acked: number;
  readonly lost_acked: number;
  readonly duplicated: number;
  readonly wrong_windows: number;
  readonly unreadable_acked: number;
  readonly unavailable_ms_p100: number;
  readonly provisional: number;
  readonly degraded_rows: number;
  readonly notes: readonly string[];
}

interface Pace {
  readonly payments_per_s: number;
  readonly users: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

await runCommand(HELP, async (signal) => {
  const { values: args, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (args.list) {
    for (const d of DRILLS) {
      const why = d.whyNotHere?.() ?? null;
      say(`${d.name.padEnd(22)} ${d.what}${why === null ? "" : ` (not here: ${why})`}`);
    }
    return;
  }
  const unknown = positionals.filter((name) => !DRILLS.some((d) => d.name === name));
  if (unknown.length > 0) throw new WrongArgument(`no drill ${unknown.join(", ")}: see --list`);
  const pace = {
    payments_per_s: wholeIn("rate", args.rate, 8, 20_000),
    users: wholeIn("users", args.users, 1, 1_000_000),
  };
  const results: Result[] = [];
  for (const drill of DRILLS) {
    if (positionals.length > 0 && !positionals.includes(drill.name)) continue;
    signal.throwIfAborted();
    const result = await carryOut(drill, pace);
    results.push(result);
    say(line(result));
    if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify(results, null, 1)}\n`);
  }
  const failed = results.filter((r) => r.passed === false);
  if (failed.length > 0) throw new Error(`failed: ${failed.map((r) => r.drill).join(", ")}`);
});

async function carryOut(drill: Drill, pace: Pace): Promise<Result> {
  const nothing = {
    drill: drill.name,
    acked: 0,
    lost_acked: 0,
    duplicated: 0,
    wrong_windows: 0,
    unreadable_acked: 0,
    unavailable_ms_p100: 0,
    provisional: 0,
    degraded_rows: 0,
  };
  const why = drill.whyNotHere?.() ?? null;
  if (why !== null) return { ...nothing, passed: null, notes: [why] };
  process.stderr.write(`${drill.name}: ${drill.what}\n`);
  let cluster: DrillCluster | null = null;
  try {
    cluster = await DrillCluster.start({ ...pace, hot: 0, sharing: 0, ...drill.over });
    const found = await drill.run(cluster);
    const { load } = cluster;
    const { verdict: told, broken } = await cluster.judge();
    const { notes, whole, decisions_in_journals, windows_compared, ...verdict } = told;
    const failed = [...found.failed, ...load.wrong.slice(0, 5)];
    if (found.damaged !== true) failed.push(...broken, ...(whole ? [] : ["a journal cannot be read to its end"]));
    if (load.changed > 0) failed.push(`${load.changed} payments were answered in two ways`);
    if (load.askedAgain < load.payments.length) failed.push(`${load.askedAgain} decisions could be asked for again`);
    if (found.damaged !== true && windows_compared < verdict.acked) {
      failed.push(`windows of ${windows_compared} decisions compared, ${verdict.acked} acknowledged`);
    }
    const sound = verdict.lost_acked === 0 && verdict.duplicated === 0 && verdict.wrong_windows === 0;
    const readable = found.damaged === true || verdict.unreadable_acked === 0;
    const took = [0.5, 0.99, 1].map((q) => Math.round(load.latencyMs(q, 0, Number.POSITIVE_INFINITY)));
    const waits = `from a payment's first try to its decision, ms: p50 ${took[0]} p99 ${took[1]} longest ${took[2]}`;
    const compared = `${decisions_in_journals} decisions in the journals, windows of ${windows_compared} compared`;
    return {
      ...nothing,
      ...verdict,
      passed: sound && readable && failed.length === 0,
      unavailable_ms_p100: Math.round(load.unavailableMs()),
      provisional: load.provisional,
      degraded_rows: load.degraded,
      notes: [...failed, ...found.notes, ...notes, ...(found.damaged === true ? broken : []), waits, compared],
    };
  } catch (error) {
    return { ...nothing, passed: false, notes: [(error as Error).message] };
  } finally {
    await cluster?.close();
  }
}

function line(r: Result): string {
  const word = r.passed === null ? "not here" : r.passed ? "passed" : "FAILED";
  const facts =
    r.passed === null
      ? ""
      : `${r.acked} acked, ${r.lost_acked} lost, ${r.duplicated} twice, ${r.wrong_windows} wrong windows, ` +
        `${r.unreadable_acked} unreadable, unavailable ${r.unavailable_ms_p100} ms, ${r.provisional} provisional; `;
  return `${r.drill.padEnd(22)} ${word.padEnd(9)} ${facts}${r.notes.join("; ")}`;
}
