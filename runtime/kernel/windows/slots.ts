/**
 * The record of each actor of a table, RECORD words in blocks, so that growth copies nothing. A light actor's record
 * names its segment of events; a heavy one's names its Heavy object.
 */
import { CHUNK_CLASS } from "./event_arena.ts";

/** Words a record: place, shape, newest time (2), first time (2), snapshot mark, unused. */
export const RECORD = 8;
/** First event of the segment, or number of the Heavy. */
export const R_PLACE = 0;
/** Head, count, class, heavy: 8 bits each. */
export const R_SHAPE = 1;
/** In 64-bit words. */
export const R_NEWEST = 1;
export const R_FIRST = 2;
export const R_MARK = 6;

export const SHAPE_HEAVY = 1 << 24;
const CLASS_NONE = CHUNK_CLASS + 1;
export const SHAPE_EMPTY = CLASS_NONE << 16;

export const BLOCK_BITS = 12;
export const BLOCK_MASK = (1 << BLOCK_BITS) - 1;

export class Slots {
  readonly words: Uint32Array[] = [];
  readonly times: Float64Array[] = [];

  /** Makes the record of slot `slot`, the next one. */
  add(slot: number, mark: number): void {
    if ((slot & BLOCK_MASK) === 0) {
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

  /** Allocated bytes. */
  bytes(): number {
    return this.words.length * ((RECORD * 4) << BLOCK_BITS);
  }
}
