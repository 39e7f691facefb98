/**
 * `npm run purge`: frees what nobody needs any more of a cluster's journals.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ACCESS_HELP, ACCESS_OPTIONS, dataFolder, reach } from "../backup/access.ts";
import { BackupError } from "../backup/errors.ts";
import { readManifest } from "../backup/manifest.ts";
import { nodeFolders, snapshotPlaces } from "../backup/places.ts";
import { runPurge } from "../backup/purge_run.ts";
import { numberIn, runCommand } from "../commands/arguments.ts";
import { count } from "../progress.ts";

const HELP = `npm run purge -- [options]     frees what nobody needs any more of the journals

${ACCESS_HELP}
  --snapshot-url URL        where nodes share their snapshots (default: in the data folder, all or each node its own)
  --backup DIR              keep what this backup does not hold yet
  --horizon-h N             hours of frames that are kept whatever else (default 24, the retry horizon; less only for
                            tests: a repeat of what was purged is answered EXPIRED)
  --dry-run                 only tells how far each journal could be purged, and what holds it
  --json                    prints that as JSON
  --help                    this text

Kept is what the older of two verified snapshots at every place, an inbox, the retry horizon or the backup needs, and
always the newest frame. A node that has no snapshot of its own, nor a shared one, holds all. Nodes are those with a
folder in --data-dir: others, with snapshots of their own elsewhere, hold nothing, and say JournalPurged when they need
what is gone. Give all nodes one --snapshot-url then, and name it here.
Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  ...ACCESS_OPTIONS,
  "snapshot-url": { type: "string" },
  backup: { type: "string" },
  "horizon-h": { type: "string", default: "24" },
  "dry-run": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;
const HOUR_US = 3600e6;
const HOURS_MAX = 24 * 366;

await runCommand(HELP, async () => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const horizon_us = numberIn("horizon-h", args["horizon-h"], 0, HOURS_MAX) * HOUR_US;
  const backup = args.backup === undefined ? null : await readManifest(resolve(args.backup));
  if (args.backup !== undefined && backup === null)
    throw new BackupError("not_a_backup", `no backup in ${args.backup}`);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const access = await reach(args, say);
  try {
    const { journals, maintenance } = access;
    const data_dir = dataFolder(args);
    const places = snapshotPlaces(args["snapshot-url"], data_dir, await nodeFolders(data_dir), process.env);
    const done = await runPurge({ journals, maintenance, places, backup, horizon_us, dry_run: args["dry-run"], say });
    if (args.json) process.stdout.write(`${JSON.stringify(done, null, 2)}\n`);
    else {
      for (const d of done) {
        const verb = args["dry-run"] ? "could be purged" : "purged";
        const gone = `frames ${d.first_before} to ${d.last}; ${count(d.purged_frames)} ${verb}`;
        process.stdout.write(`shard ${d.shard}: ${gone}; from ${d.keep_from} on held by ${d.held_by}\n`);
      }
    }
  } finally {
    await access.close();
  }
});
