/** Reading an export's range: rows, passes, and typed errors for what cannot be read. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LABEL_FRAUD, LABEL_NONE } from "../../actors/inference/feature_export.ts";
import { UnreadableExport } from "../commands/features_check.ts";
import { EmptyRange, ExportRows } from "./export_rows.ts";
import { HOUR_US, madePayments, NAMES, START_US, writeExport } from "./testkit.ts";

const root = mkdtempSync(join(tmpdir(), "fraudguard-monitor-rows-"));
after(() => rmSync(root, { recursive: true, force: true }));
const { signal } = new AbortController();
const ALL = { from_us: Number.NEGATIVE_INFINITY, to_us: Number.POSITIVE_INFINITY };

test("takes the payments of [from, to) from all parts, in columns and in blocks alike", async () => {
  const payments = madePayments(9000, 1, HOUR_US / 60).map((p, r) => (r % 10 === 0 ? { ...p, label: LABEL_FRAUD } : p));
  const work = join(root, "work");
  writeExport(join(work, "features-1"), payments.slice(0, 5000));
  writeExport(join(work, "features-2"), payments.slice(5000));
  const range = { from_us: payments[100].time_us, to_us: payments[8900].time_us };
  const rows = await ExportRows.open(work, range, { signal });
  const taken = payments.slice(100, 8900);
  assert.deepEqual([rows.rows, rows.rows_read], [8800, 9000]);
  assert.deepEqual(rows.parts, [
    { first: 0, end: 4900, newest_us: payments[4999].time_us },
    { first: 4900, end: 8800, newest_us: payments[8999].time_us },
  ]);
  assert.deepEqual(
    [...rows.times_us],
    taken.map((p) => p.time_us),
  );
  assert.deepEqual(
    [...rows.labels],
    taken.map((p) => p.label ?? LABEL_NONE),
  );
  assert.deepEqual([rows.columnOf("hour"), rows.columnOf("currency")], [1, -1]);
  let told = 0;
  const onRows = (n: number): void => {
    told += n;
  };
  const columns = await rows.readColumns([3, 0], { signal, onRows });
  assert.equal(told, 9000);
  for (const [i, c] of [3, 0].entries())
    assert.deepEqual(
      columns[i],
      Float32Array.from(taken, (p) => p.values[c]),
    );
  const matrix = new Float32Array(8800 * NAMES.length);
  const blocks: [number, number][] = [];
  const use = async (block: Float32Array, n: number, first: number): Promise<void> => {
    blocks.push([n, first]);
    matrix.set(block.subarray(0, n * NAMES.length), first * NAMES.length);
  };
  await rows.readBlocks(3000, use, { signal });
  assert.deepEqual(blocks, [
    [3000, 0],
    [3000, 3000],
    [2800, 6000],
  ]);
  assert.deepEqual(matrix, Float32Array.from(taken.flatMap((p) => p.values)));
  const stopped = AbortSignal.abort(new Error("stop"));
  await assert.rejects(rows.readColumns([0], { signal: stopped }), /stop/);
  await assert.rejects(rows.readBlocks(10, use, { signal: stopped }), /stop/);
});

test("refuses a range without payments, and says what days there are", async () => {
  const dir = join(root, "days");
  writeExport(dir, madePayments(48, 1, HOUR_US));
  const before = { from_us: 0, to_us: START_US };
  await assert.rejects(
    ExportRows.open(dir, before, { signal }),
    (error) => error instanceof EmptyRange && /from 2026-01-05 to 2026-01-06/.test(error.message),
  );
  assert.equal((await ExportRows.open(dir, { ...before, to_us: START_US + 1 }, { signal })).rows, 1);
  writeExport(join(root, "none"), []);
  await assert.rejects(ExportRows.open(join(root, "none"), ALL, { signal }), EmptyRange);
});

test("refuses what is no export, one that is cut or of another format, and parts that differ", async () => {
  const good = join(root, "good");
  writeExport(good, madePayments(50, 1, HOUR_US));
  const meta = JSON.parse(readFileSync(join(good, "meta.json"), "utf8"));
  const copy = (name: string, change: object | string): string => {
    const dir = join(root, name);
    cpSync(good, dir, { recursive: true });
    const text = typeof change === "string" ? change : JSON.stringify({ ...meta, ...change });
    writeFileSync(join(dir, "meta.json"), text);
    return dir;
  };
  const refused: [string, RegExp][] = [
    [join(root, "nowhere"), /does not exist/],
    [copy("text", "{"), /meta\.json: /],
    [copy("null", "null"), /format undefined/],
    [copy("format", { format: 2 }), /format 2, this program reads 1/],
    [copy("nameless", { feature_names: [] }), /feature_names/],
    [copy("rows", { rows: 1.5 }), /rows must be a whole number/],
    [copy("times", { to_us: null }), /from_us and to_us/],
  ];
  for (const name of ["features.f32", "times.f64", "ids.u32", "labels.u8"]) {
    const cut = copy(`cut-${name}`, {});
    truncateSync(join(cut, name), 7);
    refused.push([cut, new RegExp(`50 rows, but ${name.replace(".", "\\.")} holds 7 bytes`)]);
  }
  const mixed = join(root, "mixed");
  mkdirSync(mixed);
  writeExport(join(mixed, "features-0"), madePayments(5, 1, HOUR_US));
  const other = madePayments(5, 1, HOUR_US).map((p) => ({ ...p, values: p.values.slice(0, 2) }));
  writeExport(join(mixed, "features-1"), other, NAMES.slice(0, 2));
  refused.push([mixed, /features-1 has other features/]);
  for (const [path, message] of refused) {
    await assert.rejects(
      ExportRows.open(path, ALL, { signal }),
      (error) => error instanceof UnreadableExport && message.test(error.message),
      path,
    );
  }
  // What goes away between two passes is an export that cannot be read, too.
  const rows = await ExportRows.open(good, ALL, { signal });
  truncateSync(join(good, "times.f64"), 8);
  await assert.rejects(rows.readColumns([0], { signal }), UnreadableExport);
});
