/**
 * One broken rule, and which files count as tests.
 */

/** The rules, one name each. */
export type RuleName =
  | "layering"
  | "file-length"
  | "line-length"
  | "function-length"
  | "impure"
  | "opening-paragraph"
  | "dead-file";

/** A place where a rule is broken. */
export interface Violation {
  readonly rule: RuleName;
  /** Relative to the tree's top. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** Tests, benches and what only they use (`testkit/`, `testkit.ts`, `x_testkit.ts`). */
export function isTestCode(path: string): boolean {
  return /\.(?:test|bench)\.ts$/.test(path) || /(?:^|[/_])testkit(?:\/|\.ts$)/.test(path);
}
