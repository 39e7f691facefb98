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

/** One term of a time that is made of several columns; `unit` is a name, or its length in microseconds. */
export interface TimeTerm {
  readonly column: string;
  readonly unit: string | number;
}

/** Where the value of one field comes from: exactly one of `column`, `value`, `row` and `join`. */
export interface FieldMapping {
  readonly column?: string;
  /** The same value for every row. */
  readonly value?: string | number;
  /** The row's number within its file, 0-based. */
  readonly row?: true;
  /** Columns whose texts are joined by "+"; missing when one of them is. */
  readonly join?: readonly string[];
  /** Put before every text value, to keep ids of different kinds apart. */
  readonly prefix?: string;
  /** Text values replaced by others; a value that is not listed stays, or becomes `otherwise`. */
  readonly map?: Readonly<Record<string, string>>;
  readonly otherwise?: string;
  /** Text: only what follows the last such text, all of it where there is none; before `prefix` and `map`. */
  readonly after?: string;
  /** Attributes: the length of the text instead of its number. */
  readonly length?: true;
  /** ip: a text that is no address stands for one, fd00::/64 and its hash, so that it counts as one. */
  readonly stands_for?: "address";
  /** amountMinor: `major` (times the currency's minor units), `minor`. eventTimeUs: see TIME_UNITS. */
  readonly unit?: string | number;
  /** eventTimeUs: added to every time, microseconds; for data that count from their own zero. */
  readonly offset_us?: number;
  /** eventTimeUs: further terms of the sum. */
  readonly plus?: readonly TimeTerm[];
  /** fraud: the values that mean fraud and genuine; anything else is unlabelled. */
  readonly fraud?: readonly (string | number | boolean)[];
  readonly genuine?: readonly (string | number | boolean)[];
}

/** A file beside the payments that says which accounts are flagged: a payment between two of them is fraud. */
export interface AccountsMapping {
  readonly file: string;
  /** Columns: the account as userId and merchantId name it, and 1 where it is flagged, 0 where not. */
  readonly id: string;
  readonly fraud: string;
}

/** What a count of days, rows or steps may be called. */
export type CountName = "day" | "row" | "step";

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
  /** How commands take a day of data without dates: as this number, in the unit of eventTimeUs from its zero. */
  readonly days?: CountName;
  /**
   * Each path is a history of its own: its ids are kept apart from the others', and its times lie this much behind
   * those of the path before it, microseconds. A path without the files stands for its folders that have them.
   */
  readonly apart_us?: number;
  readonly accounts?: AccountsMapping;
  /** Numbers without a field of their own, the most useful first: as many as a tenant has slots are read. */
  readonly attributes?: Readonly<Record<string, FieldMapping>>;
  readonly columns: Readonly<Partial<Record<FieldName, FieldMapping>>>;
}

const TEXT: readonly string[] = [
  ...["transactionId", "userId", "merchantId", "currency", "country", "category", "channel", "cardToken"],
  ...["deviceId", "ip"],
];
const FIELDS: readonly string[] = [...TEXT, "latitude", "longitude", "scenario", "amountMinor", "eventTimeUs", "fraud"];
const REQUIRED = ["transactionId", "userId", "merchantId", "amountMinor", "currency", "eventTimeUs"];
const TOP_KEYS = [
  ...["name", "files", "order", "delimiter", "notes", "days", "apart_us", "accounts", "attributes", "columns"],
];
const COUNTS: readonly unknown[] = ["day", "row", "step"] satisfies CountName[];
const SOURCES = ["column", "value", "row", "join"];
/** Names of the mappings in mappings/. */
export const SHIPPED_MAPPINGS = ["handbook", "ucsd2009", "s-ffsd", "sparkov", "evalml-cards", "amlsim"] as const;

/** Microseconds of the units of eventTimeUs that have a name; `timestamp` is a Parquet timestamp or ISO 8601 text. */
export const TIME_UNITS: Readonly<Record<string, number>> = {
  timestamp: 1,
  us: 1,
  ms: 1e3,
  s: 1e6,
  h: 3600e6,
  d: 86_400e6,
};

/** Length of a unit of eventTimeUs, microseconds; 0 where it is none. */
export function timeUnitUs(unit: string | number | undefined): number {
  if (typeof unit === "number") return Number.isSafeInteger(unit) && unit > 0 ? unit : 0;
  return TIME_UNITS[unit ?? ""] ?? 0;
}

/** Keys that a field takes besides where its value comes from. */
function keysOf(field: string): readonly string[] {
  if (field === "ip") return ["prefix", "map", "otherwise", "after", "stands_for"];
  if (TEXT.includes(field)) return ["prefix", "map", "otherwise", "after"];
  if (field === "amountMinor") return ["unit"];
  if (field === "eventTimeUs") return ["unit", "offset_us", "plus"];
  if (field === ATTRIBUTE) return ["after", "length"];
  return field === "fraud" ? ["fraud", "genuine"] : [];
}
/** Stands for every attribute where fields are checked: what is in `attributes` is no name of a field. */
const ATTRIBUTE = "attribute";

