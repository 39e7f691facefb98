/**
 * A set of payments by their counter: one bit each, growing by blocks, with exact counts over ranges. It tells which
 * ids were acknowledged and which are still unknown.
 */
import { readFileSync, writeFileSync } from "node:fs";

const WORDS_FIRST = 1 << 16;
/** 2^31 payments: more than a bench on one machine can send. */
const WORDS_MAX = 1 << 26;

export class RowSet {
  #words = new Uint32Array(WORDS_FIRST);

  add(i: number): void {
    this.#room(i >>> 5);
    this.#words[i >>> 5] |= 1 << (i & 31);
  }

  remove(i: number): void {
    if (i >>> 5 < this.#words.length) this.#words[i >>> 5] &= ~(1 << (i & 31));
  }

  has(i: number): boolean {
    return i >>> 5 < this.#words.length && ((this.#words[i >>> 5] >>> (i & 31)) & 1) === 1;
  }

  /** Adds from..from + count - 1; whole words at once. */
  addRange(from: number, count: number): void {
    const end = from + count;
    this.#room((end - 1) >>> 5);
    let i = from;
    for (; i < end && (i & 31) !== 0; i++) this.#words[i >>> 5] |= 1 << (i & 31);
    for (; i + 32 <= end; i += 32) this.#words[i >>> 5] = 0xffffffff;
    for (; i < end; i++) this.#words[i >>> 5] |= 1 << (i & 31);
  }

  removeRange(from: number, count: number): void {
    for (let i = from; i < from + count; ) {
      if ((i & 31) === 0 && i + 32 <= from + count && i >>> 5 < this.#words.length) {
        this.#words[i >>> 5] = 0;
        i += 32;
      } else this.remove(i++);
    }
  }

  /** Members in from..to - 1. */
  count(from = 0, to = this.#words.length * 32): number {
    const end = Math.min(to, this.#words.length * 32);
    let n = 0;
    let i = from;
    for (; i < end && (i & 31) !== 0; i++) n += this.has(i) ? 1 : 0;
    for (; i + 32 <= end; i += 32) n += ones(this.#words[i >>> 5]);
    for (; i < end; i++) n += this.has(i) ? 1 : 0;
    return n;
  }

  write(path: string): void {
    writeFileSync(path, new Uint8Array(this.#words.buffer));
  }

  static read(path: string): RowSet {
    const bytes = readFileSync(path);
    const set = new RowSet();
    set.#words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return set;
  }

  #room(word: number): void {
    if (word < this.#words.length) return;
    if (word >= WORDS_MAX) throw new RangeError(`more than ${WORDS_MAX * 32} payments`);
    const grown = new Uint32Array(Math.min(WORDS_MAX, Math.max(word + 1, this.#words.length * 2)));
    grown.set(this.#words);
    this.#words = grown;
  }
}

function ones(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
