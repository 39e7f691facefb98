/** An invariant of the architecture that did not hold in a simulation. */

export class Violation extends Error {
  override name = "Violation";
  /** In few words, e.g. "one decision". */
  readonly invariant: string;
  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}
