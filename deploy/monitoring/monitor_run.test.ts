/** Whole comparisons over exports on disk: labels, drift, scores of a real model, segments; and the command. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { LABEL_FRAUD } from "../../actors/inference/feature_export.ts";
import { loadModel, type ModelCard } from "../../actors/inference/model.ts";
import { ModelSession } from "../../actors/inference/session.ts";
import { Prng } from "../demo/prng.ts";
import { DEFAULT_MODEL } from "../models/shipped.ts";
import { ExportRows } from "./export_rows.ts";
import { DifferentFeatures, modelScores, type ScoringModel } from "./model_scores.ts";
import { type MonitorPlan, MonitorRun, UnknownSegmentation } from "./monitor_run.ts";
import { DAY_US, HOUR_US, type MadePayment, madePayments, NAMES, START_US, writeExport } from "./testkit.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "monitor.ts");
const root = mkdtempSync(join(tmpdir(), "fraudguard-monitor-"));
after(() => rmSync(root, { recursive: true, force: true }));
const ALL = { from_us: Number.NEGATIVE_INFINITY, to_us: Number.POSITIVE_INFINITY };
const days = (from: number, to: number) => ({ from_us: START_US + from * DAY_US, to_us: START_US + to * DAY_US });

const plan = (reference: MonitorPlan["reference"], current: MonitorPlan["current"]): MonitorPlan => ({
  reference,
  current,
  model: null,
  thresholds: [{ name: "challenge", score: 0.5 }],
  segment_by: [],
  label_delay_days: 7,
  mature_only: false,
  limits: { psi: 0.25, ks: 0.1, false_positive_ratio: 2 },
  bootstrap: { resamples: 10, seed: 1 },
  signal: new AbortController().signal,
});

/** 20 days, a payment every five minutes; every hundredth was reported as fraud. */
const twentyDays = madePayments(5760, 3, HOUR_US / 12).map((p, r) =>
  r % 100 === 0 ? { ...p, label: LABEL_FRAUD } : p,
);
before(() => {
  writeExport(join(root, "twenty"), twentyDays);
  writeExport(join(root, "shifted"), madePayments(3000, 4, HOUR_US / 12, 2));
});

test("finds nothing between two weeks of one sample, and what was shifted in another", async () => {
  const path = join(root, "twenty");
  const same = await new MonitorRun(plan({ path, range: days(0, 7) }, { path, range: days(7, 14) })).compare();
  assert.deepEqual(same.alerts, []);
  assert.deepEqual([same.reference.payments, same.current.payments, same.model], [2016, 2016, null]);
  const shifted = await new MonitorRun(
    plan({ path, range: ALL }, { path: join(root, "shifted"), range: ALL }),
  ).compare();
  assert.deepEqual(
    shifted.alerts.map((a) => [a.kind, a.what]),
    [
      ["ks", "amount"],
      ["psi", "amount"],
    ],
  );
  assert.deepEqual(
    shifted.features.map((f) => [f.name, f.unit]),
    [
      ["amount", "minor units"],
      ["hour", "h"],
      ["channel_code", "code"],
      ["user_speed_kmh", "km/h"],
    ],
  );
  const speed = shifted.features[3];
  assert.ok(Math.abs(speed.reference.missing_share - 0.1) < 0.02 && Math.abs(speed.current.missing_share - 0.1) < 0.02);
});

test("gives the same with one column a pass as with all of them", async () => {
  const path = join(root, "twenty");
  const p = plan({ path, range: days(0, 7) }, { path: join(root, "shifted"), range: ALL });
  const told: [number, number][] = [];
  const onRows = (done: number, total: number): number => told.push([done, total]);
  const narrow = await new MonitorRun({ ...p, column_bytes_max: 1, onRows }).compare();
  assert.deepEqual(narrow, await new MonitorRun(p).compare());
  // Four passes over 5,760 and 3,000 payments.
  assert.deepEqual(told.at(-1), [4 * 8760, 4 * 8760]);
});

