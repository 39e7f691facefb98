/** For tests and benches of rules and policy: one-row writing by variable name, and reading of the rule bits. */
import { DEGRADED_MODEL, hash32, packCountry, packCurrency, RowBlock } from "../../proto/columns.ts";
import { FEATURE_COUNT, featureColumn } from "../features/registry.ts";
import { VARIABLES } from "./variables.ts";

/** Values by variable; what is not named is missing (currency EUR, amount_minor 1). */
export type Row = Readonly<Record<string, number | boolean | string>>;

const STATUS: Readonly<Record<string, number>> = { ATTEMPTED: 1, AUTHORISED: 2, DECLINED: 3 };

export class RowWriter {
  readonly block = new RowBlock();
  readonly F: Float32Array;

  constructor(rows: number) {
    this.F = new Float32Array(rows * FEATURE_COUNT);
  }

  write(r: number, row: Row): void {
    const b = this.block;
    this.F.fill(Number.NaN, r * FEATURE_COUNT, (r + 1) * FEATURE_COUNT);
    for (const key of ["card", "device", "ip", "payee"] as const) {
      b[key].hi[r] = 0;
      b[key].lo[r] = row[`has_${key}`] === true ? 7 : 0;
    }
    b.kind[r] = 0;
    b.error[r] = 0;
    b.flags[r] = 0;
    b.outcome[r] = 0;
    b.amountMinor[r] = Number(row.amount_minor ?? 1);
    b.score[r] = Number(row.score ?? Number.NaN);
    b.degraded[r] = row.score === undefined ? DEGRADED_MODEL : 0;
    b.currency[r] = packCurrency(String(row.currency ?? "EUR"));
    b.country[r] = row.country === undefined ? 0 : packCountry(String(row.country));
    b.channel[r] = nameCode(row.channel);
    b.category[r] = nameCode(row.category);
    b.code[r] = row.status === undefined ? 0 : STATUS[String(row.status)];
    for (const [name, value] of Object.entries(row)) {
      if (!VARIABLES.has(name)) throw new RangeError(`no variable ${name}`);
      if (VARIABLES.get(name)?.read.startsWith("F[")) this.F[r * FEATURE_COUNT + featureColumn(name)] = Number(value);
    }
  }

  /** Whether the rule with this bit fired on the row. */
  fired(r: number, bit: number): boolean {
    const word = bit < 32 ? this.block.rules.lo[r] : this.block.rules.hi[r];
    return ((word >>> (bit & 31)) & 1) === 1;
  }
}

function nameCode(name: unknown): number {
  if (name === undefined) return 0;
  const bytes = new TextEncoder().encode(String(name));
  return hash32(bytes, 0, bytes.length);
}

/** A definition around bare expressions: rules r0, r1, ... */
export function definitionOf(expressions: readonly string[], action = "REVIEW"): unknown {
  return {
    name: "test",
    thresholds: { challenge: 0.5, review: 0.7, block: 0.9 },
    degraded_floor: "ALLOW",
    rules: expressions.map((expression, i) => ({
      id: `r${i}`,
      text: "a rule",
      reason: "a reason",
      severity: 0.6,
      action,
      expression,
    })),
  };
}
