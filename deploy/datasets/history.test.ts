import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { openHistory } from "./history.ts";
import type { HistoryRow } from "./history_row.ts";
import { type ColumnMapping, parseMapping } from "./mapping.ts";

const folder = mkdtempSync(join(tmpdir(), "history-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function write(text: string | Buffer, ending: string): string {
  const path = join(folder, `f${files++}${ending}`);
  writeFileSync(path, text);
  return path;
}

const MAPPING: ColumnMapping = {
  name: "test",
  files: ["*.csv", "*.jsonl"],
  columns: {
    transactionId: { column: "id" },
    userId: { column: "user", prefix: "u" },
    merchantId: { column: "shop" },
    amountMinor: { column: "amount", unit: "major" },
    currency: { column: "currency" },
    eventTimeUs: { column: "at", unit: "timestamp" },
    country: { column: "place.country" },
    channel: { column: "how", map: { "1": "card_present" }, otherwise: "ecommerce" },
    fraud: { column: "label", fraud: ["F"], genuine: ["G"] },
  },
};

async function read(paths: string[], mapping = MAPPING, range: { from_us?: number; to_us?: number } = {}) {
  const history = await openHistory({ paths, mapping, ...range });
  const rows: HistoryRow[] = [];
  for await (const row of history.rows()) rows.push(row);
  return { history, rows };
}

const HEADER = "id,user,shop,amount,currency,at,place.country,how,label\n";
const CSV = `${HEADER}1,7,"Fish, ""Chips""",12.34,GBP,2020-01-01 00:00:00,GB,1,G
2,8,b,1200,JPY,2020-01-01T00:00:01.5Z,,2,F

3,9,c,1.001,KWD,2020-01-01T01:00:02+01:00,KW,,?
`;

test("CSV: quotes, empty values, units by currency, times with and without zone, labels", async () => {
  const { history, rows } = await read([write(`\ufeff${CSV}`, ".csv")]);
  const midnight = Date.UTC(2020, 0, 1) * 1000;
  assert.equal(rows.length, 3);
  assert.deepEqual(
    rows.map((r) => [r.transactionId, r.userId, r.merchantId, r.amountMinor, r.eventTimeUs - midnight]),
    [
      ["1", "u7", 'Fish, "Chips"', 1234, 0],
      ["2", "u8", "b", 1200, 1_500_000],
      ["3", "u9", "c", 1001, 2_000_000],
    ],
  );
  assert.deepEqual(
    rows.map((r) => [r.country, r.channel, r.fraud]),
    [
      ["GB", "card_present", 0],
      [undefined, "ecommerce", 1],
      ["KW", undefined, undefined],
    ],
  );
  assert.equal(history.total_exact, false);
  assert.equal(history.total, 4, "three rows and a blank line");
});

test("gzip CSV and JSON Lines give the same rows", async () => {
  const json = [
    {
      id: 1,
      user: 7,
      shop: 'Fish, "Chips"',
      amount: 12.34,
      currency: "GBP",
      at: "2020-01-01 00:00:00",
      how: 1,
      label: "G",
    },
    { id: 2, user: 8, shop: "b", amount: "1200", currency: "JPY", at: "2020-01-01T00:00:01.5Z", how: "2", label: "F" },
    { id: 3, user: 9, shop: "c", amount: 1.001, currency: "KWD", at: "2020-01-01T01:00:02+01:00", label: null },
  ].map((o, i) => JSON.stringify({ ...o, place: { country: ["GB", "", "KW"][i] } }));
  const lines = await read([write(`${json[0]}\n\n${json[1]}\n${json[2]}`, ".jsonl")]);
  const zipped = await read([write(gzipSync(CSV), ".csv.gz")]);
  assert.equal(lines.rows.length, 3);
  assert.deepEqual(lines.rows, zipped.rows);
});

const row = (id: string, second: number) => `${id},1,s,1,EUR,${second},,,`;
const SECONDS: ColumnMapping = {
  ...MAPPING,
  columns: { ...MAPPING.columns, eventTimeUs: { column: "at", unit: "s", offset_us: 1_577_836_800_000_000 } },
};
const file = (...rows: [string, number][]) => write(HEADER + rows.map((r) => row(...r)).join("\n"), ".csv");

test("several files are one history in event order; repeated ids are dropped and counted", async () => {
  const a = file(["a", 1], ["b", 3], ["c", 3], ["d", 9]);
  const b = file(["x", 2], ["c", 3], ["y", 3], ["b", 8]);
  const { history, rows } = await read([a, b], SECONDS);
  assert.equal(rows.map((r) => r.transactionId).join(""), "axbcyd");
  assert.equal(history.duplicates, 2);
  assert.equal(history.read, 8);
  assert.equal(history.total, 8);
});

test("a folder is searched for the mapping's files; the time range is [from, to)", async () => {
  const dir = mkdtempSync(join(folder, "dir-"));
  writeFileSync(join(dir, "2.csv"), HEADER + [row("c", 5), row("d", 6)].join("\n"));
  writeFileSync(join(dir, "1.csv"), HEADER + [row("a", 1), row("b", 2)].join("\n"));
  writeFileSync(join(dir, "readme.txt"), "not data");
  const at = (s: number) => 1_577_836_800_000_000 + s * 1e6;
  const { history, rows } = await read([dir], SECONDS, { from_us: at(2), to_us: at(6) });
  assert.equal(history.files.length, 2);
  assert.equal(rows.map((r) => r.transactionId).join(""), "bc");
});

test("10,000 rows a file: batches stay in order across their borders", async () => {
  const even = file(...Array.from({ length: 10_000 }, (_, i): [string, number] => [`e${i}`, 2 * i]));
  const odd = file(...Array.from({ length: 10_000 }, (_, i): [string, number] => [`o${i}`, 2 * i + 1]));
  const { rows } = await read([odd, even], SECONDS);
  assert.equal(rows.length, 20_000);
  assert.ok(rows.every((r, i) => r.transactionId === `${i % 2 === 0 ? "e" : "o"}${i >> 1}`));
});

test("rows out of order are refused, or sorted where the mapping says so", async () => {
  const mixed = file(["b", 5], ["a", 4]);
  await assert.rejects(read([mixed], SECONDS), { code: "UNSORTED", message: /row 1: earlier than the row before/ });
  const { rows } = await read([mixed], { ...SECONDS, order: "none" });
  assert.equal(rows.map((r) => r.transactionId).join(""), "ab");
});

test("every fault of a file is named with its place", async () => {
  const cases: [string, string, string, RegExp][] = [
    [".csv", `${HEADER}1,7,s,abc,EUR,1,,,`, "BAD_VALUE", /row 0: amountMinor is "abc", expected a number/],
    [".csv", `${HEADER}1,7,s,-1,EUR,1,,,`, "BAD_VALUE", /row 0: amountMinor is -1/],
    [".csv", `${HEADER}1,,s,1,EUR,1,,,`, "BAD_VALUE", /row 0: userId is undefined, expected a value/],
    [".csv", `${HEADER}1,7,s,1,EURO,1,,,`, "BAD_VALUE", /currency is "EURO"/],
    [".csv", `${HEADER}1,7,s,1,EUR,9e12,,,`, "BAD_VALUE", /eventTimeUs is "9e12"/],
    [".csv", "id,user\n1,2\n", "MISSING_COLUMN", /no column shop; it has id, user/],
    [".csv", `${HEADER}1,2\n`, "UNREADABLE", /Invalid Record Length/],
    [".csv", "", "UNREADABLE", /is empty/],
    [".jsonl", '{"id":1', "UNREADABLE", /row 0/],
    [".jsonl", "[1]", "UNREADABLE", /row 0: expected a JSON object/],
    [".parquet", "PAR1 no, it is not", "UNREADABLE", /not a Parquet file/],
    [".xls", "x", "UNREADABLE", /expected .parquet/],
  ];
  for (const [ending, text, code, message] of cases) {
    await assert.rejects(read([write(text, ending)], SECONDS), { code, message }, `${ending}: ${text}`);
  }
  await assert.rejects(read([join(folder, "nowhere")]), { code: "NO_FILE" });
  await assert.rejects(read([folder], { ...MAPPING, files: ["nothing.parquet"] }), { code: "NO_FILE" });
  await assert.rejects(read([]), { code: "NO_FILE" });
  await assert.rejects(read(Array.from({ length: 65 }, () => file(["a", 1]))), { code: "LIMIT" });
});

test("a line without end is refused at the limit, and not read into memory", async () => {
  await assert.rejects(read([write(`{"id":"${"x".repeat(3 << 20)}"}\n`, ".jsonl")]), { code: "LIMIT" });
});

test("every fault of a mapping is named", () => {
  const columns = MAPPING.columns;
  const cases: [unknown, RegExp][] = [
    [[], /expected a JSON object/],
    [{ ...MAPPING, colour: 1 }, /unknown key colour/],
    [{ ...MAPPING, name: "" }, /name must be a text/],
    [{ ...MAPPING, files: [] }, /files must be a list/],
    [{ ...MAPPING, order: "random" }, /order must be/],
    [{ ...MAPPING, delimiter: ";;" }, /delimiter must be one character/],
    [{ ...MAPPING, columns: { ...columns, userId: undefined } }, /columns.userId is required/],
    [{ ...MAPPING, columns: { ...columns, colour: { column: "c" } } }, /columns.colour is not a field/],
    [{ ...MAPPING, columns: { ...columns, ip: "x" } }, /columns.ip must be an object/],
    [{ ...MAPPING, columns: { ...columns, ip: {} } }, /needs exactly one of column, value, row, join/],
    [
      { ...MAPPING, columns: { ...columns, ip: { column: "a", value: "b" } } },
      /needs exactly one of column, value, row, join/,
    ],
    [{ ...MAPPING, columns: { ...columns, ip: { column: "a", unit: "s" } } }, /columns.ip.unit is not known/],
    [{ ...MAPPING, columns: { ...columns, eventTimeUs: { column: "a" } } }, /unit must be one of timestamp, us, ms/],
  ];
  for (const [json, message] of cases) {
    assert.throws(() => parseMapping(json, "m.json"), { code: "BAD_MAPPING", message }, String(message));
  }
  assert.equal(parseMapping(MAPPING, "m.json"), MAPPING);
});