test("labels become known with the export's newest payment, or with the day that is given", async () => {
  const path = join(root, "twenty");
  const p = plan({ path, range: days(0, 7) }, { path, range: days(10, 16) });
  // The newest payment is of day 20: up to day 13 all is known, later only what was reported.
  const { current } = await new MonitorRun(p).compare();
  const until_us = twentyDays[5759].time_us - 7 * DAY_US;
  assert.deepEqual(current.genuine_until_us, [until_us]);
  const mature = twentyDays.filter((t) => t.time_us >= START_US + 10 * DAY_US && t.time_us <= until_us);
  const young = twentyDays.filter((t) => t.time_us > until_us && t.time_us < START_US + 16 * DAY_US);
  const reported = young.filter((t) => t.label === LABEL_FRAUD).length;
  assert.deepEqual(
    [current.payments, current.known, current.unknown, current.reported_early],
    [mature.length + young.length, mature.length + reported, young.length - reported, reported],
  );
  const strict = await new MonitorRun({ ...p, mature_only: true }).compare();
  assert.deepEqual([strict.current.known, strict.current.reported_early], [mature.length, 0]);
  assert.deepEqual(strict.notes, []);
  const later = await new MonitorRun({ ...p, now_us: START_US + 23 * DAY_US }).compare();
  assert.deepEqual([later.current.unknown, later.current.reported_early], [0, 0]);
  // What was reported after an earlier day is in the labels already: no going back.
  const earlier = await new MonitorRun({ ...p, now_us: START_US }).compare();
  assert.deepEqual(earlier.current, current);
});

test("what was reported after a part of an export had ended is in no label of that part", async () => {
  // The node was started again after day 10: reports of the payments before are told to it, but not to its export.
  const work = join(root, "parts");
  const second = twentyDays.findIndex((p) => p.time_us >= START_US + 10 * DAY_US);
  writeExport(
    join(work, "features-1"),
    twentyDays.slice(0, second).map(({ time_us, values }) => ({ time_us, values })),
  );
  writeExport(join(work, "features-2"), twentyDays.slice(second));
  const p = plan({ path: work, range: ALL }, { path: work, range: days(0, 10) });
  const { reference, current } = await new MonitorRun(p).compare();
  const ends = [twentyDays[second - 1].time_us, twentyDays[5759].time_us];
  assert.deepEqual(
    reference.genuine_until_us,
    ends.map((end_us) => end_us - 7 * DAY_US),
  );
  const known = twentyDays.slice(0, second).filter((t) => t.time_us <= ends[0] - 7 * DAY_US).length;
  assert.deepEqual([current.payments, current.known, current.unknown], [second, known, second - known]);
  const later = twentyDays.slice(second);
  const later_known = later.filter((t) => t.time_us <= ends[1] - 7 * DAY_US || t.label === LABEL_FRAUD).length;
  assert.deepEqual([reference.known, reference.unknown], [known + later_known, 5760 - known - later_known]);
});

/** The shipped model by its own card: whether the registry has moved on is not the matter here. */
async function shippedModel(): Promise<ScoringModel> {
  const card = JSON.parse(readFileSync(join(DEFAULT_MODEL, "card.json"), "utf8")) as ModelCard;
  return { model: await loadModel(DEFAULT_MODEL, card.feature_names), stage: "shipped" };
}

