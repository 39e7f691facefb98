/**
 * Turns columns of raw values into HistoryRows as a mapping says. Each field becomes one converter, chosen once for a
 * file, so that a row costs a handful of monomorphic calls.
 */
import { DatasetError } from "./errors.ts";
import type { HistoryRow } from "./history_row.ts";
import type { ColumnMapping, FieldMapping, FieldName } from "./mapping.ts";

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
  const names = Object.values(mapping.columns).flatMap((f) => (f.column === undefined ? [] : [f.column]));
  return [...new Set(names)];
}

/**
 * Makes the converter of one file. Its rows all have the same keys, undefined where mapping or value is missing.
 * It throws DatasetError BAD_VALUE naming file, row (0-based) and field.
 */
export function rowConverter(mapping: ColumnMapping, file: string): (batch: RawBatch) => HistoryRow[] {
  const bad: Bad = (field, raw, row, expected) => {
    const shown = typeof raw === "string" ? JSON.stringify(raw) : String(raw);
    throw new DatasetError("BAD_VALUE", `${file}, row ${row}: ${field} is ${shown}, expected ${expected}`);
  };
  const optionalText = (field: FieldName) => column(mapping.columns[field], text(mapping.columns[field]));
  const requiredText = (field: FieldName) => required(field, optionalText(field), bad);
  const decimal = (field: FieldName) => column(mapping.columns[field], number(field, bad));
  const transactionId = requiredText("transactionId");
  const userId = requiredText("userId");
  const merchantId = requiredText("merchantId");
  const currency = requiredText("currency");
  const amount = required("amountMinor", decimal("amountMinor"), bad);
  const major = mapping.columns.amountMinor?.unit === "major";
  const time = required("eventTimeUs", column(mapping.columns.eventTimeUs, timeUs(mapping, bad)), bad);
  const [country, category, channel] = [optionalText("country"), optionalText("category"), optionalText("channel")];
  const [cardToken, deviceId, ip] = [optionalText("cardToken"), optionalText("deviceId"), optionalText("ip")];
  const [latitude, longitude, scenario] = [decimal("latitude"), decimal("longitude"), decimal("scenario")];
  const fraud = column(mapping.columns.fraud, label(mapping.columns.fraud));

  const one = (b: RawBatch, i: number): HistoryRow => {
    const money = currency(b, i);
    if (money.length !== 3) bad("currency", money, b.first_row + i, "three capital letters");
    const units = amount(b, i);
    const amountMinor = Math.round(major ? units * minorUnits(money) : units);
    if (!(amountMinor >= 0 && amountMinor <= AMOUNT_MINOR_MAX)) {
      bad("amountMinor", units, b.first_row + i, `0..${AMOUNT_MINOR_MAX} minor units`);
    }
    return {
      transactionId: transactionId(b, i),
      userId: userId(b, i),
      merchantId: merchantId(b, i),
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
      fraud: fraud(b, i),
      scenario: scenario(b, i),
    };
  };
  return (batch) => Array.from({ length: batch.n }, (_, i) => one(batch, i));
}

type Bad = (field: string, raw: unknown, row: number, expected: string) => never;

const missing = (raw: unknown): boolean => raw === undefined || raw === null || raw === "";

function column<T>(field: FieldMapping | undefined, convert: Convert<T>): Column<T | undefined> {
  if (field === undefined) return () => undefined;
  const name = field.column;
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

function text(field: FieldMapping | undefined): Convert<string> {
  const { prefix = "", otherwise } = field ?? {};
  const map = field?.map === undefined ? undefined : new Map(Object.entries(field.map));
  if (map !== undefined) return (raw) => prefix + (map.get(String(raw)) ?? otherwise ?? String(raw));
  return prefix === "" ? (raw) => String(raw) : (raw) => prefix + String(raw);
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

const FACTOR: Readonly<Record<string, number>> = { s: 1e6, ms: 1e3, us: 1, timestamp: 1 };

function timeUs(mapping: ColumnMapping, bad: Bad): Convert<number> {
  const field = mapping.columns.eventTimeUs!;
  const factor = FACTOR[field.unit!];
  const offset_us = field.offset_us ?? 0;
  const stamp = field.unit === "timestamp";
  return (raw, row) => {
    const value = stamp && typeof raw === "string" ? parseTimestamp(raw) : Number(raw);
    const time_us = Math.round(value * factor) + offset_us;
    if (time_us >= TIME_US_MIN && time_us < TIME_US_MAX) return time_us;
    return bad("eventTimeUs", raw, row, `a time of 2000 to 2099 in the unit ${field.unit}`);
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
