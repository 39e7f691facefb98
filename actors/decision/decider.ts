/**
 * Scoring and deciding for a node, behind the runtime's Decider port: the payment's own columns, the inference actor,
 * then rules, policy and reasons. One model and one rule set decide a whole tick, never two within one decision.
 */
import { createHash } from "node:crypto";
import {
  ATTRIBUTE_SLOTS,
  BLOCK_ROWS,
  DEGRADED_MODEL,
  hash32,
  REASON_SLOTS,
  ROW_PAYMENT,
  type RowBlock,
} from "../../proto/columns.ts";
import type { MatrixShape } from "../../proto/frame/rows_writer.ts";
import { LATE_EVENTS_MAX } from "../../runtime/kernel/windows/window_options.ts";
import type { Decider, Matrix, Versions } from "../../runtime/program.ts";
import {
  CHANNELS,
  DAY_US,
  DEVICE_AT,
  FEATURE_COUNT,
  FEATURES,
  HOUR_US,
  MERCHANT_AT,
  PAYMENT_AT,
  STAT_COUNT,
  WINDOW_COLUMNS,
} from "../features/registry.ts";
import type { TreeExplainer } from "../inference/explanation.ts";
import type { InferenceActor, ScoreBuffer } from "../inference/inference_actor.ts";
import type { RuleSet } from "../rules/compile.ts";
import { OUTCOME_ALLOW } from "../rules/outcomes.ts";
import type { Policy, TestCards } from "./policy.ts";

const C = FEATURE_COUNT;

/**
 * Changes with the names and formulas of the features, and with what counts as late: frames of another version are not
 * compared in replay.
 */
export const FEATURES_VERSION = createHash("sha256")
  .update([...FEATURES.map((f) => `${f.name}=${f.formula}`), `late_events_max=${LATE_EVENTS_MAX}`].join("\n"))
  .digest("hex")
  .slice(0, 12);

export const MATRIX_SHAPE: MatrixShape = {
  columns: C,
  merchant_at: MERCHANT_AT,
  merchant_columns: DEVICE_AT - MERCHANT_AT,
  merchant_columns_2: 43,
  merchant_window_columns: WINDOW_COLUMNS,
  stats: STAT_COUNT,
  device_at: DEVICE_AT,
  device_columns: FEATURE_COUNT - DEVICE_AT,
  device_columns_2: 3,
};

const bytesOf = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const code = (text: string) => hash32(bytesOf(text), 0, text.length);
const CHANNEL_CODES = new Map(CHANNELS.map((name, i) => [code(name), i]));
/** Codes of all four-digit categories; a few collide with nothing that matters: 32 bits over 10,000 names. */
const CATEGORY_CODES = new Map(
  Array.from({ length: 10_000 }, (_, i) => [code(String(i).padStart(4, "0")), i] as [number, number]),
);

/** What scores and explains; null parts make every decision degraded. */
export interface Scoring {
  readonly inference: InferenceActor;
  readonly explainer: TreeExplainer;
  /** Name and version, as in decisions. */
  readonly model: string;
}

interface Loan extends Matrix {
  readonly buffer: ScoreBuffer | null;
}

export class FraudDecider implements Decider {
  readonly shape = MATRIX_SHAPE;
  readonly #scoring: Scoring | null;
  readonly #ruleSet: RuleSet;
  readonly #policy: Policy;
  readonly #cards: TestCards;
  readonly #versions: Versions;
  /** All versions seen on this node, `version` is the index. */
  readonly known: Versions[] = [];
  readonly #bits = new WeakMap<Float32Array, Uint32Array>();
  readonly #spare: Loan[] = [];
  readonly onVersion: (index: number, versions: Versions) => void;

