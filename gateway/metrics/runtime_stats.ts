/**
 * Owns the numbers that a node's runtime keeps about itself: plain fields and typed arrays that the tick loop adds to
 * without a call into the metrics library. `/metrics` reads them when it is scraped; nothing here resets.
 */

/** Counts of values in buckets: what a histogram metric is made of. Not a metric itself, so adding costs nothing. */
export class BucketCounts {
  /** Upper bounds, ascending; the last bucket is unbounded. */
  readonly bounds: Float64Array;
  /** bounds.length + 1 counts, not cumulative. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = Float64Array.from(bounds);
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** Counts one value; NaN is not counted. */
  add(value: number): void {
    if (Number.isNaN(value)) return;
    const bounds = this.bounds;
    let i = 0;
    while (i < bounds.length && value > bounds[i]) i++;
    this.counts[i]++;
    this.sum += value;
  }
}

export interface ActiveModel {
  readonly model_type: string;
  readonly version: string;
}

const TICK_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const FRAME_AGE_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const JOURNAL_ACK_S = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const SCORE_BOUNDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

export class RuntimeStats {
  /** Rows that wait now, and the limit past which they are shed. */
  mailbox_rows = 0;
  mailbox_rows_max = 0;
  /** Rows refused because the mailbox was full, since start. */
  shed_rows = 0;
  /** Rows of each tick. */
  readonly tick_rows = new BucketCounts(TICK_ROWS);
  /** Seconds from a tick's first row to the acknowledgement of its frame. */
  readonly frame_age_s = new BucketCounts(FRAME_AGE_S);
  /** Seconds from sending a frame to its acknowledgement. */
  readonly journal_ack_s = new BucketCounts(JOURNAL_ACK_S);
  /** Bytes appended to journals, since start. */
  journal_bytes = 0;
  /** Decisions acknowledged, by outcome number (0 unused), since start. */
  readonly decisions = new Float64Array(5);
  /** Decisions with each bit of `degraded` (model, entity, fx), since start. */
  readonly degraded = new Float64Array(3);
  /** Scores of decisions, 0..1. */
  readonly scores = new BucketCounts(SCORE_BOUNDS);
  /** What this node scores with now; replaced as a whole. */
  models: readonly ActiveModel[] = [];

  /** Counts scores [start, start + count) in one pass: ten buckets, no search. NaN (no model) is not counted. */
  countScores(scores: Float32Array, start: number, count: number): void {
    const { counts } = this.scores;
    let sum = 0;
    for (let r = start; r < start + count; r++) {
      const s = scores[r];
      if (Number.isNaN(s)) continue;
      // Bucket i holds (i / 10, (i + 1) / 10]; 0 belongs to the first.
      const i = s <= 0 ? 0 : Math.ceil(s * 10) - 1;
      counts[Math.min(i, 9)]++;
      sum += s;
    }
    this.scores.sum += sum;
  }
}
