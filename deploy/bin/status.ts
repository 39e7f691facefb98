/**
 * `npm run status`: who is there, who has which shard, how far behind followers are, memory, moves in progress.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { NotDone, Operator } from "../commands/admin_run.ts";
import { findTargets, TARGET_HELP, TARGET_OPTIONS } from "../commands/admin_targets.ts";
import { runCommand } from "../commands/arguments.ts";
import { statusReport } from "../commands/status_report.ts";

const HELP = `npm run status -- [options]     nodes, shards, owners, lags, memory and moves of a cluster that runs

${TARGET_HELP}
  --json                  prints {nodes, shards, moves, problems} as JSON
  --watch                 prints again every 2 seconds, until Ctrl-C
  --help                  this text

Exit codes: 0 every node answers and every shard has its owner and follower, 1 something is not as it should be or no
node answers, 2 wrong arguments, 130 interrupted.`;

const OPTIONS = {
  ...TARGET_OPTIONS,
  json: { type: "boolean", default: false },
  watch: { type: "boolean", default: false },
} as const;

const WATCH_MS = 2000;
const CLEAR = "\u001b[2J\u001b[H";

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const operator = new Operator(await findTargets(args));
  try {
    for (;;) {
      const status = await operator.status().catch((e: Error) => {
        if (args.watch && e instanceof NotDone) return e;
        throw e;
      });
      signal.throwIfAborted();
      if (status instanceof NotDone) process.stdout.write(`${status.message}\n`);
      else if (args.json) process.stdout.write(`${JSON.stringify(status, null, args.watch ? 0 : 2)}\n`);
      else process.stdout.write(`${args.watch ? CLEAR : ""}${statusReport(status)}`);
      if (!args.watch) {
        if (status instanceof NotDone || status.problems.length > 0) process.exit(1);
        return;
      }
      await delay(WATCH_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  } finally {
    operator.close();
  }
});
