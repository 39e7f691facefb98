/**
 * Column mappings: a JSON file that says which columns of a data set mean what. The format is described in README.md
 * beside this file. Here the file is read and every mistake in it is named.
 */
import { readFile } from "node:fs/promises";
import { DatasetError } from "./errors.ts";

export type TextField =
  | "transactionId"
  | "userId"
  | "merchantId"
  | "currency"
  | "country"
  | "category"
  | "channel"
  | "cardToken"
  | "deviceId"
  | "ip";
export type NumberField = "latitude" | "longitude" | "scenario";
export type FieldName = TextField | NumberField | "amountMinor" | "eventTimeUs" | "fraud";

/** Where the value of one field comes from: a column, or the same value for every row. */
export interface FieldMapping {
  readonly column?: string;
  readonly value?: string | number;
  /** Put before every text value, to keep ids of different kinds apart. */
  readonly prefix?: string;
  /** Text values replaced by others; a value that is not listed stays, or becomes `otherwise`. */
  readonly map?: Readonly<Record<string, string>>;
  readonly otherwise?: string;
  /** amountMinor: `major` (times the currency's minor units), `minor`. eventTimeUs: `timestamp`, `s`, `ms`, `us`. */
  readonly unit?: string;
  /** eventTimeUs: added to every time, microseconds; for data that count from their own zero. */
  readonly offset_us?: number;
  /** fraud: the values that mean fraud and genuine; anything else is unlabelled. */
  readonly fraud?: readonly (string | number | boolean)[];
  readonly genuine?: readonly (string | number | boolean)[];
}

export interface ColumnMapping {
  /** The format's name: `handbook` brings its published tables along. */
  readonly name: string;
  /** File names looked for in each data folder; `*` stands for any run of characters. */
  readonly files: readonly string[];
  /** `time` (default): rows lie in event order, checked. `none`: a file is read whole and sorted. */
  readonly order?: "time" | "none";
  /** Separator of CSV files; a comma by default. */
  readonly delimiter?: string;
  readonly notes?: string;
  readonly columns: Readonly<Partial<Record<FieldName, FieldMapping>>>;
}

const TEXT: readonly string[] = [
  ...["transactionId", "userId", "merchantId", "currency", "country", "category", "channel", "cardToken"],
  ...["deviceId", "ip"],
];
const FIELDS: readonly string[] = [...TEXT, "latitude", "longitude", "scenario", "amountMinor", "eventTimeUs", "fraud"];
const REQUIRED = ["transactionId", "userId", "merchantId", "amountMinor", "currency", "eventTimeUs"];
const TOP_KEYS = ["name", "files", "order", "delimiter", "notes", "columns"];
const UNITS: Readonly<Record<string, readonly string[]>> = {
  amountMinor: ["major", "minor"],
  eventTimeUs: ["timestamp", "s", "ms", "us"],
};

/** Keys that a field takes besides `column` and `value`. */
function keysOf(field: string): readonly string[] {
  if (TEXT.includes(field)) return ["prefix", "map", "otherwise"];
  if (field === "amountMinor") return ["unit"];
  if (field === "eventTimeUs") return ["unit", "offset_us"];
  return field === "fraud" ? ["fraud", "genuine"] : [];
}

/** Checks a parsed mapping. Throws DatasetError BAD_MAPPING that names the place and the remedy. */
export function parseMapping(json: unknown, where: string): ColumnMapping {
  const bad = (message: string): never => {
    throw new DatasetError("BAD_MAPPING", `${where}: ${message}`);
  };
  if (!isRecord(json)) return bad("expected a JSON object");
  for (const key of Object.keys(json)) {
    if (!TOP_KEYS.includes(key)) bad(`unknown key ${key}; known: ${TOP_KEYS.join(", ")}`);
  }
  if (typeof json["name"] !== "string" || json["name"] === "") bad("name must be a text");
  const files = json["files"];
  if (!Array.isArray(files) || files.length === 0 || files.some((f) => typeof f !== "string")) {
    bad('files must be a list of file names, e.g. ["transactions.parquet"]');
  }
  if (json["order"] !== undefined && json["order"] !== "time" && json["order"] !== "none") {
    bad('order must be "time" or "none"');
  }
  if (json["delimiter"] !== undefined && (typeof json["delimiter"] !== "string" || json["delimiter"].length !== 1)) {
    bad("delimiter must be one character");
  }
  const columns = json["columns"];
  if (!isRecord(columns)) return bad("columns must be an object of fields");
  for (const field of REQUIRED) if (columns[field] === undefined) bad(`columns.${field} is required`);
  for (const [field, mapping] of Object.entries(columns)) checkField(field, mapping, bad);
  return json as unknown as ColumnMapping;
}

function checkField(field: string, mapping: unknown, bad: (message: string) => never): void {
  if (!FIELDS.includes(field)) bad(`columns.${field} is not a field; known: ${FIELDS.join(", ")}`);
  if (!isRecord(mapping)) {
    bad(`columns.${field} must be an object`);
    return;
  }
  const known = ["column", "value", ...keysOf(field)];
  for (const key of Object.keys(mapping)) {
    if (!known.includes(key)) bad(`columns.${field}.${key} is not known here; known: ${known.join(", ")}`);
  }
  if ((mapping["column"] === undefined) === (mapping["value"] === undefined)) {
    bad(`columns.${field} needs either column or value`);
  }
  const units = UNITS[field];
  if (units !== undefined && !units.includes(String(mapping["unit"]))) {
    bad(`columns.${field}.unit must be one of ${units.join(", ")}`);
  }
}

function isRecord(v: unknown): v is Record<string, unknown> {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}

/**
 * Reads a mapping: a path ending in .json, or the name of one shipped in mappings/ (`handbook`, `sparkov`,
 * `evalml-cards`). Throws DatasetError BAD_MAPPING.
 */
export async function loadMapping(nameOrPath: string): Promise<ColumnMapping> {
  const path = nameOrPath.endsWith(".json") ? nameOrPath : new URL(`./mappings/${nameOrPath}.json`, import.meta.url);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const hint = "give a path to a .json file, or one of handbook, sparkov, evalml-cards";
    throw new DatasetError("BAD_MAPPING", `no column mapping ${nameOrPath}: ${hint}`, { cause });
  }
  try {
    return parseMapping(JSON.parse(text), nameOrPath);
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError("BAD_MAPPING", `${nameOrPath} is not JSON: ${(cause as Error).message}`, { cause });
  }
}
