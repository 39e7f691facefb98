/**
 * Stable numbers for the events of one heavy actor. A position moves when a late event is inserted before it; a handle
 * does not, so that indexes hold handles and a late event costs no more than moving words.
 */
import { POSITION_MASK } from "./heavy_store.ts";

export class Handles {
  /** Position of a handle; for a free one the next free handle. */
  private positions = new Int32Array(64);
  /** Handle of the event at a position modulo the length, a power of two that the held events fit in. */
  private at = new Int32Array(64);
  private used = 0;
  private free = -1;
  private held = 0;

  position(handle: number): number {
    return this.positions[handle];
  }

  handle(position: number): number {
    return this.at[position & (this.at.length - 1)];
  }

  /** A handle for the event at `position`; `head` is the oldest held position. */
  take(position: number, head: number): number {
    if (this.held === this.at.length) this.widen(head);
    let h = this.free;
    if (h >= 0) this.free = this.positions[h];
    else h = this.used++;
    if (h === this.positions.length) {
      const grown = new Int32Array(h * 2);
      grown.set(this.positions);
      this.positions = grown;
    }
    this.positions[h] = position;
    this.at[position & (this.at.length - 1)] = h;
    this.held++;
    return h;
  }

  /** Gives up the handle of the event at `position`. */
  release(position: number): void {
    const h = this.handle(position);
    this.positions[h] = this.free;
    this.free = h;
    this.held--;
  }

  /** The events at [position, end) move up by one; `head` is the oldest held position. */
  moveUp(position: number, end: number, head: number): void {
    if (this.held === this.at.length) this.widen(head);
    const { at, positions } = this;
    const mask = at.length - 1;
    for (let p = end; p !== position; ) {
      const from = (p - 1) & POSITION_MASK;
      const h = at[from & mask];
      at[p & mask] = h;
      positions[h] = p;
      p = from;
    }
  }

  private widen(head: number): void {
    const old = this.at;
    const grown = new Int32Array(old.length * 2);
    for (let k = 0; k < old.length; k++) {
      const p = (head + k) & POSITION_MASK;
      grown[p & (grown.length - 1)] = old[p & (old.length - 1)];
    }
    this.at = grown;
  }

  /** Allocated bytes. */
  bytes(): number {
    return (this.positions.length + this.at.length) * 4 + 100;
  }
}
