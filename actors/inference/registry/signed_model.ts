/**
 * What is signed of a model: its name, the hash of each of its files, and where it comes from. It lies as
 * signature.json beside the files, so that a model's folder can be checked wherever it is.
 */
import { createHash } from "node:crypto";
import { digest, Fields, parseJson } from "./json.ts";
import { RegistryError } from "./registry_error.ts";
import { KEY_ID, type KnownKey, keyId, PERSON, type Signer, signContent, type Trust } from "./trusted_keys.ts";

export type FileHash = {
  /** Hex. */
  readonly sha256: string;
  readonly bytes: number;
};

export type Lineage = {
  /** Of the rows it was trained on, hex. */
  readonly data_sha256: string;
  /** Version of the code that made it, with the commit where one is known. */
  readonly code_version: string;
  /** Of the list of feature names, hex. */
  readonly features_sha256: string;
  readonly parameters: Readonly<Record<string, number | string>>;
  /** By set and name, as `held_out.roc_auc`; null where a metric has no value. */
  readonly metrics: Readonly<Record<string, number | null>>;
  /** By the clock of who signed it, microseconds since 1970. */
  readonly created_us: number;
  /** Name of who signed it. */
  readonly created_by: string;
};

export type ModelStatement = {
  /** FAMILY_vMAJOR_MINOR. */
  readonly name: string;
  /** By file name. */
  readonly files: Readonly<Record<string, FileHash>>;
  readonly lineage: Lineage;
};

/** signature.json. */
export type SignedModel = {
  readonly format: 1;
  readonly model: ModelStatement;
  readonly key_id: string;
  /** Base64. */
  readonly signature: string;
};

export const MODEL_NAME = /^[a-z0-9_]{1,48}_v\d{1,3}_\d{1,3}$/;
export const SHA256 = /^[0-9a-f]{64}$/;
const FILE_NAME = /^\w[\w.-]{0,63}$/;
const FIELD_NAME = /^[A-Za-z][\w.-]{0,63}$/;
const VERSION = /^[\w.+-]{1,100}$/;
const VALUE = /^[\x20-\x7e]{0,200}$/;
const PURPOSE = "model";

/** `xgboost_fraud` of `xgboost_fraud_v2_1`. */
export function familyOf(name: string): string {
  return name.slice(0, name.lastIndexOf("_v"));
}

/** Signs in the name of the lineage's `created_by`. */
export function signModel(model: ModelStatement, signer: Signer): SignedModel {
  if (model.lineage.created_by !== signer.name) throw new TypeError("who signs a model is who made it");
  const key_id = keyId(signer.key);
  return { format: 1, model, key_id, signature: signContent(PURPOSE, { model, key_id }, signer.key) };
}

/** Who signed it. Throws RegistryError: unknown_key, tampered. */
export function modelSigner(signed: SignedModel, trust: Trust, where: string): KnownKey {
  const { model, key_id, signature } = signed;
  return trust.signerOf(PURPOSE, { model, key_id }, { by: model.lineage.created_by, key_id, signature }, where);
}

/** Names this model with this signature and no other: what the log of the registry refers to. */
export function signedDigest(signed: SignedModel): string {
  return digest(signed);
}

/** Throws RegistryError("tampered") naming the file at `path` and what to do. */
export function checkFile(signed: SignedModel, name: string, bytes: Uint8Array, path: string): void {
  const files = signed.model.files;
  const { name: model } = signed.model;
  const todo = `restore the folder of ${model} from where it was made, or train and sign it again`;
  if (!Object.hasOwn(files, name)) {
    throw new RegistryError("tampered", `${path} is not among the files that were signed: ${todo}`);
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 !== files[name].sha256 || bytes.length !== files[name].bytes) {
    throw new RegistryError("tampered", `${path} is not the file that was signed (its SHA-256 is ${sha256}): ${todo}`);
  }
}

/** Throws RegistryError("format") naming `where`. */
export function parseSignedModel(text: string, where: string): SignedModel {
  const fields = new Fields(parseJson(text, where), where, ["format", "model", "key_id", "signature"]);
  if (fields.value("format") !== 1)
    throw new RegistryError("format", `${where} is not of format 1, which is read here`);
  const model = new Fields(fields.value("model"), fields.place("model"), ["name", "files", "lineage"]);
  return {
    format: 1,
    model: {
      name: model.text("name", MODEL_NAME),
      files: filesOf(new Fields(model.value("files"), model.place("files"))),
      lineage: lineageOf(model.value("lineage"), model.place("lineage")),
    },
    key_id: fields.text("key_id", KEY_ID),
    signature: fields.text("signature", /^.{88}$/),
  };
}

function filesOf(all: Fields): Record<string, FileHash> {
  const files: Record<string, FileHash> = {};
  for (const name of all.names(FILE_NAME)) {
    const file = new Fields(all.value(name), all.place(name), ["sha256", "bytes"]);
    files[name] = { sha256: file.text("sha256", SHA256), bytes: file.whole("bytes") };
  }
  return files;
}

const LINEAGE = [
  "data_sha256",
  "code_version",
  "features_sha256",
  "parameters",
  "metrics",
  "created_us",
  "created_by",
] as const;

function lineageOf(value: unknown, where: string): Lineage {
  const fields = new Fields(value, where, LINEAGE);
  const given = new Fields(fields.value("parameters"), fields.place("parameters"));
  const parameters: Record<string, number | string> = {};
  for (const name of given.names(FIELD_NAME)) {
    parameters[name] = typeof given.value(name) === "string" ? given.text(name, VALUE) : given.number(name);
  }
  const measured = new Fields(fields.value("metrics"), fields.place("metrics"));
  const metrics: Record<string, number | null> = {};
  for (const name of measured.names(FIELD_NAME)) {
    metrics[name] = measured.value(name) === null ? null : measured.number(name);
  }
  return {
    data_sha256: fields.text("data_sha256", SHA256),
    code_version: fields.text("code_version", VERSION),
    features_sha256: fields.text("features_sha256", SHA256),
    parameters,
    metrics,
    created_us: fields.whole("created_us"),
    created_by: fields.text("created_by", PERSON),
  };
}
