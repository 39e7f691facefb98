/**
 * Turns columns of raw values into HistoryRows as a mapping says. Each field becomes one converter, chosen once for a
 * file, so that a row costs a handful of monomorphic calls.
 */
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { ATTRIBUTE_SLOTS } from "../../proto/columns.ts";
import type { AttributeDeclaration } from "../../proto/tenant.ts";
import type { Accounts } from "./accounts_file.ts";
import { DatasetError } from "./errors.ts";
import type { HistoryRow } from "./history_row.ts";
import { type ColumnMapping, type FieldMapping, type FieldName, timeUnitUs } from "./mapping.ts";

/** Some rows of a file as columns; row i of every column belongs together. */
export interface RawBatch {
  readonly n: number;
  /** Number of the first row within the file, 0-based. */
  readonly first_row: number;
  readonly columns: ReadonlyMap<string, ArrayLike<unknown>>;
}

type Convert<T> = (raw: unknown, row: number) => T;
type Column<T> = (batch: RawBatch, i: number) => T;

const AMOUNT_MINOR_MAX = 100_000_000_000;
const TIME_US_MIN = Date.UTC(2000, 0, 1) * 1000;
const TIME_US_MAX = Date.UTC(2100, 0, 1) * 1000;

/** Currencies whose minor unit is not a hundredth (ISO 4217), as powers of ten. */
const DIGITS: ReadonlyMap<string, number> = new Map([
  ...[
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
  ].map((c): [string, number] => [c, 0]),
  ...["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"].map((c): [string, number] => [c, 3]),
]);

/** Minor units in one unit of the currency: 100, 1 or 1000. */
export function minorUnits(currency: string): number {
  return 10 ** (DIGITS.get(currency) ?? 2);
}

/** Columns of the file that the mapping reads. */
export function mappedColumns(mapping: ColumnMapping): string[] {
  const fields = [...Object.values(mapping.columns), ...readAttributes(mapping).map(([, field]) => field)];
  const names = fields.flatMap(({ column, join = [], plus = [] }) => [
    ...(column === undefined ? [] : [column]),
    ...join,
    ...plus.map((term) => term.column),
  ]);
  return [...new Set(names)];
}

/** The mapping's attributes that a tenant has slots for, most useful first. */
function readAttributes(mapping: ColumnMapping): [string, FieldMapping][] {
  return Object.entries(mapping.attributes ?? {}).slice(0, ATTRIBUTE_SLOTS);
}

/** What a tenant must declare to be sent the attributes of this mapping. */
export function attributeDeclarations(mapping: ColumnMapping): AttributeDeclaration[] {
  return readAttributes(mapping).map(([name], slot) => ({ name, type: "number", slot }));
}

/** What a file is read as, where that is more than its name says. */
export interface FilePart {
  /** Number of the data path that it belongs to, 0-based: see `apart_us` of the mapping. */
  readonly part?: number;
  /** Who is flagged; without it the payments of a mapping with `accounts` have no label. */
  readonly accounts?: Accounts | undefined;
}

/** Put before ids of a path after the first, where paths are kept apart. */
export function partPrefix(part: number): string {
  return part === 0 ? "" : `part${part + 1}/`;
}

const PART_FIELDS: readonly string[] = ["transactionId", "userId", "merchantId", "cardToken", "deviceId"];

/**
 * Makes the converter of one file. Its rows all have the same keys, undefined where mapping or value is missing.
 * It throws DatasetError BAD_VALUE naming file, row (0-based) and field.
 */
