/** Reading for an import: bad rows come out with their reason and place, good ones around them as payments. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ColumnMapping } from "../datasets/mapping.ts";
import { openImportFile } from "./import_rows.ts";

const MAPPING: ColumnMapping = {
  name: "shop",
  files: ["*"],
  columns: {
    transactionId: { column: "id" },
    userId: { column: "user" },
    merchantId: { value: "shop" },
    amountMinor: { column: "amount", unit: "minor" },
    currency: { value: "EUR" },
    eventTimeUs: { column: "time", unit: "s" },
  },
};

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-rows-"));
});
after(() => rm(root, { recursive: true }));

/** Row number with the payment's id, or with the start of the reason. */
async function read(name: string, text: string, mapping = MAPPING): Promise<[number, string][]> {
  await writeFile(join(root, name), text);
  const file = await openImportFile(join(root, name), mapping);
  const rows = (await Array.fromAsync(file.batches())).flat();
  return rows.map((r) => [r.row, r.payment?.transactionId ?? `! ${r.reason?.replace(/^.*row \d+: /, "")}`]);
}

test("JSON Lines: lines that are no JSON object, and values that are missing or wrong", async () => {
  const good = (id: string) => JSON.stringify({ id, user: "u", amount: 5, time: 1.7e9 });
  const lines = [good("a"), "{broken", "[1]", '{"id":"b","user":"u","amount":5}', good("c")];
  const rows = await read("a.jsonl", lines.join("\n"));
  assert.deepEqual(
    [rows[0], rows[4]],
    [
      [0, "a"],
      [4, "c"],
    ],
  );
  assert.match(rows[1][1], /^! .*JSON/);
  assert.match(rows[2][1], /^! expected a JSON object/);
  assert.match(rows[3][1], /^! eventTimeUs is undefined, expected a value/);
});

test("CSV: a short row is one bad row, not the end of the file", async () => {
  const rows = await read("a.csv", "id,user,amount,time\na,u,5,1700000000\nb,u\nc,u,-1,1700000000\nd,u,5,1700000000\n");
  assert.deepEqual(
    [rows[0], rows[3]],
    [
      [0, "a"],
      [3, "d"],
    ],
  );
  assert.match(rows[1][1], /^! amountMinor is undefined/);
  assert.match(rows[2][1], /^! amountMinor is -1/);
});

test("rows without an order are sorted by time, and keep their numbers", async () => {
  const text = "id,user,amount,time\na,u,5,1700000300\nb,u,5,1700000100\nc,u,x,1700000000\nd,u,5,1700000100\n";
  const rows = await read("b.csv", text, { ...MAPPING, order: "none" });
  assert.deepEqual(
    rows.map(([row, id]) => [row, id[0]]),
    [
      [2, "!"],
      [1, "b"],
      [3, "d"],
      [0, "a"],
    ],
  );
});

test("a further path of data that is kept apart has its own ids and its own time", async () => {
  await writeFile(join(root, "apart.csv"), "id,user,amount,time\na,u,5,1700000000\n");
  const mapping = { ...MAPPING, apart_us: 2e15 };
  const file = await openImportFile(join(root, "apart.csv"), mapping, 1);
  const [{ payment }] = (await Array.fromAsync(file.batches())).flat();
  assert.deepEqual([payment?.transactionId, payment?.userId, payment?.eventTimeUs], ["part2/a", "part2/u", 3.7e15]);
});

test("a file of another kind is refused", async () => {
  await assert.rejects(read("a.txt", ""), { code: "UNREADABLE" });
});
