/**
 * The Python environment of training: a venv with exactly the pinned packages, made once and made again when the pins
 * change. Several processes may ask for it at once: one makes it, the others wait.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { lock } from "../engines/lock.ts";

const REQUIREMENTS = new URL("../../actors/inference/training/requirements.txt", import.meta.url);
/** Newest first; the pinned packages have wheels for these. */
const CANDIDATES = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
const VERSION_MIN = 11;
const VERSION_MAX = 14;
const MARKER = "fraudguard-requirements.sha256";
const LOCK_WAIT_MS = 10 * 60_000;
const PIP_TIMEOUT_S = 60;

/** The environment cannot be made; the message says what to install or look at. Not retryable as it is. */
export class PythonUnavailable extends Error {
  override name = "PythonUnavailable";
}

export interface EnvironmentOptions {
  /** File of pinned requirements; the training's own by default. */
  readonly requirements?: string;
  /** Interpreter to make the environment with; else FRAUDGUARD_PYTHON, else the first fitting one on PATH. */
  readonly python?: string;
  /** Told each step; writes to standard error by default. */
  readonly progress?: (line: string) => void;
}

/**
 * Makes the environment in `dir` unless it stands there with the same requirements. Resolves to the path of its Python.
 * Rejects with PythonUnavailable when no fitting Python, venv or package can be had.
 */
export async function ensurePythonEnvironment(dir: string, options: EnvironmentOptions = {}): Promise<string> {
  const requirements = options.requirements ?? fileURLToPath(REQUIREMENTS);
  const progress = options.progress ?? ((line: string) => process.stderr.write(`${line}\n`));
  const hash = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex");
  const python = join(dir, "bin", "python");
  if (await stands(dir, hash)) return python;
  await mkdir(dirname(dir), { recursive: true });
  const held = await lock(`${dir}.lock`, LOCK_WAIT_MS);
  if (held === undefined) throw new PythonUnavailable(`another process has been making ${dir} for too long: end it`);
  try {
    if (!(await stands(dir, hash))) await make(dir, hash, requirements, options.python, progress);
  } finally {
    await held.release();
  }
  return python;
}

async function stands(dir: string, hash: string): Promise<boolean> {
  const marker = await readFile(join(dir, MARKER), "utf8").catch(() => "");
  if (marker.trim() !== hash) return false;
  // The interpreter that the environment points to may have been removed since.
  return (await version(join(dir, "bin", "python"))) !== null;
}

async function make(
  dir: string,
  hash: string,
  requirements: string,
  wanted: string | undefined,
  progress: (line: string) => void,
): Promise<void> {
  const base = await findPython(wanted ?? process.env["FRAUDGUARD_PYTHON"]);
  progress(`training environment: creating ${dir} with ${base}`);
  await rm(dir, { recursive: true, force: true });
  await step(base, ["-m", "venv", dir], () => {}).catch((error: Error) => {
    throw new PythonUnavailable(`${base} cannot make a virtual environment (install python3-venv): ${error.message}`);
  });
  const pip = ["-m", "pip", "--disable-pip-version-check", "--timeout", String(PIP_TIMEOUT_S), "install"];
  // --no-deps: the list is complete, and nothing may come in unpinned.
  const install = [...pip, "--no-deps", "--only-binary", ":all:", "--no-compile", "--progress-bar", "off"];
  await step(join(dir, "bin", "python"), [...install, "--requirement", requirements], (line) => {
    if (/^(Collecting|Installing|Successfully)/.test(line))
      progress(`training environment: ${line.replace(/ \(from .*/, "")}`);
  }).catch((error: Error) => {
    throw new PythonUnavailable(`the packages of ${requirements} cannot be installed: ${error.message}`);
  });
  await writeFile(join(dir, `${MARKER}.new`), `${hash}\n`);
  await rename(join(dir, `${MARKER}.new`), join(dir, MARKER));
  progress("training environment: ready");
}

/** Minor version of a Python 3 that runs, else null. */
async function version(python: string): Promise<number | null> {
  try {
    const { stdout } = await promisify(execFile)(python, ["-c", "import sys; print(*sys.version_info[:2])"]);
    const [major, minor] = stdout.trim().split(" ").map(Number);
    return major === 3 ? minor : null;
  } catch {
    return null;
  }
}

async function findPython(wanted: string | undefined): Promise<string> {
  const found: string[] = [];
  for (const candidate of wanted === undefined ? CANDIDATES : [wanted]) {
    const minor = await version(candidate);
    if (minor === null) continue;
    if (minor >= VERSION_MIN && minor <= VERSION_MAX) return candidate;
    found.push(`${candidate} is 3.${minor}`);
  }
  const seen = found.length === 0 ? `none of ${wanted ?? CANDIDATES.join(", ")} runs` : found.join(", ");
  throw new PythonUnavailable(
    `training needs Python 3.${VERSION_MIN} to 3.${VERSION_MAX} with venv and pip: ${seen}. ` +
      "Install python3 and python3-venv, or name an interpreter in FRAUDGUARD_PYTHON.",
  );
}

/** Runs a program to its end; rejects with the last lines of its output when it fails. */
function step(program: string, args: readonly string[], line: (text: string) => void): Promise<void> {
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const tail: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (text) => {
      tail.push(text);
      if (tail.length > 8) tail.shift();
      line(text);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}: ${tail.join(" | ")}`))));
  });
}
