/**
 * The monitor's report as one page that needs nothing from elsewhere: no script, plots as inline SVG, readable in light
 * and dark. Every text is escaped by markup.ts.
 */
import type { Interval } from "../metrics/interval.ts";
import { count } from "../progress.ts";
import { rangeText } from "./alerts.ts";
import type { ColumnDrift } from "./column_drift.ts";
import { type Markup, markup } from "./markup.ts";
import type { ModelReport, MonitorReport, ReportedSide, SegmentComparison } from "./monitor_report.ts";
import type { Quality, ThresholdQuality } from "./quality.ts";
import { byStability, dayOf, MEASURES, numberText, percent, ratioText, three, withInterval } from "./report_text.ts";
import type { SegmentQuality } from "./segments.ts";
import { reliabilityDiagram, scoreHistograms, stabilityBars } from "./svg_plots.ts";

/** Columns that have a bar; the table has all. */
const BARS = 40;

const STYLE = markup`
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --back: #ffffff; --edge: #d0d7de;
  --reference: #0969da; --current: #bc4c00; --bad: #cf222e; --bar: #8c959f; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --back: #0d1117; --edge: #3d444d;
  --reference: #58a6ff; --current: #f0883e; --bad: #ff7b72; --bar: #6e7681; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1100px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.quiet, caption { color: var(--quiet); text-align: left; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.88rem; }
th, td { border-bottom: 1px solid var(--edge); padding: 0.2rem 0.7rem 0.2rem 0; text-align: left;
  white-space: nowrap; }
td.number, th.number { text-align: right; }
.critical, .warning { border-left: 4px solid var(--bad); padding-left: 0.7rem; list-style: none; margin: 0.3rem 0; }
.warning { border-color: var(--current); }
.key-reference { color: var(--reference); } .key-current { color: var(--current); }
svg.plot { width: 100%; max-width: 760px; height: auto; font-size: 11px; }
svg text { fill: var(--text); } svg .axis { fill: var(--quiet); }
svg .bar { fill: var(--bar); } svg .past { fill: var(--bad); }
svg .grid { stroke: var(--edge); stroke-width: 1; }
svg .limit { stroke: var(--quiet); stroke-dasharray: 4 3; }
svg .line { fill: none; stroke-width: 2; }
svg .reference { stroke: var(--reference); } svg .current { stroke: var(--current); }
svg .point circle { fill: var(--back); stroke-width: 2; } svg .point line { stroke-width: 2; opacity: 0.6; }
`;

const POLICY = "default-src 'none'; style-src 'unsafe-inline'";
const KEY = markup`<p class="quiet"><b class="key-reference">reference</b> and <b class="key-current">current</b></p>`;

