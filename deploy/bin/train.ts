/**
 * `npm run train`: makes the shipped model from made-up payments that ran through a real node, or a model from an
 * export of another node.
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { KeyTable } from "../../runtime/kernel/key_table.ts";
import { given, numberIn, runCommand, WrongArgument, wholeIn } from "../commands/arguments.ts";
import { checkStretch, runStretch, trainingStretches } from "../commands/demo_stretches.ts";
import { type LabelledPart, readMeta, writeLabelledCut } from "../commands/export_reader.ts";
import type { OutcomeTally } from "../commands/outcome_tally.ts";
import { withFolder } from "../commands/scratch_folder.ts";
import { CHECKOUT_DIR } from "../engines/files.ts";
import { KEYS_FILE, readKeys } from "../models/files.ts";
import { INSTALLATION_REGISTRY, installationSigner, readSigner, requireTrusted } from "../models/key_files.ts";
import { signFolder, signShipped } from "../models/model_folder.ts";
import { SHIPPED_MODELS } from "../models/shipped.ts";
import { systemClock } from "../node/system_clock.ts";
import { ensurePythonEnvironment } from "../python/environment.ts";
import { trainModel } from "../python/training.ts";

const DAY_US = 86_400e6;

const HELP = `npm run train -- [options]     train the fraud model

Without --features: makes up payments (seeded), streams them with their events and outcomes through a real node, exports
the features that its actors computed, trains, and writes model.onnx, explain.bin and card.json. About 5 minutes.

  --out DIR               folder of the model (default: the shipped one, actors/inference/models/NAME)
  --name NAME             ends in _vMAJOR_MINOR (default xgboost_fraud_v1_2)
  --seed N                of the made-up payments (default 7)
  --scale X               shorter (below 1) or longer stretches of them (default 1)
  --features DIR          trains on this export instead: npm start -- --export-features DIR
  --label-delay-days N    with --features: payments this old at its end that nobody reported are genuine (default 7)
  --trees N, --depth N    size of the model (default 70 and 5): scoring time follows it
  --set NAME=VALUE        any other parameter of actors/inference/training/train.py
  --key FILE              sign with this person's key (npm run models -- key); default: the key of this installation,
                          made at its first use; for a shipped model a key that is made for it and forgotten
  --no-check              skip the run that counts what the model and rules stop in a fresh demo
  --json                  print the card and the counts as JSON
  --work DIR              keep exports and journals there (must be new)
  --help                  this text

Exit codes: 0 trained, 1 failed, 2 wrong arguments.`;

const OPTIONS = {
  out: { type: "string" },
  name: { type: "string", default: "xgboost_fraud_v1_2" },
  seed: { type: "string", default: "7" },
  scale: { type: "string", default: "1" },
  features: { type: "string" },
  "label-delay-days": { type: "string", default: "7" },
  trees: { type: "string", default: "70" },
  depth: { type: "string", default: "5" },
  set: { type: "string", multiple: true },
  key: { type: "string" },
  "no-check": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  work: { type: "string" },
} as const;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** Runs the stretches and labels their exports by the generator's truth. */
async function madeUp(work: string, seed: number, scale: number, signal: AbortSignal): Promise<void> {
  const parts: LabelledPart[] = [];
  for (const [i, stretch] of trainingStretches(seed, scale).entries()) {
    const dir = join(work, `features-${i}`);
    const data_dir = join(work, `node-${i}`);
    // The model is no part of what is exported, and the shipped one may be of older columns.
    const args = ["--model", "none", "--export-features", dir];
    const { frauds } = await runStretch(stretch, { data_dir, args, signal });
    parts.push({ dir, isFraud: (hi, lo) => isKnown(frauds, hi, lo) });
  }
  const [from_us, to_us] = [0, Number.POSITIVE_INFINITY];
  const source = `made-up payments, seed ${seed}: two months of 5,000 people, and three cold starts of the live demo`;
  writeLabelledCut(parts, { out: join(work, "training"), source, from_us, to_us, genuine_until_us: to_us });
}

