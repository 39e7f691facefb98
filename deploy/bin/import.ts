/**
 * `npm run import`: months of past payments into a running node, so that it knows its users and merchants.
 */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { FraudClient } from "../client/fraud_client.ts";
import { given, runCommand, WrongArgument } from "../commands/arguments.ts";
import { readCheckpoint, sourceOf } from "../commands/import_checkpoint.ts";
import { openImportFile } from "../commands/import_rows.ts";
import { ImportRun } from "../commands/import_run.ts";
import { readReady } from "../commands/node_process.ts";
import { RejectFile } from "../commands/reject_file.ts";
import { partsOf } from "../datasets/history.ts";
import { loadMapping, SHIPPED_MAPPINGS } from "../datasets/mapping.ts";
import { DATA_DIR } from "../engines/files.ts";
import { count, duration, Progress } from "../progress.ts";

const HELP = `npm run import -- --data PATH --mapping FILE     past payments into a running node, without decisions

  --data PATH             a folder, or a .csv, .jsonl or .parquet file (text also .gz); several are imported in this
                          order, files of a folder by name: oldest first
  --mapping NAME|FILE     column mapping (deploy/datasets/README.md): a .json file, or one of
                          ${SHIPPED_MAPPINGS.join(", ")}
  --attributes            sends the mapping's attributes too; the tenant must have declared them as numbers
  --ready FILE            ready.json of the node (default data/ready.json)
  --grpc HOST:PORT        a node elsewhere, with --api-key KEY (or the environment's FRAUDGUARD_API_KEY)
  --rejects FILE          rows that cannot be used, one JSON object a line with the reason
  --checkpoint FILE       how far it came; both lie in the folder "imports" beside ready.json by default
  --restart               begin anew; payments that the node knows are not counted twice
  --json                  prints the summary as JSON
  --help                  this text

Ended or killed, it goes on where it was when it is run again with the same arguments.
Exit codes: 0 imported (look at the count of rejects), 1 failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  data: { type: "string", multiple: true },
  mapping: { type: "string" },
  ready: { type: "string", default: join(DATA_DIR, "ready.json") },
  grpc: { type: "string" },
  "api-key": { type: "string" },
  rejects: { type: "string" },
  checkpoint: { type: "string" },
  attributes: { type: "boolean", default: false },
  restart: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  given("data", args.data?.[0]);
  const mapping = await loadMapping(given("mapping", args.mapping));
  const parts = await partsOf(
    (args.data as string[]).map((p) => resolve(p)),
    mapping,
  );
  const paths = parts.map(({ path }) => path);
  const source = await sourceOf(paths, mapping);
  const api_key = args["api-key"] ?? process.env["FRAUDGUARD_API_KEY"];
  if (args.grpc !== undefined && api_key === undefined) throw new WrongArgument("--grpc needs --api-key");
  const node = args.grpc === undefined ? await readReady(args.ready) : { grpc: args.grpc, api_key: api_key as string };
  const folder = args.grpc === undefined ? dirname(resolve(args.ready)) : DATA_DIR;
  const told = createHash("sha256")
    .update(`${args.grpc ?? ""}\n${paths.join("\n")}`)
    .digest("hex")
    .slice(0, 12);
  const stem = join(folder, "imports", `${basename(paths[0])}-${told}`);
  const [checkpoint, rejects] = [args.checkpoint ?? `${stem}.json`, args.rejects ?? `${stem}.rejects.jsonl`];
  if (args.restart) await rm(checkpoint, { force: true });
  const place = await readCheckpoint(checkpoint, source);
  const files = [];
  for (const { path, part } of parts) files.push(await openImportFile(path, mapping, part));
  const total = files.reduce((sum, f) => sum + f.total, 0);
  const start = place.done ? total : files.slice(0, place.files).reduce((sum, f) => sum + f.total, place.rows);
  if (place.done) process.stderr.write("imported before; --restart sends it again\n");
  else if (start > 0) process.stderr.write(`going on behind row ${count(start)}\n`);
  const now_us = () => performance.now() * 1000;
  const progress = new Progress({ label: "importing", unit: "rows", total, start, stream: process.stderr, now_us });
  const client = new FraudClient(node.grpc, node.api_key);
  const reject_file = new RejectFile(rejects, place.reject_bytes);
  const began = performance.now();
  const earlier = place.recorded;
  const { attributes } = args;
  const plan = { client, files, attributes, checkpoint, source, rejects: reject_file, progress, signal };
  try {
    await new ImportRun(plan, place).run();
  } finally {
    client.close();
    reject_file.close();
  }
  progress.update(total);
  progress.finish();
  const elapsed_s = (performance.now() - began) / 1000;
  const { recorded, rejected } = place;
  const summary = { recorded, rejected, recorded_now: recorded - earlier, elapsed_s, checkpoint, rejects };
  if (args.json) process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
  else {
    const aside = rejected > 0 ? `, ${count(rejected)} rejected (${rejects})` : "";
    process.stdout.write(`${count(recorded)} payments recorded${aside} in ${duration(elapsed_s)}\n`);
  }
});
