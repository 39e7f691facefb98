/**
 * `npm run features`: the registry of features, and a check of what an export of the actors holds of them.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { GROUPS } from "../../actors/features/feature.ts";
import { runCommand, WrongArgument } from "../commands/arguments.ts";
import { checkExports, type FeatureCheck } from "../commands/features_check.ts";
import { checkReport, groupNamed, listFeatures, listReport } from "../commands/features_report.ts";
import { Progress } from "../progress.ts";

const HELP = `npm run features -- [options]     lists the features by group: column, owner, unit, window, formula

  --group NAME            only this group: ${GROUPS.slice(0, 3).join(", ")},
                          ${GROUPS.slice(3).join(", ")}
  --profile EXPORT        shows what an export holds of each instead: share present, minimum, maximum, mean; warns of a
                          feature that is constant, infinite or present on fewer than 1 %, and of two that correlate
                          above 0.999. EXPORT is what npm start -- --export-features wrote, or what npm run train or
                          accuracy kept with --work (all exports of its nodes as one)
  --strict                with --profile: exits 1 when there is a warning
  --json FILE             writes {count, groups, features} there, with --profile also {profile}
  --help                  this text

Exit codes: 0 listed, 1 the export cannot be read or, with --strict, there is a warning, 2 wrong arguments,
130 interrupted.`;

const OPTIONS = {
  group: { type: "string" },
  profile: { type: "string" },
  strict: { type: "boolean", default: false },
  json: { type: "string" },
} as const;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const group = groupNamed(args.group);
  if (args.profile === "") throw new WrongArgument("--profile takes the folder of an export");
  if (args.json === "") throw new WrongArgument("--json takes a file");
  if (args.strict && args.profile === undefined) throw new WrongArgument("--strict needs --profile");
  const list = listFeatures(group);
  let check: FeatureCheck | undefined;
  if (args.profile !== undefined) {
    const now_us = (): number => performance.now() * 1000;
    let progress: Progress | undefined;
    const onRows = (done: number, total: number): void => {
      progress ??= new Progress({ label: "reading", unit: "payments", total, stream: process.stderr, now_us });
      progress.update(done);
    };
    check = await checkExports(args.profile, { group, signal, onRows });
    progress?.finish();
  }
  if (args.json !== undefined) {
    const written = check === undefined ? list : { ...list, profile: check };
    await writeFile(args.json, `${JSON.stringify(written, null, 2)}\n`);
  }
  process.stdout.write(check === undefined ? listReport(list) : checkReport(check));
  const warnings = check?.warnings.length ?? 0;
  if (args.strict && warnings > 0) throw new Error(`${warnings} warnings, see above`);
});
