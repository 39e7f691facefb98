/**
 * Judges accounts instead of payments: an account's score is the highest of the payments at either end of which it
 * stands, 0 where it has none. Every account of the tested graph is judged once.
 */
import type { Accounts } from "../datasets/accounts_file.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import { ScoredPayments } from "../metrics/scored_payments.ts";

export class AccountScores {
  readonly #tested: Accounts;
  readonly #trained: readonly Accounts[];
  readonly #scores = new Map<string, number>();

  /** The last accounts are those of the tested graph, the ones before it of the graphs trained on. */
  constructor(accounts: readonly Accounts[]) {
    if (accounts.length < 2) throw new RangeError("accounts are judged in a graph that was not trained on");
    this.#tested = accounts[accounts.length - 1];
    this.#trained = accounts.slice(0, -1);
  }

  add({ userId, merchantId }: HistoryRow, score: number): void {
    for (const account of [userId, merchantId]) {
      const known = this.#scores.get(account);
      if (known === undefined || score > known) this.#scores.set(account, score);
    }
  }

  /** One row an account, in the order of the accounts file. */
  all(): ScoredPayments {
    return this.#table(() => true);
  }

  /** The same without the accounts that are flagged in a graph trained on as well, by the same id. */
  withoutShared(): ScoredPayments {
    return this.#table((account, flag) => flag === 0 || !this.#trained.some((graph) => graph.flagged(account)));
  }

  #table(takes: (account: string, flag: 0 | 1) => boolean): ScoredPayments {
    const table = new ScoredPayments();
    const { prefix } = this.#tested;
    for (const [card, fraud] of this.#tested.all) {
      if (!takes(card.slice(prefix.length), fraud)) continue;
      table.add({ day: 0, card, score: this.#scores.get(card) ?? 0, fraud });
    }
    return table;
  }
}
