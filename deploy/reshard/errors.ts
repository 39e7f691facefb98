/** Why the number of shards was not changed. The served journals are as they were. */
export type ReshardCode =
  /** A node serves, or wrote meanwhile. */
  | "served"
  /** A journal is missing, damaged, or does not begin with its first frame. */
  | "journals"
  /** The new journals do not hold what the old ones hold. */
  | "differs"
  /** The journals could not be written. */
  | "not_written";

export class ReshardError extends Error {
  override name = "ReshardError";
  readonly code: ReshardCode;
  constructor(code: ReshardCode, message: string) {
    super(message);
    this.code = code;
  }
}
