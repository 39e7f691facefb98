/**
 * `npm run accuracy`: what the whole path is worth on a labelled data set. Streams the history through a node of its
 * own, trains on features that its actors exported, decides the test days with the trained model and measures.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { accuracyReport } from "../commands/accuracy_report.ts";
import { AccuracyRun } from "../commands/accuracy_run.ts";
import { dayEndUs, dayStartUs, given, numberIn, runCommand, WrongArgument } from "../commands/arguments.ts";
import { withFolder } from "../commands/scratch_folder.ts";
import { loadMapping } from "../datasets/mapping.ts";

const HELP = `npm run accuracy -- --data DIR [--data DIR2] --format handbook --train-from D --train-to D --from D --to D

Streams a labelled history through a fresh node in event order, reports each fraud when it becomes known, trains on the
training days with the labels known by then, restarts the node with that model, decides the test days and measures.

  --data DIR              folder of the data set; several are read as one history
  --format NAME|FILE      column mapping: handbook, sparkov, evalml-cards, or a .json file (default handbook)
  --train-from, --train-to D   training days, both ends included, e.g. 2018-07-25 2018-07-31
  --from, --to D          test days, both ends included
  --label-delay-days N    days until a fraud becomes known (default 7)
  --set NAME=VALUE        another training parameter than the default, e.g. trees=200; see train.py --help
  --scores FILE           writes the scores of the test days: id,score
  --json FILE             writes the results
  --work DIR              keeps journals, exports and the model there (must be new); otherwise they are removed
  --help                  this text

Example: npm run accuracy -- --data ../shared/data/handbook --format handbook --train-from 2018-07-25 \\
  --train-to 2018-07-31 --from 2018-08-08 --to 2018-08-14 --label-delay-days 7 --json accuracy.json
Exit codes: 0 measured, 1 failed or the windows differ from the data set's own features, 2 wrong arguments.`;

const OPTIONS = {
  data: { type: "string", multiple: true },
  format: { type: "string", default: "handbook" },
  "train-from": { type: "string" },
  "train-to": { type: "string" },
  from: { type: "string" },
  to: { type: "string" },
  "label-delay-days": { type: "string", default: "7" },
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
  const plan = {
    data: args.data as string[],
    mapping: await loadMapping(args.format),
    train_from_us: dayStartUs("train-from", args["train-from"]),
    train_to_us: dayEndUs("train-to", args["train-to"]),
    from_us: dayStartUs("from", args.from),
    to_us: dayEndUs("to", args.to),
    label_delay_days: numberIn("label-delay-days", args["label-delay-days"], 0, 365),
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
