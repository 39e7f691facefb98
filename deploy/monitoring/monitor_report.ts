/**
 * What `npm run monitor` finds, as it writes it with --json. Names end in their unit; shares and rates are 0..1; NaN
 * (a share of nothing) is written as null.
 */
import type { Alert } from "./alerts.ts";
import type { ColumnDrift } from "./column_drift.ts";
import type { Quality, Threshold } from "./quality.ts";
import type { SegmentTable } from "./segments.ts";

export const REPORT_FORMAT = 1;
/** Equal parts of 0..1 that score histograms have. */
export const HISTOGRAM_BINS = 20;

/** One side of the comparison. */
export interface ReportedSide {
  /** Folders of the exports that were read as one. */
  readonly exports: readonly string[];
  /** Event times of the first and the last payment taken, microseconds since 1970. */
  readonly from_us: number;
  readonly to_us: number;
  /** Payments taken. */
  readonly payments: number;
  /** For each export: up to this event time payments that nobody reported are genuine, microseconds since 1970. */
  readonly genuine_until_us: readonly number[];
  /** Of the payments: with a label that is known, with none yet, known frauds. */
  readonly known: number;
  readonly unknown: number;
  readonly frauds: number;
  /** Known only because they were reported before the label delay had passed. */
  readonly reported_early: number;
}

export interface SegmentComparison {
  /** Name of a feature, or weekday. */
  readonly by: string;
  readonly reference: SegmentTable;
  readonly current: SegmentTable;
}

/** What needs scores: null with --model none. */
export interface ModelReport {
  readonly name: string;
  /** champion, shipped, named, ...: where the model was found. */
  readonly stage: string;
  /** The first one is the operating threshold: payments from it on are not simply allowed. */
  readonly thresholds: readonly Threshold[];
  readonly score: ColumnDrift;
  /** Payments by score, HISTOGRAM_BINS equal parts of 0..1. */
  readonly histogram: { readonly reference: readonly number[]; readonly current: readonly number[] };
  /** Over the payments whose label is known by now. */
  readonly quality: { readonly reference: Quality; readonly current: Quality };
  readonly segments: readonly SegmentComparison[];
}

export interface MonitorReport {
  readonly format: typeof REPORT_FORMAT;
  readonly label_delay_days: number;
  /** Only payments older than the label delay are judged (--mature-only). */
  readonly mature_only: boolean;
  readonly limits: AlertLimits;
  readonly bootstrap: { readonly resamples: number; readonly seed: number };
  readonly reference: ReportedSide;
  readonly current: ReportedSide;
  /** In the order of the export's columns. Computed from every payment, nothing is sampled. */
  readonly features: readonly ColumnDrift[];
  readonly model: ModelReport | null;
  /** Critical ones first. */
  readonly alerts: readonly Alert[];
  /** What a reader of the numbers should know. */
  readonly notes: readonly string[];
}

/** From where on something is alerted. */
export interface AlertLimits {
  readonly psi: number;
  readonly ks: number;
  /** Largest false positive rate of a segment over the smallest. */
  readonly false_positive_ratio: number;
}
