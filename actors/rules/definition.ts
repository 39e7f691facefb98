/**
 * A rule set as it is written in a file or sent to the control plane: plain JSON with its thresholds and its rules.
 * This module owns the shape, its limits and its version; `compile.ts` turns it into code.
 */
import { createHash } from "node:crypto";
import { RULES_MAX } from "../../proto/columns.ts";
import { OUTCOMES, type OutcomeName } from "./outcomes.ts";
import { RuleError } from "./rule_error.ts";

/** Characters of one expression. */
export const EXPRESSION_CHARS_MAX = 2000;
/** Characters of a rule's text or reason. */
export const TEXT_CHARS_MAX = 200;

/**
 * What a fired rule does: at least that outcome; or SCORE: at least the outcome that the thresholds give to a score as
 * high as the rule's severity (a severity under the lowest threshold is a reason and nothing more).
 */
export type RuleAction = "BLOCK" | "REVIEW" | "CHALLENGE" | "SCORE";
const ACTIONS: readonly string[] = ["BLOCK", "REVIEW", "CHALLENGE", "SCORE"];

export interface RuleDefinition {
  /** Lower case, digits and _, at most 64 characters: the reason code in answers. */
  readonly id: string;
  /** What it looks for, for whoever reads the rules. */
  readonly text: string;
  /** What a decision says when it fired. */
  readonly reason: string;
  /** 0..1: the reason's weight, and the score that SCORE stands for. */
  readonly severity: number;
  readonly action: RuleAction;
  /** CEL, of type bool. */
  readonly expression: string;
}

/** Lowest score 0..1 of each outcome; null: no score leads there. Ascending. */
export interface Thresholds {
  readonly challenge: number | null;
  readonly review: number | null;
  readonly block: number | null;
}

export interface RuleSetDefinition {
  readonly name: string;
  readonly thresholds: Thresholds;
  /** Least outcome of a payment that the model did not score; ALLOW: the rules alone decide. */
  readonly degraded_floor: OutcomeName;
  /** At most RULES_MAX; the position is the rule's bit in the `rules` column. */
  readonly rules: readonly RuleDefinition[];
}

const SET_FIELDS = ["name", "thresholds", "degraded_floor", "rules"];
const THRESHOLD_FIELDS = ["challenge", "review", "block"];
const RULE_FIELDS = ["id", "text", "reason", "severity", "action", "expression"];
const ID = /^[a-z][a-z0-9_]{0,63}$/;
/** Codes of reasons that are no rule's. */
const RESERVED_IDS: readonly string[] = ["score", "model", "late_event", "test_card"];

type Fields = Readonly<Record<string, unknown>>;

/** Reads parsed JSON as a definition. Throws RuleError: nothing may be missing, unknown or out of range. */
export function readDefinition(json: unknown): RuleSetDefinition {
  const set = fields(json, SET_FIELDS, "", "the rule set");
  const name = text(set, "name", "", 64);
  const thresholds = readThresholds(set.thresholds);
  if (typeof set.degraded_floor !== "string" || !Object.hasOwn(OUTCOMES, set.degraded_floor)) {
    throw new RuleError("invalid_field", "", "degraded_floor must be ALLOW, CHALLENGE, REVIEW or BLOCK");
  }
  if (!Array.isArray(set.rules)) throw new RuleError("invalid_field", "", "rules must be a list");
  if (set.rules.length > RULES_MAX) {
    throw new RuleError("limit", "", `${set.rules.length} rules, more than ${RULES_MAX}`);
  }
  const seen = new Set<string>();
  const rules = set.rules.map((r: unknown, i) => {
    const rule = readRule(r, i);
    if (seen.has(rule.id)) throw new RuleError("duplicate_id", rule.id, "two rules have this id");
    seen.add(rule.id);
    return rule;
  });
  return { name, thresholds, degraded_floor: set.degraded_floor as OutcomeName, rules };
}

/** First 12 hex digits of the SHA-256 of the definition's canonical JSON (keys sorted, no white space). */
export function definitionVersion(definition: RuleSetDefinition): string {
  return createHash("sha256").update(canonicalJson(definition)).digest("hex").slice(0, 12);
}

function readThresholds(json: unknown): Thresholds {
  const t = fields(json, THRESHOLD_FIELDS, "", "thresholds");
  let lowest = 0;
  for (const name of THRESHOLD_FIELDS) {
    const v = t[name];
    if (v === null) continue;
    if (typeof v !== "number" || !(v > 0 && v <= 1)) {
      throw new RuleError("invalid_field", "", `thresholds.${name} must be a number above 0 and at most 1, or null`);
    }
    if (v < lowest) {
      throw new RuleError("invalid_field", "", `thresholds.${name} is lower than that of a milder outcome`);
    }
    lowest = v;
  }
  return t as unknown as Thresholds;
}

function readRule(json: unknown, position: number): RuleDefinition {
  const rule = fields(json, RULE_FIELDS, "", `rules[${position}]`);
  const id = rule.id;
  if (typeof id !== "string" || !ID.test(id)) {
    throw new RuleError("invalid_field", "", `rules[${position}].id must match ${ID.source}`);
  }
  if (RESERVED_IDS.includes(id)) throw new RuleError("invalid_field", id, "this id is reserved");
  text(rule, "text", id, TEXT_CHARS_MAX);
  text(rule, "reason", id, TEXT_CHARS_MAX);
  const severity = rule.severity;
  if (typeof severity !== "number" || !(severity >= 0 && severity <= 1)) {
    throw new RuleError("invalid_field", id, "severity must be a number 0..1");
  }
  if (typeof rule.action !== "string" || !ACTIONS.includes(rule.action)) {
    throw new RuleError("invalid_field", id, `action must be one of ${ACTIONS.join(", ")}`);
  }
  const expression = rule.expression;
  if (typeof expression !== "string" || expression.trim() === "") {
    throw new RuleError("invalid_field", id, "expression must be a text that is not empty");
  }
  if (expression.length > EXPRESSION_CHARS_MAX) {
    throw new RuleError(
      "limit",
      id,
      `expression of ${expression.length} characters, more than ${EXPRESSION_CHARS_MAX}`,
    );
  }
  return rule as unknown as RuleDefinition;
}

function fields(json: unknown, names: readonly string[], id: string, what: string): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new RuleError("invalid_field", id, `${what} must be an object`);
  }
  for (const k of Object.keys(json)) {
    if (!names.includes(k)) throw new RuleError("invalid_field", id, `${what} has an unknown field ${k}`);
  }
  for (const n of names) {
    if (!Object.hasOwn(json, n)) throw new RuleError("invalid_field", id, `${what} lacks the field ${n}`);
  }
  return json as Fields;
}

function text(from: Fields, name: string, id: string, chars_max: number): string {
  const v = from[name];
  if (typeof v !== "string" || v.trim() === "" || v.length > chars_max) {
    throw new RuleError("invalid_field", id, `${name} must be a text of 1 to ${chars_max} characters`);
  }
  return v;
}

/** JSON with sorted keys: the same definition has one text, however its file was laid out. */
function canonicalJson(v: unknown): string {
  if (Array.isArray(v)) return `[${v.map(canonicalJson).join(",")}]`;
  if (typeof v !== "object" || v === null) return JSON.stringify(v);
  const entries = Object.entries(v).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([k, x]) => `${JSON.stringify(k)}:${canonicalJson(x)}`).join(",")}}`;
}
