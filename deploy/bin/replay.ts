/**
 * `npm run replay`: days of a data set through the real gRPC stream, earlier history first.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { FraudClient } from "../client/fraud_client.ts";
import { dayEndUs, dayStartUs, given, numberIn, runCommand, WrongArgument } from "../commands/arguments.ts";
import { type NodeProcess, prepareTenant, readReady, startNodeProcess } from "../commands/node_process.ts";
import { replay, replayReport } from "../commands/replay_run.ts";
import { withFolder } from "../commands/scratch_folder.ts";
import { loadMapping } from "../datasets/mapping.ts";

const HELP = `npm run replay -- --data DIR --from D --to D     real payments in event order through the real stream

  --data DIR              folder of the data set; several are read as one history
  --format NAME|FILE      column mapping: handbook, sparkov, evalml-cards, or a .json file (default handbook)
  --from, --to D          days to decide, both ends included, e.g. 2018-08-08 2018-08-14; what lies before is recorded
                          without decisions first
  --label-delay-days N    days until a fraud is reported (default 7)
  --ready FILE            uses the running node of this ready.json (e.g. data/ready.json) instead of starting one
  --model DIR             model of the node that is started (default: the shipped one)
  --data-dir DIR          keeps the data of the node that is started (must be new); otherwise it is removed
  --json                  prints the summary as JSON
  --help                  this text

Example: npm run replay -- --data ../shared/data/handbook --from 2018-08-08 --to 2018-08-14
Exit codes: 0 replayed, 1 failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  data: { type: "string", multiple: true },
  format: { type: "string", default: "handbook" },
  from: { type: "string" },
  to: { type: "string" },
  "label-delay-days": { type: "string", default: "7" },
  ready: { type: "string" },
  model: { type: "string" },
  "data-dir": { type: "string" },
  json: { type: "boolean", default: false },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  given("data", args.data?.[0]);
  const mapping = await loadMapping(args.format);
  const plan = {
    data: args.data as string[],
    mapping,
    from_us: dayStartUs("from", args.from),
    to_us: dayEndUs("to", args.to),
    label_delay_days: numberIn("label-delay-days", args["label-delay-days"], 0, 365),
    signal,
  };
  if (plan.from_us >= plan.to_us) throw new WrongArgument("--from must not be after --to");
  const through = async (grpc: string, api_key: string) => {
    const client = new FraudClient(grpc, api_key);
    try {
      const result = await replay({ ...plan, client });
      process.stdout.write(args.json ? `${JSON.stringify(result, null, 2)}\n` : replayReport(result));
    } finally {
      client.close();
    }
  };
  if (args.ready !== undefined) {
    const { grpc, api_key } = await readReady(args.ready);
    return through(grpc, api_key);
  }
  await withFolder(args["data-dir"], async (dir) => {
    const data_dir = join(dir, "node");
    prepareTenant(data_dir, String(mapping.columns.currency?.value ?? "USD"));
    const model = args.model === undefined ? [] : ["--model", resolve(args.model)];
    const node: NodeProcess = await startNodeProcess({ data_dir, args: model });
    try {
      await through(node.grpc, node.api_key);
    } finally {
      await node.stop();
    }
  });
});