  constructor(
    scoring: Scoring | null,
    ruleSet: RuleSet,
    policy: Policy,
    cards: TestCards,
    onVersion: (index: number, versions: Versions) => void,
  ) {
    this.#scoring = scoring;
    this.#ruleSet = ruleSet;
    this.#policy = policy;
    this.#cards = cards;
    this.onVersion = onVersion;
    this.#versions = { model: scoring?.model ?? "", rule_set: ruleSet.version };
    this.versionIndex(this.#versions.model, this.#versions.rule_set);
  }

  versions(): Versions {
    return this.#versions;
  }

  versionNames(index: number): Versions {
    return this.known[index];
  }

  versionIndex(model: string, ruleSet: string): number {
    const i = this.known.findIndex((v) => v.model === model && v.rule_set === ruleSet);
    if (i >= 0) return i;
    const versions = { model, rule_set: ruleSet };
    this.known.push(versions);
    this.onVersion(this.known.length - 1, versions);
    return this.known.length - 1;
  }

  acquire(): Matrix {
    const buffer = this.#scoring?.inference.acquire() ?? null;
    if (buffer === null) {
      const spare = this.#spare.pop();
      if (spare !== undefined) return spare;
      const memory = new ArrayBuffer(BLOCK_ROWS * C * 4);
      return { values: new Float32Array(memory), bits: new Uint32Array(memory), buffer: null } as Loan;
    }
    let bits = this.#bits.get(buffer.matrix);
    if (bits === undefined) {
      bits = new Uint32Array(buffer.matrix.buffer, buffer.matrix.byteOffset, buffer.matrix.length);
      this.#bits.set(buffer.matrix, bits);
    }
    return { values: buffer.matrix, bits, buffer } as Loan;
  }

  release(matrix: Matrix): void {
    const loan = matrix as Loan;
    if (loan.buffer === null) this.#spare.push(loan);
    else this.#scoring?.inference.release(loan.buffer);
  }

  async score(matrix: Matrix, n: number, block: RowBlock): Promise<boolean> {
    const { buffer } = matrix as Loan;
    const result = buffer === null ? "failed" : await (this.#scoring as Scoring).inference.score(buffer, n);
    if (result !== "scored" || buffer === null) {
      block.score.fill(Number.NaN, 0, n);
      return false;
    }
    block.score.set(n === buffer.scores.length ? buffer.scores : buffer.scores.subarray(0, n));
    return true;
  }

  paymentColumns(b: RowBlock, r: number, m: Float32Array): void {
    const at = r * C + PAYMENT_AT;
    const t = b.eventTimeUs[r];
    const hour = Math.floor((t % DAY_US) / HOUR_US);
    // 1970-01-01 was a Thursday: days 2 and 3 of each week counted from it are Saturday and Sunday.
    const day = Math.floor(t / DAY_US) % 7;
    m[at] = b.amountBase[r];
    m[at + 1] = hour;
    m[at + 2] = hour <= 6 ? 1 : 0;
    m[at + 3] = day === 2 || day === 3 ? 1 : 0;
    const channel = b.channel[r];
    m[at + 4] = channel === 0 ? Number.NaN : (CHANNEL_CODES.get(channel) ?? Number.NaN);
    const category = b.category[r];
    m[at + 5] = category === 0 ? Number.NaN : (CATEGORY_CODES.get(category) ?? Number.NaN);
    m[at + 6] = (b.device.hi[r] | b.device.lo[r]) !== 0 ? 1 : 0;
    for (let k = 0; k < ATTRIBUTE_SLOTS; k++) m[at + 7 + k] = b.attributes[r * ATTRIBUTE_SLOTS + k];
    m[at + 7 + ATTRIBUTE_SLOTS] = b.amountBase[r] % 100;
  }

  decide(b: RowBlock, from: number, to: number, m: Float32Array): void {
    b.rules.hi.fill(0, from, to);
    b.rules.lo.fill(0, from, to);
    b.reasonFeature.fill(0, from * REASON_SLOTS, to * REASON_SLOTS);
    b.version.fill(0, from, to);
    this.#ruleSet.evaluate(b, m, from, to);
    this.#policy.decide(b, from, to, this.#cards);
    const explainer = this.#scoring?.explainer;
    if (explainer === undefined) return;
    for (let r = from; r < to; r++) {
      if (b.outcome[r] <= OUTCOME_ALLOW || b.kind[r] !== ROW_PAYMENT || b.error[r] !== 0) continue;
      if ((b.degraded[r] & DEGRADED_MODEL) === 0) explainer.explain(m, r, b, r);
    }
  }
}
