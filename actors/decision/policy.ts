/**
 * The policy: how a score and the rules that fired become an outcome, and how test cards force one. It reads and writes
 * columns only; the same score, rule bits and card give the same outcome again, which is how a decision is reproduced.
 *
 * The outcome is the strictest of: the outcome of the score by the thresholds; the floors of the fired rules; the
 * `degraded_floor` when the model did not answer. A test card replaces all of it.
 */
import { DEGRADED_MODEL, FLAG_REPEATED, FLAG_TEST_CARD, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import type { RuleSet } from "../rules/compile.ts";
import { OUTCOME_ALLOW, OUTCOME_BLOCK, OUTCOME_CHALLENGE, OUTCOME_REVIEW, OUTCOMES } from "../rules/outcomes.ts";

/** The card tokens that force an outcome in tenants with magic cards; outcome number = position + 1. */
export const TEST_CARD_TOKENS = ["fg_test_allow", "fg_test_challenge", "fg_test_review", "fg_test_block"] as const;

/** Keyed card hash (hi, lo) of one token, by the tenant's key. */
export type CardHash = readonly [hi: number, lo: number];

/** The test cards of every tenant on this node: TEST_CARD_TOKENS.length hashes a tenant, in columns. */
export class TestCards {
  private readonly hi: Uint32Array;
  private readonly lo: Uint32Array;
  private readonly enabled: Uint8Array;

  /** Room for tenants 0 .. tenants - 1; none has test cards yet. */
  constructor(tenants: number) {
    this.hi = new Uint32Array(tenants * TEST_CARD_TOKENS.length);
    this.lo = new Uint32Array(tenants * TEST_CARD_TOKENS.length);
    this.enabled = new Uint8Array(tenants);
  }

  /** Turns a tenant's test cards on: one hash for each of TEST_CARD_TOKENS, in that order. Throws RangeError. */
  enable(tenant: number, hashes: readonly CardHash[]): void {
    if (!(tenant >= 0 && tenant < this.enabled.length)) throw new RangeError(`tenant ${tenant}`);
    if (hashes.length !== TEST_CARD_TOKENS.length) throw new RangeError(`${hashes.length} test cards`);
    for (let i = 0; i < hashes.length; i++) {
      const [hi, lo] = hashes[i];
      // (0, 0) is the absent card: it would force an outcome on every payment without one.
      if (hi === 0 && lo === 0) throw new RangeError(`test card ${TEST_CARD_TOKENS[i]} has the hash of no card`);
      this.hi[tenant * TEST_CARD_TOKENS.length + i] = hi;
      this.lo[tenant * TEST_CARD_TOKENS.length + i] = lo;
    }
    this.enabled[tenant] = 1;
  }

  /** The outcome number that a card forces, 0 when it is no test card of this tenant. */
  outcome(tenant: number, hi: number, lo: number): number {
    if (this.enabled[tenant] !== 1) return 0;
    const first = tenant * TEST_CARD_TOKENS.length;
    for (let i = 0; i < TEST_CARD_TOKENS.length; i++) {
      if (this.hi[first + i] === hi && this.lo[first + i] === lo) return i + 1;
    }
    return 0;
  }
}

/** Rule bits of one floor. */
interface Mask {
  readonly hi: number;
  readonly lo: number;
}

export class Policy {
  private readonly challenge: number;
  private readonly review: number;
  private readonly block: number;
  private readonly degraded_floor: number;
  private readonly challenges: Mask;
  private readonly reviews: Mask;
  private readonly blocks: Mask;

  constructor(rule_set: RuleSet) {
    const t = rule_set.definition.thresholds;
    // Scores are float32: a threshold of 0.9 must take a score of 0.9, which as float32 lies a little below.
    this.challenge = float32(t.challenge);
    this.review = float32(t.review);
    this.block = float32(t.block);
    this.degraded_floor = OUTCOMES[rule_set.definition.degraded_floor];
    this.challenges = mask(rule_set, OUTCOME_CHALLENGE);
    this.reviews = mask(rule_set, OUTCOME_REVIEW);
    this.blocks = mask(rule_set, OUTCOME_BLOCK);
  }

  /** Outcome number of a score (float32; NaN or degraded: not scored) and the bits of the rules that fired. */
  outcome(score: number, scored: boolean, hi: number, lo: number): number {
    if (((hi & this.blocks.hi) | (lo & this.blocks.lo)) !== 0) return OUTCOME_BLOCK;
    let outcome = OUTCOME_ALLOW;
    if (((hi & this.reviews.hi) | (lo & this.reviews.lo)) !== 0) outcome = OUTCOME_REVIEW;
    else if (((hi & this.challenges.hi) | (lo & this.challenges.lo)) !== 0) outcome = OUTCOME_CHALLENGE;
    const of_score = scored ? this.scoreOutcome(score) : this.degraded_floor;
    return Math.max(of_score, outcome);
  }

  private scoreOutcome(score: number): number {
    if (score < this.challenge) return OUTCOME_ALLOW;
    if (score < this.review) return OUTCOME_CHALLENGE;
    return score < this.block ? OUTCOME_REVIEW : OUTCOME_BLOCK;
  }

  /**
   * Writes block.outcome (and FLAG_TEST_CARD) of rows [start, end) from score, degraded, rules and card. Rows that are
   * no payments, refused rows and repeats are left as they are.
   */
  decide(block: RowBlock, start: number, end: number, cards: TestCards): void {
    for (let r = start; r < end; r++) {
      if (block.kind[r] !== ROW_PAYMENT || block.error[r] !== 0 || (block.flags[r] & FLAG_REPEATED) !== 0) continue;
      const forced = cards.outcome(block.tenant[r], block.card.hi[r], block.card.lo[r]);
      if (forced !== 0) {
        block.outcome[r] = forced;
        block.flags[r] |= FLAG_TEST_CARD;
        continue;
      }
      const score = block.score[r];
      const scored = !Number.isNaN(score) && (block.degraded[r] & DEGRADED_MODEL) === 0;
      block.outcome[r] = this.outcome(score, scored, block.rules.hi[r], block.rules.lo[r]);
    }
  }
}

function float32(threshold: number | null): number {
  return threshold === null ? Number.POSITIVE_INFINITY : Math.fround(threshold);
}

function mask(rule_set: RuleSet, floor: number): Mask {
  let [hi, lo] = [0, 0];
  for (const rule of rule_set.rules) {
    if (rule.floor !== floor) continue;
    if (rule.bit < 32) lo |= 1 << rule.bit;
    else hi |= 1 << (rule.bit - 32);
  }
  return { hi, lo };
}
