/**
 * `npm test`: the checks, then every test of the checkout. Its last line is `N passed, N failed`.
 */
import { relative, resolve } from "node:path";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { CHECKS } from "./checks.ts";
import { type Counts, findTests, runTests } from "./test_files.ts";

const HELP = `Runs the checks (${CHECKS.map((check) => check.name).join(", ")}), then every *.test.ts.

usage: npm test -- [--only TEXT]... [--list] [--minutes N] [--test-seconds N] [--root DIR]

  --only TEXT        only checks and test files whose name or path holds TEXT (may be given again)
  --list             print what would run, and run nothing
  --minutes N        everything must end within N minutes (default 40)
  --test-seconds N   one test may take N seconds (default 300)
  --root DIR         the tests of another folder, without the checks

Tests that need the shared data sets are skipped where those are missing, and fail there in CI (CI=true).
The last line is "N passed, N failed": a check counts as one. Exit: 0 all passed, 1 a failure, 2 wrong usage.
`;

const OPTIONS = {
  only: { type: "string", multiple: true, default: [] },
  list: { type: "boolean", default: false },
  minutes: { type: "string", default: "40" },
  "test-seconds": { type: "string", default: "300" },
  root: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} satisfies ParseArgsConfig["options"];

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  const [minutes, test_s] = [Number(values.minutes), Number(values["test-seconds"])];
  if (values.help || !(minutes > 0 && test_s > 0)) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    return values.help ? 0 : 2;
  }
  const root = resolve(values.root ?? resolve(import.meta.dirname, "..", ".."));
  const isWanted = (name: string): boolean =>
    values.only.length === 0 || values.only.some((text) => name.includes(text));
  const checks = values.root === undefined ? CHECKS.filter((check) => isWanted(check.name)) : [];
  const files = (await findTests(root)).filter((file) => isWanted(relative(root, file)));
  if (checks.length + files.length === 0) {
    process.stderr.write(`nothing matches --only ${values.only.join(" ")}; see --list\n`);
    return 2;
  }
  if (values.list) {
    for (const name of [...checks.map((check) => check.name), ...files.map((file) => relative(root, file))])
      print(name);
    return 0;
  }
  return runAll(root, checks, files, minutes * 60_000, test_s * 1_000);
}

async function runAll(
  root: string,
  checks: typeof CHECKS,
  files: readonly string[],
  budget_ms: number,
  timeout_ms: number,
): Promise<number> {
  const started_ms = performance.now();
  const signal = AbortSignal.timeout(budget_ms);
  const checked = await runChecks(root, checks, signal);
  const tested = await runTests(files, { root, timeout_ms, signal, print });
  const [passed, skipped] = [checked.passed + tested.passed, tested.skipped];
  let failed = checked.failed + tested.failed;
  if (signal.aborted) {
    print(`FAIL time budget: not done within ${budget_ms / 60_000} minutes`);
    failed++;
  }
  const seconds = ((performance.now() - started_ms) / 1000).toFixed(0);
  print(`${seconds} s${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  print(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function runChecks(root: string, checks: typeof CHECKS, signal: AbortSignal): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const check of checks) {
    const started_ms = performance.now();
    const problem = await check.run(root, signal);
    const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
    print(`check ${problem === undefined ? "ok  " : "FAIL"} ${check.name} (${seconds} s)`);
    if (problem === undefined) counts.passed++;
    else {
      counts.failed++;
      print(problem.replaceAll(/^/gm, "    "));
    }
  }
  return counts;
}

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(`this is Node ${process.versions.node}: run npm ci, which brings Node 24, and use npm test\n`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 2;
  }
}