/** Checks a parsed mapping. Throws DatasetError BAD_MAPPING that names the place and the remedy. */
export function parseMapping(json: unknown, where: string): ColumnMapping {
  const bad: Bad = (message) => {
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
  for (const [field, mapping] of Object.entries(columns)) {
    if (!FIELDS.includes(field)) bad(`columns.${field} is not a field; known: ${FIELDS.join(", ")}`);
    checkField(field, `columns.${field}`, mapping, bad);
  }
  checkMore(json, columns, bad);
  return json as unknown as ColumnMapping;
}

/** What only data without dates, labels or fields of their own need. */
function checkMore(json: Record<string, unknown>, columns: Record<string, unknown>, bad: Bad): void {
  const { days, apart_us, accounts, attributes = {} } = json;
  const time = columns["eventTimeUs"] as FieldMapping;
  if (days !== undefined && (!COUNTS.includes(days) || time.unit === "timestamp")) {
    bad(`days must be one of ${COUNTS.join(", ")}, and the unit of eventTimeUs no timestamp`);
  }
  if (apart_us !== undefined && !(Number.isSafeInteger(apart_us) && (apart_us as number) > 0)) {
    bad("apart_us must be a whole number of microseconds");
  }
  if (!isRecord(attributes)) bad("attributes must be an object of names");
  for (const [name, mapping] of Object.entries(attributes)) checkField(ATTRIBUTE, `attributes.${name}`, mapping, bad);
  if (accounts === undefined) return;
  const keys = ["file", "id", "fraud"];
  if (!isRecord(accounts) || Object.keys(accounts).length !== 3 || keys.some((k) => typeof accounts[k] !== "string")) {
    bad("accounts must have the texts file, id and fraud");
  }
  if (columns["fraud"] !== undefined) bad("columns.fraud and accounts both say what fraud is: leave one out");
  for (const field of ["userId", "merchantId"]) {
    if ((columns[field] as FieldMapping).prefix !== undefined) bad(`columns.${field}.prefix: accounts have none`);
  }
}

type Bad = (message: string) => never;

function checkField(field: string, where: string, mapping: unknown, bad: Bad): void {
  if (!isRecord(mapping)) bad(`${where} must be an object`);
  const known = [...SOURCES, ...keysOf(field)];
  for (const key of Object.keys(mapping)) {
    if (!known.includes(key)) bad(`${where}.${key} is not known here; known: ${known.join(", ")}`);
  }
  if (SOURCES.filter((key) => mapping[key] !== undefined).length !== 1) {
    bad(`${where} needs exactly one of ${SOURCES.join(", ")}`);
  }
  if (mapping["row"] !== undefined && mapping["row"] !== true) bad(`${where}.row must be true`);
  if (mapping["join"] !== undefined && !isTexts(mapping["join"])) bad(`${where}.join must be a list of columns`);
  if (field === "amountMinor" && !["major", "minor"].includes(String(mapping["unit"]))) {
    bad(`${where}.unit must be one of major, minor`);
  }
  if (mapping["stands_for"] !== undefined && mapping["stands_for"] !== "address") {
    bad(`${where}.stands_for must be address`);
  }
  if (field === "eventTimeUs") checkTime(where, mapping, bad);
}

function checkTime(where: string, mapping: Record<string, unknown>, bad: Bad): void {
  const expected = `must be one of ${Object.keys(TIME_UNITS).join(", ")}, or a number of microseconds`;
  if (timeUnitUs(mapping["unit"] as string | undefined) === 0) bad(`${where}.unit ${expected}`);
  const plus = mapping["plus"] ?? [];
  if (!Array.isArray(plus)) bad(`${where}.plus must be a list`);
  if (plus.length > 0 && mapping["unit"] === "timestamp") bad(`${where}.plus cannot be added to a timestamp`);
  for (const term of plus as unknown[]) {
    if (!isRecord(term) || typeof term["column"] !== "string") bad(`${where}.plus: each needs a column`);
    if (term["unit"] === "timestamp" || timeUnitUs(term["unit"] as string | undefined) === 0) {
      bad(`${where}.plus: unit ${expected}`);
    }
  }
}

function isTexts(v: unknown): v is string[] {
  return Array.isArray(v) && v.length > 0 && v.every((text) => typeof text === "string");
}

function isRecord(v: unknown): v is Record<string, unknown> {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}

/**
 * Reads a mapping: a path ending in .json, or the name of one shipped in mappings/. Throws DatasetError BAD_MAPPING.
 */
export async function loadMapping(nameOrPath: string): Promise<ColumnMapping> {
  const path = nameOrPath.endsWith(".json") ? nameOrPath : new URL(`./mappings/${nameOrPath}.json`, import.meta.url);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const hint = `give a path to a .json file, or one of ${SHIPPED_MAPPINGS.join(", ")}`;
    throw new DatasetError("BAD_MAPPING", `no column mapping ${nameOrPath}: ${hint}`, { cause });
  }
  try {
    return parseMapping(JSON.parse(text), nameOrPath);
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError("BAD_MAPPING", `${nameOrPath} is not JSON: ${(cause as Error).message}`, { cause });
  }
}
