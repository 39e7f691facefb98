/**
 * The reasons an answer can give: code, text and weight of each, made once at start so that an encoder can keep their
 * bytes. Rules carry their own; features take theirs from the registry.
 */
import { FEATURES } from "../features/registry.ts";
import type { RuleDefinition } from "./definition.ts";

export interface ReasonText {
  readonly code: string;
  readonly text: string;
}

/** `weight` is the rule's severity, 0..1. */
export interface WeightedReason extends ReasonText {
  readonly weight: number;
}

/** The score passed a threshold. */
export const SCORE_REASON: ReasonText = { code: "score", text: "The model's score is high" };

/** FLAG_LATE: beyond the late tolerance. */
export const LATE_REASON: WeightedReason = {
  code: "late_event",
  text: "The payment came too late to be counted: its time is far behind the user's newest one",
  weight: 0,
};

/** FLAG_TEST_CARD: the outcome was forced. */
export const TEST_CARD_REASON: WeightedReason = {
  code: "test_card",
  text: "A test card asked for this outcome",
  weight: 1,
};

export function ruleReason(rule: RuleDefinition): WeightedReason {
  return { code: rule.id, text: rule.reason, weight: rule.severity };
}

/** Reason of a feature column (0-based) that drove the score; its weight is the row's contribution. */
export function featureReason(column: number): ReasonText {
  const f = FEATURES[column];
  if (f === undefined) throw new RangeError(`no feature in column ${column}`);
  return { code: `model:${f.name}`, text: `The model looked at ${f.text}` };
}
