/**
 * The source files that the structure test looks at: their text, the same text with comments and strings blanked out,
 * and what they import. No parser: the few constructs that matter are found in the blanked text.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";

/** One source file. Paths are relative to the tree's top, with `/`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** The text with comments, strings and regular expressions replaced by spaces; same length, same lines. */
  readonly code: string;
  readonly imports: readonly Import[];
  /** Paths of the tree that a string of the file may mean, such as a worker's file. */
  readonly mentions: readonly string[];
}

/** One import or re-export. */
export interface Import {
  readonly line: number;
  readonly specifier: string;
  readonly isTypeOnly: boolean;
  /** For a relative specifier: the path in the tree. */
  readonly target: string | undefined;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

const SKIPPED = new Set(["node_modules", "data", ".cache", ".git", "__pycache__", ".venv"]);
const GENERATED = "proto/gen";
const EXTENSIONS = [".ts", ".mts", ".js", ".mjs", ".py", ".sh"];

/** Every source file under `root`, generated code excepted, by path. */
export function readTree(root: string): SourceFile[] {
  const files: SourceFile[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const full = join(folder, entry.name);
      const path = relative(root, full).replaceAll("\\", "/");
      if (SKIPPED.has(entry.name) || path === GENERATED) continue;
      if (entry.isDirectory()) walk(full);
      else if (EXTENSIONS.some((extension) => path.endsWith(extension)))
        files.push(parse(path, readFileSync(full, "utf8")));
    }
  };
  walk(root);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** True for a TypeScript file. */
export function isTypeScript(path: string): boolean {
  return path.endsWith(".ts") || path.endsWith(".mts");
}

/** The line (from 1) of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

/** Reads one file's text. */
export function parse(path: string, text: string): SourceFile {
  if (!isTypeScript(path)) return { path, text, code: text, imports: [], mentions: [] };
  const { code, strings } = blank(text);
  const folder = posix.dirname(path);
  const literals = strings.map(({ start, end }) => text.slice(start + 1, end - 1)).filter((s) => /\.[a-z]+$/.test(s));
  const mentions = literals.flatMap((s) => [posix.join(folder, s), posix.normalize(s)]);
  return { path, text, code, imports: findImports(path, text, code, strings), mentions };
}

const IMPORT_FORMS = [
  /\b(?:import|export)\s+(type\s+)?(?:\*(?:\s+as\s+[\w$]+)?|[\w$\s,{}*]+?)\s*\bfrom\s*(?=["'])/g,
  /\bimport()\s*(?=["'])/g,
  /\bimport()\s*\(\s*(?=["'`])/g,
];

function findImports(path: string, text: string, code: string, strings: readonly Span[]): Import[] {
  const found: Import[] = [];
  for (const form of IMPORT_FORMS) {
    for (const match of code.matchAll(form)) {
      const start = match.index + match[0].length;
      const literal = strings.find((s) => s.start === start);
      if (literal === undefined) continue;
      const specifier = text.slice(literal.start + 1, literal.end - 1);
      const target = specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined;
      found.push({ line: lineAt(text, start), specifier, isTypeOnly: (match[1] ?? "") !== "", target });
    }
  }
  return found.sort((a, b) => a.line - b.line);
}

const REGEX_AFTER_WORD = /(?:^|[^\w$.])(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield)$/;

/** Blanks comments, strings and regular expressions; the quotes themselves stay, and so does code in `${}`. */
export function blank(text: string): { code: string; strings: Span[] } {
  const out = text.split("");
  const strings: Span[] = [];
  // Depth of braces at which each open template's expression ends.
  const templates: number[] = [];
  let depth = 0;
  const hide = (start: number, end: number): void => {
    for (let k = start; k < end && k < out.length; k++) if (out[k] !== "\n") out[k] = " ";
  };
  const template = (from: number): number => {
    const end = endOfTemplate(text, from);
    hide(from, end.isExpression ? end.at - 2 : end.at - 1);
    if (end.isExpression) templates.push(depth++);
    return end.at;
  };
  for (let i = 0; i < text.length; ) {
    const c = text[i];
    const end = c === "/" ? endOfSlash(text, out, i) : c === '"' || c === "'" ? endOfString(text, i) : i;
    if (end > i) {
      if (c === "/") hide(i, end);
      else {
        strings.push({ start: i, end });
        hide(i + 1, end - 1);
      }
      i = end;
    } else if (c === "`") {
      const start = i;
      i = template(i + 1);
      if (text[i - 1] === "`") strings.push({ start, end: i });
    } else if (c === "}" && templates.at(-1) === depth - 1) {
      depth = templates.pop() ?? 0;
      i = template(i + 1);
    } else {
      if (c === "{") depth++;
      else if (c === "}") depth--;
      i++;
    }
  }
  return { code: out.join(""), strings };
}

/** Where a comment or regular expression that starts at `i` ends; `i` itself for a division. */
function endOfSlash(text: string, out: readonly string[], i: number): number {
  if (text[i + 1] === "/") {
    const end = text.indexOf("\n", i);
    return end === -1 ? text.length : end;
  }
  if (text[i + 1] === "*") {
    const end = text.indexOf("*/", i + 2);
    return end === -1 ? text.length : end + 2;
  }
  // What stands before decides between a division and a regular expression.
  const before = out
    .slice(Math.max(0, i - 80), i)
    .join("")
    .trimEnd();
  if (/[\w$)\]}"'`]$/.test(before) && !REGEX_AFTER_WORD.test(before)) return i;
  let inClass = false;
  for (let k = i + 1; k < text.length && text[k] !== "\n"; k++) {
    if (text[k] === "\\") k++;
    else if (text[k] === "[") inClass = true;
    else if (text[k] === "]") inClass = false;
    else if (text[k] === "/" && !inClass) return k + 1;
  }
  return i;
}

function endOfString(text: string, i: number): number {
  for (let k = i + 1; k < text.length; k++) {
    if (text[k] === "\\") k++;
    else if (text[k] === text[i] || text[k] === "\n") return k + 1;
  }
  return text.length;
}

/** Where a template's text that starts at `i` ends: behind its closing quote or behind the `${` of an expression. */
function endOfTemplate(text: string, i: number): { at: number; isExpression: boolean } {
  for (let k = i; k < text.length; k++) {
    if (text[k] === "\\") k++;
    else if (text[k] === "`") return { at: k + 1, isExpression: false };
    else if (text[k] === "$" && text[k + 1] === "{") return { at: k + 2, isExpression: true };
  }
  return { at: text.length, isExpression: false };
}
