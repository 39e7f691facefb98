/**
 * `npm run monitor`: has what the model sees moved since a reference, and is the model still as good, as far as labels
 * are known by now.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readDefinition } from "../../actors/rules/definition.ts";
import { dayEndUs, dayStartUs, given, numberIn, runCommand, WrongArgument, wholeIn } from "../commands/arguments.ts";
import { BOOTSTRAP } from "../metrics/bootstrap.ts";
import { REGISTRY_FOLDER } from "../models/files.ts";
import { openModel } from "../models/open_model.ts";
import type { TimeRange } from "../monitoring/export_rows.ts";
import { type MonitorPlan, MonitorRun } from "../monitoring/monitor_run.ts";
import type { Threshold } from "../monitoring/quality.ts";
import { reportHtml } from "../monitoring/report_html.ts";
import { reportText } from "../monitoring/report_text.ts";
import { Progress } from "../progress.ts";

/** Those of a node that is given none. Not imported from the node, which would be loaded with all it needs. */
const DEFAULT_RULES = new URL("../../actors/rules/default_rules.json", import.meta.url);

const HELP = `npm run monitor -- --reference EXPORT --current EXPORT [options]

Compares two sets of payments of feature exports (npm start -- --export-features, or what npm run train or accuracy kept
with --work): how far each feature and the score have moved (PSI, Kolmogorov-Smirnov), and how good the model is where
labels are known by now, with 95 % intervals, overall and by segment. Nothing is sampled.

  --reference EXPORT      what to compare with, e.g. the weeks that the model was trained on
  --reference-from, --reference-to D   its days, both ends included (default: all)
  --current EXPORT        what to look at; may be the same export with other days
  --from, --to D          its days, both ends included (default: all)
  --model DIR|none        a signed model's folder, of the export's features; none: the features alone (default: the
                          registry's champion or, without one, the shipped model)
  --registry DIR          of models (default data/models)
  --trusted-keys FILE     keys that the model may be signed with, beside those of the registry; may be given again
  --rules FILE            rule set whose thresholds are judged: challenge (the operating one), review, block (default:
                          the shipped rules)
  --threshold S           another score to judge, 0..1; may be given again
  --label-delay-days N    a payment that nobody reported is genuine when it is this old, unknown before (default 7)
  --mature-only           judges only payments older than that, also where others were reported already
  --as-of D               the exports were told of every report up to the end of this day (default: up to their last
                          payment; each part of a folder for itself)
  --segment-by NAME       the same by this: a feature (hour, channel_code, amount, ...) or weekday; may be given again.
                          Segments with fewer than 100 known payments are pooled
  --psi-alert X           alerts from this PSI on (default 0.25)
  --ks-alert X            alerts from this Kolmogorov-Smirnov distance on (default 0.1)
  --fpr-ratio-alert X     alerts when a segment's false positive rate is so many times another's (default 2)
  --resamples N           of the bootstrap intervals (default ${BOOTSTRAP.resamples})
  --json FILE, --html FILE   writes the report there; the page needs nothing from elsewhere
  --strict                exits 1 when there is an alert
  --help                  this text

D is a date, e.g. 2018-07-25 (UTC, event time).
Exit codes: 0 compared, 1 an export or the model cannot be used or, with --strict, there is an alert, 2 wrong arguments,
130 interrupted.`;

const text = { type: "string" } as const;
const OPTIONS = {
  reference: text,
  "reference-from": text,
  "reference-to": text,
  current: text,
  from: text,
  to: text,
  model: text,
  registry: { type: "string", default: join("data", REGISTRY_FOLDER) },
  "trusted-keys": { type: "string", multiple: true },
  rules: text,
  threshold: { type: "string", multiple: true },
  "label-delay-days": { type: "string", default: "7" },
  "mature-only": { type: "boolean", default: false },
  "as-of": text,
  "segment-by": { type: "string", multiple: true },
  "psi-alert": { type: "string", default: "0.25" },
  "ks-alert": { type: "string", default: "0.1" },
  "fpr-ratio-alert": { type: "string", default: "2" },
  resamples: { type: "string", default: String(BOOTSTRAP.resamples) },
  json: text,
  html: text,
  strict: { type: "boolean", default: false },
} as const;

