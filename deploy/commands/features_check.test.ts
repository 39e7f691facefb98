/** The features command as a process of its own: list, JSON, wrong arguments, and exports with planted faults. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { GROUPS } from "../../actors/features/feature.ts";
import { FEATURE_COUNT, FEATURES } from "../../actors/features/registry.ts";
import { FeatureExport } from "../../actors/inference/feature_export.ts";
import { Prng } from "../demo/prng.ts";
import { ExportFolder } from "../python/export_folder.ts";
import { checkExports, exportFolders, UnreadableExport } from "./features_check.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "features.ts");
const root = mkdtempSync(join(tmpdir(), "fraudguard-features-"));
after(() => rmSync(root, { recursive: true, force: true }));
const signal = new AbortController().signal;

function features(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

const NAMES = ["amount", "hour", "has_device", "device_users_30d", "merchant_risk_7d", "user_speed_kmh", "of_old_code"];
const NONE = Number.NaN;

/** An export of `rows` payments; `faults` plants one of each kind: else nothing is wrong with it. */
function writeExport(dir: string, rows: number, faults: boolean, names: readonly string[] = NAMES): void {
  const folder = new ExportFolder(dir);
  const to = new FeatureExport(folder, "a test", names);
  const random = new Prng(3, dir);
  const matrix = new Float32Array(rows * names.length);
  for (let r = 0; r < rows; r++) {
    const amount = random.whole(1, 90_000);
    const row = [amount, r % 24, r % 2, random.below(5), random.float(), random.float(), random.float()];
    // As good as the amount, constant, on 5 of 1,000 payments, and infinite once.
    if (faults) row.splice(1, 4, amount * 7 + random.float(), 1, r % 200 === 0 ? r : NONE, r === 9 ? 1 / 0 : r % 3);
    if (r % 50 !== 0) row[5] = NONE;
    matrix.set(row.slice(0, names.length), r * names.length);
  }
  const times_us = Float64Array.from({ length: rows }, (_, r) => 1.7e15 + r * 1e6);
  const ids = { hi: new Uint32Array(rows), lo: new Uint32Array(rows) };
  to.append(matrix, rows, times_us, ids);
  to.finish();
  folder.close();
}

test("lists the registry by group, and writes it as JSON", () => {
  const file = join(root, "features.json");
  const { status, stdout, stderr } = features("--json", file);
  assert.deepEqual([status, stderr], [0, ""]);
  const json = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual([json.count, json.features.length], [FEATURE_COUNT, FEATURE_COUNT]);
  const keys = ["column", "name", "group", "owner", "unit", "window_us", "formula", "source", "text"];
  FEATURES.forEach((f, column) => {
    assert.deepEqual(Object.keys(json.features[column]), keys);
    assert.deepEqual(json.features[column], { column, ...f });
    const line = stdout.split("\n").find((text) => text.trim().split(/ +/)[1] === f.name);
    assert.match(line ?? "", new RegExp(`^ *${column} +${f.name} +${f.owner} +${f.unit} .*\\S$`));
    assert.ok(line!.endsWith(f.formula));
  });
  assert.deepEqual(Object.keys(json.groups), [...GROUPS]);
  for (const group of GROUPS) {
    assert.equal(json.groups[group], FEATURES.filter((f) => f.group === group).length);
    assert.ok(stdout.includes(`${group}, ${json.groups[group]} features\n`));
  }
});

test("lists one group, with the columns of the whole matrix", () => {
  const file = join(root, "group.json");
  const { status, stdout } = features("--group", "device_fingerprint", "--json", file);
  const json = JSON.parse(readFileSync(file, "utf8"));
  const own = FEATURES.flatMap((f, column) => (f.group === "device_fingerprint" ? [{ column, ...f }] : []));
  assert.deepEqual([status, json.groups], [0, { device_fingerprint: own.length }]);
  assert.deepEqual(json.features, own);
  assert.ok(!stdout.includes("merchant_risk") && stdout.includes("has_device"));
});

test("ends with 2 when an argument is wrong, and says which", () => {
  const wrong: [string[], RegExp][] = [
    [["--group", "graph"], /--group takes one of user_behavioral/],
    [["--strict"], /--strict needs --profile/],
    [["--json"], /--json/],
    [["--frobnicate"], /--frobnicate/],
    [["merchant_risk"], /merchant_risk/],
  ];
  for (const [args, message] of wrong) {
    const { status, stdout, stderr } = features(...args);
    assert.deepEqual([status, stdout], [2, ""], args.join(" "));
    assert.match(stderr, message);
    assert.match(stderr, /npm run features/);
  }
});

