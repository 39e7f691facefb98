/** What `npm run accuracy` prints: our row above the published ones, recall by scenario, the windows check. */
import type { Accuracy } from "../metrics/accuracy.ts";
import type { PublishedResult } from "../metrics/published.ts";
import { count, duration } from "../progress.ts";
import type { AccuracyResult } from "./accuracy_run.ts";
import type { WindowCheck } from "./window_check.ts";

const three = (n: number): string => (Number.isNaN(n) ? "-" : n.toFixed(3)).padStart(8);

function line(
  name: string,
  r: Pick<PublishedResult, "roc_auc" | "average_precision" | "card_precision_at_100">,
): string {
  return `  ${name.padEnd(44)}${three(r.roc_auc)}${three(r.average_precision)}${three(r.card_precision_at_100)}\n`;
}

function scenarios(name: string, a: Accuracy): string {
  const rows = a.recall_by_scenario.map((s) => {
    const alerts = `recall ${s.recall_alerts.toFixed(3)} (${s.alerted} alerted, ${s.found_earlier} found earlier)`;
    const threshold = `at one threshold ${s.recall_threshold.toFixed(3)}`;
    return `    scenario ${s.scenario}: ${s.frauds} frauds, ${alerts}, ${threshold}\n`;
  });
  return `  ${name}: ${count(a.payments)} payments, ${count(a.frauds)} frauds\n${rows.join("")}`;
}

function windows(w: WindowCheck | null): string {
  if (w === null) return "windows: the data set has no derived features to compare with\n";
  const values = `${count(w.different)} of ${count(w.payments * w.features)} values differ from the data set's own`;
  const ties = `without customer features of ${w.ties} payments in the same second as another`;
  return `windows: ${values} (${ties})\n${w.examples.map((e) => `  ${e}\n`).join("")}`;
}

export function accuracyReport(r: AccuracyResult): string {
  const tables = r.published.map(
    (t) => `\n${t.name}\n  (${t.protocol})\n${t.rows.map((row) => line(row.model, row)).join("")}`,
  );
  const speed = `${count(r.decisions)} decisions at ${count(r.decisions_per_s)}/s`;
  return [
    `\n  ${"".padEnd(44)} ROC AUC      AP  CP@100\n`,
    line("this run, known cards removed", r.known_cards_removed),
    line("this run, all payments", r.all),
    ...tables,
    "\nrecall by fraud scenario at 100 cards a day\n",
    scenarios("known cards removed", r.known_cards_removed),
    scenarios("all", r.all),
    windows(r.windows),
    `${speed}, ${count(r.outcomes_reported)} outcomes reported, in ${duration(r.elapsed_s)}\n`,
  ].join("");
}
