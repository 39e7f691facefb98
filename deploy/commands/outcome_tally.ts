/** Counts what became of genuine payments and of frauds, and which reasons stood behind what was not allowed. */
import { type AnalyzeResult, Outcome } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { count } from "../progress.ts";

const OUTCOMES = ["ALLOW", "CHALLENGE", "REVIEW", "BLOCK"] as const;

class Side {
  n = 0;
  readonly outcomes = new Float64Array(5);
  /** Payments not allowed, by story; and by the reason codes given. */
  readonly stories = new Map<string, number>();
  readonly reasons = new Map<string, number>();

  get stopped(): number {
    return this.n - this.outcomes[Outcome.ALLOW];
  }
}

const bump = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};

export class OutcomeTally {
  readonly genuine = new Side();
  readonly fraud = new Side();
  errors = 0;

  add(fraud: boolean, story: string, { result }: AnalyzeResult): void {
    if (result.case !== "decision") {
      this.errors++;
      return;
    }
    const side = fraud ? this.fraud : this.genuine;
    const { outcome, reasons } = result.value;
    side.n++;
    side.outcomes[outcome]++;
    if (outcome === Outcome.ALLOW) return;
    bump(side.stories, story);
    const rules = reasons.filter((r) => !r.code.startsWith("model:"));
    if (rules.length === 0) bump(side.reasons, "the score alone");
    for (const r of rules) bump(side.reasons, r.code);
  }

  /** Share of genuine payments that were not allowed, and of frauds. */
  get shares(): { readonly genuine: number; readonly fraud: number } {
    return { genuine: this.genuine.stopped / this.genuine.n, fraud: this.fraud.stopped / this.fraud.n };
  }

  report(): string {
    const top = (m: Map<string, number>) =>
      [...m]
        .sort((a, b) => b[1] - a[1])
        .slice(0, 8)
        .map(([k, n]) => `${k} ${n}`)
        .join(", ");
    const side = (name: string, s: Side) => {
      const share = ((100 * s.stopped) / s.n).toFixed(2);
      const outcomes = OUTCOMES.map((o) => `${o} ${count(s.outcomes[Outcome[o]])}`).join("  ");
      const why = `    stories: ${top(s.stories)}\n    reasons: ${top(s.reasons)}\n`;
      return `  ${name}: ${outcomes} (${share} % not allowed)\n${why}`;
    };
    const errors = this.errors > 0 ? `  errors: ${this.errors}\n` : "";
    return side("genuine", this.genuine) + side("fraud", this.fraud) + errors;
  }
}
