/**
 * A dictionary from 64-bit keys (hi, lo) to dense slot numbers 0, 1, 2, ... in the order of first sight. Keys are never
 * removed. It is an extendible hash: a directory of small open-addressed segments, of which one splits when it is full,
 * so that no insert ever rehashes more than SEGMENT_ENTRIES keys.
 */

/** Entries of a full-grown segment; three words each: hi, lo, slot + 1 (0: empty). */
const SEGMENT_ENTRIES = 2048;
const FIRST_ENTRIES = 16;
const ENTRY = 3;
/** Keys are kept by slot in blocks, so that growth copies nothing. */
const BLOCK_BITS = 12;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;
/** Past this depth a segment doubles instead of splitting: its keys collide in more bits than chance allows. */
const DEPTH_MAX = 20;

class Segment {
  words: Uint32Array;
  mask: number;
  used = 0;
  depth: number;
  constructor(entries: number, depth: number) {
    this.words = new Uint32Array(entries * ENTRY);
    this.mask = entries - 1;
    this.depth = depth;
  }
}

/** Mixes both words to 32 bits: the high bits choose the segment, the low bits the entry. */
function mix(hi: number, lo: number): number {
  let h = Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) ^ hi;
  h = Math.imul(h ^ (h >>> 13), 0x297a2d39);
  return h ^ (h >>> 16);
}

export class KeyTable {
  /** Keys held; the next new key gets this slot. */
  size = 0;
  private directory: Segment[] = [new Segment(FIRST_ENTRIES, 0)];
  private depth = 0;
  private readonly keys: Uint32Array[] = [];
  private entries = FIRST_ENTRIES;

  /** Slot of a key, -1 when it is unknown. */
  find(hi: number, lo: number): number {
    const h = mix(hi, lo);
    const s = this.directory[(h >>> 1) >>> (31 - this.depth)];
    const words = s.words;
    const mask = s.mask;
    const high = hi >>> 0;
    const low = lo >>> 0;
    for (let i = h & mask; ; i = (i + 1) & mask) {
      const o = i * ENTRY;
      const v = words[o + 2];
      if (v === 0) return -1;
      if (words[o + 1] === low && words[o] === high) return v - 1;
    }
  }

  /** Slot of a key, a new one (`size` before the call) when it is unknown. */
  slot(hi: number, lo: number): number {
    const known = this.find(hi, lo);
    return known >= 0 ? known : this.insert(hi >>> 0, lo >>> 0);
  }

  private insert(hi: number, lo: number): number {
    const slot = this.size++;
    if ((slot & BLOCK_MASK) === 0) this.keys.push(new Uint32Array(2 << BLOCK_BITS));
    const block = this.keys[slot >>> BLOCK_BITS];
    block[(slot & BLOCK_MASK) * 2] = hi;
    block[(slot & BLOCK_MASK) * 2 + 1] = lo;
    const h = mix(hi, lo);
    let s = this.directory[(h >>> 1) >>> (31 - this.depth)];
    while ((s.used + 1) * 4 > (s.mask + 1) * 3) {
      if (s.mask + 1 < SEGMENT_ENTRIES || s.depth >= DEPTH_MAX) this.widen(s);
      else this.split(s, h);
      s = this.directory[(h >>> 1) >>> (31 - this.depth)];
    }
    place(s, h, hi, lo, slot + 1);
    return slot;
  }

  private widen(s: Segment): void {
    const old = s.words;
    const entries = (s.mask + 1) * 2;
    this.entries += s.mask + 1;
    s.words = new Uint32Array(entries * ENTRY);
    s.mask = entries - 1;
    s.used = 0;
    for (let o = 0; o < old.length; o += ENTRY) {
      if (old[o + 2] !== 0) place(s, mix(old[o], old[o + 1]), old[o], old[o + 1], old[o + 2]);
    }
  }

  private split(s: Segment, h: number): void {
    if (s.depth === this.depth) {
      this.directory = this.directory.flatMap((d) => [d, d]);
      this.depth++;
    }
    const depth = s.depth + 1;
    const halves = [new Segment(s.mask + 1, depth), new Segment(s.mask + 1, depth)];
    this.entries += s.mask + 1;
    for (let o = 0; o < s.words.length; o += ENTRY) {
      if (s.words[o + 2] === 0) continue;
      const k = mix(s.words[o], s.words[o + 1]);
      place(halves[(k >>> (32 - depth)) & 1], k, s.words[o], s.words[o + 1], s.words[o + 2]);
    }
    const span = 1 << (this.depth - depth);
    const first = ((h >>> 1) >>> (31 - s.depth)) * 2 * span;
    this.directory.fill(halves[0], first, first + span);
    this.directory.fill(halves[1], first + span, first + 2 * span);
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
    return this.entries * ENTRY * 4 + this.keys.length * (8 << BLOCK_BITS);
  }
}

function place(s: Segment, h: number, hi: number, lo: number, value: number): void {
  let i = h & s.mask;
  while (s.words[i * ENTRY + 2] !== 0) i = (i + 1) & s.mask;
  s.words[i * ENTRY] = hi;
  s.words[i * ENTRY + 1] = lo;
  s.words[i * ENTRY + 2] = value;
  s.used++;
}
