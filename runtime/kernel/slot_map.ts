/** From the dense codes of an Interner to the slots of a table: one access to memory instead of a second lookup. */
export class SlotMap {
  private slots = new Int32Array(1024).fill(-1);

  /** Slot of a code, -1 when none was set. */
  get(code: number): number {
    return code < this.slots.length ? this.slots[code] : -1;
  }

  set(code: number, slot: number): void {
    if (code >= this.slots.length) {
      const grown = new Int32Array(Math.max(code + 1, this.slots.length * 2)).fill(-1, this.slots.length);
      grown.set(this.slots);
      this.slots = grown;
    }
    this.slots[code] = slot;
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.slots.byteLength;
  }
}
