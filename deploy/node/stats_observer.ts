/** Turns what ticks tell into the numbers behind /metrics and the live line. */

import type { RuntimeStats } from "../../gateway/metrics/runtime_stats.ts";
import { BLOCK_ROWS, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import type { TickObserver } from "../../runtime/observer.ts";

/** Totals in microseconds and counts, since start. */
export interface StageTotals {
  ticks: number;
  frames: number;
  rows: number;
  payments: number;
  queue_us: number;
  features_us: number;
  inference_us: number;
  rules_us: number;
  form_us: number;
  journal_us: number;
}

/** Sees each committed frame with its matrix: the feature export listens here. */
export type CommittedRows = (block: RowBlock, rows: Uint16Array, n: number, matrix: Float32Array) => void;

export class StatsObserver implements TickObserver {
  readonly #stats: RuntimeStats;
  readonly totals: StageTotals = {
    ticks: 0,
    frames: 0,
    rows: 0,
    payments: 0,
    queue_us: 0,
    features_us: 0,
    inference_us: 0,
    rules_us: 0,
    form_us: 0,
    journal_us: 0,
  };
  readonly #scores = new Float32Array(BLOCK_ROWS);
  onCommitted: CommittedRows | null = null;

  constructor(stats: RuntimeStats) {
    this.#stats = stats;
  }

  staged(rows: number, features_us: number, queue_us: number): void {
    this.totals.ticks++;
    this.totals.features_us += features_us;
    this.totals.queue_us += queue_us;
    this.#stats.tick_rows.add(rows);
  }

  decided(_block: RowBlock, inference_us: number, rules_us: number, form_us: number): void {
    this.totals.inference_us += inference_us;
    this.totals.rules_us += rules_us;
    this.totals.form_us += form_us;
  }

  acknowledged(
    b: RowBlock,
    rows: Uint16Array,
    n: number,
    matrix: Float32Array,
    bytes: number,
    ack_us: number,
    age_us: number,
  ): void {
    const t = this.totals;
    const s = this.#stats;
    t.frames++;
    t.rows += n;
    t.journal_us += ack_us;
    s.journal_bytes += bytes;
    s.journal_ack_s.add(ack_us / 1e6);
    s.frame_age_s.add(age_us / 1e6);
    let k = 0;
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      if (b.kind[r] !== ROW_PAYMENT) continue;
      s.decisions[b.outcome[r]]++;
      const d = b.degraded[r];
      if (d !== 0) for (let bit = 0; bit < 3; bit++) if ((d & (1 << bit)) !== 0) s.degraded[bit]++;
      this.#scores[k++] = b.score[r];
    }
    t.payments += k;
    s.countScores(this.#scores, 0, k);
    this.onCommitted?.(b, rows, n, matrix);
  }
}
