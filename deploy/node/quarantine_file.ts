/**
 * The rows that actors failed on, in a file of the data folder, so that a restart refuses them too. To have them tried
 * again, remove the file while the node is down.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { QuarantinedRow, QuarantineStore } from "../../runtime/ports.ts";

export class QuarantineFile implements QuarantineStore {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Throws for a file that somebody wrote something else into. */
  read(): readonly QuarantinedRow[] {
    if (!existsSync(this.#file)) return [];
    try {
      const rows = JSON.parse(readFileSync(this.#file, "utf8")) as unknown;
      if (!Array.isArray(rows) || !rows.every(isRow)) throw new Error("not a list of rows");
      return rows;
    } catch (cause) {
      const why = (cause as Error).message;
      throw new Error(`${this.#file} cannot be read (${why}): mend or remove it`, { cause });
    }
  }

  write(rows: readonly QuarantinedRow[]): void {
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(rows, null, 1)}\n`, { flush: true });
    renameSync(`${this.#file}.new`, this.#file);
  }
}

const NUMBERS = ["shard", "kind", "userHi", "userLo", "idHi", "idLo", "sinceUs"] as const;

function isRow(value: unknown): value is QuarantinedRow {
  if (typeof value !== "object" || value === null) return false;
  const row = value as Record<string, unknown>;
  return typeof row["message"] === "string" && NUMBERS.every((name) => Number.isSafeInteger(row[name]));
}
