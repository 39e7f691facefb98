/**
 * What a data set says about its payments and no node was told: which have no label, so that nothing is learnt from
 * them, and, where labels sit on accounts, which are fraud. Payments are known by the tenant's keyed hash of their id.
 */
import type { Tenant } from "../../proto/tenant.ts";
import { KeyTable } from "../../runtime/kernel/key_table.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { LabelledPart } from "./export_reader.ts";

export class TrainingLabels {
  readonly #tenant: Tenant;
  readonly #keeps_frauds: boolean;
  readonly #unlabelled = new KeyTable();
  readonly #frauds = new KeyTable();

  /** With `keeps_frauds` the frauds are those seen here; without it those that the export was told. */
  constructor(tenant: Tenant, keeps_frauds: boolean) {
    this.#tenant = tenant;
    this.#keeps_frauds = keeps_frauds;
  }

  /** Takes a payment of the training days. */
  see(row: HistoryRow): void {
    const table =
      row.fraud === undefined ? this.#unlabelled : row.fraud === 1 && this.#keeps_frauds ? this.#frauds : null;
    if (table === null) return;
    keyedHashText(row.transactionId, this.#tenant.hash_key[0], this.#tenant.hash_key[1]);
    table.slot(H.hi, H.lo);
  }

  /** The export in `dir` with these labels. */
  part(dir: string): LabelledPart {
    const isUnlabelled = (hi: number, lo: number): boolean => this.#unlabelled.find(hi, lo) >= 0;
    if (!this.#keeps_frauds) return { dir, isUnlabelled };
    return { dir, isUnlabelled, isFraud: (hi, lo) => this.#frauds.find(hi, lo) >= 0 };
  }
}
