/**
 * The counterparties of the events after a late query's time: a small set that is filled anew for each such query. A
 * stamp says which entries belong to the query, so that nothing is cleared.
 */
const ENTRIES = 2048;

export class CounterpartySet {
  private readonly keys = new Uint32Array(ENTRIES);
  private readonly stamps = new Uint32Array(ENTRIES);
  private readonly taken = new Uint8Array(ENTRIES);
  private stamp = 0;

  /** Forgets everything. */
  reset(): void {
    this.stamp = (this.stamp + 1) >>> 0;
    if (this.stamp !== 0) return;
    this.stamps.fill(0);
    this.stamp = 1;
  }

  /** Adds a counterparty; at most ENTRIES / 2 different ones fit, more than a light actor has events. */
  add(counterparty: number): void {
    const i = this.find(counterparty);
    if (this.stamps[i] === this.stamp) return;
    this.stamps[i] = this.stamp;
    this.keys[i] = counterparty;
    this.taken[i] = 0;
  }

  /** True the first time that it is asked for a counterparty of the set. */
  take(counterparty: number): boolean {
    const i = this.find(counterparty);
    if (this.stamps[i] !== this.stamp || this.taken[i] === 1) return false;
    this.taken[i] = 1;
    return true;
  }

  /** Entry of a counterparty, or the free one where it belongs. */
  private find(counterparty: number): number {
    const { keys, stamps, stamp } = this;
    let i = Math.imul(counterparty, 0x9e3779b1) >>> 21;
    while (stamps[i] === stamp && keys[i] !== counterparty) i = (i + 1) & (ENTRIES - 1);
    return i;
  }
}
