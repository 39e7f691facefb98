/**
 * A map of strings to numbers that forgets the oldest key when it is full. The order is kept in a ring beside the map:
 * a map's own first key costs a walk over every key deleted before it.
 */
export class BoundedMap {
  readonly #values = new Map<string, number>();
  readonly #order: string[] = [];
  readonly #limit: number;
  /** Place in the ring of the oldest key, once it is full. */
  #oldest = 0;
  /** While a cut is read: how many keys it has (-1: none is), where the oldest stood, how many were given. */
  #cut = -1;
  #cutOldest = 0;
  #given = 0;
  /** Of the cut: keys that left, by their place in the ring, and values that changed or left. */
  readonly #left = new Map<number, string>();
  readonly #before = new Map<string, number>();

  /** Keeps at most `limit` keys. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): number | undefined {
    return this.#values.get(key);
  }

  /** Sets a value; a key that is known keeps its age. */
  set(key: string, value: number): void {
    if (!this.#values.has(key)) {
      if (this.#order.length < this.#limit) this.#order.push(key);
      else {
        if (this.#cut >= 0) this.#keepPlace(this.#oldest);
        this.#values.delete(this.#order[this.#oldest]);
        this.#order[this.#oldest] = key;
        this.#oldest = (this.#oldest + 1) % this.#limit;
      }
    } else if (this.#cut >= 0) this.#keep(key);
    this.#values.set(key, value);
  }

  /** The cut is now: nextOfCut() gives what is held, whatever changes meanwhile. One under way is given up. */
  beginCut(): void {
    this.endCut();
    this.#cut = this.#order.length;
    this.#cutOldest = this.#oldest;
    this.#given = 0;
  }

  /** Gives at most `count` entries more of the cut, oldest first; true when these were the last. */
  nextOfCut(count: number, give: (key: string, value: number) => void): boolean {
    if (this.#cut < 0) throw new Error("no cut is under way");
    for (const end = Math.min(this.#cut, this.#given + count); this.#given < end; this.#given++) {
      const place = (this.#cutOldest + this.#given) % this.#cut;
      const key = this.#left.get(place) ?? this.#order[place];
      give(key, (this.#before.get(key) ?? this.#values.get(key)) as number);
    }
    if (this.#given < this.#cut) return false;
    this.endCut();
    return true;
  }

  /** Forgets the cut under way, if any. */
  endCut(): void {
    this.#cut = -1;
    this.#left.clear();
    this.#before.clear();
  }

  /** Keeps the key that leaves its place, unless it came since the cut. */
  #keepPlace(place: number): void {
    if (place < this.#cut && !this.#left.has(place)) this.#left.set(place, this.#order[place]);
    this.#keep(this.#order[place]);
  }

  /** Keeps the value of the cut, or of a key that came since: that is asked of nobody. */
  #keep(key: string): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#values.get(key) as number);
  }

  /** A copy, oldest key first. */
  entries(): [string, number][] {
    const ages = [...this.#order.slice(this.#oldest), ...this.#order.slice(0, this.#oldest)];
    return ages.map((key) => [key, this.#values.get(key) as number]);
  }

  [Symbol.iterator](): IterableIterator<[string, number]> {
    return this.#values[Symbol.iterator]();
  }
}
