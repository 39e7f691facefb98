/**
 * The real accuracy command on small data without dates: attributes reach the features, payments without a label are
 * neither learnt from nor judged, accounts are judged in a graph that was not trained on and that is told no label.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { readExport, readMeta } from "./export_reader.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "accuracy.ts");
const accuracy = (args: readonly string[]) => promisify(execFile)(process.execPath, [COMMAND, ...args]);

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-formats-"));
});
after(() => rm(root, { recursive: true, force: true }));

const ROWS_A_DAY = 60;
const DAYS = 30;
const COLUMNS = ["row", "day", "amount", "hour1", "zip1", "custAttr1", "custAttr2", "field1", "field2", "field3"];
const MORE = ["field4", "flag1", "flag2", "flag3", "flag4", "flag5", "indicator1", "indicator2", "fraud"];

/** Row r is fraud when its flag5 is 9; every fourth one has no label. */
function ucsd(): string {
  const lines = [[...COLUMNS, ...MORE].join(",")];
  for (let r = 0; r < DAYS * ROWS_A_DAY; r++) {
    const place = r % ROWS_A_DAY;
    const [flag5, label] = [r % 7 === 0 ? 9 : 1, r % 4 === 3 ? "" : r % 7 === 0 ? 1 : 0];
    const hour = Math.floor((place * 24) / ROWS_A_DAY);
    const first = [r, Math.floor(r / ROWS_A_DAY), 12.95, hour, `9${r % 90}`, 1e15 + (r % 50)];
    lines.push([...first, `u${r % 40}@shop${r % 5}.com`, 1, 0, -r, 20, 0, 1, 0, 0, flag5, 0, 1, label].join(","));
  }
  return `${lines.join("\n")}\n`;
}

test("ucsd2009: days by number, attributes as features, and rows without a label", async () => {
  const [data, work, json] = [join(root, "ucsd.csv"), join(root, "ucsd"), join(root, "ucsd.json")];
  await writeFile(data, ucsd());
  const days = ["--train-from", "0", "--train-to", "19", "--from", "20", "--to", "29"];
  const files = ["--work", work, "--json", json, "--scores", join(root, "ucsd-scores.csv"), "--set", "trees=20"];
  await accuracy(["--data", data, "--format", "ucsd2009", ...days, ...files]);
  const result = JSON.parse(await readFile(json, "utf8"));
  const tested = 10 * ROWS_A_DAY;
  assert.deepEqual([result.judged, result.unlabelled, result.all.payments], ["payments", tested / 4, (tested * 3) / 4]);
  // When day 20 begins the labels of days 0 to 12 are known.
  const known = Array.from({ length: 13 * ROWS_A_DAY }, (_, r) => r).filter((r) => r % 4 !== 3);
  assert.equal(result.training.rows, known.length);
  assert.equal(result.training.frauds, known.filter((r) => r % 7 === 0).length);
  assert.ok(result.all.roc_auc > 0.99, `the attribute says it all: ${result.all.roc_auc}`);
  const scores = (await readFile(join(root, "ucsd-scores.csv"), "utf8")).trim().split("\n");
  assert.equal(scores.length, tested + 1);
  const names = readMeta(join(work, "features-2")).feature_names;
  const at = names.indexOf("attribute_1");
  let marked = 0;
  for (const { n, matrix } of readExport(join(work, "features-2"))) {
    for (let i = 0; i < n; i++) if (matrix[i * names.length + at] === 9) marked++;
  }
  assert.equal(marked, Array.from({ length: tested }, (_, i) => tested * 2 + i).filter((r) => r % 7 === 0).length);
});

const ACCOUNTS = 60;
const STEPS = 40;

/** Accounts `from` to `from + 9` are flagged and send each other odd amounts; the others send a round one. */
async function graph(name: string, from: number): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  const flagged = (a: number) => a >= from && a < from + 10;
  const transfers = ["sourceNodeId,targetNodeId,value,time"];
  for (let step = 1; step <= STEPS; step++) {
    for (let a = step % 3; a < ACCOUNTS - 1; a += 3) {
      transfers.push(`${a},${(a + step) % (ACCOUNTS - 1)},100,${step}`);
      if (flagged(a)) transfers.push(`${a},${from + ((a + 1 - from) % 10)},${7000 + step},${step}`);
    }
  }
  const nodes = Array.from({ length: ACCOUNTS }, (_, a) => `${a},${flagged(a) ? 1 : 0},50,-1`);
  await writeFile(join(folder, "transactions.csv.gz"), gzipSync(`${transfers.join("\n")}\n`));
  await writeFile(
    join(folder, "nodes.csv.gz"),
    gzipSync(`nodeid,isFraud,init_balance,fraudStep\n${nodes.join("\n")}\n`),
  );
  return folder;
}

test("amlsim: trained on one graph, accounts judged in the other, which is told of no label", async () => {
  const [one, two] = [await graph("one", 0), await graph("two", 5)];
  const json = join(root, "amlsim.json");
  await accuracy(["--data", one, "--data", two, "--format", "amlsim", "--json", json, "--set", "trees=20"]);
  const result = JSON.parse(await readFile(json, "utf8"));
  assert.deepEqual([result.judged, result.outcomes_reported], ["accounts", 0]);
  // Account 59 has no transfer and is judged all the same; 5 to 9 are flagged in both graphs.
  assert.deepEqual([result.all.payments, result.all.frauds], [ACCOUNTS, 10]);
  assert.deepEqual([result.known_cards_removed.payments, result.known_cards_removed.frauds], [ACCOUNTS - 5, 5]);
  assert.ok(result.training.frauds >= 130, JSON.stringify(result.training));
  assert.ok(result.all.roc_auc > 0.99, JSON.stringify(result.all.roc_auc));
});

test("wrong days and too few graphs end with 2 and say what is right", async () => {
  const data = join(root, "nothing-is-read");
  await mkdir(data);
  const four = (a: string, b: string, c: string, d: string) => {
    return ["--train-from", a, "--train-to", b, "--from", c, "--to", d];
  };
  const cases: [string[], RegExp][] = [
    [
      ["--format", "ucsd2009", ...four("0", "61", "2020-03-03", "77")],
      /--from takes the number of a day .* e.g. --from 62/,
    ],
    [["--format", "ucsd2009", ...four("0", "61", "61", "77")], /in the order train-from, train-to, from, to/],
    [["--format", "s-ffsd", ...four("0", "9", "10", "9")], /in the order/],
    [["--format", "amlsim"], /takes two --data or more/],
  ];
  for (const [args, message] of cases) {
    const wrong = (e: { code: number; stderr: string }) => e.code === 2 && message.test(e.stderr);
    await assert.rejects(accuracy(["--data", data, ...args]), wrong as never, String(message));
  }
});
