/**
 * The shipped formats without dates on small files: what a row becomes, what a wrong file is refused with, and how
 * graphs are kept apart. shared.test.ts reads the real files.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ATTRIBUTE_SLOTS } from "../../proto/columns.ts";
import { attributeDeclarations } from "./convert.ts";
import { openHistory, pathsApart } from "./history.ts";
import type { HistoryRow } from "./history_row.ts";
import { loadMapping, parseMapping } from "./mapping.ts";

const root = mkdtempSync(join(tmpdir(), "formats-"));
after(() => rmSync(root, { recursive: true }));
const ZERO_US = Date.UTC(2020, 0, 1) * 1000;
const HOUR_US = 3600e6;
let files = 0;

function write(text: string): string {
  const path = join(root, `f${files++}.csv`);
  writeFileSync(path, text);
  return path;
}

async function read(format: string, paths: readonly string[]): Promise<HistoryRow[]> {
  const history = await openHistory({ paths, mapping: await loadMapping(format) });
  return Array.fromAsync(history.rows());
}

const UCSD = [
  "row,day,amount,hour1,zip1,custAttr1,custAttr2,field1,field2,field3,field4,flag1,flag2,flag3,flag4,flag5",
  "indicator1,indicator2,fraud",
].join(",");

test("ucsd2009: day, hour and row make the time; e-mail, account, zip code, field3; attributes by slots", async () => {
  const first = "79803,78,12.95,0,986,1234567890123456,ab@comcast.net,3,0,-723,19,1,0,0,0,3278,0,1,0";
  const second = "79804,78,38.85,23,,1234567890123457,cd@aol.com,x,1,55,20,0,1,0,0,2,1,0,1";
  const [a, b] = await read("ucsd2009", [write(`${UCSD}\n${first}\n${second}\n`)]);
  assert.equal(a.eventTimeUs, ZERO_US + 78 * 24 * HOUR_US + 79_803_000);
  assert.equal(b.eventTimeUs, ZERO_US + (78 * 24 + 23) * HOUR_US + 79_804_000);
  assert.deepEqual([a.transactionId, a.userId, a.cardToken], ["r79803", "ab@comcast.net", "a1234567890123456"]);
  assert.deepEqual([a.deviceId, b.deviceId], ["986+-723", undefined]);
  assert.deepEqual([a.amountMinor, a.fraud, b.fraud], [1295, 0, 1]);
  const declared = attributeDeclarations(await loadMapping("ucsd2009"));
  assert.equal(declared.length, Math.min(ATTRIBUTE_SLOTS, 13));
  assert.deepEqual(
    declared.map((d) => [d.type, d.slot]),
    declared.map((_, slot) => ["number", slot]),
  );
  assert.deepEqual(
    Object.keys(a.attributes!),
    declared.map((d) => d.name),
  );
  assert.deepEqual([a.attributes!["flag5"], a.attributes!["field3"]], [3278, -723]);
  assert.ok(!("field1" in b.attributes!), "what is no number is missing");
});

const FFSD = "Time,Source,Target,Amount,Location,Type,Labels\n";

test("s-ffsd: a row is 302.4 s, so that 2,000 are 7 days; 2 is no label; a place stands for an address", async () => {
  const rows = await read("s-ffsd", [
    write(`${FFSD}46728,S1,T1,13.74,L100,TP1,2\n46729,S2,T1,800000,L101,TP1,1\n48728,S1,T2,0,L100,TP2,0\n`),
  ]);
  assert.equal(rows[0].eventTimeUs, ZERO_US + 46_728 * 302_400_000);
  assert.equal(rows[2].eventTimeUs - rows[0].eventTimeUs, 7 * 24 * HOUR_US);
  assert.deepEqual(
    rows.map((r) => [r.transactionId, r.fraud, r.amountMinor, r.category, r.deviceId]),
    [
      ["r46728", undefined, 1374, "TP1", "TP1"],
      ["r46729", 1, 80_000_000, "TP1", "TP1"],
      ["r48728", 0, 0, "TP2", "TP2"],
    ],
  );
  assert.ok(isIPv6(rows[0].ip!), rows[0].ip);
  assert.equal(rows[0].ip, rows[2].ip);
  assert.notEqual(rows[0].ip, rows[1].ip);
});

function graph(name: string, transfers: string, nodes: string): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "transactions.csv.gz"), gzipSync(`sourceNodeId,targetNodeId,value,time\n${transfers}`));
  writeFileSync(join(folder, "nodes.csv.gz"), gzipSync(`nodeid,isFraud,init_balance,fraudStep\n${nodes}`));
  return folder;
}

test("amlsim: graphs are kept apart in time and by id; a transfer between two flagged accounts is fraud", async () => {
  const one = graph("a/one", "0,1,10.5,1\n1,2,20,1\n2,0,5,149\n", "0,1,9,3\n1,1,9,3\n2,0,9,-1\n");
  const two = graph("a/two", "0,1,7,1\n2,0,8,2\n", "0,0,9,-1\n1,0,9,-1\n2,0,9,-1\n3,1,9,5\n");
  const mapping = await loadMapping("amlsim");
  assert.deepEqual(await pathsApart([join(root, "a")], mapping), [one, two], "a folder of graphs stands for them");
  const history = await openHistory({ paths: [one, two], mapping });
  const rows = await Array.fromAsync(history.rows());
  assert.deepEqual(
    rows.map((r) => [r.transactionId, r.userId, r.merchantId, r.fraud, (r.eventTimeUs - ZERO_US) / HOUR_US]),
    [
      ["t0", "0", "1", 1, 4],
      ["t1", "1", "2", 0, 4],
      ["t2", "2", "0", 0, 149 * 4],
      ["part2/t0", "part2/0", "part2/1", 0, 365 * 24 + 4],
      ["part2/t1", "part2/2", "part2/0", 0, 365 * 24 + 8],
    ],
  );
  assert.equal(history.duplicates, 0);
  assert.deepEqual([...history.accounts[1].all.keys()], ["part2/0", "part2/1", "part2/2", "part2/3"]);
  assert.deepEqual([history.accounts[1].flagged("3"), history.accounts[1].flagged("0")], [true, false]);
});

test("a missing column is named with its file, whichever part of a field it is for", async () => {
  const cases: [string, string, string][] = [
    ["ucsd2009", UCSD.replace("hour1,", ""), "hour1"],
    ["ucsd2009", UCSD.replace("zip1,", ""), "zip1"],
    ["ucsd2009", UCSD.replace("flag5,", ""), "flag5"],
    ["s-ffsd", "Time,Source,Target,Amount,Location,Labels", "Type"],
  ];
  for (const [format, header, column] of cases) {
    const path = write(`${header}\n`);
    const message = `${path} has no column ${column}; it has ${header.split(",").join(", ")}`;
    await assert.rejects(read(format, [path]), { code: "MISSING_COLUMN", message });
  }
});

test("wrong graphs are refused with file and row", async () => {
  const nodes = "0,1,9,3\n1,0,9,3\n";
  const cases: [string, string, string, RegExp][] = [
    ["0,7,10,1\n", nodes, "BAD_VALUE", /nodes.csv.gz has no account 7, which the payment of row 0 names/],
    ["0,1,10,2190\n", nodes, "BAD_VALUE", /row 0: eventTimeUs is "2190", expected less than 2190/],
    ["0,1,10,2\n0,1,10,1\n", nodes, "UNSORTED", /row 1: earlier than the row before/],
    ["0,1,10,1\n", "0,yes,9,3\n1,0,9,3\n", "BAD_VALUE", /nodes.csv.gz, row 0: isFraud is "yes", expected 0 or 1/],
    ["0,1,10,1\n", ",0,9,3\n", "BAD_VALUE", /nodes.csv.gz, row 0: nodeid is empty/],
  ];
  for (const [i, [transfers, accounts, code, message]] of cases.entries()) {
    await assert.rejects(read("amlsim", [graph(`wrong${i}`, transfers, accounts)]), { code, message }, String(message));
  }
  const alone = graph("alone", "0,1,10,1\n", nodes);
  rmSync(join(alone, "nodes.csv.gz"));
  await assert.rejects(read("amlsim", [alone]), { code: "NO_FILE", message: /nodes.csv.gz does not exist/ });
  mkdirSync(join(root, "empty"));
  await assert.rejects(read("amlsim", [join(root, "empty")]), { code: "NO_FILE", message: /holds none of trans/ });
});

test("a negative hour is refused", async () => {
  const row = "1,0,12.95,-1,986,1,a@b,3,0,-723,19,1,0,0,0,3278,0,1,0";
  const expected = { code: "BAD_VALUE", message: /row 0: eventTimeUs is "-1", expected a number that is not negative/ };
  await assert.rejects(read("ucsd2009", [write(`${UCSD}\n${row}\n`)]), expected);
});

test("every fault of what these mappings add is named", async () => {
  const plain = await loadMapping("s-ffsd");
  const graphs = await loadMapping("amlsim");
  const column = { column: "a" };
  const time = (field: object) => ({ ...plain, columns: { ...plain.columns, eventTimeUs: { ...column, ...field } } });
  const cases: [object, RegExp][] = [
    [{ ...plain, days: "week" }, /days must be one of day, row, step/],
    [{ ...time({ unit: "timestamp" }), days: "row" }, /the unit of eventTimeUs no timestamp/],
    [{ ...plain, apart_us: -1 }, /apart_us must be/],
    [{ ...plain, attributes: [] }, /attributes must be an object/],
    [{ ...plain, attributes: { a: { ...column, prefix: "x" } } }, /attributes.a.prefix is not known/],
    [{ ...plain, accounts: { file: "nodes.csv" } }, /accounts must have the texts file, id and fraud/],
    [{ ...graphs, columns: { ...graphs.columns, fraud: column } }, /both say what fraud is/],
    [{ ...graphs, columns: { ...graphs.columns, userId: { ...column, prefix: "u" } } }, /userId.prefix: accounts/],
    [time({ unit: "week" }), /unit must be one of timestamp, us, ms, s, h, d, or a number/],
    [time({ unit: 0 }), /unit must be one of/],
    [time({ unit: "d", plus: {} }), /plus must be a list/],
    [time({ unit: "d", plus: [{ unit: "h" }] }), /plus: each needs a column/],
    [time({ unit: "d", plus: [{ column: "h", unit: "timestamp" }] }), /plus: unit must be one of/],
    [{ ...plain, columns: { ...plain.columns, deviceId: { join: "a" } } }, /join must be a list/],
    [{ ...plain, columns: { ...plain.columns, deviceId: { row: 1 } } }, /row must be true/],
    [{ ...plain, columns: { ...plain.columns, deviceId: { row: true, ...column } } }, /exactly one of/],
    [{ ...plain, columns: { ...plain.columns, ip: { ...column, stands_for: "x" } } }, /stands_for must be/],
  ];
  for (const [json, message] of cases) {
    assert.throws(() => parseMapping(json, "m.json"), { code: "BAD_MAPPING", message }, String(message));
  }
});
