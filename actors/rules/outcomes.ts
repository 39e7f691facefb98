/**
 * The outcomes of a decision as numbers, the values of the `outcome` column: the same as the enum Outcome of the public
 * API (a test compares them). They are ordered: a greater one is stricter.
 */
export const OUTCOME_ALLOW = 1;
export const OUTCOME_CHALLENGE = 2;
export const OUTCOME_REVIEW = 3;
export const OUTCOME_BLOCK = 4;

/** Outcome numbers by name. */
export const OUTCOMES = {
  ALLOW: OUTCOME_ALLOW,
  CHALLENGE: OUTCOME_CHALLENGE,
  REVIEW: OUTCOME_REVIEW,
  BLOCK: OUTCOME_BLOCK,
} as const;
export type OutcomeName = keyof typeof OUTCOMES;
