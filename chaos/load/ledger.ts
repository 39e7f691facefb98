/**
 * What the client knows of every payment it ever sent: acknowledged, still unknown, or refused. The counter in an id is
 * the payment's place in these sets; the checker compares them with the journals.
 */
import { type ResponseWalker, ROW_DECIDED, ROW_REFUSED } from "./response_walker.ts";
import { RowSet } from "./row_set.ts";

export class Ledger {
  /** Decided or recorded: must stand in the journals, each once. */
  readonly acknowledged = new RowSet();
  /** Sent and not answered, or answered with "unknown": may stand in the journals. */
  readonly unknown = new RowSet();
  #next = 0;

  /** Reserves `count` counters in a row; the first is a multiple of 32. */
  reserve(count: number): number {
    const first = this.#next;
    this.#next = Math.ceil((first + count) / 32) * 32;
    if (this.#next > 0xffffffff) throw new RangeError("more ids than the counter of an id holds");
    return first;
  }

  /** Counters reserved so far. */
  get count(): number {
    return this.#next;
  }

  sent(first: number, count: number): void {
    this.unknown.addRange(first, count);
  }

  /** Takes over what the walker found for rows first .. first + count - 1. A shorter answer leaves the rest unknown. */
  answered(first: number, count: number, found: ResponseWalker): void {
    if (found.rows === 1 && count > 1) {
      // One error for the whole batch.
      if (found.row[0] === ROW_REFUSED) this.unknown.removeRange(first, count);
      return;
    }
    const rows = Math.min(count, found.rows);
    if (found.decided === rows) {
      this.acknowledged.addRange(first, rows);
      this.unknown.removeRange(first, rows);
      return;
    }
    for (let i = 0; i < rows; i++) {
      const how = found.row[i];
      if (how === ROW_DECIDED) this.acknowledged.add(first + i);
      if (how === ROW_DECIDED || how === ROW_REFUSED) this.unknown.remove(first + i);
    }
  }
}
