/** The one error of this folder: why a rule, or a rule set, cannot be used, and where in its expression. */

/**
 * What to do about it:
 * - `invalid_field`: a field of the definition is missing, unknown or out of its range; correct the definition.
 * - `duplicate_id`: two rules share an id; rename one.
 * - `syntax`, `unknown_variable`, `type`: the expression is not CEL, names nothing known, or mixes types; correct it.
 * - `unsupported`: valid CEL that has no form over columns (methods, macros, maps, `matches`); write it another way.
 * - `limit`: too long, too deep, too many rules; split or simplify.
 */
export type RuleErrorCode =
  | "invalid_field"
  | "duplicate_id"
  | "syntax"
  | "unknown_variable"
  | "type"
  | "unsupported"
  | "limit";

/** Characters [start, end) of the rule's expression. */
export interface SourceRange {
  readonly start: number;
  readonly end: number;
}

export class RuleError extends Error {
  override name = "RuleError";
  readonly code: RuleErrorCode;
  /** Id of the rule at fault; empty when it is the rule set as a whole. */
  readonly rule_id: string;
  /** Where in the expression; null when it is not the expression. */
  readonly range: SourceRange | null;
  /** The message without the rule's id and the range. */
  readonly detail: string;

  constructor(code: RuleErrorCode, rule_id: string, detail: string, range: SourceRange | null = null) {
    const where = range === null ? "" : ` (characters ${range.start} to ${range.end})`;
    super(`${rule_id === "" ? "rule set" : `rule ${rule_id}`}: ${detail}${where}`);
    this.code = code;
    this.rule_id = rule_id;
    this.detail = detail;
    this.range = range;
  }
}
