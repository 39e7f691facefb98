/**
 * Lengths of functions, measured by Biome (which has a parser): its rule is asked about every function of more than
 * one line, and the whole declaration is counted, signature and braces included.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Violation } from "./violation.ts";

const FUNCTION_LINES_MAX = 70;

interface Report {
  readonly summary: { readonly errors: number; readonly unchanged: number };
  readonly diagnostics: readonly {
    readonly category: string;
    readonly location: { readonly path: string; readonly start: { line: number }; readonly end: { line: number } };
  }[];
}

/** Every function that is too long among `paths` (relative to `root`). Throws when Biome saw none of the files. */
export function checkFunctions(root: string, biome: string, paths: readonly string[]): Violation[] {
  const config = mkdtempSync(join(tmpdir(), "fraudguard-structure-"));
  try {
    const options = { level: "error", options: { maxLines: 1 } };
    const linter = { rules: { preset: "none", complexity: { noExcessiveLinesPerFunction: options } } };
    writeFileSync(join(config, "biome.json"), JSON.stringify({ root: true, linter }));
    const flags = ["--only=complexity/noExcessiveLinesPerFunction", "--reporter=json", "--max-diagnostics=none"];
    const args = ["lint", ...flags, `--config-path=${config}`, ...paths];
    const { stdout, stderr } = spawnSync(biome, args, { cwd: root, encoding: "utf8", maxBuffer: 256 << 20 });
    return tooLong(stdout, stderr, paths.length);
  } finally {
    rmSync(config, { recursive: true, force: true });
  }
}

function tooLong(stdout: string, stderr: string, asked: number): Violation[] {
  let report: Report;
  try {
    report = JSON.parse(stdout) as Report;
  } catch {
    throw new Error(`biome gave no report: ${stderr.slice(0, 500)}`);
  }
  if (report.summary.unchanged !== asked) {
    throw new Error(`biome saw ${report.summary.unchanged} of ${asked} files: ${stderr.slice(0, 500)}`);
  }
  const violations: Violation[] = [];
  for (const { category, location } of report.diagnostics) {
    if (category !== "lint/complexity/noExcessiveLinesPerFunction") continue;
    const lines = location.end.line - location.start.line + 1;
    if (lines <= FUNCTION_LINES_MAX) continue;
    const message = `a function of ${lines} lines, at most ${FUNCTION_LINES_MAX}: give its parts names`;
    violations.push({ rule: "function-length", path: location.path, line: location.start.line, message });
  }
  return violations;
}
