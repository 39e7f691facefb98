/**
 * Parsing and type-checking of rule expressions: the only importer of the CEL library. What leaves here is a checked
 * tree of bounded size whose type is bool; nothing is evaluated.
 */
import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { RuleError, type RuleErrorCode, type SourceRange } from "./rule_error.ts";
import { VARIABLES } from "./variables.ts";

export type { ASTNode };

/** Nodes and depth of one expression's tree, elements of one list. */
export const NODES_MAX = 400;
export const DEPTH_MAX = 32;
export const LIST_MAX = 64;

/** The CEL environment of rules: all variables, and `has_value`. Also the interpreter that tests compare with. */
export function ruleEnvironment(): Environment {
  const limits = {
    maxAstNodes: NODES_MAX,
    maxDepth: DEPTH_MAX,
    maxListElements: LIST_MAX,
    maxMapEntries: 0,
    maxCallArguments: 4,
  };
  const env = new Environment({ limits, homogeneousAggregateLiterals: true });
  for (const v of VARIABLES.values()) env.registerVariable(v.name, v.type);
  env.registerFunction("has_value(double): bool", (v: number) => !Number.isNaN(v));
  env.registerFunction("has_value(string): bool", (v: string) => v !== "");
  return env;
}

const ENVIRONMENT = ruleEnvironment();

/** The checked tree of a rule's expression. Throws RuleError with the range at fault. */
export function checkExpression(rule_id: string, expression: string): ASTNode {
  let ast: ASTNode;
  let result: { valid: boolean; type?: string; error?: unknown };
  try {
    const parsed = ENVIRONMENT.parse(expression);
    ast = parsed.ast;
    result = parsed.check();
  } catch (e) {
    throw asRuleError(rule_id, e);
  }
  if (!result.valid) throw asRuleError(rule_id, result.error);
  if (result.type !== "bool") {
    throw new RuleError("type", rule_id, `the expression is of type ${result.type}, a rule needs bool`, ast.range);
  }
  return ast;
}

const CODES: Readonly<Record<string, RuleErrorCode>> = {
  limit_exceeded: "limit",
  unknown_variable: "unknown_variable",
};

/** The library's parse and type errors as ours; anything else is a defect and passes through. */
function asRuleError(rule_id: string, e: unknown): unknown {
  const error = e as { name?: string; code?: string; summary?: string; range?: SourceRange };
  const known = error.name === "ParseError" || error.name === "TypeError";
  if (!known || error.summary === undefined) return e;
  const code = CODES[error.code ?? ""] ?? (error.name === "ParseError" ? "syntax" : "type");
  const mixed = error.code === "no_such_overload" && /\bint\b/.test(error.summary) && /double/.test(error.summary);
  const hint = mixed ? "; all numbers of a payment are doubles, write 5.0 for 5" : "";
  const range = error.range === undefined ? null : { start: error.range.start, end: error.range.end };
  return new RuleError(code, rule_id, error.summary + hint, range);
}
