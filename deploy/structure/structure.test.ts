/**
 * The structure of the checkout: who imports whom, and the house rules. The checker itself is proved on a planted tree
 * in which every rule is broken once, beside code that only looks as if it broke them.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { checkFunctions } from "./function_length.ts";
import { checkDeadFiles, checkLengths, checkOpenings, checkPurity } from "./house_rules.ts";
import { checkLayers } from "./layers.ts";
import { blank, isTypeScript, readTree } from "./source.ts";
import type { Violation } from "./violation.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const BIOME = join(ROOT, "node_modules", ".bin", "biome");

function checkAll(root: string, commands: string): Violation[] {
  const files = readTree(root);
  const typescript = files.map((file) => file.path).filter(isTypeScript);
  return [
    ...checkLayers(files),
    ...checkLengths(files),
    ...checkFunctions(root, BIOME, typescript),
    ...checkPurity(files),
    ...checkOpenings(files),
    ...checkDeadFiles(files, commands),
  ];
}

const shown = ({ rule, path, line, message }: Violation): string => `${path}:${line} [${rule}] ${message}`;

test("the checkout keeps the layering and the house rules", async () => {
  const scripts = await readFile(join(ROOT, "package.json"), "utf8");
  const ci = await readFile(join(ROOT, ".ci", "run"), "utf8").catch(() => "");
  assert.ok(readTree(ROOT).length > 100, "the checker sees the checkout");
  const violations = checkAll(ROOT, scripts + ci);
  assert.deepEqual(violations.map(shown), []);
});

const PARAGRAPH = "/** A planted module. */\n";
const long = (n: number): string => Array.from({ length: n }, () => "  x += 1;\n").join("");

