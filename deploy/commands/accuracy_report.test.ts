import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "../metrics/judgement.ts";
import { ScoredPayments } from "../metrics/scored_payments.ts";
import { type Judged, judgementReport } from "./accuracy_report.ts";

/** A hundred payments of two days; scores fall, the first, second and last are fraud, the second within reach. */
function rows(): ScoredPayments {
  const table = new ScoredPayments();
  for (let i = 0; i < 100; i++) {
    const fraud = i < 2 || i === 99 ? 1 : 0;
    table.add({ day: i % 2, card: `c${i}`, score: (100 - i) / 100, fraud, scenario: fraud, reachable: i === 1 });
  }
  return table;
}

function report(format: string, judged: Judged["judged"], no_ceiling?: string): string[] {
  const tables = { all: rows(), known_cards_removed: rows() };
  const models = { booster_v1_0: tables, ensemble_v1_0: tables };
  const judgement = judge({ format, models, deciding: "ensemble_v1_0", no_ceiling });
  return judgementReport({ ...judgement, judged }).split("\n");
}

const columns = (lines: readonly string[], start: string): string[] => {
  const line = lines.find((l) => l.trimStart().startsWith(start));
  assert.ok(line !== undefined, `no line begins with ${start}`);
  return line.trim().slice(start.length).trim().split(/ +/);
};

test("models, ceiling and published rows stand in the same columns", () => {
  const lines = report("handbook", "payments");
  const titles = lines.find((l) => l.includes("ROC AUC"))!;
  const ends = ["ROC AUC", "AP", "CP@100", "lift@20", "rec@1%fpr"].map((t) => titles.indexOf(t) + t.length);
  for (const start of ["booster_v1_0", "ensemble_v1_0", "ceiling", "Random forest (100 trees)"]) {
    const line = lines.find((l) => l.startsWith(`  ${start} `))!;
    for (const end of ends) assert.match(line.slice(end - 6, end), /^ +(\d\.\d{3}|-)$/, `${start} at ${end}: ${line}`);
  }
  // A fraud of 97 genuine above: AUC 2/3 (one fraud below all); lift 2/3 of the frauds in a fifth.
  assert.deepEqual(columns(lines, "booster_v1_0"), ["0.667", "0.677", "0.015", "3.333", "0.667"]);
  assert.deepEqual(columns(lines, "Random forest (100 trees)"), ["0.867", "0.658", "0.287", "-", "-"]);
  assert.ok(lines.includes("    (1 of 3 frauds within reach: recall 0.333)"));
  assert.ok(!titles.includes("F1"), "no F1 in the handbook's tables");
});

test("intervals stand below each model, spreads below tuned results", () => {
  const lines = report("handbook", "payments");
  const below = (start: string) => lines[lines.findIndex((l) => l.startsWith(`  ${start} `)) + 1].trim().split(/ +/);
  for (const text of below("booster_v1_0")) assert.match(text, /^\[\d\.\d{3}-\d\.\d{3}\]$/);
  assert.deepEqual(below("Balanced bagging"), ["+-0.01", "+-0.01", "+-0.01"]);
});

test("calibration of each model: three measures and ten bins that hold every row", () => {
  const lines = report("handbook", "payments");
  for (const name of ["booster_v1_0", "ensemble_v1_0"]) {
    const from = lines.indexOf(`calibration of ${name}, known cards removed`);
    assert.ok(from > 0, name);
    assert.match(lines[from + 1], /Brier score 0\.\d{5} \[.*log loss .* nats \[.*calibration error/);
    const bins = lines.slice(from + 3, from + 13).map((l) => l.trim().split(/ +/));
    assert.deepEqual([...new Set(bins.map((b) => b[1]))], ["10"]);
    assert.equal(
      bins.reduce((sum, b) => sum + Number(b[2]), 0),
      3,
    );
    assert.equal(lines[from + 13], "");
  }
});

test("a set without a ceiling says why, one without published results says so, F1 stands where it is published", () => {
  const none = report("evalml-cards", "payments", "unknown process");
  assert.ok(none.includes("  no ceiling: unknown process"));
  assert.ok(none.some((l) => l.includes("publishes no table")));
  assert.ok(report("mine", "payments", "-").includes("no published results are known for this format"));
  const ffsd = report("s-ffsd", "payments", "-");
  assert.ok(ffsd.some((l) => l.endsWith("F1 macro")));
  assert.deepEqual(columns(ffsd, "RGTAN"), ["0.846", "0.694", "-", "-", "-", "0.751"]);
});

test("accounts are called accounts", () => {
  const lines = report("amlsim", "accounts", "-");
  assert.ok(lines.some((l) => l.startsWith("this run, accounts flagged in training removed: 100 accounts, 3 frauds")));
  assert.ok(!lines.some((l) => l.includes("known cards removed")));
});

test("lines stay within 132 columns", () => {
  for (const format of ["handbook", "s-ffsd", "ucsd2009"]) {
    for (const line of report(format, "payments", "-")) assert.ok(line.length <= 132, `${line.length}: ${line}`);
  }
});
