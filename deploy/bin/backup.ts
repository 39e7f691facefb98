/**
 * `npm run backup`: copies what a cluster's journals hold into a folder, while it runs.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ACCESS_HELP, ACCESS_OPTIONS, dataFolder, reach } from "../backup/access.ts";
import { runBackup } from "../backup/backup_run.ts";
import { nodeFolders, snapshotPlaces } from "../backup/places.ts";
import { given, runCommand } from "../commands/arguments.ts";
import { CHECKOUT_DIR } from "../engines/files.ts";
import { count, Progress } from "../progress.ts";

const HELP = `npm run backup -- --to DIR     copies what the journals of a running cluster hold, without stopping it

  --to DIR                  the backup's folder; a later run into it copies only what came since
${ACCESS_HELP}
  --snapshot-url URL        where nodes share their snapshots (default: in the data folder, all or each node its own);
                            they are copied where a journal was purged
  --with-secrets            also tenants.json, secrets.json and cluster.key. WITHOUT THEM NOTHING OF A RESTORED CLUSTER
                            CAN BE OPENED: keep them somewhere, if not here. With them, who has the folder has all
  --config-dir DIR          where those are, and the nodes' rule sets (default: the data folder)
  --json                    prints the summary as JSON
  --help                    this text

Every frame is verified with its checksum chain while it is copied, and every file is synced. Ended or killed, it goes
on where it was when it is run again. A journal that is another one, or shorter than the backup, is refused.
Exit codes: 0 copied, 1 failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  ...ACCESS_OPTIONS,
  to: { type: "string" },
  "snapshot-url": { type: "string" },
  "with-secrets": { type: "boolean", default: false },
  "config-dir": { type: "string" },
  json: { type: "boolean", default: false },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const folder = resolve(given("to", args.to));
  const data_dir = dataFolder(args);
  const config_dir = resolve(args["config-dir"] ?? data_dir);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const access = await reach(args, say);
  const now_us = (): number => performance.now() * 1000;
  const progress = new Progress({ label: "copying", unit: "frames", stream: process.stderr, now_us });
  try {
    const nodes = await nodeFolders(data_dir);
    const { version } = JSON.parse(readFileSync(join(CHECKOUT_DIR, "package.json"), "utf8"));
    const report = await runBackup({
      folder,
      journals: access.journals,
      maintenance: access.maintenance,
      places: snapshotPlaces(args["snapshot-url"], data_dir, nodes, process.env),
      nodes: [config_dir, ...nodes],
      secrets_from: args["with-secrets"] ? config_dir : null,
      code: version,
      wallUs: () => Date.now() * 1000,
      pause: delay,
      signal,
      onFrames: (done, total) => progress.update(done, `of ${count(total)}`),
      say,
    });
    progress.update(report.journals.reduce((sum, j) => sum + Math.max(0, j.last - j.first + 1), 0));
    progress.finish();
    if (args.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    else {
      for (const j of report.journals) {
        const until = j.last < j.first ? "" : `, up to ${new Date(j.last_time_us / 1000).toISOString()}`;
        process.stdout.write(`shard ${j.shard}: frames ${j.first} to ${j.last}${until}; new ${count(j.copied)}\n`);
      }
      process.stdout.write(`${count(report.copied_frames)} frames copied to ${folder}\n`);
    }
    if (!report.has_secrets) {
      say("THE SECRETS ARE NOT IN THIS BACKUP: without tenants.json and secrets.json nothing of it can be opened,");
      say("nor a cluster restored from it decide for its users. Keep them somewhere, or add --with-secrets.");
    }
  } finally {
    await access.close();
  }
});
