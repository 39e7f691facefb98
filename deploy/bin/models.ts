/**
 * `npm run models`: the registry of models. Who made a version, who approved it, what is used, and whether the files
 * are still those that were signed.
 */
import { parseArgs } from "node:util";
import { runCommand } from "../commands/arguments.ts";
import { MODELS_OPTIONS, ModelsCommand, NotAsSigned } from "../models/models_command.ts";

const HELP = `npm run models -- COMMAND [options]     which model decides, who made it, who approved it

  list                      versions with their stages, and the keys that are trusted
  show NAME                 one version: where it comes from, what was done to it by whom
  verify [NAME|DIR]         checks signatures and files: of everything here, of one version, or of a model's folder
  key --name NAME --out FILE   makes your key: FILE (0600, yours alone) and FILE.pub (for an administrator to trust)
  trust FILE.pub --role ROLE   believes a key as trainer (signs models), maker (also adds, promotes, retires) or
                            approver (also approves what others made)
  trust --single-person on|off   whether one person may promote alone; the log says of each version that it was so
  distrust NAME             what the key signed so far stays good, what comes is refused
  sign DIR [--key FILE]     signs a model's folder as it is; default: with the installation's key (a shipped model: with
                            one that is made for it and forgotten)
  add DIR --key FILE        copies a signed model in, as a candidate
  approve NAME --key FILE   a second person's word: not who made or added it
  promote NAME --to champion|challenger --key FILE   the champion before becomes a challenger
  retire NAME --reason TEXT --key FILE   for good

  --registry DIR            default data/models. A node uses that of its configuration folder (--config-dir, else
                            --data-dir): its champion of xgboost_fraud from the next start on, else the shipped model
  --trusted-keys FILE       keys that models may be signed with beside those of the registry and of shipped models
  --json                    prints the result as JSON
  --help                    this text

Stages: candidate -> approved -> challenger, champion -> retired.
Exit codes: 0 done, 1 refused or not as signed, 2 wrong arguments.`;

await runCommand(HELP, async () => {
  const { values, positionals } = parseArgs({ options: MODELS_OPTIONS, allowPositionals: true });
  const answer = await new ModelsCommand(values, positionals).run();
  process.stdout.write(values.json ? `${JSON.stringify(answer.json, null, 2)}\n` : answer.text);
  if (answer.refused > 0) throw new NotAsSigned(`${answer.refused} not as signed`);
});