/** Path, text, and the rules broken in it with their lines. */
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the planted code holds templates.
const PLANTED: readonly [string, string, readonly string[]][] = [
  [
    "proto/a.ts",
    `${PARAGRAPH}import { b } from "../runtime/b.ts";\nexport const a = b;\n`,
    ["layering:2", "dead-file:1"],
  ],
  ["runtime/b.ts", `${PARAGRAPH}export { user } from "../actors/user.ts";\nexport const b = 1;\n`, ["layering:2"]],
  ["runtime/ports.ts", `${PARAGRAPH}export type Port = number;\n`, []],
  ["runtime/kernel/k.ts", `${PARAGRAPH}import {\n  b,\n} from "../b.ts";\nexport const k = b;\n`, ["layering:4"]],
  ["runtime/nats/n.ts", `${PARAGRAPH}import "@nats-io/nats-core";\nexport const n = Date.now();\n`, []],
  ["runtime/wire.ts", `${PARAGRAPH}import { n } from "./nats/n.ts";\nexport const w = n;\n`, ["layering:2"]],
  ["runtime/wire.test.ts", 'import { w } from "./wire.ts";\nimport "./nats/n.ts";\nexport const t = w;\n', []],
  ["runtime/client.ts", `${PARAGRAPH}export const c = import("@nats-io/kv");\n`, ["layering:2", "dead-file:1"]],
  ["actors/user.ts", `${PARAGRAPH}import "../gateway/g.ts";\nexport const user = 1;\n`, ["layering:2"]],
  [
    "actors/purse.ts",
    `${PARAGRAPH}import "../chaos/oracle/o.ts";\nimport type { Port } from "../runtime/ports.ts";\n` +
      "export type P = Port;\n",
    ["layering:2", "dead-file:1"],
  ],
  [
    "actors/user.test.ts",
    'import "../chaos/oracle/o.ts";\nimport "../deploy/engines/e.ts";\nimport "./user.ts";\n',
    [],
  ],
  ["actors/peek.test.ts", 'import "../chaos/drill.ts";\n', ["layering:1"]],
  ["gateway/g.ts", `${PARAGRAPH}import "../actors/user.ts";\nimport "../actors/rules/r.ts";\n`, ["layering:2"]],
  ["actors/rules/r.ts", `${PARAGRAPH}export const r = 1;\n`, []],
  [
    "workflows/w.ts",
    `${PARAGRAPH}import type { Port } from "../runtime/ports.ts";\nimport { k } from "../runtime/kernel/k.ts";\n`,
    ["layering:3", "dead-file:1"],
  ],
  ["chaos/oracle/o.ts", `${PARAGRAPH}import "../../runtime/kernel/k.ts";\n`, ["layering:2"]],
  ["chaos/drill.ts", `${PARAGRAPH}import "../deploy/engines/e.ts";\nsetTimeout(() => {}, 1);\n`, []],
  ["deploy/engines/e.ts", `${PARAGRAPH}export const e = process.env["A"];\n`, []],
  ["deploy/bin/start.ts", `${PARAGRAPH}import "../../chaos/drill.ts";\nimport "../../gateway/g.ts";\n`, ["layering:2"]],
  ["chaos/sim/s.ts", `${PARAGRAPH}export const s = Math.random();\nif (import.meta.main) void s;\n`, ["impure:2"]],
  [
    "actors/clock.ts",
    `${PARAGRAPH}import { setTimeout as nap } from "node:timers/promises";\n` +
      'import { randomUUID } from "node:crypto";\n' +
      "const a = new Date();\nconst b = performance.now();\nconst c = process.env;\nconst d = setInterval(nap, 1);\n" +
      "const e = `${Date.now()} Math.random()`;\n// Date.now() in a comment\nconst f = 'Date.now()';\n" +
      "const g = /Date.now'/.test(f) ? 1 / 2 : Math.random();\nconst h = new Date(5);\n" +
      "export { a, b, c, d, e, g, h };\n",
    ["impure:2", "impure:3", "impure:4", "impure:5", "impure:6", "impure:7", "impure:8", "impure:11", "dead-file:1"],
  ],
  ["actors/long_file.ts", `${PARAGRAPH}export const l = 1;\n${"\n".repeat(499)}`, ["file-length:501", "dead-file:1"]],
  ["actors/just_right.ts", `${PARAGRAPH}import "./just_right.ts";\n${"\n".repeat(498)}`, ["dead-file:1"]],
  ["deploy/wide.py", `x = 1\n# ${"y".repeat(119)}\n`, ["line-length:2"]],
  ["deploy/narrow.py", `# ${"y".repeat(118)}\n`, []],
  [
    "deploy/long.ts",
    `${PARAGRAPH}export function long(x: number): number {\n${long(68)}  return x;\n}\n` +
      `export const short = (x: number): number => {\n${long(67)}  return x;\n};\n` +
      "export class C {\n  m(\n    x: number,\n" +
      `  ): number {\n  ${long(66)}    return x;\n  }\n}\n`,
    ["function-length:2", "function-length:144"],
  ],
  ["deploy/bare.ts", "// No paragraph.\nexport const bare = 1;\n", ["opening-paragraph:1"]],
  ["deploy/empty.ts", "/** */\nexport const empty = 1;\n", ["opening-paragraph:1"]],
  ["deploy/worker.ts", `${PARAGRAPH}export const worker = 1;\n`, []],
  [
    "deploy/main.ts",
    `${PARAGRAPH}new URL("./worker.ts", import.meta.url);\nimport "./bare.ts";\nimport "./empty.ts";\n`,
    [],
  ],
  ["proto/gen/generated.ts", "export const g = Math.random();\n", []],
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the planted code holds templates.

test("every rule is caught where it is planted, and nothing else is", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "fraudguard-planted-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [path, text] of PLANTED) {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  const violations = checkAll(root, '"scripts": { "go": "node deploy/main.ts", "long": "node deploy/long.ts" }');
  const found = violations.map(({ path, rule, line }) => `${path} ${rule}:${line}`).sort();
  const expected = PLANTED.flatMap(([path, , rules]) => rules.map((rule) => `${path} ${rule}`)).sort();
  assert.deepEqual(found, expected, violations.map(shown).join("\n"));
});

test("blanking keeps lines and lengths, and hides strings, comments, templates and patterns", () => {
  const text = [
    "const a = 'it\\'s'; // Date.now()",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the blanked code holds a template.
    "const b = `x ${f({ y: `deep ${z} /* no */` })} y`;",
    "/* over\n two */ const c = a / b / 2;",
    "const d = /[/'\"]+/g, e = s.replace(/\\//g, '');",
  ].join("\n");
  const { code } = blank(text);
  assert.equal(code.length, text.length);
  assert.equal(code.split("\n").length, text.split("\n").length);
  const expected = ["const a =", "const b =", "f({ y:", "z", "const c = a / b / 2;", "const d =", ", e = s.replace("];
  for (const part of expected) assert.ok(code.includes(part), `${part} in ${code}`);
  for (const part of ["it", "Date", "deep", "no", "over", "two"]) assert.ok(!code.includes(part), `${part} in ${code}`);
});