function readArguments() {
  return parseArgs({ options: OPTIONS, allowPositionals: false }).values;
}

type Arguments = ReturnType<typeof readArguments>;

function rangeOf(from: string, to: string, args: Readonly<Record<string, unknown>>): TimeRange {
  const day = (name: string): string | undefined => args[name] as string | undefined;
  const range = {
    from_us: day(from) === undefined ? Number.NEGATIVE_INFINITY : dayStartUs(from, day(from)),
    to_us: day(to) === undefined ? Number.POSITIVE_INFINITY : dayEndUs(to, day(to)),
  };
  if (range.from_us >= range.to_us) throw new WrongArgument(`--${from} is after --${to}`);
  return range;
}

/** Thresholds of the rule set, the mildest outcome first, then those given. */
async function thresholdsOf(args: Arguments): Promise<Threshold[]> {
  const given_scores = (args.threshold ?? []).map((t) => ({ name: t, score: numberIn("threshold", t, 0, 1) }));
  const rules = readDefinition(JSON.parse(await readFile(args.rules ?? DEFAULT_RULES, "utf8")));
  const of_rules = Object.entries(rules.thresholds).flatMap(([name, score]) =>
    score === null ? [] : [{ name, score }],
  );
  return [...of_rules, ...given_scores];
}

async function planOf(args: Arguments): Promise<Omit<MonitorPlan, "signal">> {
  const reference = {
    path: given("reference", args.reference),
    range: rangeOf("reference-from", "reference-to", args),
  };
  const current = { path: given("current", args.current), range: rangeOf("from", "to", args) };
  for (const name of ["json", "html"] as const) {
    if (args[name] === "") throw new WrongArgument(`--${name} takes a file`);
  }
  const limits = {
    psi: numberIn("psi-alert", args["psi-alert"], 0, 100),
    ks: numberIn("ks-alert", args["ks-alert"], 0, 1),
    false_positive_ratio: numberIn("fpr-ratio-alert", args["fpr-ratio-alert"], 1, 1e6),
  };
  const label_delay_days = numberIn("label-delay-days", args["label-delay-days"], 0, 365);
  const bootstrap = { ...BOOTSTRAP, resamples: wholeIn("resamples", args.resamples, 1, 100_000) };
  const as_of = args["as-of"];
  const now = as_of === undefined ? {} : { now_us: dayEndUs("as-of", as_of) };
  const thresholds = await thresholdsOf(args);
  const found = args.model === undefined ? {} : { model_dir: args.model };
  const trusted_keys = args["trusted-keys"] ?? [];
  const model = args.model === "none" ? null : await openModel({ ...found, registry_dir: args.registry, trusted_keys });
  const segment_by = [...new Set(args["segment-by"] ?? [])];
  if (model === null && segment_by.length > 0) throw new WrongArgument("--segment-by needs a model");
  const judged = { label_delay_days, mature_only: args["mature-only"], ...now };
  return { reference, current, model, thresholds, segment_by, ...judged, limits, bootstrap };
}

await runCommand(HELP, async (signal) => {
  const args = readArguments();
  const plan = await planOf(args);
  const now_us = (): number => performance.now() * 1000;
  let progress: Progress | undefined;
  const onRows = (done: number, total: number): void => {
    progress ??= new Progress({ label: "reading", unit: "payments", total, stream: process.stderr, now_us });
    progress.update(done);
  };
  const report = await new MonitorRun({ ...plan, signal, onRows }).compare();
  progress?.finish();
  if (args.json !== undefined) await writeFile(args.json, `${JSON.stringify(report, null, 2)}\n`);
  if (args.html !== undefined) await writeFile(args.html, reportHtml(report));
  process.stdout.write(reportText(report));
  if (args.strict && report.alerts.length > 0) throw new Error(`${report.alerts.length} alerts, see above`);
});
