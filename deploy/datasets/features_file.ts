/**
 * Published feature values, keyed by transaction: the handbook's file of derived features, to compare our windows with.
 * The whole file is held as columns (201,295 rows x 14 features: 23 MB).
 */
import { DatasetError } from "./errors.ts";
import { openParquet } from "./parquet_source.ts";

/** Rows of a features file, at most. */
export const FEATURE_ROWS_MAX = 5_000_000;

export interface FeatureTable {
  readonly rows: number;
  /** Feature names in file order, the key left out. */
  readonly names: readonly string[];
  /** Keys as texts, as HistoryRow.transactionId has them; by row. */
  readonly ids: readonly string[];
  /** Row of a transaction, -1 when the file has none. */
  rowOf(transactionId: string): number;
  /** Values of a feature by row; NaN where the file has none. Throws RangeError for an unknown name. */
  column(name: string): Float64Array;
}

/** Reads a features file. `key` names its id column. Throws DatasetError. */
export async function readFeatures(path: string, key = "TRANSACTION_ID"): Promise<FeatureTable> {
  const file = await openParquet(path);
  if (file.rows > FEATURE_ROWS_MAX) {
    throw new DatasetError("LIMIT", `${path} has ${file.rows} rows, at most ${FEATURE_ROWS_MAX} are read`);
  }
  const names = file.names.filter((n) => n !== key);
  const ids: string[] = [];
  const rowOf = new Map<string, number>();
  const columns = new Map(names.map((n) => [n, new Float64Array(file.rows).fill(Number.NaN)]));
  for await (const group of file.groups([key, ...names])) {
    for (let i = 0; i < group.n; i++) {
      const id = String(group.columns[0][i]);
      rowOf.set(id, ids.length);
      ids.push(id);
    }
    names.forEach((name, c) => {
      const values = group.columns[c + 1];
      const column = columns.get(name)!;
      for (let i = 0; i < group.n; i++) if (values[i] != null) column[group.first_row + i] = Number(values[i]);
    });
  }
  return {
    rows: file.rows,
    names,
    ids,
    rowOf: (id) => rowOf.get(id) ?? -1,
    column(name) {
      const column = columns.get(name);
      if (column === undefined) throw new RangeError(`${path} has no feature ${name}; it has ${names.join(", ")}`);
      return column;
    },
  };
}
