/**
 * Owns the currency rates: a versioned table of how many units of each currency one unit of the base buys, and each
 * currency's exponent (ISO 4217: JPY 0, EUR 2, KWD 3). It turns minor units of one currency into minor units of another
 * by one multiplication. The version travels in every frame, so a rate never changes without a new version.
 */
import { readFileSync } from "node:fs";
import { packCurrency } from "../../proto/columns.ts";
import { IdentityError } from "./identity_error.ts";

/** Entries of a table indexed by packed currency: three capital letters. */
export const PACKED_CURRENCIES = 26 * 26 * 26;
const CURRENCIES_MAX = 512;
const EXPONENT_MAX = 4;

export interface CurrencyRate {
  /** Minor units in one unit: 10 ** exponent. */
  readonly exponent: number;
  /** Units of this currency for one unit of the table's base. */
  readonly per_base: number;
}

export interface RateTable {
  readonly version: string;
  readonly base: string;
  readonly currencies: ReadonlyMap<string, CurrencyRate>;
}

/** The table that ships with the project: illustrative rates, for demos and tests. */
export const SHIPPED_RATES_URL: URL = new URL("./currency_rates.json", import.meta.url);

/** Reads and checks a rate table. Throws IdentityError that names the entry at fault. */
export function loadRateTable(path: string | URL = SHIPPED_RATES_URL): RateTable {
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new IdentityError(`cannot read the currency rates ${String(path)}: ${(cause as Error).message}`);
  }
  return parseRateTable(raw);
}

export function parseRateTable(raw: unknown): RateTable {
  const table = raw as { version?: unknown; base?: unknown; currencies?: Record<string, CurrencyRate> };
  if (typeof table?.version !== "string" || table.version === "") throw new IdentityError("rates: version is missing");
  if (typeof table.base !== "string" || typeof table.currencies !== "object" || table.currencies === null) {
    throw new IdentityError("rates: base and currencies are required");
  }
  const entries = Object.entries(table.currencies);
  if (entries.length > CURRENCIES_MAX) throw new IdentityError(`rates: more than ${CURRENCIES_MAX} currencies`);
  for (const [code, rate] of entries) {
    if (!/^[A-Z]{3}$/.test(code)) throw new IdentityError(`rates: ${code} is not an ISO 4217 code`);
    if (!Number.isInteger(rate.exponent) || rate.exponent < 0 || rate.exponent > EXPONENT_MAX) {
      throw new IdentityError(`rates: ${code}.exponent must be 0..${EXPONENT_MAX}`);
    }
    if (!Number.isFinite(rate.per_base) || rate.per_base <= 0) {
      throw new IdentityError(`rates: ${code}.per_base must be a positive number`);
    }
  }
  if (table.currencies[table.base]?.per_base !== 1) throw new IdentityError("rates: the base must be listed as 1");
  return { version: table.version, base: table.base, currencies: new Map(entries) };
}

/**
 * Factors into minor units of `target`, by packed currency: amount_target_minor = round(amount_minor * factor).
 * factor = per_base(target) / per_base(c) * 10 ** (exponent(target) - exponent(c)); NaN for a currency without a rate.
 */
export function ratesInto(table: RateTable, target: string): Float64Array {
  const rates = new Float64Array(PACKED_CURRENCIES).fill(Number.NaN);
  const to = table.currencies.get(target);
  if (to === undefined) throw new IdentityError(`rates: no rate for the base currency ${target}`);
  for (const [code, from] of table.currencies) {
    rates[packCurrency(code)] =
      code === target ? 1 : (to.per_base / from.per_base) * 10 ** (to.exponent - from.exponent);
  }
  return rates;
}
