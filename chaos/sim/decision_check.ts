/**
 * Makes the decisions of a journal's frame once more from what the frame records: rules and outcome from the recorded
 * score exactly, the score from the replayed features within 1e-5.
 */
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import { TreeExplainer } from "../../actors/inference/explanation.ts";
import { DEGRADED_MODEL, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import type { SimProgram } from "./sim_process.ts";
import { Violation } from "./violation.ts";

const SCORE_TOLERANCE = 1e-5;

export class DecisionCheck {
  readonly #program: SimProgram;
  readonly #explainer: TreeExplainer;
  readonly #policy: Policy;
  readonly #cards: TestCards;

  constructor(program: SimProgram) {
    this.#program = program;
    this.#explainer = new TreeExplainer(program.model.explain, MATRIX_SHAPE.columns);
    this.#policy = new Policy(program.ruleSet);
    this.#cards = new TestCards(program.tenants.length);
  }

  /** Throws Violation. Changes the block's decisions to what they are when made again, which is the same. */
  frame(b: RowBlock, matrix: Float32Array, where: string): void {
    const outcome = b.outcome.slice(0, b.n);
    const hi = b.rules.hi.slice(0, b.n);
    const lo = b.rules.lo.slice(0, b.n);
    b.error.fill(0, 0, b.n);
    b.rules.hi.fill(0, 0, b.n);
    b.rules.lo.fill(0, 0, b.n);
    this.#program.ruleSet.evaluate(b, matrix, 0, b.n);
    this.#policy.decide(b, 0, b.n, this.#cards);
    for (let r = 0; r < b.n; r++) {
      if (b.kind[r] !== ROW_PAYMENT) continue;
      const same = b.outcome[r] === outcome[r] && b.rules.hi[r] === hi[r] && b.rules.lo[r] === lo[r];
      if (!same) {
        const journaled = `${outcome[r]} by rules ${hi[r]} ${lo[r]}`;
        const made = `${b.outcome[r]} by ${b.rules.hi[r]} ${b.rules.lo[r]}`;
        throw new Violation("reproducible", `row ${r} of ${where} says ${journaled}, made again it is ${made}`);
      }
      if ((b.degraded[r] & DEGRADED_MODEL) === 0) this.#score(b, r, matrix, where);
    }
  }

  #score(b: RowBlock, r: number, matrix: Float32Array, where: string): void {
    const score = 1 / (1 + Math.exp(-this.#explainer.margin(matrix, r * MATRIX_SHAPE.columns)));
    if (Math.abs(score - b.score[r]) <= SCORE_TOLERANCE) return;
    throw new Violation("reproducible", `row ${r} of ${where} has the score ${b.score[r]}, made again it is ${score}`);
  }
}
