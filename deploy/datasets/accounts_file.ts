/**
 * Data whose labels sit on accounts: a file beside the payments says which are flagged. A payment between two flagged
 * accounts is fraud, any other is genuine. The whole file is held: two flags and a text for each account.
 */
import { DatasetError } from "./errors.ts";
import type { AccountsMapping } from "./mapping.ts";
import type { RawSource } from "./raw_source.ts";

/** Accounts of one file, at most. */
export const ACCOUNTS_MAX = 5_000_000;

export class Accounts {
  readonly #file: string;
  /** What stands before every id here and not in the file. */
  readonly prefix: string;
  /** 1 flagged, 0 not; by the account's id as the rows of the same path have it. */
  readonly #flags: ReadonlyMap<string, 0 | 1>;

  constructor(file: string, prefix: string, flags: ReadonlyMap<string, 0 | 1>) {
    this.#file = file;
    this.prefix = prefix;
    this.#flags = flags;
  }

  /** Every account with its flag, in file order. */
  get all(): ReadonlyMap<string, 0 | 1> {
    return this.#flags;
  }

  /** Whether the account with this id in the file is there and flagged. */
  flagged(id: string): boolean {
    return this.#flags.get(this.prefix + id) === 1;
  }

  /** Label of a payment. Throws DatasetError BAD_VALUE for an account that the file does not have. */
  label(user: string, merchant: string, row: number): 0 | 1 {
    return this.#flag(user, row) === 1 && this.#flag(merchant, row) === 1 ? 1 : 0;
  }

  #flag(account: string, row: number): 0 | 1 {
    const flag = this.#flags.get(account);
    if (flag !== undefined) return flag;
    throw new DatasetError(
      "BAD_VALUE",
      `${this.#file} has no account ${account}, which the payment of row ${row} names`,
    );
  }
}

/** Reads a file of accounts; `prefix` is put before each id. Throws DatasetError. */
export async function readAccounts(source: RawSource, mapping: AccountsMapping, prefix: string): Promise<Accounts> {
  const flags = new Map<string, 0 | 1>();
  for await (const { n, first_row, columns } of source.batches([mapping.id, mapping.fraud])) {
    const [ids, marks] = [columns.get(mapping.id)!, columns.get(mapping.fraud)!];
    for (let i = 0; i < n; i++) {
      const [id, mark] = [ids[i], String(marks[i])];
      const where = `${source.file}, row ${first_row + i}`;
      if (id === null || id === undefined || id === "") {
        throw new DatasetError("BAD_VALUE", `${where}: ${mapping.id} is empty, expected an account`);
      }
      if (mark !== "0" && mark !== "1") {
        throw new DatasetError("BAD_VALUE", `${where}: ${mapping.fraud} is ${JSON.stringify(mark)}, expected 0 or 1`);
      }
      flags.set(prefix + String(id), mark === "1" ? 1 : 0);
    }
    if (flags.size > ACCOUNTS_MAX) {
      throw new DatasetError("LIMIT", `${source.file} has more than ${ACCOUNTS_MAX} accounts`);
    }
  }
  return new Accounts(source.file, prefix, flags);
}
