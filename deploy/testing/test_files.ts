/**
 * Runs test files, each in a process of its own, two at a time, and reports one line a file as it ends.
 */
import { glob } from "node:fs/promises";
import { relative } from "node:path";
import { run } from "node:test";

/** How the tests went. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** How to run them. */
export interface TestOptions {
  readonly root: string;
  /** One test may take this long. */
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
  print(line: string): void;
}

type TestStream = ReturnType<typeof run>;

const CONCURRENCY = 2;
const STDERR_CHARACTERS_MAX = 16_384;
const SKIPPED_FOLDERS = /(?:^|\/)(?:node_modules|data|\.cache|\.git)(?:\/|$)/;

/** Every `*.test.ts` under `root`, absolute, by path. */
export async function findTests(root: string): Promise<string[]> {
  const exclude = (path: string): boolean => SKIPPED_FOLDERS.test(path);
  const found = await Array.fromAsync(glob("**/*.test.ts", { cwd: root, exclude }));
  return found.sort().map((path) => `${root}/${path}`);
}

/**
 * Runs the files and counts their tests. A file that cannot be loaded counts as one failed test, and so does one that
 * ends without a summary: what is lost must not count as passed. A forced exit can lose a file's last output, so such a
 * file is run once more and left to end by itself, within the time limit.
 */
export async function runTests(files: readonly string[], options: TestOptions, isExitForced = true): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  if (files.length === 0) return counts;
  const { timeout_ms: timeout, signal } = options;
  const concurrency = Math.min(CONCURRENCY, files.length);
  // A test that timed out may have left timers or sockets: its process ends all the same once its tests have.
  const execArgv = isExitForced ? ["--test-force-exit"] : [];
  const stream = run({ files: [...files], concurrency, timeout, signal, execArgv });
  const stderr = new Map<string, string>();
  const ended = new Set<string>();
  const fileEnded = (file: string, isOk: boolean, rest: string): void => {
    ended.add(file);
    options.print(
      `[${ended.size}/${files.length}] ${isOk ? "ok  " : "FAIL"} ${relative(options.root, file)} (${rest})`,
    );
    const said = stderr.get(file)?.trimEnd() ?? "";
    if (!isOk && said !== "") options.print(indent(said));
    stderr.delete(file);
  };
  report(stream, options, stderr, (file) => {
    counts.failed++;
    fileEnded(file, false, "cannot be loaded");
  });
  stream.on("test:summary", ({ file, counts: of, success, duration_ms }) => {
    if (file !== undefined) {
      if (ended.has(file)) return;
      fileEnded(file, success, `${of.tests} tests, ${(duration_ms / 1000).toFixed(1)} s`);
      counts.passed += of.passed;
      counts.failed += of.tests - of.passed - of.skipped - of.todo;
      counts.skipped += of.skipped + of.todo;
    }
  });
  for await (const _ of stream);
  const silent = files.filter((file) => !ended.has(file));
  for (const file of silent) options.print(`  no summary: ${relative(options.root, file)}`);
  if (silent.length === 0 || signal.aborted) return counts;
  if (!isExitForced) return { ...counts, failed: counts.failed + silent.length };
  const again = await runTests(silent, options, false);
  return {
    passed: counts.passed + again.passed,
    failed: counts.failed + again.failed,
    skipped: counts.skipped + again.skipped,
  };
}

/** Prints failures with their errors, and skips with their reasons. */
function report(
  stream: TestStream,
  options: TestOptions,
  stderr: Map<string, string>,
  fileBroken: (file: string) => void,
): void {
  stream.on("test:stderr", ({ file, message }) => {
    const kept = stderr.get(file) ?? "";
    if (kept.length < STDERR_CHARACTERS_MAX) stderr.set(file, kept + message);
  });
  stream.on("test:pass", ({ name, skip, file }) => {
    if (skip === undefined || skip === false) return;
    options.print(`  skipped: ${name} (${relative(options.root, file ?? "")})${skip === true ? "" : `: ${skip}`}`);
  });
  stream.on("test:fail", ({ name, file, line, details }) => {
    const { error } = details;
    // A suite fails with its tests: they have been printed.
    if ("failureType" in error && error.failureType === "subtestsFailed") return;
    if (name === file) {
      fileBroken(file);
      return;
    }
    const cause = error.cause instanceof Error ? error.cause : error;
    options.print(`  failed: ${name} (${relative(options.root, file ?? "")}:${line ?? 1})`);
    options.print(indent(cause.stack ?? String(error.cause ?? error)));
  });
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "    ");
}
