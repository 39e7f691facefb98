/**
 * The checks that run before the tests: the lockfile, types, lint and format, the public API's lint, generated code,
 * dead code.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { missingPackages, readLockfile } from "./lockfile.ts";

/** One check. */
export interface Check {
  readonly name: string;
  /** Gives what is wrong, or undefined. Stopped by the signal. */
  run(root: string, signal: AbortSignal): Promise<string | undefined>;
}

/** Every check, quickest first. */
export const CHECKS: readonly Check[] = [
  { name: "lockfile", run: lockfileIsComplete },
  command("types", "tsc", "--noEmit", "--pretty", "false"),
  command("lint", "biome", "check", "--error-on-warnings", "--colors=off", "--max-diagnostics=200"),
  command("proto-lint", "buf", "lint"),
  { name: "proto-generated", run: generatedIsCurrent },
  command("dead-code", "knip", "--no-progress"),
];

const OUTPUT_CHARACTERS_MAX = 20_000;

function command(name: string, tool: string, ...args: string[]): Check {
  return { name, run: (root, signal) => runTool(root, signal, tool, args) };
}

/** Runs a tool of node_modules/.bin; gives its output when it fails. */
async function runTool(root: string, signal: AbortSignal, tool: string, args: string[]): Promise<string | undefined> {
  const bin = join(root, "node_modules", ".bin");
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` };
  const child = spawn(join(bin, tool), args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], signal });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (part: string) => {
      if (output.length < OUTPUT_CHARACTERS_MAX) output += part;
    });
  }
  const code = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (exit, killedBy) => resolve(exit === 0 ? "" : `${tool} ended with ${killedBy ?? exit}`));
  });
  return code === "" ? undefined : `${output.slice(0, OUTPUT_CHARACTERS_MAX).trimEnd()}\n${code}`;
}

/** `npm ci` refuses a lockfile without the optional packages of other platforms. */
async function lockfileIsComplete(root: string): Promise<string | undefined> {
  const missing = [...missingPackages(await readLockfile(root)).keys()];
  return missing.length === 0
    ? undefined
    : `package-lock.json lacks these; run: npm run lockfile\n${missing.join("\n")}`;
}

/** Generates the API's code into a scratch folder and compares it with proto/gen. */
async function generatedIsCurrent(root: string, signal: AbortSignal): Promise<string | undefined> {
  const scratch = await mkdtemp(join(tmpdir(), "fraudguard-generated-"));
  try {
    const problem = await runTool(root, signal, "buf", ["generate", "--output", scratch]);
    if (problem !== undefined) return problem;
    const [fresh, kept] = await Promise.all([scratch, root].map((base) => readFolder(join(base, "proto", "gen"))));
    const differing = differences(fresh ?? new Map(), kept ?? new Map());
    if (differing.length === 0) return undefined;
    return `proto/gen is not what buf generates; run: npm run generate\n${differing.join("\n")}`;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function readFolder(folder: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const path of await readdir(folder, { recursive: true })) {
    if (path.endsWith(".ts")) texts.set(path, await readFile(join(folder, path), "utf8"));
  }
  return texts;
}

/** Names of files that are missing, left over or different. */
export function differences(fresh: ReadonlyMap<string, string>, kept: ReadonlyMap<string, string>): string[] {
  const missing = [...fresh.keys()].filter((path) => !kept.has(path)).map((path) => `missing: ${path}`);
  const leftOver = [...kept.keys()].filter((path) => !fresh.has(path)).map((path) => `left over: ${path}`);
  const changed = [...fresh].filter(([path, text]) => kept.has(path) && kept.get(path) !== text);
  return [...missing, ...leftOver, ...changed.map(([path]) => `different: ${path}`)];
}
