/** What can be wrong with a data set, as a closed set; each message says where and what to do. */

export type DatasetErrorCode =
  /** No file of the mapping in a given folder, or the path does not exist: check --data and the mapping's `files`. */
  | "NO_FILE"
  /** The mapping file is not valid: mend it as datasets/README.md says. */
  | "BAD_MAPPING"
  /** A mapped column is not in the file: mend the mapping. */
  | "MISSING_COLUMN"
  /** A value is missing, out of range or of the wrong form: mend the data, or the unit in the mapping. */
  | "BAD_VALUE"
  /** Rows are not in event order: sort the file, or set `"order": "none"` in the mapping. */
  | "UNSORTED"
  /** A limit was passed: split the file. */
  | "LIMIT"
  /** The file cannot be read as what its name says. */
  | "UNREADABLE";

export class DatasetError extends Error {
  override readonly name = "DatasetError";
  readonly code: DatasetErrorCode;

  constructor(code: DatasetErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