test("warns of what is planted in an export, and of nothing else", () => {
  writeExport(join(root, "bad"), 5000, true);
  writeExport(join(root, "good"), 5000, false);
  const file = join(root, "bad.json");
  const bad = features("--profile", join(root, "bad"), "--strict", "--json", file);
  assert.equal(bad.status, 1, bad.stderr);
  const { count, profile } = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual([count, profile.rows, profile.features.length], [FEATURE_COUNT, 5000, NAMES.length]);
  const found = profile.warnings.map((w: { kind: string; features: string[] }) => `${w.kind} ${w.features.join(" ")}`);
  const planted = [
    "constant has_device",
    "rare device_users_30d",
    "infinite merchant_risk_7d",
    "correlated amount hour",
  ];
  assert.deepEqual(found, planted);
  for (const w of profile.warnings) assert.ok(bad.stdout.includes(`! ${w.text}\n`), w.text);
  assert.match(bad.stdout, /^ +3 +device_users_30d +0\.50 % +0 +4800 +2400$/m);
  assert.deepEqual(profile.features[5].present_share, 0.02);
  assert.deepEqual(profile.features.at(-1).group, null);
  assert.equal(features("--profile", join(root, "bad")).status, 0);

  const good = features("--profile", join(root, "good", "features.f32"), "--strict");
  assert.deepEqual([good.status, /nothing to warn of\n$/.test(good.stdout)], [0, true], good.stdout);
});

test("with a group, judges its features and the pairs that they are in", async () => {
  writeExport(join(root, "grouped"), 1000, true);
  const device = await checkExports(join(root, "grouped"), { group: "device_fingerprint", signal });
  assert.deepEqual(
    device.features.map((f) => f.name),
    ["has_device"],
  );
  assert.deepEqual(
    device.warnings.map((w) => w.kind),
    ["constant"],
  );
  const user = await checkExports(join(root, "grouped"), { group: "user_behavioral", signal });
  assert.deepEqual(
    user.features.map((f) => f.name),
    ["amount", "hour", "user_speed_kmh"],
  );
  assert.deepEqual(
    user.correlated.map((p) => p.features),
    [["amount", "hour"]],
  );
});

test("takes all exports of a kept folder as one, in their order, and not the cut made of them", async () => {
  const work = join(root, "work");
  for (const part of [10, 2, 1]) writeExport(join(work, `features-${part}`), 100 * part, part === 10);
  writeExport(join(work, "training"), 700, true);
  mkdirSync(join(work, "node"));
  const steps: [number, number][] = [];
  const check = await checkExports(work, { signal, onRows: (done, total) => steps.push([done, total]) });
  assert.deepEqual(
    check.exports.map((dir) => dir.slice(work.length + 1)),
    ["features-1", "features-2", "features-10"],
  );
  assert.equal(check.rows, 1300);
  assert.deepEqual(steps, [
    [100, 1300],
    [300, 1300],
    [1300, 1300],
  ]);
  assert.equal(check.features[3].present, 100 + 200 + 1000 / 200);
  const aborted = AbortSignal.abort(new Error("stop"));
  await assert.rejects(checkExports(work, { signal: aborted }), /stop/);
});

test("refuses what is no export, one that is cut or of another format, and parts that differ", async () => {
  const good = join(root, "whole");
  writeExport(good, 50, false);
  const meta = JSON.parse(readFileSync(join(good, "meta.json"), "utf8"));
  const copy = (name: string, change: object | string): string => {
    const dir = join(root, name);
    cpSync(good, dir, { recursive: true });
    const text = typeof change === "string" ? change : JSON.stringify({ ...meta, ...change });
    writeFileSync(join(dir, "meta.json"), text);
    return dir;
  };
  const cut = copy("cut", {});
  truncateSync(join(cut, "features.f32"), 100);
  mkdirSync(join(root, "mixed"));
  writeExport(join(root, "mixed", "features-0"), 50, false);
  writeExport(join(root, "mixed", "features-1"), 50, false, NAMES.slice(0, 5));
  const refused: [string, RegExp][] = [
    [join(root, "nowhere"), /does not exist/],
    [tmpdir(), /no feature export/],
    [cut, /features\.f32 holds 100 bytes/],
    [copy("text", "{"), /meta\.json: /],
    [copy("null", "null"), /format undefined/],
    [copy("format", { format: 2 }), /format 2, this program reads 1/],
    [copy("names", { feature_names: ["a", 5] }), /feature_names/],
    [copy("nameless", { feature_names: [] }), /feature_names/],
    [copy("rows", { rows: 1.5 }), /rows must be a whole number/],
    [copy("negative", { rows: -1 }), /rows must be a whole number/],
    [copy("empty", { rows: 0 }), /no payments/],
    [join(root, "mixed"), /features-1 has other features/],
  ];
  for (const [path, message] of refused) {
    await assert.rejects(
      async () => checkExports(path, { signal }),
      (error) => error instanceof UnreadableExport && message.test(error.message),
      path,
    );
  }
  assert.deepEqual(exportFolders(join(good, "meta.json")), [good]);
  const { status, stderr } = features("--profile", cut);
  assert.deepEqual([status, /features\.f32/.test(stderr)], [1, true], stderr);
});
