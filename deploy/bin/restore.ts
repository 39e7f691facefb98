/**
 * `npm run restore`: a new data folder from a backup, as the journals were at a point in time.
 */

import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { newJournals } from "../backup/access.ts";
import { runRestore } from "../backup/restore_run.ts";
import { given, runCommand, WrongArgument } from "../commands/arguments.ts";
import { count, Progress } from "../progress.ts";

const HELP = `npm run restore -- --from DIR --data-dir NEW     a new data folder from a backup

  --from DIR                the backup
  --data-dir NEW            a folder that is not there, or is empty
  --at TIME                 as it was then: 2026-05-03T14:00:00Z, or microseconds since 1970 (default: all of it)
  --dry-run                 only verifies the backup and tells what would come back
  --json                    prints the summary as JSON
  --help                    this text

The journals get their ids and frame numbers back. Frames up to TIME of each shard come back, but for the few that build
on frames of other shards after TIME. Nodes of the cluster that was must have ended. Then start on it:
npm start -- --data-dir NEW --shards N, or npm run cluster -- --data-dir NEW --shards N. Its journals are those of one
nats-server. Let it keep its snapshots in NEW, or at another --snapshot-url than the cluster that was: the old ones
there are not loaded, and new ones, whose frames have lower numbers, would be taken for the oldest and removed.
Exit codes: 0 restored, 1 failed (a damaged file is named), 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  from: { type: "string" },
  "data-dir": { type: "string" },
  at: { type: "string" },
  "dry-run": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Microseconds since 1970. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (/^\d{10,16}$/.test(text)) return Number(text);
  // Without a zone it would be the reader's, which is not the writer's.
  const ms = /(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new WrongArgument("--at takes a time with its zone, e.g. 2026-05-03T14:00:00Z");
  return ms * 1000;
}

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const data_dir = resolve(given("data-dir", args["data-dir"]));
  const from = resolve(given("from", args.from));
  const at_us = timeOf(args.at);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const now_us = (): number => performance.now() * 1000;
  const shown = new Map<string, Progress>();
  const onFrames = (label: string, done: number, total: number): void => {
    let progress = shown.get(label);
    if (progress === undefined) {
      progress = new Progress({ label, unit: "frames", total, stream: process.stderr, now_us });
      shown.set(label, progress);
    }
    progress.update(done);
    if (done === total) progress.finish();
  };
  if (!args["dry-run"]) await mkdir(dirname(data_dir), { recursive: true });
  const report = await runRestore({
    from,
    data_dir,
    at_us,
    dry_run: args["dry-run"],
    open: newJournals,
    signal,
    onFrames,
    say,
  });
  if (args.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (args["dry-run"]) process.stdout.write(`${count(report.frames)} frames would come back\n`);
  else process.stdout.write(`${count(report.frames)} frames restored into ${data_dir}\n`);
  if (!report.has_secrets) say(`tenants.json and secrets.json are not in the backup: put them into ${data_dir}`);
});
