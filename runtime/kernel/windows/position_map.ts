/**
 * An index from 32-bit keys to event positions (0 .. 2^31 - 1) of a heavy actor, with removal: an extendible hash like
 * KeyTable: a full segment splits, so that no call ever rehashes more than SEGMENT_ENTRIES entries. A key may stand
 * more than once (pairs); `get`, `swap` and `remove` serve those who keep keys unique.
 */
const SEGMENT_ENTRIES = 1024;
const FIRST_ENTRIES = 32;
const DEPTH_MAX = 18;

class Segment {
  /** Pairs key, position + 1 (0: empty). */
  words: Uint32Array;
  mask: number;
  used = 0;
  depth: number;
  constructor(entries: number, depth: number) {
    this.words = new Uint32Array(entries * 2);
    this.mask = entries - 1;
    this.depth = depth;
  }
}

function mix(key: number): number {
  const h = Math.imul(key ^ (key >>> 16), 0x9e3779b1);
  return Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
}

/** The entry bits must not repeat the directory bits. */
function home(h: number, mask: number): number {
  return (h ^ (h >>> 13)) & mask;
}

export class PositionMap {
  size = 0;
  private directory: Segment[] = [new Segment(FIRST_ENTRIES, 0)];
  private depth = 0;
  private readonly only: Segment = this.directory[0];
  private entries = FIRST_ENTRIES;
  private walkSegment: Segment = this.directory[0];
  private walkIndex = 0;
  private walkKey = 0;

  private segment(h: number): Segment {
    // Most maps never split: their only segment is reached without the directory.
    return this.depth === 0 ? this.only : this.directory[(h >>> 1) >>> (31 - this.depth)];
  }

  /** Position of a key, -1 when it is not there. */
  get(key: number): number {
    const h = mix(key);
    const s = this.segment(h);
    const words = s.words;
    for (let i = home(h, s.mask); ; i = (i + 1) & s.mask) {
      const v = words[i * 2 + 1];
      if (v === 0) return -1;
      if (words[i * 2] === key) return v - 1;
    }
  }

  /** Sets the position of a key and returns the one before, -1 when it is new. */
  swap(key: number, position: number): number {
    const h = mix(key);
    const s = this.segment(h);
    const words = s.words;
    for (let i = home(h, s.mask); ; i = (i + 1) & s.mask) {
      const v = words[i * 2 + 1];
      if (v === 0) {
        if ((s.used + 1) * 4 > (s.mask + 1) * 3) this.add(key, position);
        else {
          words[i * 2] = key;
          words[i * 2 + 1] = position + 1;
          s.used++;
          this.size++;
        }
        return -1;
      }
      if (words[i * 2] === key) {
        words[i * 2 + 1] = position + 1;
        return v - 1;
      }
    }
  }

  /** Adds a pair, whether or not the key is there. */
  add(key: number, position: number): void {
    const h = mix(key);
    let s = this.segment(h);
    while ((s.used + 1) * 4 > (s.mask + 1) * 3) {
      if (s.mask + 1 < SEGMENT_ENTRIES || s.depth >= DEPTH_MAX) this.widen(s);
      else this.split(s, h);
      s = this.segment(h);
    }
    place(s, h, key, position + 1);
    this.size++;
  }

  /** Removes the pair (key, position). */
  remove(key: number, position: number): void {
    const h = mix(key);
    const s = this.segment(h);
    let gap = indexOf(s, h, key, position + 1);
    if (gap < 0) throw new Error(`no pair (${key}, ${position}) to remove`);
    const { words, mask } = s;
    // Closes the gap: an entry moves into it unless its home lies behind the gap.
    for (let i = (gap + 1) & mask; words[i * 2 + 1] !== 0; i = (i + 1) & mask) {
      const away = (i - home(mix(words[i * 2]), mask)) & mask;
      if (away < ((i - gap) & mask)) continue;
      words[gap * 2] = words[i * 2];
      words[gap * 2 + 1] = words[i * 2 + 1];
      gap = i;
    }
    words[gap * 2 + 1] = 0;
    s.used--;
    this.size--;
  }

  /** First position of a key, -1 without; next() gives the others, in any order, until the map changes. */
  first(key: number): number {
    const h = mix(key);
    this.walkSegment = this.segment(h);
    this.walkIndex = home(h, this.walkSegment.mask);
    this.walkKey = key;
    return this.next();
  }

  next(): number {
    const { words, mask } = this.walkSegment;
    for (;;) {
      const i = this.walkIndex;
      const v = words[i * 2 + 1];
      if (v === 0) return -1;
      this.walkIndex = (i + 1) & mask;
      if (words[i * 2] === this.walkKey) return v - 1;
    }
  }

  private widen(s: Segment): void {
    const old = s.words;
    this.entries += s.mask + 1;
    s.mask = s.mask * 2 + 1;
    s.words = new Uint32Array((s.mask + 1) * 2);
    s.used = 0;
    for (let o = 0; o < old.length; o += 2) if (old[o + 1] !== 0) place(s, mix(old[o]), old[o], old[o + 1]);
  }

  private split(s: Segment, h: number): void {
    if (s.depth === this.depth) {
      this.directory = this.directory.flatMap((d) => [d, d]);
      this.depth++;
    }
    const depth = s.depth + 1;
    const halves = [new Segment(s.mask + 1, depth), new Segment(s.mask + 1, depth)];
    this.entries += s.mask + 1;
    for (let o = 0; o < s.words.length; o += 2) {
      if (s.words[o + 1] === 0) continue;
      const k = mix(s.words[o]);
      place(halves[(k >>> (32 - depth)) & 1], k, s.words[o], s.words[o + 1]);
    }
    const span = 1 << (this.depth - depth);
    const first = ((h >>> 1) >>> (31 - s.depth)) * 2 * span;
    this.directory.fill(halves[0], first, first + span);
    this.directory.fill(halves[1], first + span, first + 2 * span);
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.entries * 8 + this.directory.length * 8 + 200;
  }
}

function indexOf(s: Segment, h: number, key: number, value: number): number {
  const words = s.words;
  for (let i = home(h, s.mask); ; i = (i + 1) & s.mask) {
    const v = words[i * 2 + 1];
    if (v === 0) return -1;
    if (v === value && words[i * 2] === key) return i;
  }
}

function place(s: Segment, h: number, key: number, value: number): void {
  let i = home(h, s.mask);
  while (s.words[i * 2 + 1] !== 0) i = (i + 1) & s.mask;
  s.words[i * 2] = key;
  s.words[i * 2 + 1] = value;
  s.used++;
}
