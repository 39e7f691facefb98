/** What `npm run accuracy` prints: our row above the published ones, recall by scenario, the windows check. */
import type { Accuracy } from "../metrics/accuracy.ts";
import type { PublishedResult } from "../metrics/published.ts";
import { count, duration } from "../progress.ts";
import type { AccuracyResult } from "./accuracy_run.ts";

const three = (n: number): string => (Number.isNaN(n) ? "-" : n.toFixed(3)).padStart(8);

function line(
  name: string,
  r: Pick<PublishedResult, "roc_auc" | "average_precision" | "card_precision_at_100">,
): string {
  return `  ${name.padEnd(44)}${three(r.roc_auc)}${three(r.average_precision)}${three(r.card_precision_at_100)}\n`;
}

function scenarios(name: string, a: Accuracy): string {
  const rows = a.recall_by_scenario.map((s) => {
    const alerts = `${s.alerted} alerted + ${s.found_earlier} of cards found earlier`;
    return `    scenario ${s.scenario}: ${s.frauds} frauds, recall ${s.recall_alerts.toFixed(3)} (${alerts}), at one threshold ${s.recall_threshold.toFixed(3)}\n`;
  });
  return `  ${name}: ${count(a.payments)} payments, ${count(a.frauds)} frauds\n${rows.join("")}`;
}

export function accuracyReport(r: AccuracyResult): string {
  const head = `  ${"".padEnd(44)} ROC AUC      AP  CP@100\n`;
  const ours = line("this run, known cards removed", r.known_cards_removed) + line("this run, all payments", r.all);
  const tables = r.published.map(
    (t) => `\n${t.name} (${t.protocol})\n${t.rows.map((row) => line(row.model, row)).join("")}`,
  );
  const windows =
    r.windows === null
      ? "windows: the data set has no derived features to compare with\n"
      : `windows: ${r.windows.different} of ${count(r.windows.payments * r.windows.features)} values differ from the data set's own (${r.windows.ties} payments followed in the same second left out)\n${r.windows.examples.map((e) => `  ${e}\n`).join("")}`;
  const speed = `${count(r.decisions)} decisions at ${count(r.decisions_per_s)}/s, ${count(r.outcomes_reported)} outcomes reported, in ${duration(r.elapsed_s)}\n`;
  return `\n${head}${ours}${tables.join("")}\nrecall by fraud scenario at 100 cards a day\n${scenarios("known cards removed", r.known_cards_removed)}${scenarios("all", r.all)}\n${windows}${speed}`;
}
