/**
 * `npm run accuracy`: what the whole path is worth on a labelled data set. Streams the history through a node of its
 * own, trains on features that its actors exported, decides the test days with the trained model and measures.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { accuracyReport } from "../commands/accuracy_report.ts";
import { AccuracyRun } from "../commands/accuracy_run.ts";
import { given, runCommand, WrongArgument } from "../commands/arguments.ts";
import { DayArguments } from "../commands/day_arguments.ts";
import { withFolder } from "../commands/scratch_folder.ts";
import { pathsApart } from "../datasets/history.ts";
import { loadMapping, SHIPPED_MAPPINGS } from "../datasets/mapping.ts";

const HELP = `npm run accuracy -- --data DIR [--data DIR2] --format handbook --train-from D --train-to D --from D --to D

Streams a labelled history through a fresh node in event order, reports each fraud when it becomes known, trains on the
training days with the labels known by then, restarts the node with that model, decides the test days and measures.
Payments without a label are scored, never learnt from and never judged.

  --data DIR              folder of the data set; several are read as one history
  --format NAME|FILE      column mapping: ${SHIPPED_MAPPINGS.join(", ")}, or a .json file
                          (default handbook)
  --train-from, --train-to D   training days, both ends included, e.g. 2018-07-25 2018-07-31
  --from, --to D          test days, both ends included
  --label-delay-days N    days until a fraud becomes known (default 7)
  --label-delay-rows N    the same as a number of rows, where D is a row (s-ffsd: the default of 7 days is 2000 rows)
  --set NAME=VALUE        another training parameter than the default, e.g. trees=200; see train.py --help
  --scores FILE           writes the scores of the test days: id,score
  --json FILE             writes the results
  --work DIR              keeps journals, exports and the model there (must be new); otherwise they are removed
  --help                  this text

D is a date (handbook, sparkov, evalml-cards), or a whole number from 0: of a day (ucsd2009), of a row (s-ffsd), of a
step (amlsim). Data without dates starts at 2020-01-01.
amlsim: the last --data is the graph that is tested, those before it are trained on; D counts in its own graph and may
be left out (all steps). Judged are accounts, each by its highest payment, then the same without the accounts that
are flagged in a graph trained on as well; no label is reported to the node.

Examples:
  npm run accuracy -- --data ../shared/data/handbook --format handbook --train-from 2018-07-25 \\
    --train-to 2018-07-31 --from 2018-08-08 --to 2018-08-14 --label-delay-days 7 --json accuracy.json
  npm run accuracy -- --data ../shared/data/s-ffsd --format s-ffsd --train-from 0 --train-to 46727 \\
    --from 46728 --to 62303 --label-delay-rows 2000
  npm run accuracy -- --data ../shared/data/amlsim/cycle200 --data ../shared/data/amlsim/fanin200 --format amlsim
Exit codes: 0 measured, 1 failed or the windows differ from the data set's own features, 2 wrong arguments.`;

const OPTIONS = {
  data: { type: "string", multiple: true },
  format: { type: "string", default: "handbook" },
  "train-from": { type: "string" },
  "train-to": { type: "string" },
  from: { type: "string" },
  to: { type: "string" },
  "label-delay-days": { type: "string" },
  "label-delay-rows": { type: "string" },
  set: { type: "string", multiple: true },
  scores: { type: "string" },
  json: { type: "string" },
  work: { type: "string" },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  given("data", args.data?.[0]);
  const parameters = Object.fromEntries(
    (args.set ?? []).map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new WrongArgument("--set takes NAME=VALUE");
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  const mapping = await loadMapping(args.format);
  const data = await pathsApart(args.data as string[], mapping);
  if (mapping.accounts !== undefined && data.length < 2) {
    throw new WrongArgument(`--format ${args.format} takes two --data or more: what to train on, then what to test on`);
  }
  const days = new DayArguments(mapping);
  // Where paths are kept apart the last one is tested, and a day counts in its own path.
  const last = mapping.apart_us === undefined ? 0 : data.length - 1;
  const plan = {
    data,
    mapping,
    train_from_us: days.startUs("train-from", args["train-from"]),
    train_to_us: days.endUs("train-to", args["train-to"], Math.max(last - 1, 0)),
    from_us: days.startUs("from", args.from, last),
    to_us: days.endUs("to", args.to, last),
    label_delay_days: days.labelDelayDays(args["label-delay-days"], args["label-delay-rows"]),
    parameters,
  };
  if (!(plan.train_from_us < plan.train_to_us && plan.train_to_us <= plan.from_us && plan.from_us < plan.to_us)) {
    throw new WrongArgument("the days must come in the order train-from, train-to, from, to");
  }
  await withFolder(args.work, async (dir) => {
    const run = new AccuracyRun({ ...plan, dir, signal });
    const result = await run.measure();
    if (args.scores !== undefined) await writeFile(args.scores, run.scoresCsv());
    if (args.json !== undefined) await writeFile(args.json, `${JSON.stringify(result, null, 2)}\n`);
    process.stdout.write(accuracyReport(result));
    if (result.windows !== null && result.windows.different > 0) throw new Error("the windows differ, see above");
  });
});
