/** What `npm run monitor` prints: what was compared, alerts, the columns that moved most, quality, segments. */
import type { Interval } from "../metrics/interval.ts";
import { count } from "../progress.ts";
import type { ColumnDrift } from "./column_drift.ts";
import type { ModelReport, MonitorReport, ReportedSide, SegmentComparison } from "./monitor_report.ts";
import type { Quality, ThresholdQuality } from "./quality.ts";
import type { SegmentTable } from "./segments.ts";

/** Columns that are listed; --json and --html have all. */
const LISTED = 15;

export const three = (x: number | null): string => (x === null || Number.isNaN(x) ? "-" : x.toFixed(3));
export const percent = (share: number): string => (Number.isNaN(share) ? "-" : `${(100 * share).toFixed(3)} %`);
/** Up to six digits. */
export const numberText = (x: number | null): string => (x === null ? "-" : String(Number(x.toPrecision(6))));
export const dayOf = (us: number): string => new Date(us / 1000).toISOString().slice(0, 10);

/** `0.123 [0.100-0.150]`, as a share or in percent. */
export function withInterval(value: number, interval: Interval, text: (x: number) => string = three): string {
  return interval === null ? text(value) : `${text(value)} [${text(interval[0])} to ${text(interval[1])}]`;
}

/** What one side is, in one line. */
export function sideText(s: ReportedSide): string {
  const days = `${dayOf(s.from_us)} to ${dayOf(s.to_us)}`;
  const labels = `${count(s.known)} with a known label (${count(s.frauds)} frauds), ${count(s.unknown)} unknown yet`;
  return `${count(s.payments)} payments from ${days}; ${labels}: ${s.exports.join(", ")}`;
}

/** Measures of a whole side, by name. */
export const MEASURES = [
  ["roc_auc", "ROC AUC"],
  ["average_precision", "average precision"],
  ["recall_at_one_percent_fpr", "recall at 1 % false positives"],
  ["brier", "Brier score"],
  ["calibration_error", "calibration error"],
] as const;

export function reportText(r: MonitorReport): string {
  const parts = [
    `reference  ${sideText(r.reference)}\ncurrent    ${sideText(r.current)}\n`,
    driftText(r),
    ...(r.model === null ? [] : [qualityText(r.model), ...r.model.segments.map((s) => segmentsText(s))]),
    alertsText(r),
  ];
  return parts.join("\n");
}

function alertsText(r: MonitorReport): string {
  const notes = r.notes.map((n) => `note: ${n}\n`).join("");
  if (r.alerts.length === 0) return `${notes}no alerts\n`;
  const found = r.alerts.map((a) => `${a.severity === "critical" ? "!!" : "! "} ${a.message}\n`).join("");
  return `${notes}${found}${r.alerts.length} alerts\n`;
}

/** The score and the features, the largest PSI first. */
export function byStability(r: MonitorReport): ColumnDrift[] {
  const columns = r.model === null ? r.features : [r.model.score, ...r.features];
  return [...columns].sort((a, b) => b.psi - a.psi);
}

function driftText(r: MonitorReport): string {
  const columns = byStability(r);
  const rows = columns.slice(0, LISTED).map((c) => {
    const missing = [percent(c.reference.missing_share), percent(c.current.missing_share)];
    const medians = [numberText(c.reference.median), numberText(c.current.median)];
    const p = Number.isNaN(c.ks_p_value) ? "-" : c.ks_p_value.toExponential(1);
    return [c.name, c.unit ?? "", three(c.psi), three(c.psi_by_chance), three(c.ks), p, ...missing, ...medians];
  });
  const missing = [">missing then", ">now"];
  const head = ["column", "unit", ">PSI", ">by chance", ">KS", ">p-value", ...missing, ">median then", ">now"];
  const more = columns.length > LISTED ? `and ${columns.length - LISTED} columns with a smaller PSI\n` : "";
  return `${table(head, rows)}${more}`;
}

function qualityText(m: ModelReport): string {
  const { reference, current } = m.quality;
  const both = (name: string, text: (q: Quality) => string): string[] => [name, text(reference), text(current)];
  const rows = [
    both("payments with a known label", (q) => count(q.known)),
    both(
      "frauds among them",
      (q) => `${count(q.frauds)}, ${withInterval(q.fraud_share, q.fraud_share_interval, percent)}`,
    ),
    ...MEASURES.map(([id, name]) => both(name, (q) => withInterval(q.measures[id], q.intervals[id]))),
    ...m.thresholds.flatMap((t, i) => {
      const at = (text: (q: ThresholdQuality) => string) => (q: Quality) => text(q.thresholds[i]);
      const title = t.name === String(t.score) ? t.name : `${t.name} (${t.score})`;
      return [
        both(
          `precision at ${title}`,
          at((q) => withInterval(q.precision, q.precision_interval)),
        ),
        both(
          `recall at ${title}`,
          at((q) => withInterval(q.recall, q.recall_interval)),
        ),
        both(
          `false positive rate at ${title}`,
          at((q) => {
            return withInterval(q.false_positive_rate, q.false_positive_rate_interval, percent);
          }),
        ),
      ];
    }),
  ];
  return `model ${m.name} (${m.stage})\n${table(["", "reference", "current"], rows)}`;
}

function segmentsText(s: SegmentComparison): string {
  return segmentSideText(s.by, "reference", s.reference) + segmentSideText(s.by, "current", s.current);
}

function segmentSideText(by: string, which: string, t: SegmentTable): string {
  const rows = t.segments.map((q) => {
    const first = q.thresholds[0];
    const cells =
      first === undefined
        ? ["", "", ""]
        : [
            withInterval(first.precision, first.precision_interval),
            withInterval(first.recall, first.recall_interval),
            withInterval(first.false_positive_rate, first.false_positive_rate_interval, percent),
          ];
    return [q.name, count(q.payments), count(q.known), count(q.frauds), three(q.measures.average_precision), ...cells];
  });
  const threshold = t.segments[0]?.thresholds[0]?.name ?? "no threshold";
  const head = [`${which} by ${by}`, ">payments", ">known", ">frauds", ">AP", `precision at ${threshold}`];
  const ratio = t.false_positive_ratios.slice(0, 1).map(ratioText).join("");
  return `${table([...head, "recall", "false positive rate"], rows)}${ratio}\n`;
}

/** One line about the largest and the smallest false positive rate of segments. */
export function ratioText(r: SegmentTable["false_positive_ratios"][number]): string {
  const times = r.ratio === null ? "no ratio (the lowest rate is 0)" : `ratio ${r.ratio.toFixed(2)}`;
  const chance = r.beyond_chance ? "more than chance" : "may be chance";
  return `false positive rate at ${r.threshold}: highest ${r.highest}, lowest ${r.lowest}, ${times}; ${chance}\n`;
}

/** A name that begins with > is aligned to the right. */
function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const isRight = columns.map((c) => c.startsWith(">"));
  const all = [columns.map((c) => c.replace(/^>/, "")), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i].length)));
  const pad = (text: string, i: number): string => (isRight[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  return all.map((cells) => `${cells.map(pad).join("  ").trimEnd()}\n`).join("");
}
