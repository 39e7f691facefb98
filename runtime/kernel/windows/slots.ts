/**
 * The record of each actor of a table, RECORD words in blocks, so that growth copies nothing. A light actor's record
 * names its segment of events; a heavy one's names its Heavy object.
 */

/** Words a record: place, shape, newest time (2), first time (2), snapshot mark, snapshot pin. */
export const RECORD = 8;
/** First event of the segment, or number of the Heavy. */
export const R_PLACE = 0;
/** Of a light actor: head (10 bits), count (10 bits), 1 + class; 0 without events; or SHAPE_HEAVY. */
export const R_SHAPE = 1;
export const COUNT_SHIFT = 10;
export const CLASS_SHIFT = 20;
export const SHAPE_MASK = 1023;
/** In 64-bit words. */
export const R_NEWEST = 1;
export const R_FIRST = 2;
export const R_MARK = 6;
/** 1 + number of the pin that a snapshot under way has on the events, 0 without. */
export const R_PIN = 7;

export const SHAPE_HEAVY = 1 << 30;
/** The slot has no actor: a new one may take it. */
export const SHAPE_FREE = 3 << 29;
export const SHAPE_EMPTY = 0;

export const BLOCK_BITS = 12;
export const BLOCK_MASK = (1 << BLOCK_BITS) - 1;

export class Slots {
  readonly words: Uint32Array[] = [];
  readonly times: Float64Array[] = [];
  /** Slots with an actor. */
  held = 0;

  /** Makes the record of slot `slot`, the next one or one that was freed. */
  add(slot: number, mark: number): void {
    this.held++;
    if (slot >>> BLOCK_BITS === this.words.length) {
      const block = new ArrayBuffer((RECORD * 4) << BLOCK_BITS);
      this.words.push(new Uint32Array(block));
      this.times.push(new Float64Array(block));
    }
    const words = this.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    words[r + R_SHAPE] = SHAPE_EMPTY;
    words[r + R_MARK] = mark;
    const times = this.times[slot >>> BLOCK_BITS];
    times[(r >>> 1) + R_NEWEST] = Number.NEGATIVE_INFINITY;
    times[(r >>> 1) + R_FIRST] = Number.POSITIVE_INFINITY;
  }

  /** The slot's actor is no more; what its record named must have been freed. */
  free(slot: number): void {
    this.held--;
    this.words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + R_SHAPE] = SHAPE_FREE;
  }

  isFree(slot: number): boolean {
    return this.words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + R_SHAPE] === SHAPE_FREE;
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.words.length * ((RECORD * 4) << BLOCK_BITS);
  }
}
