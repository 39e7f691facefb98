/**
 * What a rule may name: every feature of the registry, and columns of the row. For each variable its CEL type, how
 * compiled code reads it, and how it tells a missing value.
 *
 * The feature `has_device` (0 or 1) is covered by the bool of the same name. Features are float32: a value such as 0.1
 * is the nearest float32 when it meets the double of an expression, so compare shares with < and >=, not with ==.
 */
import { DEGRADED_MODEL, hash32, packCountry, packCurrency } from "../../proto/columns.ts";
import { FEATURES } from "../features/registry.ts";

export type CelType = "double" | "bool" | "string";

export interface Variable {
  readonly name: string;
  readonly type: CelType;
  /** JavaScript that reads it for row `r`, whose features start at F[at]. */
  readonly read: string;
  /** Column constants that `read` needs: local name to path in the block. */
  readonly columns: Readonly<Record<string, string>>;
  /** JavaScript that is true when the row has a value; null when every row has one. */
  readonly present: string | null;
  /** Strings only: code of a literal in the column, never the code of a missing value; null when it cannot occur. */
  readonly code: ((literal: string) => number | null) | null;
  /** In plain words, for whoever writes rules. */
  readonly text: string;
}

const STATUS: Readonly<Record<string, number>> = { ATTEMPTED: 1, AUTHORISED: 2, DECLINED: 3 };

/** Bytes of a channel or category, as the public API limits them. */
const NAME_BYTES_MAX = 32;
const UTF8 = new TextEncoder();

function nameCode(literal: string): number | null {
  const bytes = UTF8.encode(literal);
  return bytes.length === 0 || bytes.length > NAME_BYTES_MAX ? null : hash32(bytes, 0, bytes.length);
}

function number(name: string, column: string, text: string): Variable {
  return {
    name,
    type: "double",
    read: `${column}[r]`,
    columns: { [column]: column },
    present: `${column}[r] === ${column}[r]`,
    code: null,
    text,
  };
}

function name(
  name: string,
  column: string,
  code: (s: string) => number | null,
  optional: boolean,
  t: string,
): Variable {
  const read = `${column}[r]`;
  return {
    name,
    type: "string",
    read,
    columns: { [column]: column },
    present: optional ? `${read} !== 0` : null,
    code,
    text: t,
  };
}

function given(key: "card" | "device" | "ip" | "payee", text: string): Variable {
  return {
    name: `has_${key}`,
    type: "bool",
    read: `(${key}Hi[r] | ${key}Lo[r]) !== 0`,
    columns: { [`${key}Hi`]: `${key}.hi`, [`${key}Lo`]: `${key}.lo` },
    present: null,
    code: null,
    text,
  };
}

/** What lies in the score column of a row that the model did not answer for is not a score. */
const SCORED = `(degraded[r] & ${DEGRADED_MODEL}) === 0`;
const SCORE: Variable = {
  name: "score",
  type: "double",
  read: `(${SCORED} ? score[r] : NaN)`,
  columns: { score: "score", degraded: "degraded" },
  present: `${SCORED} && score[r] === score[r]`,
  code: null,
  text: "the model's score 0..1, missing when it did not answer",
};

const COLUMNS: readonly Variable[] = [
  number("amount_minor", "amountMinor", "the amount, minor units of the payment's currency"),
  SCORE,
  name("currency", "currency", (s) => (/^[A-Z]{3}$/.test(s) ? packCurrency(s) : null), false, "ISO 4217 letters"),
  name("country", "country", (s) => (/^[A-Z]{2}$/.test(s) ? packCountry(s) : null), true, "ISO 3166 letters"),
  name("channel", "channel", nameCode, true, "the channel as sent"),
  name("category", "category", nameCode, true, "the merchant category as sent"),
  name("status", "code", (s) => (Object.hasOwn(STATUS, s) ? STATUS[s] : null), true, "ATTEMPTED, AUTHORISED, DECLINED"),
  given("card", "a card token was given"),
  given("device", "a device id was given"),
  given("ip", "an IP address was given"),
  given("payee", "a payee account was given"),
];

function feature(column: number): Variable {
  const f = FEATURES[column];
  const read = `F[at + ${column}]`;
  const text = `${f.text}, ${f.unit}`;
  return { name: f.name, type: "double", read, columns: {}, present: `${read} === ${read}`, code: null, text };
}

/** All variables by name. */
export const VARIABLES: ReadonlyMap<string, Variable> = new Map([
  ...FEATURES.map((f, i) => [f.name, feature(i)] as const),
  ...COLUMNS.map((v) => [v.name, v] as const),
]);
