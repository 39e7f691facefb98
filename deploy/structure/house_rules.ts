/**
 * The house rules that a text search can prove: lengths, purity, opening paragraphs, no dead files.
 */
import { isTypeScript, lineAt, type SourceFile } from "./source.ts";
import { isTestCode, type Violation } from "./violation.ts";

const FILE_LINES_MAX = 500;
const LINE_COLUMNS_MAX = 120;

/** Where clocks, timers, randomness and the environment may be used: the edges of the system. */
const ADAPTERS: readonly string[] = [
  "runtime/nats/",
  // Servers: they meet the network's time.
  "gateway/grpc/",
  "gateway/rest/",
  "gateway/nats/",
  "gateway/log.ts",
  "gateway/metrics/",
  // Makes keys and secrets.
  "gateway/identity/",
  // The gateway's one timer.
  "gateway/calls/deadline_wheel.ts",
  "deploy/",
  "chaos/",
];
/** Pure although they lie in a folder above: a simulation and an oracle must give the same every time. */
const PURE_IN_ADAPTERS: readonly string[] = ["chaos/oracle/", "chaos/sim/"];

const IMPURE: readonly [RegExp, string][] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)|\bnew Date\b(?!\s*\()|(?<!new )(?<![\w$.])Date\(/g, "reads the wall clock"],
  [/\bperformance\.(?:now|timeOrigin)\b|\bprocess\.hrtime\b/g, "reads a clock"],
  [/\bset(?:Timeout|Interval)\b/g, "uses a timer"],
  [/\bMath\.random\b|\brandom(?:UUID|Bytes|Int|FillSync|Fill)\b|\bgetRandomValues\b/g, "is random"],
  [/\bprocess\.env\b/g, "reads the environment"],
];

/** Lengths of files and lines. Function lengths are in function_length.ts. */
export function checkLengths(files: readonly SourceFile[]): Violation[] {
  const violations: Violation[] = [];
  for (const { path, text } of files) {
    const lines = text.replace(/\n$/, "").split("\n");
    if (lines.length > FILE_LINES_MAX) {
      const message = `${lines.length} lines, at most ${FILE_LINES_MAX}: split it by nouns`;
      violations.push({ rule: "file-length", path, line: FILE_LINES_MAX + 1, message });
    }
    lines.forEach((line, i) => {
      const columns = [...line].length;
      if (columns <= LINE_COLUMNS_MAX) return;
      violations.push({ rule: "line-length", path, line: i + 1, message: `${columns} columns` });
    });
  }
  return violations;
}

/** Clocks, timers, randomness and the environment outside the adapters. */
export function checkPurity(files: readonly SourceFile[]): Violation[] {
  const violations: Violation[] = [];
  for (const { path, code } of files) {
    if (!isTypeScript(path) || isTestCode(path) || isAdapter(path)) continue;
    for (const [pattern, what] of IMPURE) {
      for (const match of code.matchAll(pattern)) {
        const message = `${match[0].trim()} ${what}: take it as an argument, or move this to an adapter`;
        violations.push({ rule: "impure", path, line: lineAt(code, match.index), message });
      }
    }
  }
  return violations;
}

function isAdapter(path: string): boolean {
  if (PURE_IN_ADAPTERS.some((folder) => path.startsWith(folder))) return false;
  return ADAPTERS.some((place) => path.startsWith(place));
}

/** Every module opens with a paragraph that says what it owns. */
export function checkOpenings(files: readonly SourceFile[]): Violation[] {
  return files
    .filter(({ path }) => isTypeScript(path) && !isTestCode(path))
    .filter(({ text }) => !/^(?:#![^\n]*\n)?\/\*\*[\s*]*[^\s*/]/.test(text))
    .map(({ path }) => {
      const message = "does not open with a /** paragraph that says what the module owns";
      return { rule: "opening-paragraph", path, line: 1, message };
    });
}

/**
 * Files that nothing uses. Entry points are files of deploy/bin, files that a command of `commands` (package.json's
 * scripts, CI) names, and files that ask `import.meta.main`.
 */
export function checkDeadFiles(files: readonly SourceFile[], commands: string): Violation[] {
  const used = new Set<string>();
  for (const file of files) {
    for (const { target } of file.imports) if (target !== undefined && target !== file.path) used.add(target);
    for (const path of file.mentions) if (path !== file.path) used.add(path);
  }
  return files
    .filter(({ path, code }) => {
      if (!isTypeScript(path) || /\.(?:test|bench)\.ts$/.test(path) || used.has(path)) return false;
      return !path.startsWith("deploy/bin/") && !commands.includes(path) && !/\bimport\.meta\.main\b/.test(code);
    })
    .map(({ path }) => ({ rule: "dead-file", path, line: 1, message: "nobody imports it: use it or delete it" }));
}
