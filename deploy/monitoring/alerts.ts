/**
 * What of a comparison somebody should look at. A number past its limit is an alert only when it is more than chance:
 * for the PSI at least twice its mean if nothing had moved, for the KS distance a p-value below 0.001, for measures of
 * quality intervals that do not meet, for segments a test over all pairs of them.
 */

import type { RowMeasures } from "../metrics/bootstrap.ts";
import type { Interval } from "../metrics/interval.ts";
import { count } from "../progress.ts";
import type { ColumnDrift } from "./column_drift.ts";
import type { AlertLimits, ModelReport, ReportedSide, SegmentComparison } from "./monitor_report.ts";
import { SEGMENT_ROWS_MIN } from "./segments.ts";

export type Severity = "critical" | "warning";

export interface Alert {
  readonly kind: "psi" | "ks" | "quality" | "segments";
  /** The column or measure: "amount", "score", "recall at challenge", "false positive rate by hour at challenge". */
  readonly what: string;
  /** Infinity (null in JSON) for a ratio to a rate of 0. */
  readonly value: number;
  /** The limit that value is past; for quality the near end of the reference's interval. */
  readonly threshold: number;
  readonly severity: Severity;
  /** In plain words. */
  readonly message: string;
}

const CHANCE_TIMES = 2;
const P_VALUE_MAX = 0.001;
/** Past its limit by this factor, something is critical. */
const CRITICAL_TIMES = 2;

const three = (x: number): string => String(Number(x.toPrecision(3)));
const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
const severityOf = (value: number, limit: number): Severity =>
  value >= CRITICAL_TIMES * limit ? "critical" : "warning";

/** Drift of one column. */
export function driftAlerts(c: ColumnDrift, limits: AlertLimits): Alert[] {
  const found: Alert[] = [];
  const { name: what, psi, ks } = c;
  if (psi >= limits.psi && psi >= CHANCE_TIMES * c.psi_by_chance) {
    const { above, to, missing, ...most } = c.bins.reduce((a, b) => (b.psi > a.psi ? b : a));
    const values = missing ? "missing values" : `values ${rangeText(above, to)}`;
    const shares = `${percent(most.reference / c.reference.rows)} to ${percent(most.current / c.current.rows)}`;
    const message = `${what} is spread otherwise: PSI ${three(psi)}, most of it ${values}, from ${shares} of payments`;
    found.push({
      kind: "psi",
      what,
      value: psi,
      threshold: limits.psi,
      severity: severityOf(psi, limits.psi),
      message,
    });
  }
  if (ks >= limits.ks && c.ks_p_value < P_VALUE_MAX) {
    const medians = [c.reference.median, c.current.median].map((x) => (x === null ? "none" : three(x)));
    const message = `${what} lies otherwise: KS distance ${three(ks)}, median ${medians[0]} before, ${medians[1]} now`;
    found.push({ kind: "ks", what, value: ks, threshold: limits.ks, severity: severityOf(ks, limits.ks), message });
  }
  return found;
}

/** A bin's bounds in words. */
export function rangeText(above: number | null, to: number | null): string {
  const text = (x: number): string => String(Number(x.toPrecision(4)));
  if (above === null) return to === null ? "of all sizes" : `up to ${text(to)}`;
  return to === null ? `above ${text(above)}` : `above ${text(above)} up to ${text(to)}`;
}

const COMPARED: readonly (readonly [keyof RowMeasures, string, 1 | -1])[] = [
  ["roc_auc", "ROC AUC", 1],
  ["average_precision", "average precision", 1],
  ["brier", "Brier score", -1],
];

/** Quality of the current payments that is worse than the reference's by more than chance. */
export function qualityAlerts({ quality: { reference, current }, thresholds }: ModelReport): Alert[] {
  const found: Alert[] = [];
  // `better` 1: larger is better.
  const compare = (what: string, better: 1 | -1, before: number, was: Interval, now: number, is: Interval): void => {
    if (was === null || is === null || !(better === 1 ? is[1] < was[0] : is[0] > was[1])) return;
    const threshold = better === 1 ? was[0] : was[1];
    const span = (i: readonly [number, number]): string => `95 % ${three(i[0])} to ${three(i[1])}`;
    const message = `${what} got worse: ${three(before)} before (${span(was)}), ${three(now)} now (${span(is)})`;
    found.push({ kind: "quality", what, value: now, threshold, severity: "critical", message });
  };
  for (const [m, what, better] of COMPARED) {
    const [was, is] = [reference.intervals[m], current.intervals[m]];
    compare(what, better, reference.measures[m], was, current.measures[m], is);
  }
  const [a, b] = [reference.thresholds[0], current.thresholds[0]];
  if (a === undefined || b === undefined) return found;
  const at = `at ${thresholds[0].name}`;
  compare(`precision ${at}`, 1, a.precision, a.precision_interval, b.precision, b.precision_interval);
  compare(`recall ${at}`, 1, a.recall, a.recall_interval, b.recall, b.recall_interval);
  const [was, is] = [a.false_positive_rate_interval, b.false_positive_rate_interval];
  compare(`false positive rate ${at}`, -1, a.false_positive_rate, was, b.false_positive_rate, is);
  return found;
}

/** Segments of the current payments whose genuine ones are stopped far more often than another's. */
export function segmentAlerts({ by, current }: SegmentComparison, limits: AlertLimits): Alert[] {
  return current.false_positive_ratios.flatMap((r): Alert[] => {
    const limit = limits.false_positive_ratio;
    if (!r.beyond_chance || (r.ratio !== null && r.ratio < limit)) return [];
    const times = r.ratio === null ? "those of" : `${three(r.ratio)} times as often as those of`;
    const never = r.ratio === null ? " never" : "";
    const message = `genuine payments of ${r.highest} are alerted at ${r.threshold}, ${times} ${r.lowest}${never}`;
    return [
      {
        kind: "segments",
        what: `false positive rate by ${by} at ${r.threshold}`,
        value: r.ratio ?? Number.POSITIVE_INFINITY,
        threshold: limit,
        severity: r.ratio === null ? "warning" : severityOf(r.ratio, limit),
        message,
      },
    ];
  });
}

/** Critical ones first, in the order they were found. */
export function bySeverity(alerts: readonly Alert[]): Alert[] {
  return [...alerts.filter((a) => a.severity === "critical"), ...alerts.filter((a) => a.severity !== "critical")];
}

/** What a reader should know about the labels of one side. */
export function labelNotes(which: "reference" | "current", side: ReportedSide): string[] {
  const notes: string[] = [];
  if (side.known === 0) {
    notes.push(`${which}: no label is known yet, so there is nothing to say about quality; look again later`);
  } else if (side.frauds === 0) notes.push(`${which}: no fraud is known, so recall and precision say nothing`);
  else if (side.known < SEGMENT_ROWS_MIN) notes.push(`${which}: only ${count(side.known)} payments have a known label`);
  if (side.reported_early > 0) {
    notes.push(
      `${which}: ${count(side.reported_early)} payments are judged because they were reported before the label delay ` +
        "had passed; genuine ones of their age are not known yet, so precision and the share of frauds read too high " +
        "(--mature-only leaves them out)",
    );
  }
  return notes;
}
