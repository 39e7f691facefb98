/** The page: every section, escaped texts, well-formed, nothing from elsewhere, no number that is none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Prng } from "../demo/prng.ts";
import { driftAlerts } from "./alerts.ts";
import { columnDrift, scoreHistogram } from "./column_drift.ts";
import { escapeText, markup } from "./markup.ts";
import type { ModelReport, MonitorReport, ReportedSide } from "./monitor_report.ts";
import { quality } from "./quality.ts";
import { reportHtml } from "./report_html.ts";
import { reportText } from "./report_text.ts";
import { segmentTable } from "./segments.ts";

const HOSTILE = `<script>alert("x")</script> & 'y'`;
const LIMITS = { psi: 0.25, ks: 0.1, false_positive_ratio: 2 };

function sideOf(known: number): ReportedSide {
  const [from_us, to_us] = [1.7e15, 1.7e15 + 86_400e6];
  const labels = { known, unknown: 2000 - known, frauds: known / 10, reported_early: 0 };
  return { exports: [`/tmp/${HOSTILE}`], from_us, to_us, payments: 2000, genuine_until_us: [to_us], ...labels };
}

/** A report with a hostile text wherever one can come from; with `known` labels on the current side. */
function reportOf(known: number): MonitorReport {
  const random = new Prng(2, "html");
  const draw = (add: number): Float32Array => Float32Array.from({ length: 2000 }, () => random.float() * 0.5 + add);
  const [before, now] = [draw(0), draw(0.5)];
  const thresholds = [
    { name: HOSTILE, score: 0.25 },
    { name: "0.75", score: 0.75 },
  ];
  const o = { thresholds, bootstrap: { resamples: 20, seed: 1 } };
  const state = (n: number): Uint8Array => Uint8Array.from(before, (_, r) => (r >= n ? 2 : r % 10 === 0 ? 1 : 0));
  const codes = Uint16Array.from(before, (_, r) => (r < 20 ? 2 : r % 2));
  const names = ["first", HOSTILE, "few"];
  const model: ModelReport = {
    name: `xgboost ${HOSTILE}`,
    stage: "shipped",
    thresholds,
    histogram: { reference: scoreHistogram(before, 20), current: scoreHistogram(now, 20) },
    quality: { reference: quality(before, state(2000), o), current: quality(now, state(known), o) },
    segments: [
      {
        by: HOSTILE,
        reference: segmentTable(names, codes, before, { state: state(2000) }, o),
        current: segmentTable(names, codes, now, { state: state(known) }, o),
      },
    ],
    score: columnDrift("score", "share", draw(0), draw(0.5)),
  };
  const none = new Float32Array(2000).fill(Number.NaN);
  const features = [columnDrift(HOSTILE, null, draw(0), draw(0)), columnDrift("gone", HOSTILE, draw(0), none)];
  return {
    format: 1,
    label_delay_days: 7,
    mature_only: false,
    limits: LIMITS,
    bootstrap: o.bootstrap,
    reference: sideOf(2000),
    current: sideOf(known),
    features,
    model,
    alerts: [...features, model.score].flatMap((c) => driftAlerts(c, LIMITS)),
    notes: [HOSTILE],
  };
}

/** Names of the elements that are opened and not closed, or closed and not open; nothing when all is well. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, closing, name, rest] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:\s[^<>]*)?)>/g)) {
    if (closing === "" && name !== "meta" && !rest.endsWith("/")) open.push(name);
    else if (closing !== "" && open.pop() !== name) wrong.push(name);
  }
  return [...wrong, ...open];
}

test("escapes whatever text is filled in, and nothing else", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const escaped = escapeText(text);
      assert.doesNotMatch(escaped, /[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/);
      const back: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
      assert.equal(
        escaped.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => back[name]),
        text,
      );
      assert.equal(
        markup`<b title="${text}">${[text, markup`<i>${1}</i>`]}</b>`.text,
        `<b title="${escaped}">${escaped}<i>1</i></b>`,
      );
    }),
  );
});

for (const known of [2000, 0]) {
  test(`is a whole page with each section, escaped, when ${known} labels are known`, () => {
    const report = reportOf(known);
    const html = reportHtml(report);
    const ids = [...html.matchAll(/<section id="([a-z]+)"/g)].map(([, id]) => id);
    assert.deepEqual(ids, ["compared", "alerts", "drift", "scores", "quality", "reliability", "segments"]);
    assert.deepEqual(unbalanced(html), []);
    assert.ok(html.includes(escapeText(HOSTILE)));
    assert.doesNotMatch(html, /<script|alert\("|url\(|https?:|@import|<link|<img|\son[a-z]+=/);
    assert.doesNotMatch(html, /NaN|undefined|null|Infinity|\[object/);
    assert.match(html, /prefers-color-scheme: dark/);
    assert.equal([...html.matchAll(/<svg /g)].length, 3);
    assert.equal([...html.matchAll(/<polyline /g)].length, 2);
    const { reference, current } = report.model!.quality;
    const points = reference.reliability.length + current.reliability.length;
    assert.equal([...html.matchAll(/<circle /g)].length, points);
    assert.ok(known === 0 ? points === 10 : points === 20);
    // A bar each for the score and the two features, those past the limit marked.
    assert.equal([...html.matchAll(/<rect class="bar/g)].length, 3);
    assert.equal([...html.matchAll(/<rect class="bar past"/g)].length, 2);
    assert.ok(html.includes(`<h2>Alerts (${report.alerts.length})</h2>`) && report.alerts.length === 3);
    for (const a of report.alerts) assert.ok(html.includes(escapeText(a.message)), a.message);
    for (const [x, y] of [...html.matchAll(/ c?x="([^"]*)" c?y="([^"]*)"/g)].map(([, x, y]) => [x, y])) {
      assert.ok(Number(x) >= 0 && Number(x) <= 760 && Number(y) >= 0 && Number(y) <= 400, `${x} ${y}`);
    }
    const text = reportText(report);
    assert.doesNotMatch(text, /NaN|undefined|Infinity/);
    assert.match(text, /3 alerts\n$/);
  });
}

test("says the numbers that the report holds, with their units", () => {
  const report = reportOf(2000);
  const html = reportHtml(report);
  const { current } = report.model!.quality;
  const [low, high] = current.intervals.roc_auc!;
  const auc = `${current.measures.roc_auc.toFixed(3)} [${low.toFixed(3)} to ${high.toFixed(3)}]`;
  assert.match(html, new RegExp(`<td class="">ROC AUC \\(share of 1\\)</td>.*${auc.replace(/[[\]]/g, "\\$&")}`));
  const cut = current.thresholds[0];
  assert.ok(html.includes(`<td class="number">${cut.alerted.toLocaleString("en")}</td>`));
  assert.ok(html.includes(`${(100 * cut.precision).toFixed(3)} % [`));
  assert.match(html, /<td class="">known frauds \(payments\)<\/td>/);
  assert.match(html, /pooled as other are few/);
  assert.ok(html.includes(report.model!.score.psi.toFixed(3)));
});

test("without a model there are no sections about scores", () => {
  const html = reportHtml({ ...reportOf(2000), model: null, alerts: [], notes: [] });
  const ids = [...html.matchAll(/<section id="([a-z]+)"/g)].map(([, id]) => id);
  assert.deepEqual(ids, ["compared", "alerts", "drift"]);
  assert.match(html, /No alerts\./);
  assert.deepEqual(unbalanced(html), []);
});