export function rowConverter(
  mapping: ColumnMapping,
  file: string,
  { part = 0, accounts }: FilePart = {},
): (batch: RawBatch) => HistoryRow[] {
  const bad: Bad = (field, raw, row, expected) => {
    const shown = typeof raw === "string" ? JSON.stringify(raw) : String(raw);
    throw new DatasetError("BAD_VALUE", `${file}, row ${row}: ${field} is ${shown}, expected ${expected}`);
  };
  const optionalText = (name: FieldName) => {
    const field = mapping.columns[name];
    return column(field, text(field, PART_FIELDS.includes(name) ? partPrefix(part) : ""));
  };
  const requiredText = (field: FieldName) => required(field, optionalText(field), bad);
  const decimal = (field: FieldName) => column(mapping.columns[field], number(field, bad));
  const transactionId = requiredText("transactionId");
  const userId = requiredText("userId");
  const merchantId = requiredText("merchantId");
  const currency = requiredText("currency");
  const amount = required("amountMinor", decimal("amountMinor"), bad);
  const major = mapping.columns.amountMinor?.unit === "major";
  const time = required("eventTimeUs", timeUs(mapping, part, bad), bad);
  const [country, category, channel] = [optionalText("country"), optionalText("category"), optionalText("channel")];
  const [cardToken, deviceId, ip] = [optionalText("cardToken"), optionalText("deviceId"), optionalText("ip")];
  const [latitude, longitude, scenario] = [decimal("latitude"), decimal("longitude"), decimal("scenario")];
  const fraud = accounts === undefined ? column(mapping.columns.fraud, label(mapping.columns.fraud)) : undefined;
  const attributes = attributesOf(mapping);

  const one = (b: RawBatch, i: number): HistoryRow => {
    const money = currency(b, i);
    if (money.length !== 3) bad("currency", money, b.first_row + i, "three capital letters");
    const units = amount(b, i);
    const amountMinor = Math.round(major ? units * minorUnits(money) : units);
    if (!(amountMinor >= 0 && amountMinor <= AMOUNT_MINOR_MAX)) {
      bad("amountMinor", units, b.first_row + i, `0..${AMOUNT_MINOR_MAX} minor units`);
    }
    const [user, merchant] = [userId(b, i), merchantId(b, i)];
    return {
      transactionId: transactionId(b, i),
      userId: user,
      merchantId: merchant,
      amountMinor,
      currency: money,
      eventTimeUs: time(b, i),
      country: country(b, i),
      latitude: latitude(b, i),
      longitude: longitude(b, i),
      category: category(b, i),
      channel: channel(b, i),
      cardToken: cardToken(b, i),
      deviceId: deviceId(b, i),
      ip: ip(b, i),
      fraud: fraud === undefined ? accounts!.label(user, merchant, b.first_row + i) : fraud(b, i),
      scenario: scenario(b, i),
      attributes: attributes?.(b, i),
    };
  };
  return (batch) => Array.from({ length: batch.n }, (_, i) => one(batch, i));
}

type Bad = (field: string, raw: unknown, row: number, expected: string) => never;

const missing = (raw: unknown): boolean => raw === undefined || raw === null || raw === "";

function column<T>(field: FieldMapping | undefined, convert: Convert<T>): Column<T | undefined> {
  if (field === undefined) return () => undefined;
  const { column: name, join } = field;
  if (field.row === true) return (batch, i) => convert(batch.first_row + i, batch.first_row + i);
  if (join !== undefined) {
    return (batch, i) => {
      const values = join.map((n) => batch.columns.get(n)![i]);
      return values.some(missing) ? undefined : convert(values.join("+"), batch.first_row + i);
    };
  }
  if (name === undefined) {
    const value = convert(field.value, 0);
    return () => value;
  }
  return (batch, i) => {
    const raw = batch.columns.get(name)![i];
    return missing(raw) ? undefined : convert(raw, batch.first_row + i);
  };
}

function required<T>(field: string, get: Column<T | undefined>, bad: Bad): Column<T> {
  return (batch, i) => {
    const value = get(batch, i);
    if (value === undefined) return bad(field, value, batch.first_row + i, "a value");
    return value;
  };
}

function text(field: FieldMapping | undefined, part = ""): Convert<string> {
  const { otherwise, after, stands_for } = field ?? {};
  const prefix = part + (field?.prefix ?? "");
  const map = field?.map === undefined ? undefined : new Map(Object.entries(field.map));
  const cut = after === undefined ? String : (raw: unknown) => behind(String(raw), after);
  if (stands_for === "address") return (raw) => addressFor(prefix + cut(raw));
  if (map !== undefined) return (raw) => prefix + (map.get(cut(raw)) ?? otherwise ?? cut(raw));
  return prefix === "" ? (raw) => cut(raw) : (raw) => prefix + cut(raw);
}

function behind(text: string, mark: string): string {
  const at = text.lastIndexOf(mark);
  return at < 0 ? text : text.slice(at + mark.length);
}

/** The text where it is an address; otherwise fd00::/64 and the first 64 bits of its SHA-256. */
function addressFor(text: string): string {
  if (isIP(text) !== 0) return text;
  const hex = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return `fd00:0:0:0:${hex.replace(/(.{4})(?=.)/g, "$1:")}`;
}

