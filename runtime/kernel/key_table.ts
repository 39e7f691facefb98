/**
 * A dictionary from 64-bit keys (hi, lo) to dense slot numbers 0, 1, 2, ... in the order of first sight. Keys are never
 * removed. It is one flat open-addressed table, so that a lookup is one access to memory; when it is 70 % full a
 * table of twice the size takes over, and every later insert moves a few entries, so that no call rehashes all of them.
 */

/** Words an entry: lo, hi, slot + 1 (0: empty), unused. Four, so that no entry lies on two cache lines. */
const ENTRY = 4;
const FIRST_ENTRIES = 64;
/** Entries of the old table moved by one insert: done long before the new one is full. */
const MOVED_PER_INSERT = 8;
/** Keys are kept by slot in blocks, so that growth copies nothing. */
const BLOCK_BITS = 12;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;

/** Mixes both words; keys are keyed hashes in use, and any others must not cluster. */
function mix(hi: number, lo: number): number {
  let h = Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) ^ hi;
  h = Math.imul(h ^ (h >>> 13), 0x297a2d39);
  return h ^ (h >>> 16);
}

export class KeyTable {
  /** Keys held; the next new key gets this slot. */
  size = 0;
  private words = new Uint32Array(FIRST_ENTRIES * ENTRY);
  private mask = FIRST_ENTRIES - 1;
  /** The table before, while its entries move. */
  private old: Uint32Array | null = null;
  private oldNext = 0;
  private readonly keys: Uint32Array[] = [];

  /** Slot of a key, -1 when it is unknown. */
  find(hi: number, lo: number): number {
    const h = mix(hi, lo);
    const { words, mask } = this;
    const high = hi >>> 0;
    const low = lo >>> 0;
    for (let i = h & mask; ; i = (i + 1) & mask) {
      const o = i * ENTRY;
      const v = words[o + 2];
      if (v === 0) return this.old === null ? -1 : findIn(this.old, h, high, low);
      if (words[o] === low && words[o + 1] === high) return v - 1;
    }
  }

  /** Slot of a key, a new one (`size` before the call) when it is unknown. */
  slot(hi: number, lo: number): number {
    const known = this.find(hi, lo);
    return known >= 0 ? known : this.insert(hi >>> 0, lo >>> 0);
  }

  /** Slot for a key that is unknown. */
  add(hi: number, lo: number): number {
    return this.insert(hi >>> 0, lo >>> 0);
  }

  private insert(hi: number, lo: number): number {
    const slot = this.size++;
    if ((slot & BLOCK_MASK) === 0) this.keys.push(new Uint32Array(2 << BLOCK_BITS));
    const block = this.keys[slot >>> BLOCK_BITS];
    block[(slot & BLOCK_MASK) * 2] = hi;
    block[(slot & BLOCK_MASK) * 2 + 1] = lo;
    if (this.size * 10 > (this.mask + 1) * 7) {
      if (this.old !== null) throw new Error("the table grows before its entries have moved");
      this.old = this.words;
      this.oldNext = 0;
      this.words = new Uint32Array(this.words.length * 2);
      this.mask = this.mask * 2 + 1;
    }
    if (this.old !== null) this.move(this.old);
    place(this.words, this.mask, hi, lo, slot + 1);
    return slot;
  }

  /** Moves some entries of the old table; those moved are still found there, which does no harm. */
  private move(old: Uint32Array): void {
    const stop = Math.min(old.length, this.oldNext + MOVED_PER_INSERT * ENTRY);
    for (let o = this.oldNext; o < stop; o += ENTRY) {
      if (old[o + 2] !== 0) place(this.words, this.mask, old[o + 1], old[o], old[o + 2]);
    }
    this.oldNext = stop;
    if (stop === old.length) this.old = null;
  }

  /** High word of a slot's key. */
  keyHi(slot: number): number {
    return this.keys[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * 2];
  }

  /** Low word of a slot's key. */
  keyLo(slot: number): number {
    return this.keys[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * 2 + 1];
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.words.byteLength + (this.old?.byteLength ?? 0) + this.keys.length * (8 << BLOCK_BITS);
  }
}

function findIn(words: Uint32Array, h: number, high: number, low: number): number {
  const mask = words.length / ENTRY - 1;
  for (let i = h & mask; ; i = (i + 1) & mask) {
    const o = i * ENTRY;
    const v = words[o + 2];
    if (v === 0) return -1;
    if (words[o] === low && words[o + 1] === high) return v - 1;
  }
}

function place(words: Uint32Array, mask: number, hi: number, lo: number, value: number): void {
  let i = mix(hi, lo) & mask;
  while (words[i * ENTRY + 2] !== 0) i = (i + 1) & mask;
  words[i * ENTRY] = lo;
  words[i * ENTRY + 1] = hi;
  words[i * ENTRY + 2] = value;
}
