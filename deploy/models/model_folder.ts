/** A model's folder: signing it, and loading it with its signature and the hash of every file checked. */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { type LoadedModel, loadModel, type ModelCard } from "../../actors/inference/model.ts";
import type { EventLog } from "../../actors/inference/registry/event_log.ts";
import { digest } from "../../actors/inference/registry/json.ts";
import { RegistryError } from "../../actors/inference/registry/registry_error.ts";
import {
  checkFile,
  type FileHash,
  type Lineage,
  modelSigner,
  parseSignedModel,
  type SignedModel,
  signModel,
} from "../../actors/inference/registry/signed_model.ts";
import type { KnownKey, Signer, Trust } from "../../actors/inference/registry/trusted_keys.ts";
import { writeFileAtomic } from "../engines/files.ts";
import { codeVersion } from "./code_version.ts";
import { alone, KEYS_FILE, readKeys, readText, SIGNATURE_FILE, writeKeys } from "./files.ts";
import { newSigner, withKey } from "./key_files.ts";

/**
 * Signs the model as it lies in `dir`, in place of a signature that is there. Rejects with RegistryError, and with
 * ModelError when it is no model that this code loads.
 */
export async function signFolder(dir: string, signer: Signer, created_us: number): Promise<SignedModel> {
  const files: Record<string, FileHash> = {};
  const { card } = await loadModel(dir, undefined, (name, bytes) => {
    files[name] = { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };
  });
  const lineage = await lineageOf(card, signer.name, created_us);
  const signed = signModel({ name: card.name, files, lineage }, signer);
  const text = `${JSON.stringify(signed, null, 2)}\n`;
  // What the reader would refuse is not written.
  parseSignedModel(text, join(dir, SIGNATURE_FILE));
  await writeFileAtomic(join(dir, SIGNATURE_FILE), text);
  return signed;
}

/**
 * Signs a shipped model with a key that is forgotten: its public half replaces that of the same name in
 * trusted_keys.json of the folder above.
 */
export async function signShipped(dir: string, created_us: number): Promise<SignedModel> {
  const above = dirname(resolve(dir));
  return alone(above, async () => {
    const { card } = await loadModel(dir);
    const { signer, public_key } = newSigner(card.name);
    const keys = withKey(await readKeys(join(above, KEYS_FILE)), card.name, public_key);
    const signed = await signFolder(dir, signer, created_us);
    await writeKeys(above, keys);
    return signed;
  });
}

async function lineageOf(card: ModelCard, created_by: string, created_us: number): Promise<Lineage> {
  const metrics: Record<string, number | null> = {};
  for (const [set, values] of Object.entries(card.metrics)) {
    for (const [name, value] of Object.entries(values ?? {})) metrics[`${set}.${name}`] = value;
  }
  return {
    data_sha256: card.data.sha256,
    code_version: await codeVersion(),
    features_sha256: digest(card.feature_names),
    parameters: card.parameters,
    metrics,
    created_us,
    created_by,
  };
}

export interface VerifiedModel {
  readonly model: LoadedModel;
  readonly signed: SignedModel;
  readonly signer: KnownKey;
}

/** signature.json of a folder. Rejects with RegistryError. */
export async function readSignature(dir: string): Promise<SignedModel> {
  const path = join(dir, SIGNATURE_FILE);
  const text = await readText(path);
  if (text !== null) return parseSignedModel(text, path);
  const todo = "have who made the model sign it (npm run models -- sign), or train again";
  throw new RegistryError("unsigned", `${path} is not there, and unsigned models are not used: ${todo}`);
}

/**
 * Loads a model that somebody trusted has signed; nothing of a file is used before its hash is checked. `log` says
 * what a key had signed before its trust ended. Rejects with RegistryError or ModelError.
 */
export async function loadSigned(dir: string, trust: Trust, log: EventLog): Promise<VerifiedModel> {
  const signed = await readSignature(dir);
  const where = join(dir, SIGNATURE_FILE);
  const signer = modelSigner(signed, trust, where);
  if (signer.until_event !== null && !log.namesBefore(signer.until_event, signed)) {
    const todo = "have somebody else sign it, or use another model";
    throw new RegistryError(
      "not_allowed",
      `${where} is signed by ${signer.name}, who is not trusted any more: ${todo}`,
    );
  }
  const model = await loadModel(dir, undefined, (name, bytes) => checkFile(signed, name, bytes, join(dir, name)));
  if (model.card.name === signed.model.name) return { model, signed, signer };
  throw new RegistryError(
    "tampered",
    `${where} is of ${signed.model.name}, the card says ${model.card.name}: sign it anew`,
  );
}
