/**
 * `npm run reshard`: changes the number of shards of a cluster that is at rest.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openIdentity } from "../../gateway/identity/identity.ts";
import { ACCESS_HELP, ACCESS_OPTIONS, dataFolder, reach } from "../backup/access.ts";
import { given, runCommand, wholeIn } from "../commands/arguments.ts";
import { DEFAULT_RULES } from "../node/fraud_node.ts";
import { requireSecretsFile } from "../node/secrets_guard.ts";
import { count, Progress } from "../progress.ts";
import { tellNodeFolders } from "../reshard/node_folders.ts";
import { reshard } from "../reshard/reshard_run.ts";

const HELP = `npm run reshard -- --shards M     changes the number of shards of a cluster that is at rest

  --shards M                1..64
${ACCESS_HELP}
  --config-dir DIR          tenants.json and secrets.json (default: the data folder)
  --allow-entity-differences  go on when windows of merchants or devices differ: rows that come near the late tolerance
                            of an entity may be late for it in one order and not in another
  --json                    prints the summary as JSON
  --help                    this text

All rows with their decisions are written to new journals beside the old ones; these are read back, folded and
compared; the old ones are kept as streams FG_WAS_<N>_SHARDS_<id>_J<shard> (remove them when nobody wants them); then
the new ones take their place. It needs three times the room of the journals. Ended at any point, run it again.
Rows that nodes decided in between are never removed. Snapshots are of the old journals: those in the data folder are
set aside; nodes that share others (--snapshot-url) are to be started with another URL.
Exit codes: 0 done, 1 refused or failed, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  ...ACCESS_OPTIONS,
  shards: { type: "string" },
  "config-dir": { type: "string" },
  "allow-entity-differences": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const shards = wholeIn("shards", given("shards", args.shards), 1, 64);
  const data_dir = dataFolder(args);
  const config_dir = resolve(args["config-dir"] ?? data_dir);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  // New secrets would be made otherwise, and the next start with them would decide known ids anew.
  requireSecretsFile(config_dir);
  const tenants_path = join(config_dir, "tenants.json");
  const { tenants } = openIdentity({ tenants_path, secrets_path: join(config_dir, "secrets.json") });
  const access = await reach(args, say);
  const now_us = (): number => performance.now() * 1000;
  let progress: Progress | null = null;
  let doing = "";
  try {
    const report = await reshard({
      link: access.link,
      shards,
      tenants,
      rules: JSON.parse(readFileSync(DEFAULT_RULES, "utf8")),
      allow_entity_differences: args["allow-entity-differences"],
      sleep: async (ms) => {
        await delay(ms, undefined, { signal });
      },
      say,
      onRows: (what, rows) => {
        signal.throwIfAborted();
        if (what !== doing) progress = new Progress({ label: what, unit: "rows", stream: process.stderr, now_us });
        doing = what;
        progress?.update(rows);
      },
    });
    const changed = await tellNodeFolders(data_dir, shards);
    if (args.json) process.stdout.write(`${JSON.stringify({ ...report, node_folders: changed }, null, 2)}\n`);
    else if (report.before === shards) process.stdout.write(`there are ${shards} shards already\n`);
    else {
      const { before, rows, frames_before, frames_after, kept } = report;
      process.stdout.write(
        `${before} shards are ${shards} now: ${count(rows)} rows, ${count(frames_before)} frames became ` +
          `${count(frames_after)}; the old journals are kept as ${kept}0..${before - 1}\n`,
      );
    }
  } finally {
    await access.close();
  }
});