/** The attributes of a row by name: a value that is no number is left out. Undefined when the mapping has none. */
function attributesOf(mapping: ColumnMapping): Column<Readonly<Record<string, number>>> | undefined {
  const found = readAttributes(mapping);
  if (found.length === 0) return undefined;
  const read = found.map(([name, field]) => {
    const cut = text(field);
    const convert: Convert<number> = (raw, row) =>
      field.length === true ? cut(raw, row).length : Number(cut(raw, row));
    return [name, column(field, convert)] as const;
  });
  return (batch, i) => {
    const values: Record<string, number> = {};
    for (const [name, get] of read) {
      const value = get(batch, i);
      if (value !== undefined && Number.isFinite(value)) values[name] = value;
    }
    return values;
  };
}

function number(field: FieldName, bad: Bad): Convert<number> {
  return (raw, row) => {
    const value = typeof raw === "number" ? raw : Number(raw);
    return Number.isFinite(value) ? value : bad(field, raw, row, "a number");
  };
}

function label(field: FieldMapping | undefined): Convert<0 | 1 | undefined> {
  const fraud = new Set((field?.fraud ?? [1, "true"]).map(String));
  const genuine = new Set((field?.genuine ?? [0, "false"]).map(String));
  return (raw) => {
    const value = raw === 1 ? "1" : raw === 0 ? "0" : String(raw);
    return fraud.has(value) ? 1 : genuine.has(value) ? 0 : undefined;
  };
}

function timeUs(mapping: ColumnMapping, part: number, bad: Bad): Column<number | undefined> {
  const field = mapping.columns.eventTimeUs!;
  const factor = timeUnitUs(field.unit);
  const stamp = field.unit === "timestamp";
  const unit = typeof field.unit === "number" ? `of ${field.unit} us` : field.unit;
  const offset_us = field.offset_us ?? 0;
  const apart_us = mapping.apart_us ?? Number.POSITIVE_INFINITY;
  const shift_us = part === 0 ? 0 : part * apart_us;
  const first = column(field, (raw, row) => {
    const value = stamp && typeof raw === "string" ? parseTimestamp(raw) : Number(raw);
    const time_us = Math.round(value * factor) + offset_us;
    // The next path's times begin where this one's room ends.
    if (time_us - offset_us >= apart_us) {
      return bad("eventTimeUs", raw, row, `less than ${apart_us / factor}, the room of one data path (apart_us)`);
    }
    if (time_us >= TIME_US_MIN && time_us < TIME_US_MAX) return time_us + shift_us;
    return bad("eventTimeUs", raw, row, `a time of 2000 to 2099 in the unit ${unit}`);
  });
  const terms = (field.plus ?? []).map(({ column: name, unit }) => {
    const convert: Convert<number> = (raw, row) => {
      const us = Math.round(Number(raw) * timeUnitUs(unit));
      return us >= 0 ? us : bad("eventTimeUs", raw, row, `a number that is not negative in ${name}`);
    };
    return required(`eventTimeUs (${name})`, column({ column: name }, convert), bad);
  });
  if (terms.length === 0) return first;
  return (batch, i) => {
    let time_us = first(batch, i);
    if (time_us !== undefined) for (const term of terms) time_us += term(batch, i);
    return time_us;
  };
}

const TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s?(?:(Z|UTC)|([+-])(\d\d):?(\d\d))?$/;

/** ISO 8601 text to microseconds since 1970-01-01 UTC; a text without a zone is read as UTC. NaN when it is none. */
export function parseTimestamp(text: string): number {
  const m = TIMESTAMP.exec(text);
  if (m === null) return Number.NaN;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = ""] = m;
  if (+month < 1 || +month > 12 || +day < 1 || +day > 31 || +hour > 23 || +minute > 59 || +second > 59)
    return Number.NaN;
  const ms = Date.UTC(+year, +month - 1, +day, +hour, +minute, +second);
  if (new Date(ms).getUTCDate() !== +day) return Number.NaN;
  const zone_min = m[9] === undefined ? 0 : (m[9] === "-" ? -1 : 1) * (+m[10] * 60 + +m[11]);
  return ms * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6)) - zone_min * 60e6;
}