const isKnown = (keys: KeyTable, hi: number, lo: number): boolean => keys.find(hi, lo) >= 0;

await runCommand(HELP, async (signal) => {
  const { values: args } = parseArgs({ options: OPTIONS, allowPositionals: false });
  const seed = wholeIn("seed", args.seed, 0, 2 ** 31);
  const scale = numberIn("scale", args.scale, 0.001, 20);
  const delay_days = numberIn("label-delay-days", args["label-delay-days"], 0, 365);
  const parameters: Record<string, string | number> = {
    trees: wholeIn("trees", args.trees, 1, 2000),
    depth: wholeIn("depth", args.depth, 1, 12),
  };
  for (const text of args.set ?? []) {
    const at = text.indexOf("=");
    if (at < 1) throw new WrongArgument("--set takes NAME=VALUE");
    parameters[text.slice(0, at)] = text.slice(at + 1);
  }
  const out = args.out ?? join(SHIPPED_MODELS, given("name", args.name));
  const sign = await signature(out, args.key);
  const python = await ensurePythonEnvironment(join(CHECKOUT_DIR, "data", "python"), { progress: say });
  await withFolder(args.work, async (work) => {
    if (args.features === undefined) await madeUp(work, seed, scale, signal);
    else {
      const to_us = readMeta(args.features).to_us;
      const cut = { out: join(work, "training"), source: readMeta(args.features).source, from_us: 0, to_us: to_us + 1 };
      writeLabelledCut([{ dir: args.features }], { ...cut, genuine_until_us: to_us - delay_days * DAY_US });
    }
    const card = await trainModel({
      python,
      features: join(work, "training"),
      out,
      name: args.name,
      note: args.features === undefined ? "trained on the project's own made-up payments" : "",
      parameters,
      sign,
      progress: ({ event, done, of }) => event === "tree" && say(`tree ${done} of ${of}`),
    });
    let tally: OutcomeTally | null = null;
    if (args.features === undefined && !args["no-check"]) {
      const run = { data_dir: join(work, "node-check"), args: ["--model", out], signal };
      ({ tally } = await runStretch(checkStretch(seed, scale), run));
      await addCheck(join(out, "card.json"), tally);
      await sign(out);
    }
    if (args.json) process.stdout.write(`${JSON.stringify({ card, check: tally?.shares ?? null }, null, 2)}\n`);
    else process.stdout.write(`${out}\n${JSON.stringify(card.metrics, null, 2)}\n${tally?.report() ?? ""}`);
  });
});

/** How the model is signed: found before training, so that a key which cannot be used costs no training. */
async function signature(out: string, key: string | undefined): Promise<(dir: string) => Promise<unknown>> {
  if (key === undefined && dirname(resolve(out)) === resolve(SHIPPED_MODELS)) {
    return (dir) => signShipped(dir, systemClock.wallUs());
  }
  const signer = key === undefined ? await installationSigner() : await readSigner(key);
  // The node that checks the model, and who starts one here, must believe it.
  requireTrusted(signer, await readKeys(join(INSTALLATION_REGISTRY, KEYS_FILE)), INSTALLATION_REGISTRY);
  return (dir) => signFolder(dir, signer, systemClock.wallUs());
}

/** Adds to the card what model and default rules together did with payments of people that training never saw. */
async function addCheck(path: string, tally: OutcomeTally): Promise<void> {
  const card = JSON.parse(await readFile(path, "utf8")) as object;
  const { genuine, fraud } = tally;
  const not_allowed = { genuine: genuine.stopped, frauds: fraud.stopped };
  const demo_check = { genuine: genuine.n, frauds: fraud.n, not_allowed };
  await writeFile(path, `${JSON.stringify({ ...card, demo_check }, null, 2)}\n`);
}
