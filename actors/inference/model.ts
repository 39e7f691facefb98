/**
 * A model as it lies in a folder: `card.json` says what it is and was made from, `model.onnx` is what is run and
 * `explain.bin` holds its trees for reasons. Loading verifies both files against the card and the card against the
 * registry of features, so that a model never scores columns that it was not trained on.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FEATURES } from "../features/registry.ts";

/** Ranking metrics of a set of rows; null where a metric has no value (one class only). */
export interface ModelMetrics {
  readonly rows: number;
  readonly positives: number;
  readonly roc_auc: number | null;
  readonly average_precision: number | null;
}

export interface ModelFile {
  readonly name: string;
  /** Hex. */
  readonly sha256: string;
  readonly bytes: number;
}

/** card.json, as training/train.py writes it. */
export interface ModelCard {
  readonly format: 1;
  readonly name: string;
  readonly version: string;
  readonly type: string;
  readonly note: string;
  readonly data: {
    readonly sha256: string;
    readonly source: string;
    /** Event times of the first and the last row, microseconds. */
    readonly from_us: number;
    readonly to_us: number;
    readonly rows: number;
    readonly positives: number;
  };
  readonly parameters: Readonly<Record<string, number | string>>;
  readonly metrics: { readonly train: ModelMetrics; readonly held_out: ModelMetrics | null };
  readonly parity: { readonly rows: number; readonly max_difference: number; readonly limit: number };
  readonly files: { readonly model: ModelFile; readonly explain: ModelFile };
  readonly feature_names: readonly string[];
}

export interface LoadedModel {
  readonly card: ModelCard;
  readonly onnx: Uint8Array;
  readonly explain: Uint8Array;
}

/**
 * Why a model cannot be used. `missing`: a file is not there, check the folder. `format`: the card or a file is not
 * what this version reads, train again with it. `damaged`: a file differs from its card, restore or train again.
 * `features`: trained on other columns, train again on the current registry. `engine`: ONNX Runtime refused it, see
 * the message.
 */
export type ModelErrorCode = "missing" | "format" | "damaged" | "features" | "engine";

export class ModelError extends Error {
  override name = "ModelError";
  readonly code: ModelErrorCode;
  constructor(code: ModelErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The largest file of a model that is read. Units: bytes. */
export const MODEL_FILE_BYTES_MAX = 256 * 1024 * 1024;

const REGISTRY_NAMES: readonly string[] = FEATURES.map((f) => f.name);

/** Sees the bytes of each file of a model before anything is made of them; what it throws ends the loading. */
export type FileCheck = (name: string, bytes: Uint8Array) => void;

const UNCHECKED: FileCheck = () => {};

/**
 * Reads and verifies the model in `dir`. Whether its files are those that somebody signed is for `check` to say
 * (registry/signed_model.ts). Rejects with ModelError, or with what `check` throws.
 */
export async function loadModel(
  dir: string,
  featureNames: readonly string[] = REGISTRY_NAMES,
  check: FileCheck = UNCHECKED,
): Promise<LoadedModel> {
  const card = parseCard(Buffer.from(await read(dir, "card.json", check)).toString("utf8"));
  checkFeatures(card, featureNames);
  const { model, explain } = card.files;
  return { card, onnx: await verified(dir, model, check), explain: await verified(dir, explain, check) };
}

async function read(dir: string, name: string, check: FileCheck): Promise<Uint8Array> {
  const path = join(dir, name);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new ModelError("missing", `${path} cannot be read: ${(error as Error).message}`);
  }
  check(name, bytes);
  return bytes;
}

async function verified(dir: string, file: ModelFile, check: FileCheck): Promise<Uint8Array> {
  const path = join(dir, file.name);
  const bytes = await read(dir, file.name, check);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 !== file.sha256)
    throw new ModelError("damaged", `${path} has SHA-256 ${sha256}, its card says ${file.sha256}`);
  return bytes;
}

function checkFeatures(card: ModelCard, names: readonly string[]): void {
  const at = names.findIndex((name, i) => card.feature_names[i] !== name);
  if (at >= 0) {
    const found = card.feature_names[at] ?? "nothing";
    throw new ModelError("features", `${card.name}: column ${at} is ${found}, the registry has ${names[at]}`);
  }
  if (card.feature_names.length !== names.length) {
    throw new ModelError("features", `${card.name} has ${card.feature_names.length} columns, not ${names.length}`);
  }
}

/** Parses card.json; throws ModelError("format") for anything that is read later and not there. */
export function parseCard(text: string): ModelCard {
  let card: ModelCard;
  try {
    card = JSON.parse(text) as ModelCard;
  } catch (error) {
    throw new ModelError("format", `the model card is no JSON: ${(error as Error).message}`);
  }
  if (card === null || typeof card !== "object") throw new ModelError("format", "the model card is no JSON object");
  if (card.format !== 1) throw new ModelError("format", `model card of format ${card.format}, this version reads 1`);
  const texts = { name: card.name, version: card.version, type: card.type };
  for (const [field, value] of Object.entries(texts)) {
    if (typeof value !== "string" || !/^[\w.-]{1,64}$/.test(value)) {
      throw new ModelError("format", `model card: ${field} must be 1 to 64 letters, digits, _ . or -`);
    }
  }
  for (const field of ["model", "explain"] as const) checkFile(card.files?.[field], field);
  if (!Array.isArray(card.feature_names) || !card.feature_names.every((n) => typeof n === "string")) {
    throw new ModelError("format", "model card: feature_names must be a list of names");
  }
  return card;
}

function checkFile(file: ModelFile | undefined, field: string): void {
  // A plain name: a card must not make the loader read outside its own folder.
  const named = typeof file?.name === "string" && /^\w[\w.-]{0,63}$/.test(file.name);
  if (file === undefined || !named || typeof file.sha256 !== "string" || !/^[0-9a-f]{64}$/.test(file.sha256)) {
    throw new ModelError("format", `model card: files.${field} must have a plain name and a SHA-256`);
  }
  if (!(file.bytes > 0 && file.bytes <= MODEL_FILE_BYTES_MAX)) {
    throw new ModelError("format", `model card: files.${field}.bytes must be 1 to ${MODEL_FILE_BYTES_MAX}`);
  }
}
