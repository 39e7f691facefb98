/**
 * What `npm run accuracy` prints: one table of every model, the ceiling and the results known for the data set; the
 * calibration of each model; recall by scenario; the windows check.
 */
import type { Accuracy, Intervals, Measures } from "../metrics/accuracy.ts";
import { BOOTSTRAP } from "../metrics/bootstrap.ts";
import type { ReliabilityBin } from "../metrics/calibration.ts";
import type { CeilingMeasures } from "../metrics/ceiling.ts";
import type { Interval } from "../metrics/interval.ts";
import type { Judgement, Split } from "../metrics/judgement.ts";
import type { PublishedResult, PublishedTable } from "../metrics/published.ts";
import { count, duration } from "../progress.ts";
import type { AccuracyResult } from "./accuracy_run.ts";
import type { WindowCheck } from "./window_check.ts";

const NAME_WIDTH = 42;
const WIDTH = 14;
const SPLIT_NAMES: Readonly<Record<AccuracyResult["judged"], Readonly<Record<Split, string>>>> = {
  payments: { all: "all payments", known_cards_removed: "known cards removed" },
  accounts: { all: "all accounts", known_cards_removed: "accounts flagged in training removed" },
};

/** What is reported beside how the run went. */
export type Judged = Judgement & Pick<AccuracyResult, "judged">;

type Column = keyof Measures;
type Row = { readonly [C in Column]?: number };

const COLUMNS: readonly (readonly [Column, string])[] = [
  ["roc_auc", "ROC AUC"],
  ["average_precision", "AP"],
  ["card_precision_at_100", "CP@100"],
  ["lift_20", "lift@20"],
  ["recall_at_one_percent_fpr", "rec@1%fpr"],
  ["f1_macro", "F1 macro"],
];

const UNITS = `ROC AUC, average precision (AP), CP@100, recall and F1 are shares of 1; lift@20 counts times a random
order's, at most 5. CP@100: of the 100 cards with a day's highest scores, those with a fraud that day. rec@1%fpr: recall
when 1 % of the genuine are stopped. F1: a score above 0.5 says fraud. In brackets 95 % intervals: the rows drawn again
${BOOTSTRAP.resamples} times, for CP@100 the days; of bins and of recall by scenario Wilson's formula.
`;

const three = (n: number | undefined): string => (n === undefined || Number.isNaN(n) ? "-" : n.toFixed(3));

function span(i: Interval, digits = 3): string {
  return i === null ? "-" : `${i[0].toFixed(digits)}-${i[1].toFixed(digits)}`;
}

const bracketed = (i: Interval, digits = 3): string => (i === null ? "-" : `[${span(i, digits)}]`);

const cells = (texts: readonly string[]): string => texts.map((t) => t.padStart(WIDTH)).join("");

type Columns = readonly (readonly [Column, string])[];

function line(columns: Columns, name: string, row: Row): string {
  const head = `  ${name}`.padEnd(NAME_WIDTH);
  return `${head}${cells(columns.map(([c]) => three(row[c])))}\n`;
}

function intervalLine(columns: Columns, intervals: Intervals): string {
  return `${"".padEnd(NAME_WIDTH)}${cells(columns.map(([c]) => bracketed(intervals[c])))}\n`;
}

function ceilingLines(columns: Columns, r: Judgement, split: Split): string {
  if ("reason" in r.ceiling) return `  no ceiling: ${r.ceiling.reason}\n`;
  const c: CeilingMeasures = r.ceiling[split];
  const share = `${c.reachable} of ${c.frauds} frauds within reach: recall ${three(c.recall)}`;
  return `${line(columns, "ceiling", c)}    (${share})\n`;
}

function ours(columns: Columns, r: Judged, split: Split): string {
  const models = Object.entries(r.models);
  const rows = models.map(([name, m]) => line(columns, name, m[split]) + intervalLine(columns, m[split].intervals));
  const { payments, frauds } = r[split];
  const head = `this run, ${SPLIT_NAMES[r.judged][split]}: ${count(payments)} ${r.judged}, ${count(frauds)} frauds`;
  return `${head}\n${rows.join("")}${ceilingLines(columns, r, split)}`;
}

function known(columns: Columns, t: PublishedTable): string {
  const head = `\n${t.name}${t.published ? "" : " (not published)"}\n  on: ${t.protocol}\n  from: ${t.source}\n`;
  return head + t.rows.map((row) => line(columns, row.model, row) + more(columns, row)).join("");
}