test("scores the payments in the range and judges those with a known label, by segment too", async () => {
  const model = await shippedModel();
  const names = model.model.card.feature_names;
  const [hour, amount] = [names.indexOf("hour"), names.indexOf("amount")];
  const random = new Prng(9, "scored");
  const payments = Array.from({ length: 3000 }, (_, r): MadePayment => {
    const time_us = START_US + r * (HOUR_US / 8);
    const values = names.map(() => Math.floor(random.float() * 20));
    values[hour] = r % 4;
    values[amount] = random.float() * 1e5;
    return { time_us, values, ...(r % 30 === 0 ? { label: LABEL_FRAUD } : {}) };
  });
  const path = join(root, "scored");
  writeExport(path, payments, names);
  const session = await ModelSession.create(model.model.onnx, "cpu", names.length);
  const scores = new Float32Array(3000);
  await session.run(Float32Array.from(payments.flatMap((p) => p.values)), 3000, scores);
  await session.close();
  // More than a block of rows: the same payments twice.
  writeExport(join(root, "long"), [...payments, ...payments], names);
  const { signal } = new AbortController();
  const long = await modelScores(await ExportRows.open(join(root, "long"), ALL, { signal }), model, { signal });
  assert.deepEqual(long, Float32Array.of(...scores, ...scores));
  const p = { ...plan({ path, range: days(0, 5) }, { path, range: days(5, 12) }), model };
  // Inside the scores that there are, so that both sides of it hold some.
  const score = [...scores].sort((a, b) => a - b)[2400];
  const run = { ...p, thresholds: [{ name: "challenge", score }], segment_by: ["hour", "weekday"] };
  const found = (await new MonitorRun(run).compare()).model!;
  assert.deepEqual([found.name, found.stage], [model.model.card.name, "shipped"]);
  const until_us = payments[2999].time_us - 7 * DAY_US;
  const isKnown = (r: number): boolean => payments[r].time_us <= until_us || payments[r].label === LABEL_FRAUD;
  const rows = payments.map((_, r) => r);
  const current = rows.filter((r) => r >= 5 * 192 && r < 12 * 192);
  const judge = (of: readonly number[]) => {
    const known = of.filter(isKnown);
    const alerted = known.filter((r) => scores[r] >= score);
    return [of.length, known.length, alerted.length, alerted.filter((r) => payments[r].label === LABEL_FRAUD).length];
  };
  const { payments: n, known, thresholds } = found.quality.current;
  assert.deepEqual([n, known, thresholds[0].alerted, thresholds[0].caught], judge(current));
  assert.ok(thresholds[0].alerted > 100 && known > thresholds[0].alerted && n > known);
  assert.equal(
    found.histogram.current.reduce((sum, c) => sum + c, 0),
    current.length,
  );
  assert.equal(found.histogram.current[19], current.filter((r) => scores[r] >= 0.95).length);
  assert.equal(found.score.current.rows, current.length);
  assert.deepEqual(
    found.segments.map((s) => [s.by, s.current.segments.length]),
    [
      ["hour", 4],
      ["weekday", found.segments[1].current.segments.length],
    ],
  );
  for (const [h, s] of found.segments[0].current.segments.entries()) {
    const [all, of_known, alerted, caught] = judge(current.filter((r) => r % 4 === h));
    assert.deepEqual([s.name, s.payments, s.known], [`hour = ${h}`, all, of_known]);
    assert.deepEqual([s.thresholds[0].alerted, s.thresholds[0].caught], [alerted, caught]);
  }
  const monday = found.segments[1].reference.segments.find((s) => s.name === "Monday");
  assert.equal(monday?.payments, 192);
  const twenty = { path: join(root, "twenty"), range: ALL };
  await assert.rejects(new MonitorRun({ ...p, reference: twenty, current: twenty }).compare(), (e) => {
    return e instanceof DifferentFeatures && /twenty has amount in column 0, the model \S+ has /.test(e.message);
  });
});

