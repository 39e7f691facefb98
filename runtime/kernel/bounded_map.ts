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
        this.#values.delete(this.#order[this.#oldest]);
        this.#order[this.#oldest] = key;
        this.#oldest = (this.#oldest + 1) % this.#limit;
      }
    }
    this.#values.set(key, value);
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
