/**
 * From the keyed hash of a transaction id back to its counter, for tens of millions of ids: an open-addressing table of
 * counters; a candidate's hash is computed again instead of being stored.
 */
import { H, keyedHash } from "../../runtime/kernel/keyed_hash.ts";

const HEX = Buffer.from("0123456789abcdef");
const COUNTER_DIGITS = 12;

export class IdTable {
  readonly #id: Buffer;
  readonly #digitsAt: number;
  readonly #key: readonly [number, number];
  readonly #slots: Uint32Array;
  readonly #mask: number;

  /** Ids `prefix` + 0 .. count - 1 (twelve hexadecimal digits) under a tenant's hash key. */
  constructor(prefix: string, count: number, key: readonly [number, number]) {
    this.#id = Buffer.from(prefix + "0".repeat(COUNTER_DIGITS));
    this.#digitsAt = prefix.length + COUNTER_DIGITS - 8;
    this.#key = key;
    let size = 1024;
    while (size < count * 1.5) size *= 2;
    this.#slots = new Uint32Array(size);
    this.#mask = size - 1;
    for (let i = 0; i < count; i++) {
      this.#hash(i);
      let at = H.lo & this.#mask;
      while (this.#slots[at] !== 0) at = (at + 1) & this.#mask;
      this.#slots[at] = i + 1;
    }
  }

  /** The counter of the id with this hash; -1 when none has it. */
  find(hi: number, lo: number): number {
    for (let at = lo & this.#mask; ; at = (at + 1) & this.#mask) {
      const slot = this.#slots[at];
      if (slot === 0) return -1;
      this.#hash(slot - 1);
      if (H.hi === hi && H.lo === lo) return slot - 1;
    }
  }

  #hash(counter: number): void {
    const id = this.#id;
    for (let i = 0, shift = 28; i < 8; i++, shift -= 4) id[this.#digitsAt + i] = HEX[(counter >>> shift) & 15];
    keyedHash(id, 0, id.length, this.#key[0], this.#key[1]);
  }
}
