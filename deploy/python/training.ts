/**
 * Runs the training program on a feature export and passes on what it says: progress while it works, the model's card
 * at the end.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { loadModel, type ModelCard } from "../../actors/inference/model.ts";
import { installationSigner } from "../models/key_files.ts";
import { signFolder } from "../models/model_folder.ts";
import { systemClock } from "../node/system_clock.ts";

const PROGRAM = new URL("../../actors/inference/training/train.py", import.meta.url);

export interface TrainingOptions {
  /** Path of the environment's Python (ensurePythonEnvironment). */
  readonly python: string;
  /** Folder of a finished feature export. */
  readonly features: string;
  /** Folder that gets model.onnx, explain.bin and card.json. */
  readonly out: string;
  /** Ends in _vMAJOR_MINOR. */
  readonly name: string;
  readonly note?: string;
  /** Further arguments of train.py, without dashes: { trees: 80, method: "exact" }. See train.py --help. */
  readonly parameters?: Readonly<Record<string, string | number>>;
  readonly progress?: (event: TrainingEvent) => void;
  /** Signs the folder; default with the key of this installation. */
  readonly sign?: (dir: string) => Promise<unknown>;
}

/** A line of train.py: "read", "tree" (done, of), "done", "error" (message). */
export interface TrainingEvent {
  readonly event: string;
  readonly done?: number;
  readonly of?: number;
  readonly rows?: number;
  readonly positives?: number;
  readonly message?: string;
}

/** Training did not end with a model; the message is train.py's own. Mend the data or the parameters. */
export class TrainingFailed extends Error {
  override name = "TrainingFailed";
}

/** Trains, verifies what was written, and signs it. Rejects with TrainingFailed, ModelError or RegistryError. */
export async function trainModel(options: TrainingOptions): Promise<ModelCard> {
  const args = ["--features", options.features, "--out", options.out, "--name", options.name];
  if (options.note !== undefined) args.push("--note", options.note);
  for (const [name, value] of Object.entries(options.parameters ?? {})) args.push(`--${name}`, String(value));
  const child = spawn(options.python, [fileURLToPath(PROGRAM), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  let failure = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as TrainingEvent;
    if (event.event === "error") failure = event.message ?? "unknown";
    options.progress?.(event);
  });
  const tail: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    tail.push(line);
    if (tail.length > 8) tail.shift();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new TrainingFailed(failure || `train.py ended with ${code}: ${tail.join(" | ")}`);
  const { card } = await loadModel(options.out);
  await (options.sign ?? signHere)(options.out);
  return card;
}

/** Signs with the key of this installation. Rejects with RegistryError. */
async function signHere(dir: string): Promise<void> {
  await signFolder(dir, await installationSigner(), systemClock.wallUs());
}
