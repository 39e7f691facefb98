/**
 * Rule sets, compiled: one JavaScript function over the columns for all rules of a set, made once, with no
 * interpretation, string or object for a payment. A rule set is immutable; a new one is compiled beside it and swapped
 * in between two ticks.
 */
import { FLAG_REPEATED, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { checkExpression } from "./check.ts";
import { definitionVersion, type RuleDefinition, type RuleSetDefinition, readDefinition } from "./definition.ts";
import { Emitter } from "./emit.ts";
import { OUTCOME_ALLOW, OUTCOME_BLOCK, OUTCOME_CHALLENGE, OUTCOME_REVIEW, OUTCOMES } from "./outcomes.ts";
import { RuleError } from "./rule_error.ts";

/** Pieces of code of a whole set: past it the engine would no longer optimise the function. */
export const SET_PIECES_MAX = 4000;

/** Writes the bits of the rules that fired into block.rules for rows [start, end); F is the feature matrix. */
export type Evaluate = (block: RowBlock, F: Float32Array, start: number, end: number) => void;

export interface CompiledRule extends RuleDefinition {
  /** Its bit in the `rules` column: 0..31 in lo, 32..63 in hi. */
  readonly bit: number;
  /** Least outcome number of a payment it fired on. */
  readonly floor: number;
}

export interface RuleSet {
  readonly name: string;
  /** 12 hex digits: the hash of the definition, thresholds included. */
  readonly version: string;
  readonly definition: RuleSetDefinition;
  readonly rules: readonly CompiledRule[];
  /**
   * Evaluates payments that are to be decided: rows of another kind, refused rows and repeats are left as they are. Row
   * r reads F[r * FEATURE_COUNT ...]. Throws RangeError when F does not reach to `end`.
   */
  readonly evaluate: Evaluate;
  /** The generated code, for inspection. */
  readonly source: string;
}

/** Checks and compiles a definition (parsed JSON). Throws RuleError on the first fault. */
export function compileRuleSet(json: unknown): RuleSet {
  const definition = readDefinition(json);
  const columns = new Map<string, string>();
  let pieces = 0;
  const conditions = definition.rules.map((rule) => {
    const emitter = new Emitter(rule.id, columns);
    const code = emitter.bool(checkExpression(rule.id, rule.expression), false);
    pieces += emitter.pieces;
    return code;
  });
  if (pieces > SET_PIECES_MAX) {
    throw new RuleError("limit", "", `the rules have ${pieces} pieces, more than ${SET_PIECES_MAX}; simplify some`);
  }
  const source = functionSource(conditions, columns);
  // The text is made of numbers, fixed words and names of our own tables only (see emit.ts).
  const run = new Function(source)() as Evaluate;
  return {
    name: definition.name,
    version: definitionVersion(definition),
    definition,
    rules: definition.rules.map((rule, bit) => ({ ...rule, bit, floor: ruleFloor(rule, definition) })),
    evaluate: guarded(run),
    source,
  };
}

/** The outcome number that the thresholds give to a score. NaN is below all. */
export function scoreOutcome(score: number, definition: RuleSetDefinition): number {
  const { challenge, review, block } = definition.thresholds;
  if (block !== null && score >= block) return OUTCOME_BLOCK;
  if (review !== null && score >= review) return OUTCOME_REVIEW;
  return challenge !== null && score >= challenge ? OUTCOME_CHALLENGE : OUTCOME_ALLOW;
}

function ruleFloor(rule: RuleDefinition, definition: RuleSetDefinition): number {
  return rule.action === "SCORE" ? scoreOutcome(rule.severity, definition) : OUTCOMES[rule.action];
}

/** A matrix that is too short would read undefined, and every clause would quietly be false. */
function guarded(run: Evaluate): Evaluate {
  return (block, F, start, end) => {
    if (start < 0 || end < start || end > block.kind.length || F.length < end * FEATURE_COUNT) {
      throw new RangeError(`rows ${start}..${end} with ${F.length} feature values`);
    }
    run(block, F, start, end);
  };
}

function functionSource(conditions: readonly string[], columns: ReadonlyMap<string, string>): string {
  const constants = [...columns].map(([local, path]) => `const ${local} = block.${path};`);
  const tests = conditions.map((c, i) => `if (${c}) ${i < 32 ? "lo" : "hi"} |= ${1 << (i & 31)};`);
  return `"use strict";
return function evaluate(block, F, start, end) {
  const rulesHi = block.rules.hi, rulesLo = block.rules.lo;
  const rowKind = block.kind, rowError = block.error, rowFlags = block.flags;
  ${constants.join("\n  ")}
  for (let r = start; r < end; r++) {
    if (rowKind[r] !== ${ROW_PAYMENT} || rowError[r] !== 0 || (rowFlags[r] & ${FLAG_REPEATED}) !== 0) continue;
    const at = r * ${FEATURE_COUNT};
    let hi = 0, lo = 0;
    ${tests.join("\n    ")}
    rulesHi[r] = hi;
    rulesLo[r] = lo;
  }
};`;
}