test("refuses exports of different features, a segmentation that they do not hold, and stops when told", async () => {
  const path = join(root, "other");
  const short = madePayments(10, 1, HOUR_US).map((p) => ({ ...p, values: p.values.slice(0, 3) }));
  writeExport(path, short, NAMES.slice(0, 3));
  const twenty = { path: join(root, "twenty"), range: ALL };
  await assert.rejects(new MonitorRun(plan(twenty, { path, range: ALL })).compare(), (e) => {
    return (
      e instanceof DifferentFeatures && /other has nothing in column 3, \S+twenty has user_speed_kmh/.test(e.message)
    );
  });
  const by_currency = { ...plan(twenty, twenty), segment_by: ["currency"] };
  await assert.rejects(new MonitorRun(by_currency).compare(), (e) => {
    return e instanceof UnknownSegmentation && /holds no currency/.test(e.message);
  });
  const stopped = { ...plan(twenty, twenty), signal: AbortSignal.abort(new Error("stop")) };
  await assert.rejects(new MonitorRun(stopped).compare(), /stop/);
});

function monitor(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

test("the command writes its report as text, JSON and a page, and ends by --strict", () => {
  const [twenty, shifted] = [join(root, "twenty"), join(root, "shifted")];
  const [json, html] = [join(root, "report.json"), join(root, "report.html")];
  const week = ["--reference", twenty, "--reference-from", "2026-01-05", "--reference-to", "2026-01-11"];
  const next = ["--current", twenty, "--from", "2026-01-12", "--to", "2026-01-18", "--model", "none"];
  const calm = monitor(...week, ...next, "--strict", "--json", json, "--html", html);
  assert.equal(calm.status, 0, calm.stderr);
  assert.match(calm.stdout, /reference {2}2,016 payments from 2026-01-05 to 2026-01-11/);
  assert.match(calm.stdout, /^amount +minor units +0\.0\d\d /m);
  assert.match(calm.stdout, /no alerts\n$/);
  const report = JSON.parse(readFileSync(json, "utf8"));
  assert.deepEqual([report.format, report.current.payments, report.features.length, report.model], [1, 2016, 4, null]);
  assert.match(readFileSync(html, "utf8"), /^<!doctype html>/);
  const drifted = [...week, "--current", shifted, "--model", "none"];
  const lax = monitor(...drifted);
  assert.deepEqual([lax.status, /^!! amount /m.test(lax.stdout)], [0, true], lax.stderr);
  const strict = monitor(...drifted, "--strict");
  assert.deepEqual([strict.status, /2 alerts, see above/.test(strict.stderr)], [1, true]);
  assert.equal(monitor(...drifted, "--strict", "--psi-alert", "99", "--ks-alert", "1").status, 0);
});

test("the command ends with 2 when an argument is wrong, with 1 when an export is", () => {
  const path = join(root, "twenty");
  const both = ["--reference", path, "--current", path, "--model", "none"];
  const wrong: [string[], RegExp][] = [
    [["--current", path], /--reference is required/],
    [["--reference", path], /--current is required/],
    [[...both, "--from", "yesterday"], /--from takes a day/],
    [[...both, "--from", "2026-01-09", "--to", "2026-01-08"], /--from is after --to/],
    [[...both, "--threshold", "2"], /--threshold takes a number/],
    [[...both, "--segment-by", "hour"], /--segment-by needs a model/],
    [[...both, "--json", ""], /--json takes a file/],
    [[...both, "--label-delay-days", "-1"], /label-delay-days/],
    [[...both, "--frobnicate"], /--frobnicate/],
  ];
  for (const [args, message] of wrong) {
    const { status, stdout, stderr } = monitor(...args);
    assert.deepEqual([status, stdout], [2, ""], args.join(" "));
    assert.match(stderr, message);
    assert.match(stderr, /npm run monitor/);
  }
  const nowhere = monitor("--reference", join(root, "nowhere"), "--current", path, "--model", "none");
  assert.deepEqual([nowhere.status, /nowhere does not exist/.test(nowhere.stderr)], [1, true]);
  const empty = monitor(...both, "--from", "2030-01-01");
  assert.deepEqual([empty.status, /none of them in the range/.test(empty.stderr)], [1, true]);
  assert.match(monitor("--help").stdout, /--label-delay-days/);
});
