/**
 * `npm run admin`: takes shards away from a node and gives them back, changes weights, and waits until it is done.
 */
import { parseArgs } from "node:util";
import { WEIGHT_MAX } from "../../gateway/control/operations.ts";
import { drainLeft, movesLeft, Operator, shardsText } from "../commands/admin_run.ts";
import { findTargets, TARGET_HELP, TARGET_OPTIONS } from "../commands/admin_targets.ts";
import { numberIn, runCommand, WrongArgument, wholeIn } from "../commands/arguments.ts";
import { movesReport } from "../commands/status_report.ts";

const HELP = `npm run admin -- COMMAND [options]     operates a cluster that runs

  drain NODE              it hands its shards over and wants none, also after a restart; it goes on taking payments
  undrain NODE            it wants shards by its weight again
  weight NODE N           its share of the shards against other nodes' weights, 0..${WEIGHT_MAX}, also after a restart
  rebalance               every node hands over now what others should own
${TARGET_HELP}
  --wait-s N              waits so long until it is done, seconds (default 60; 0 does not wait)
  --help                  this text

Payments go on all the while: a gateway asks the new owner.
Exit codes: 0 done, 1 not done or no node answers, 2 wrong arguments, 130 interrupted (what was asked for goes on).`;

const OPTIONS = { ...TARGET_OPTIONS, "wait-s": { type: "string", default: "60" } } as const;

/** Positional arguments of each command. */
const COMMANDS: Readonly<Record<string, number>> = { drain: 1, undrain: 1, weight: 2, rebalance: 0 };

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function run(operator: Operator, command: string, [node, n]: readonly string[]): Promise<void> {
  if (command === "drain") {
    const shards = await operator.drain(node);
    say(`${node} ${shards.length === 0 ? "owns no shards" : `hands over ${shardsText(shards)}`} and wants none`);
  } else if (command === "undrain") {
    const weight = await operator.undrain(node);
    say(`${node} wants shards by its weight ${weight}`);
  } else if (command === "weight") {
    const weight = numberIn("weight", n, 0, WEIGHT_MAX);
    const { weightBefore, drained } = await operator.setWeight(node, weight);
    say(`the weight of ${node} is ${weight}, it was ${weightBefore}${drained ? "; it is drained" : ""}`);
  } else {
    await operator.rebalance();
    const { moves } = await operator.status();
    say(moves.length === 0 ? "every shard is where it should be" : movesReport(moves));
  }
}

await runCommand(HELP, async (signal) => {
  const { values: args, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const [command, ...rest] = positionals;
  const count = COMMANDS[command ?? ""];
  if (command === undefined || count === undefined) {
    throw new WrongArgument(`name a command: ${Object.keys(COMMANDS).join(", ")}`);
  }
  if (rest.length !== count) throw new WrongArgument(`${command} takes ${count} arguments`);
  if (command === "weight") numberIn("weight", rest[1], 0, WEIGHT_MAX);
  const wait_s = wholeIn("wait-s", args["wait-s"], 0, 86_400);
  const operator = new Operator(await findTargets(args));
  try {
    const started = performance.now();
    await run(operator, command, rest);
    if (wait_s === 0) return;
    const [node] = rest;
    const left = command === "drain" ? (s: Parameters<typeof movesLeft>[0]) => drainLeft(node, s) : movesLeft;
    await operator.settled({ left, wait_s, say, signal });
    say(`done after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  } finally {
    operator.close();
  }
});
