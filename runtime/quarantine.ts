/**
 * Rows that an actor failed on. Half of such a row may be in the actors' memory, so its shard is given up and brought
 * up again from its journal, where the row never stood. The row is named here, and refused before it meets an actor
 * when it comes again. Bounded: the oldest is forgotten first, and costs its shard one more reload.
 */
import type { RowBlock } from "../proto/columns.ts";
import { PassiveRecordLost } from "./kernel/windows/passive_log.ts";
import type { Clock, QuarantinedRow, QuarantineStore } from "./ports.ts";

/** Rows remembered. */
const ROWS_MAX = 1000;
/** Characters kept of an error's message. */
const MESSAGE_MAX = 300;

/** An actor failed on a row: what the shard has in memory cannot be trusted, its journal can. */
export class Poisoned extends Error {
  override name = "Poisoned";
  /** Null: the row came from another shard, which decides what comes of it, or no row is to blame. */
  readonly row: QuarantinedRow | null;

  constructor(row: QuarantinedRow | null, cause: unknown) {
    super(`an actor failed on a row: ${textOf(cause)}`, { cause });
    this.row = row;
  }

  /** The stack of what the actor threw, when it was an error. */
  get thrownAt(): string | undefined {
    return this.cause instanceof Error ? this.cause.stack : undefined;
  }
}

/** Whether an actor failed on what this process has, scratch or memory, whatever row it was with: a reload mends it. */
export function isOfProcess(cause: unknown): boolean {
  if (cause instanceof PassiveRecordLost) return true;
  return cause instanceof RangeError && cause.message.includes("allocation failed");
}

export class Quarantine {
  readonly #store: QuarantineStore | null;
  readonly #clock: Clock;
  readonly #onUnwritten: (rows: number, error: Error) => void;
  #isUnwritten = false;
  readonly #rows = new Map<string, QuarantinedRow>();
  /** Low words of their ids: nearly every other row is told apart without its key. */
  readonly #ids = new Set<number>();

  /**
   * `store`: what outlives the process; null keeps nothing. `onUnwritten`: it could not take the rows; it is tried
   * again with the next one, and until then they are refused by this process only.
   */
  constructor(
    store: QuarantineStore | null,
    clock: Clock,
    onUnwritten: (rows: number, error: Error) => void = () => {},
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#onUnwritten = onUnwritten;
    for (const row of store?.read() ?? []) this.#put(row);
  }

  get size(): number {
    return this.#rows.size;
  }

  holds(b: RowBlock, r: number): boolean {
    if (!this.#ids.has(b.id.lo[r])) return false;
    return this.#rows.has(keyOf(b.kind[r], b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]));
  }

  /** Remembers the row that an actor failed on with `cause`, if it was the row; what is returned ends its shard. */
  blame(b: RowBlock, r: number, cause: unknown): Poisoned {
    if (isOfProcess(cause)) return new Poisoned(null, cause);
    const row: QuarantinedRow = {
      shard: b.shard[r],
      kind: b.kind[r],
      userHi: b.user.hi[r],
      userLo: b.user.lo[r],
      idHi: b.id.hi[r],
      idLo: b.id.lo[r],
      sinceUs: Math.floor(this.#clock.wallUs()),
      message: textOf(cause).slice(0, MESSAGE_MAX),
    };
    this.add(row);
    return new Poisoned(row, cause);
  }

  /** Remembers a row, of this node or told by another one. */
  add(row: QuarantinedRow): void {
    if (this.#put(row) || this.#isUnwritten) this.#write();
  }

  /** A full disk must not make of a row that errors alone a node that ends. */
  #write(): void {
    if (this.#store === null) return;
    try {
      this.#store.write([...this.#rows.values()]);
      this.#isUnwritten = false;
    } catch (error) {
      this.#isUnwritten = true;
      this.#onUnwritten(this.#rows.size, error as Error);
    }
  }

  #put(row: QuarantinedRow): boolean {
    const key = keyOf(row.kind, row.userHi, row.userLo, row.idHi, row.idLo);
    if (this.#rows.has(key)) return false;
    if (this.#rows.size === ROWS_MAX) {
      const [oldest] = this.#rows.keys();
      this.#rows.delete(oldest);
      this.#ids.clear();
      for (const { idLo } of this.#rows.values()) this.#ids.add(idLo);
    }
    this.#rows.set(key, row);
    this.#ids.add(row.idLo);
    return true;
  }
}

function keyOf(kind: number, userHi: number, userLo: number, idHi: number, idLo: number): string {
  return `${kind} ${userHi} ${userLo} ${idHi} ${idLo}`;
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
