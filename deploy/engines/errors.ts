/**
 * The errors of provisioning and running local engines: a closed set of codes, each message saying what to do next.
 */

/** What went wrong with a server binary. */
export type ProvisionCode = "not_found" | "configured_unusable" | "checksum_mismatch" | "lock_timeout";

/** One way of finding a binary that was tried, and why it did not work. */
export interface ProvisionAttempt {
  readonly source: string;
  readonly problem: string;
}

/** No usable server binary: lists every attempt and what to install. */
export class ProvisionError extends Error {
  readonly code: ProvisionCode;
  readonly binary: string;
  readonly attempts: readonly ProvisionAttempt[];

  constructor(code: ProvisionCode, binary: string, advice: string, attempts: readonly ProvisionAttempt[]) {
    const tried = attempts.map((a) => `\n  - ${a.source}: ${a.problem}`).join("");
    super(`${binary}: ${advice}${tried === "" ? "" : `\nTried:${tried}`}`);
    this.name = "ProvisionError";
    this.code = code;
    this.binary = binary;
    this.attempts = attempts;
  }
}

/** What went wrong with a running engine. */
export type EngineCode =
  /** Another live process holds the data folder. */
  | "folder_held"
  /** The process ended before it was ready. */
  | "exited_early"
  /** It did not become ready before its deadline. */
  | "not_ready"
  /** It does not end, not even by SIGKILL. */
  | "not_stopped"
  /** The data folder was made by another major version. */
  | "data_version"
  /** The account that must run the engine cannot reach its files. */
  | "permission";

/** An engine could not be started or stopped. */
export class EngineError extends Error {
  readonly code: EngineCode;
  readonly engine: string;

  constructor(code: EngineCode, engine: string, message: string) {
    super(`${engine}: ${message}`);
    this.name = "EngineError";
    this.code = code;
    this.engine = engine;
  }
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error code of a system call ("ENOENT" and so on), or the empty string. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
