/**
 * The real accuracy command on a slice of the handbook's payments (some terminals, all their customers): labels that
 * are not known at a payment's time never reach its score, neither through the windows nor through training.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { openHistory } from "../datasets/history.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import { loadMapping } from "../datasets/mapping.ts";
import { sharedData } from "../testing/shared_data.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "accuracy.ts");
const DAY_US = 86_400e6;
const DELAY_US = 7 * DAY_US;
const at = (date: string) => Date.parse(`${date}T00:00:00Z`) * 1000;
const TEST_END_US = at("2018-08-15");
/** Terminals of the slice: those with the most frauds, and as many others. */
const TERMINALS = 150;

const MAPPING = {
  name: "slice",
  files: ["payments.csv"],
  columns: {
    transactionId: { column: "id" },
    userId: { column: "user" },
    merchantId: { column: "merchant" },
    amountMinor: { column: "amount", unit: "minor" },
    currency: { value: "EUR" },
    eventTimeUs: { column: "time", unit: "us" },
    cardToken: { column: "user" },
    fraud: { column: "fraud" },
    scenario: { column: "scenario" },
  },
};

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-accuracy-"));
});
after(() => rm(root, { recursive: true, force: true }));

async function slice(folder: string): Promise<HistoryRow[]> {
  const mapping = await loadMapping("handbook");
  const range = { from_us: at("2018-07-08"), to_us: TEST_END_US };
  const history = await openHistory({ paths: [folder], mapping, ...range });
  const rows = await Array.fromAsync(history.rows());
  const frauds = new Map<string, number>();
  for (const row of rows) frauds.set(row.merchantId, (frauds.get(row.merchantId) ?? 0) + (row.fraud ?? 0));
  const terminals = [...frauds].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([id]) => id);
  const chosen = new Set([...terminals.slice(0, TERMINALS), ...terminals.slice(-TERMINALS)]);
  return rows.filter((row) => chosen.has(row.merchantId));
}

/** Runs the command on the rows; those that `hidden` names pass for genuine. Gives the scores file. */
async function scores(name: string, rows: readonly HistoryRow[], hidden: (row: HistoryRow) => boolean) {
  const dir = join(root, name);
  await mkdir(dir);
  const lines = rows.map((row) => {
    const label = hidden(row) ? "0,0" : `${row.fraud},${row.scenario}`;
    return `${row.transactionId},${row.userId},${row.merchantId},${row.amountMinor},${row.eventTimeUs},${label}\n`;
  });
  await writeFile(join(dir, "payments.csv"), `id,user,merchant,amount,time,fraud,scenario\n${lines.join("")}`);
  await writeFile(join(dir, "mapping.json"), JSON.stringify(MAPPING));
  const days = ["--train-from", "2018-07-25", "--train-to", "2018-07-31", "--from", "2018-08-08", "--to", "2018-08-14"];
  const files = ["--scores", join(dir, "scores.csv"), "--json", join(dir, "result.json")];
  const format = ["--data", dir, "--format", join(dir, "mapping.json"), "--set", "trees=30"];
  await promisify(execFile)(process.execPath, [COMMAND, ...format, ...days, ...files]);
  const result = JSON.parse(await readFile(join(dir, "result.json"), "utf8"));
  return { csv: await readFile(join(dir, "scores.csv"), "utf8"), result };
}

test("labels that are not known at their time change no score", async (t) => {
  const folder = sharedData(t, "handbook");
  if (folder === undefined) return;
  const rows = await slice(folder);
  const tested = rows.filter((row) => row.eventTimeUs >= at("2018-08-08"));
  const all = await scores("all", rows, () => false);
  assert.equal(all.csv.split("\n").length, tested.length + 2);
  assert.ok(all.result.all.roc_auc > 0.75, JSON.stringify(all.result.all));
  assert.ok(all.result.outcomes_reported > 100 && all.result.training.frauds > 20, JSON.stringify(all.result));

  // Labels of the test days, and every other that becomes known after them.
  const unknown = (row: HistoryRow) => row.eventTimeUs + DELAY_US >= TEST_END_US;
  assert.ok(rows.some((row) => unknown(row) && row.fraud === 1));
  const erased = await scores("erased", rows, unknown);
  assert.equal(erased.result.all.frauds, 0);
  assert.equal(erased.csv, all.csv);

  // Every label that is not known yet at some time within the test days: scores up to that time stay, and later ones
  // change, since there the labels had become known.
  const then_us = at("2018-08-11") + 12 * 3600e6;
  const later = await scores("later", rows, (row) => row.eventTimeUs + DELAY_US > then_us);
  const upTo = tested.filter((row) => row.eventTimeUs <= then_us).length;
  const head = (csv: string) => csv.split("\n").slice(0, upTo + 1);
  assert.deepEqual(head(later.csv), head(all.csv));
  assert.notEqual(later.csv, all.csv);
});
