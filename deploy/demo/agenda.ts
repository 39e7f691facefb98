/** What will happen, by time: a binary heap. Of two entries of the same time the one put first comes first. */

/** Entries an agenda holds: outcomes wait here for days of event time. */
export const AGENDA_MAX = 20_000_000;

export class Agenda<T> {
  readonly #time: number[] = [];
  readonly #order: number[] = [];
  readonly #what: T[] = [];
  #count = 0;

  get size(): number {
    return this.#time.length;
  }

  /** Time of the next entry; Infinity when there is none. */
  get nextUs(): number {
    return this.#time.length === 0 ? Number.POSITIVE_INFINITY : this.#time[0];
  }

  put(timeUs: number, what: T): void {
    let at = this.#time.length;
    if (at >= AGENDA_MAX) {
      throw new RangeError(`more than ${AGENDA_MAX} entries wait: lower paymentsPerSecond or labelDelayUs`);
    }
    const order = this.#count++;
    this.#time.push(timeUs);
    this.#order.push(order);
    this.#what.push(what);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (this.#time[up] <= timeUs) break;
      this.#move(up, at);
      at = up;
    }
    this.#set(at, timeUs, order, what);
  }

  /** Takes the next entry out; undefined when there is none. */
  take(): T | undefined {
    const first = this.#what[0];
    const last = this.#time.length - 1;
    if (last < 0) return undefined;
    const time = this.#time.pop()!;
    const order = this.#order.pop()!;
    const what = this.#what.pop()!;
    if (last === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= last) break;
      if (down + 1 < last && this.#before(down + 1, this.#time[down], this.#order[down])) down++;
      if (!this.#before(down, time, order)) break;
      this.#move(down, at);
      at = down;
    }
    this.#set(at, time, order, what);
    return first;
  }

  #before(at: number, time: number, order: number): boolean {
    return this.#time[at] < time || (this.#time[at] === time && this.#order[at] < order);
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#time[from], this.#order[from], this.#what[from]);
  }

  #set(at: number, time: number, order: number, what: T): void {
    this.#time[at] = time;
    this.#order[at] = order;
    this.#what[at] = what;
  }
}