/** The source's own spread, in place of intervals, and its remark. */
function more(columns: Columns, row: PublishedResult): string {
  const spread = (row.plus_minus ?? []).map((p) => `+-${p.toFixed(2)}`);
  // The three measures with a spread are the first three columns.
  const spreads = spread.length === 0 ? "" : `${"".padEnd(NAME_WIDTH)}${cells(spread.slice(0, columns.length))}\n`;
  return spreads + (row.remark === undefined ? "" : `    (${row.remark})\n`);
}

/** The table: F1 only where the known results have one. */
function table(r: Judged): string {
  const f1 = r.published.some((t) => t.rows.some((row) => row.f1_macro !== undefined));
  const columns = COLUMNS.filter(([c]) => f1 || c !== "f1_macro");
  const splits: readonly Split[] = ["known_cards_removed", "all"];
  const tables = r.published.map((t) => known(columns, t));
  const without = r.published.length === 0 ? ["\nno published results are known for this format\n"] : [];
  return [
    `\n${"".padEnd(NAME_WIDTH)}${cells(columns.map(([, title]) => title))}\n`,
    ...splits.map((split) => ours(columns, r, split)),
    ...tables,
    ...without,
    `\n${UNITS}`,
  ].join("");
}

const binHead = (scores: string, rows: string, frauds: string): string =>
  `    ${scores.padEnd(16)}${rows.padStart(10)}${frauds.padStart(8)}  `;

function binLine(b: ReliabilityBin): string {
  const scores = `${b.lowest_score.toFixed(4)}-${b.highest_score.toFixed(4)}`;
  const texts = [b.mean_score.toFixed(4), b.fraud_share.toFixed(4)];
  const interval = bracketed(b.fraud_share_interval, 4);
  return `${binHead(scores, count(b.payments), count(b.frauds))}${cells(texts)}  ${interval}\n`;
}

function calibration(r: Judged, name: string, split: Split): string {
  const a = r.models[name][split];
  const head = `\ncalibration of ${name}, ${SPLIT_NAMES[r.judged][split]}\n`;
  if (Number.isNaN(a.brier)) return `${head}  no labelled rows, or scores that are no probabilities (outside 0..1)\n`;
  const measures = [
    `Brier score ${a.brier.toFixed(5)} ${bracketed(a.intervals.brier, 5)}`,
    `log loss ${a.log_loss.toFixed(4)} nats ${bracketed(a.intervals.log_loss, 4)}`,
    `calibration error ${a.calibration_error.toFixed(5)} ${bracketed(a.intervals.calibration_error, 5)}`,
  ];
  const columns = cells(["mean score", "fraud share"]);
  const titles = `${binHead("scores", r.judged, "frauds")}${columns}  95 % interval\n`;
  return `${head}  ${measures.join(", ")}\n${titles}${a.reliability.map(binLine).join("")}`;
}

function scenarios(name: string, a: Accuracy): string {
  const rows = a.recall_by_scenario.map((s) => {
    const from = `${s.alerted} alerted, ${s.found_earlier} found earlier`;
    const alerts = `recall ${three(s.recall_alerts)} ${bracketed(s.recall_alerts_interval)} (${from})`;
    const threshold = `at one threshold ${three(s.recall_threshold)} ${bracketed(s.recall_threshold_interval)}`;
    const fpr = `${three(s.recall_at_half_percent_fpr)} ${bracketed(s.recall_at_half_percent_fpr_interval)}`;
    const head = `    scenario ${s.scenario}: ${s.frauds} frauds, ${alerts},\n`;
    return `${head}      ${threshold}, at 0.5 % false positives ${fpr}\n`;
  });
  return `  ${name}\n${rows.join("")}`;
}

function windows(w: WindowCheck | null): string {
  if (w === null) return "windows: the data set has no derived features to compare with\n";
  const values = `${count(w.different)} of ${count(w.payments * w.features)} values differ from the data set's own`;
  const ties = `without customer features of ${w.ties} payments in the same second as another`;
  return `windows: ${values} (${ties})\n${w.examples.map((e) => `  ${e}\n`).join("")}`;
}

/** The judgement alone: everything but how the run went. */
export function judgementReport(r: Judged): string {
  const names = SPLIT_NAMES[r.judged];
  const calibrations = Object.entries(r.models).map(([name, { split }]) => calibration(r, name, split));
  return [
    table(r),
    ...calibrations,
    "\nrecall by fraud scenario at 100 cards a day, of the deciding model\n",
    scenarios(names.known_cards_removed, r.known_cards_removed),
    scenarios(names.all, r.all),
  ].join("");
}

export function accuracyReport(r: AccuracyResult): string {
  const speed = `${count(r.decisions)} decisions at ${count(r.decisions_per_s)}/s`;
  return [
    judgementReport(r),
    windows(r.windows),
    `${speed}, ${count(r.outcomes_reported)} outcomes reported, in ${duration(r.elapsed_s)}\n`,
  ].join("");
}
