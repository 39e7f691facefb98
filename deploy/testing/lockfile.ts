/**
 * `npm run lockfile`: completes package-lock.json with the optional packages of other platforms. npm leaves them out
 * when it cannot see them (a registry that mirrors one platform, or an existing node_modules), and `npm ci` then
 * refuses the lockfile. What is added names version and platform; npm learns the rest when a machine needs it.
 */
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

/** One package of a lockfile, as far as it matters here. */
interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A lockfile, version 3. */
export interface Lockfile {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const SYSTEMS: Readonly<Record<string, string>> = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  win32: "win32",
  windows: "win32",
};
const PROCESSORS: Readonly<Record<string, string>> = {
  arm: "arm",
  armv7: "arm",
  arm64: "arm64",
  ia32: "ia32",
  loong64: "loong64",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  x64: "x64",
};
const LIBRARIES: Readonly<Record<string, string>> = {
  gnu: "glibc",
  gnueabihf: "glibc",
  musl: "musl",
  musleabihf: "musl",
};

/** The optional packages that are named but not locked, with what must be added for each. */
export function missingPackages(lockfile: Lockfile): Map<string, LockedPackage> {
  const missing = new Map<string, LockedPackage>();
  for (const owner of Object.values(lockfile.packages)) {
    for (const [name, version] of Object.entries(owner.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      if (Object.keys(lockfile.packages).some((key) => key === path || key.endsWith(`/${path}`))) continue;
      missing.set(path, { version, ...(owner.dev === true ? { dev: true } : {}), optional: true, ...platformOf(name) });
    }
  }
  return missing;
}

/** The platform that a package is for, by its name: `@x/y-linux-arm64-musl`. Throws for a name that says none. */
function platformOf(name: string): Pick<LockedPackage, "os" | "cpu" | "libc"> {
  const words = name.split(/[/-]/);
  const one = (table: Readonly<Record<string, string>>): string | undefined =>
    words.map((word) => table[word]).find((value) => value !== undefined);
  const [os, cpu, libc] = [one(SYSTEMS), one(PROCESSORS), one(LIBRARIES)];
  if (os === undefined || cpu === undefined) throw new Error(`${name}: its name does not say its platform`);
  return { os: [os], cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }) };
}

/** The lockfile with what was missing, its packages in order. */
export function completed(lockfile: Lockfile): Lockfile {
  const all = { ...lockfile.packages, ...Object.fromEntries(missingPackages(lockfile)) };
  const ordered = Object.entries(all).sort(([a], [b]) => a.localeCompare(b, "en"));
  return { ...lockfile, packages: Object.fromEntries(ordered) };
}

/** Reads a checkout's lockfile. */
export async function readLockfile(root: string): Promise<Lockfile> {
  return JSON.parse(await readFile(resolve(root, "package-lock.json"), "utf8")) as Lockfile;
}

if (import.meta.main) {
  const root = resolve(process.argv[2] ?? resolve(import.meta.dirname, "..", ".."));
  const lockfile = await readLockfile(root);
  const missing = missingPackages(lockfile);
  if (missing.size > 0) {
    await writeFile(resolve(root, "package-lock.json"), `${JSON.stringify(completed(lockfile), null, 2)}\n`);
  }
  process.stdout.write(`${missing.size} packages of other platforms added\n`);
}