export function reportHtml(r: MonitorReport): string {
  const days = `${dayOf(r.current.from_us)} to ${dayOf(r.current.to_us)}`;
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>FraudGuard monitor, ${days}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>FraudGuard monitor</h1>
${[comparedSection(r), alertsSection(r), driftSection(r)]}
${r.model === null ? [] : modelSections(r.model)}
</body>
</html>
`;
  return page.text;
}

/** A column's name that begins with > is aligned to the right. */
function table(caption: string, columns: readonly string[], rows: readonly (readonly string[])[]): Markup {
  const number = columns.map((c) => (c.startsWith(">") ? "number" : ""));
  const head = columns.map((c, i) => markup`<th scope="col" class="${number[i]}">${c.replace(/^>/, "")}</th>`);
  const body = rows.map((cells) => {
    return markup`<tr>${cells.map((c, i) => markup`<td class="${number[i]}">${c}</td>`)}</tr>
`;
  });
  return markup`<div class="wide"><table><caption>${caption}</caption><thead><tr>${head}</tr></thead>
<tbody>
${body}</tbody></table></div>`;
}

const minuteOf = (us: number): string => new Date(us / 1000).toISOString().slice(0, 16).replace("T", " ");

function comparedSection(r: MonitorReport): Markup {
  const both = (name: string, text: (s: ReportedSide) => string): string[] => [
    name,
    text(r.reference),
    text(r.current),
  ];
  const rows = [
    both("days of event time (UTC)", (s) => `${dayOf(s.from_us)} to ${dayOf(s.to_us)}`),
    both("payments", (s) => count(s.payments)),
    both("payments with a known label", (s) => count(s.known)),
    both("payments without one yet", (s) => count(s.unknown)),
    both("known frauds (payments)", (s) => count(s.frauds)),
    both("reported before the delay had passed (payments)", (s) => count(s.reported_early)),
    both("genuine unless reported up to (UTC)", (s) => s.genuine_until_us.map(minuteOf).join(", ")),
    both("exports", (s) => s.exports.join(", ")),
  ];
  const only = r.mature_only ? ", and only those older than it are judged" : "";
  const delay = `Labels: payments that nobody reported are genuine after ${r.label_delay_days} days${only}.`;
  return markup`<section id="compared"><h2>What was compared</h2>
${table("Both sides", ["", "reference", "current"], rows)}
<p class="quiet">${delay} All payments are in; nothing is sampled. Intervals are 95 %: of shares Wilson's, of other
measures by drawing payments again ${r.bootstrap.resamples} times (seed ${r.bootstrap.seed}).</p></section>`;
}

function alertsSection(r: MonitorReport): Markup {
  const found = r.alerts.map((a) => {
    return markup`<li class="${a.severity}"><b>${a.severity}</b>: ${a.message} (limit ${numberText(a.threshold)})</li>
`;
  });
  const list = found.length === 0 ? markup`<p>No alerts.</p>` : markup`<ul>${found}</ul>`;
  return markup`<section id="alerts"><h2>Alerts (${r.alerts.length})</h2>${list}
${r.notes.map((n) => markup`<p class="quiet">${n}</p>`)}</section>`;
}

function driftSection(r: MonitorReport): Markup {
  const columns = byStability(r);
  const shown = columns.slice(0, BARS);
  const rest = columns.length > shown.length ? `, the ${shown.length} largest of ${columns.length}` : "";
  const head = ["column", "unit", ">PSI", ">PSI by chance", ">KS distance", ">KS p-value", ">missing, reference"];
  const more = [">missing, current", ">median, reference", ">median, current", "where most of it is"];
  return markup`<section id="drift"><h2>Drift of features${r.model === null ? "" : " and score"}</h2>
<p class="quiet">Population stability index over the reference's deciles and missing values${rest}: 0 is equal,
below 0.1 stable. By chance: its mean if nothing had moved.</p>
${stabilityBars(shown, r.limits.psi)}
<details><summary>All ${columns.length} columns</summary>
${table("PSI and KS have no unit; medians are in the column's unit", [...head, ...more], columns.map(driftRow))}
</details></section>`;
}

function driftRow(c: ColumnDrift): string[] {
  const p = Number.isNaN(c.ks_p_value) ? "-" : c.ks_p_value.toExponential(1);
  const numbers = [three(c.psi), three(c.psi_by_chance), three(c.ks), p];
  const sides = [percent(c.reference.missing_share), percent(c.current.missing_share)];
  const medians = [numberText(c.reference.median), numberText(c.current.median)];
  return [c.name, c.unit ?? "not known", ...numbers, ...sides, ...medians, mostOf(c)];
}

/** The bin with the largest part of the PSI. */
function mostOf(c: ColumnDrift): string {
  if (c.bins.length === 0) return "";
  const { missing, above, to, reference, current } = c.bins.reduce((a, b) => (b.psi > a.psi ? b : a));
  const values = missing ? "missing" : rangeText(above, to);
  return `${values}: ${percent(reference / c.reference.rows)} to ${percent(current / c.current.rows)}`;
}

function modelSections(m: ModelReport): Markup[] {
  const { reference, current } = m.quality;
  return [
    markup`<section id="scores"><h2>Scores of ${m.name} (${m.stage})</h2>${KEY}
${scoreHistograms(m.histogram.reference, m.histogram.current)}</section>
`,
    qualitySection(m),
    markup`<section id="reliability"><h2>Reliability</h2>${KEY}
<p class="quiet">Bins of equal count by score; above the dashed line there are more frauds than the score says, below it
fewer.</p>
${reliabilityDiagram(reference.reliability, current.reliability)}</section>
`,
    markup`<section id="segments"><h2>Segments</h2>
${m.segments.length === 0 ? markup`<p>None asked for (--segment-by).</p>` : m.segments.map((s) => segmentTables(s, m))}
</section>`,
  ];
}

const titleOf = (t: { readonly name: string; readonly score: number }): string =>
  t.name === String(t.score) ? `score ${t.name}` : `${t.name} (score ${t.score})`;

function qualitySection(m: ModelReport): Markup {
  const { reference, current } = m.quality;
  const both = (name: string, text: (q: Quality) => string): string[] => [name, text(reference), text(current)];
  const rows = [
    both("payments with a known label", (q) => count(q.known)),
    both("frauds (payments)", (q) => count(q.frauds)),
    both("frauds (share of the known payments)", (q) => withInterval(q.fraud_share, q.fraud_share_interval, percent)),
    ...MEASURES.map(([id, name]) => both(`${name} (share of 1)`, (q) => withInterval(q.measures[id], q.intervals[id]))),
  ];
  const cuts = m.thresholds.flatMap((t, i) =>
    [reference, current].map((q, side) => [
      titleOf(t),
      side === 0 ? "reference" : "current",
      ...cutCells(q.thresholds[i]),
    ]),
  );
  const head = [
    "from",
    "side",
    ">alerted (payments)",
    ">frauds among them",
    "precision",
    "recall",
    "false positive rate",
  ];
  return markup`<section id="quality"><h2>Quality where labels are known</h2>
${table("With 95 % intervals", ["", "reference", "current"], rows)}
${table("At thresholds, with 95 % intervals; the first is the operating one", head, cuts)}</section>
`;
}

function cutCells(q: ThresholdQuality): string[] {
  const show = (value: number, interval: Interval): string => withInterval(value, interval, percent);
  return [
    count(q.alerted),
    count(q.caught),
    show(q.precision, q.precision_interval),
    show(q.recall, q.recall_interval),
    show(q.false_positive_rate, q.false_positive_rate_interval),
  ];
}

function segmentTables(s: SegmentComparison, m: ModelReport): Markup {
  const operating = m.thresholds[0];
  const at = operating === undefined ? "" : ` at ${titleOf(operating)}`;
  const head = ["segment", "side", ">payments", ">known", ">frauds", "ROC AUC", "average precision", "Brier score"];
  const cut =
    operating === undefined ? [] : [">alerted (payments)", ">caught", "precision", "recall", "false positive rate"];
  const names = new Set([...s.reference.segments, ...s.current.segments].map((q) => q.name));
  const rows = [...names].flatMap((name) =>
    (["reference", "current"] as const).flatMap((side) => {
      const q = s[side].segments.find((one) => one.name === name);
      return q === undefined ? [] : [segmentRow(q, side)];
    }),
  );
  const caption = `Quality${at}, with 95 % intervals; measures are shares of 1`;
  const notes = (["reference", "current"] as const).flatMap((side) => [
    ...s[side].false_positive_ratios.map((ratio) => `${side}: ${ratioText(ratio).trim()}.`),
    ...(s[side].pooled.length === 0 ? [] : [`${side}: pooled as other are ${s[side].pooled.join(", ")}.`]),
  ]);
  return markup`<h3>By ${s.by}</h3>
${table(caption, [...head, ...cut], rows)}
${notes.map((n) => markup`<p class="quiet">${n}</p>`)}`;
}

function segmentRow(q: SegmentQuality, side: string): string[] {
  const measures = (["roc_auc", "average_precision", "brier"] as const).map((id) =>
    withInterval(q.measures[id], q.intervals[id]),
  );
  const first = q.thresholds[0];
  const cut = first === undefined ? [] : cutCells(first);
  return [q.name, side, count(q.payments), count(q.known), count(q.frauds), ...measures, ...cut];
}
