/**
 * Compares the features that the actors computed with the handbook's own file of derived features: a second, foreign
 * computation of the same windows. Equal means within 1e-6 of the value (of 1 below it).
 *
 * Which of two payments of a customer in the same second came first is not in the data: the file counts them in the
 * other order than their ids in one case of four. So the customer features of such payments are left out.
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Tenant } from "../../proto/tenant.ts";
import { KeyTable } from "../../runtime/kernel/key_table.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { readFeatures } from "../datasets/features_file.ts";
import { readExport, readMeta } from "./export_reader.ts";

export const TOLERANCE = 1e-6;

/** Theirs, ours, and what ours is divided by: amounts are in minor units here and in major units there. */
const PAIRS: readonly (readonly [string, string, number])[] = [
  ["TX_DURING_WEEKEND", "is_weekend", 1],
  ["TX_DURING_NIGHT", "is_night", 1],
  ...[
    ["1DAY", "24h"],
    ["7DAY", "7d"],
    ["30DAY", "30d"],
  ].flatMap(([theirs, ours]): [string, string, number][] => [
    [`CUSTOMER_ID_NB_TX_${theirs}_WINDOW`, `user_count_${ours}`, 1],
    [`CUSTOMER_ID_AVG_AMOUNT_${theirs}_WINDOW`, `user_amount_mean_${ours}`, 100],
  ]),
  ...[
    ["1DAY", "1d"],
    ["7DAY", "7d"],
    ["30DAY", "30d"],
  ].flatMap(([theirs, ours]): [string, string, number][] => [
    [`TERMINAL_ID_NB_TX_${theirs}_WINDOW`, `merchant_count_${ours}_delayed`, 1],
    [`TERMINAL_ID_RISK_${theirs}_WINDOW`, `merchant_risk_${ours}`, 1],
  ]),
];

export interface WindowCheck {
  /** Payments found in both. */
  readonly payments: number;
  /** Of these, payments with another one of the same customer in the same second. */
  readonly ties: number;
  readonly features: number;
  readonly different: number;
  readonly largest_difference: number;
  /** The first few, in words. */
  readonly examples: readonly string[];
}

/** The features file of the data folders, undefined when there is none. */
export async function featuresFile(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    const names = await readdir(folder).catch(() => [] as string[]);
    const name = names.find((n) => /^features_.*\.parquet$/.test(n));
    if (name !== undefined) return join(folder, name);
  }
  return undefined;
}

/** Finds payments that share their time with another one of the same customer. Fed in event order. */
export class SameMoment {
  readonly #last = new Map<string, { readonly id: string; readonly time_us: number }>();
  readonly ids = new Set<string>();

  see(user: string, id: string, time_us: number): void {
    const last = this.#last.get(user);
    if (last?.time_us === time_us) this.ids.add(last.id).add(id);
    this.#last.set(user, { id, time_us });
  }
}

/** Compares exports with the file; ids are joined by the tenant's keyed hash. Throws DatasetError. */
export async function checkWindows(
  file: string,
  exports: readonly string[],
  tenant: Tenant,
  tied: ReadonlySet<string>,
): Promise<WindowCheck> {
  const table = await readFeatures(file);
  const rows = new KeyTable();
  for (const id of table.ids) {
    keyedHashText(id, tenant.hash_key[0], tenant.hash_key[1]);
    rows.slot(H.hi, H.lo);
  }
  const names = readMeta(exports[0]).feature_names;
  const pairs = PAIRS.map(([theirs, ours, divisor]) => ({
    theirs,
    ours,
    divisor,
    customer: theirs.startsWith("CUSTOMER_ID"),
    values: table.column(theirs),
    at: names.indexOf(ours),
  }));
  let [payments, ties, different, largest_difference] = [0, 0, 0, 0];
  const examples: string[] = [];
  for (const dir of exports) {
    for (const c of readExport(dir)) {
      for (let i = 0; i < c.n; i++) {
        const r = rows.find(c.id_hi[i], c.id_lo[i]);
        if (r < 0) continue;
        payments++;
        const tie = tied.has(table.ids[r]);
        if (tie) ties++;
        for (const p of pairs) {
          if (tie && p.customer) continue;
          const [theirs, ours] = [p.values[r], c.matrix[i * names.length + p.at] / p.divisor];
          const difference = Math.abs(ours - theirs) / Math.max(1, Math.abs(theirs));
          if (difference <= TOLERANCE) {
            largest_difference = Math.max(largest_difference, difference);
            continue;
          }
          different++;
          largest_difference = Number.isNaN(difference)
            ? Number.POSITIVE_INFINITY
            : Math.max(largest_difference, difference);
          if (examples.length < 5)
            examples.push(`${table.ids[r]} ${p.theirs}: ${theirs} there, ${p.ours} ${ours} here`);
        }
      }
    }
  }
  return { payments, ties, features: pairs.length, different, largest_difference, examples };
}
