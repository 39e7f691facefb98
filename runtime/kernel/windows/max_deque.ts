/**
 * The suffix maxima of one heavy actor's amounts: positions whose amount is larger than every later one, oldest first,
 * so amounts fall strictly from front to back. The maximum of any window that ends at the newest event is the first
 * entry at or after the window's first position. Positions are modulo 2^31 and compared relative to the oldest event.
 */
const POSITION_MASK = 0x7fffffff;

export class MaxDeque {
  length = 0;
  private front = 0;
  private positions = new Int32Array(8);
  private amounts = new Float64Array(8);

  private at(i: number): number {
    return (this.front + i) & (this.positions.length - 1);
  }

  position(i: number): number {
    return this.positions[(this.front + i) & (this.positions.length - 1)];
  }

  amount(i: number): number {
    return this.amounts[(this.front + i) & (this.positions.length - 1)];
  }

  /** Appends an amount at a position after all others. */
  push(position: number, amount: number): void {
    let n = this.length;
    const mask = this.positions.length - 1;
    while (n > 0 && this.amounts[(this.front + n - 1) & mask] <= amount) n--;
    if (n > mask) this.grow();
    const i = this.at(n);
    this.positions[i] = position;
    this.amounts[i] = amount;
    this.length = n + 1;
  }

  popFront(): void {
    this.front = this.at(1);
    this.length--;
  }

  /** Index of the first entry at or after `position`, from index `from` on; `length` when there is none. */
  search(position: number, oldest: number, from: number): number {
    const wanted = (position - oldest) & POSITION_MASK;
    let a = from;
    let b = this.length;
    while (a < b) {
      const m = (a + b) >>> 1;
      if (((this.position(m) - oldest) & POSITION_MASK) < wanted) a = m + 1;
      else b = m;
    }
    return a;
  }

  /** As search, for an entry that is probably near index `from`. */
  seek(position: number, oldest: number, from: number): number {
    const { positions, front, length } = this;
    const mask = positions.length - 1;
    const wanted = (position - oldest) & POSITION_MASK;
    const stop = Math.min(length, from + 6);
    for (let i = from; i < stop; i++) {
      if (((positions[(front + i) & mask] - oldest) & POSITION_MASK) >= wanted) return i;
    }
    return stop === length ? length : this.search(position, oldest, stop);
  }

  /** Inserts an amount whose position no entry has; entries before it that are not larger go. */
  insert(position: number, oldest: number, amount: number): void {
    const i = this.search(position, oldest, 0);
    if (i < this.length && this.amount(i) >= amount) return;
    let keep = i;
    while (keep > 0 && this.amount(keep - 1) <= amount) keep--;
    this.splice(keep, i - keep, 1);
    const k = this.at(keep);
    this.positions[k] = position;
    this.amounts[k] = amount;
  }

  /** Adds 1 to every position at or after `position`. */
  shift(position: number, oldest: number): void {
    for (let i = this.length - 1; i >= 0; i--) {
      const p = this.position(i);
      if (((p - oldest) & POSITION_MASK) < ((position - oldest) & POSITION_MASK)) return;
      this.positions[this.at(i)] = (p + 1) & POSITION_MASK;
    }
  }

  /** Removes entry i. */
  removeAt(i: number): void {
    this.splice(i, 1, 0);
  }

  /** Replaces `gone` entries from index i by room for `come` entries. */
  private splice(i: number, gone: number, come: number): void {
    const delta = come - gone;
    if (this.length + delta > this.positions.length) this.grow();
    if (delta > 0) for (let k = this.length - 1; k >= i + gone; k--) this.copy(k, k + delta);
    else if (delta < 0) for (let k = i + gone; k < this.length; k++) this.copy(k, k + delta);
    this.length += delta;
  }

  private copy(from: number, to: number): void {
    this.positions[this.at(to)] = this.positions[this.at(from)];
    this.amounts[this.at(to)] = this.amounts[this.at(from)];
  }

  private grow(): void {
    const n = this.positions.length;
    const positions = new Int32Array(n * 2);
    const amounts = new Float64Array(n * 2);
    const head = n - this.front;
    positions.set(this.positions.subarray(this.front));
    positions.set(this.positions.subarray(0, this.front), head);
    amounts.set(this.amounts.subarray(this.front));
    amounts.set(this.amounts.subarray(0, this.front), head);
    this.positions = positions;
    this.amounts = amounts;
    this.front = 0;
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.positions.length * 12 + 200;
  }
}
