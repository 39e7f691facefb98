/**
 * Batches on their way: when each was due, which payments it holds, which phase it belongs to. A ring of typed arrays,
 * so that an answer costs no search and no object.
 */

/** Batches that may be unanswered: 16.7 million payments. Power of two. */
const RING = 1 << 18;

export class Flights {
  readonly #batch = new Float64Array(RING).fill(-1);
  readonly #due = new Float64Array(RING);
  readonly #first = new Float64Array(RING);
  readonly #phase = new Uint32Array(RING);
  #next = 0;
  outstanding = 0;
  /** Of the batch last landed. */
  due_ms = 0;
  first = 0;
  phase = 0;

  /** Notes a batch as sent; returns its number. Throws RangeError when the ring is full of unanswered ones. */
  depart(due_ms: number, first: number, phase: number): number {
    const batch = this.#next++;
    const at = batch & (RING - 1);
    if (this.#batch[at] >= 0) throw new RangeError(`${RING} batches wait for answers`);
    this.#batch[at] = batch;
    this.#due[at] = due_ms;
    this.#first[at] = first;
    this.#phase[at] = phase;
    this.outstanding++;
    return batch;
  }

  /** Takes an answered batch out, its facts into the fields above; false when it is none that waits. */
  land(batch: number): boolean {
    const at = batch & (RING - 1);
    if (this.#batch[at] !== batch) return false;
    this.#batch[at] = -1;
    this.due_ms = this.#due[at];
    this.first = this.#first[at];
    this.phase = this.#phase[at];
    this.outstanding--;
    return true;
  }

  /** Gives up on all that wait (their streams are gone, or time is). Returns how many. */
  abandon(): number {
    const lost = this.outstanding;
    this.#batch.fill(-1);
    this.outstanding = 0;
    return lost;
  }
}
