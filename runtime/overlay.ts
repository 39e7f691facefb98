/**
 * Rows of other shards that are answered but not yet folded: they count in every answer until the frame that holds them
 * is folded here. Never journaled, never in a snapshot, no timer. Rows are kept by entity key in linked lists.
 */
import { KeyTable } from "./kernel/key_table.ts";

/** Rows gathered for one answer. */
export interface PendingRows {
  n: number;
  timeUs: Float64Array;
  amount: Float64Array;
  counterparty: Uint32Array;
}

/** Rows an overlay holds; past it a source's rows are answered but not overlaid (degraded: entity). */
const ROWS_MAX = 1 << 16;

export class Overlay {
  #heads = new KeyTable();
  #head = new Int32Array(1024).fill(-1);
  readonly #next = new Int32Array(ROWS_MAX);
  readonly #previous = new Int32Array(ROWS_MAX);
  readonly #slot = new Uint32Array(ROWS_MAX);
  /** The row of the same source that came next. */
  readonly #after = new Int32Array(ROWS_MAX);
  readonly #oldest: number[] = [];
  readonly #newest: number[] = [];
  readonly #timeUs = new Float64Array(ROWS_MAX);
  readonly #amount = new Float64Array(ROWS_MAX);
  readonly #counterparty = new Uint32Array(ROWS_MAX);
  readonly #source = new Uint16Array(ROWS_MAX);
  readonly #frame = new Float64Array(ROWS_MAX);
  #live = 0;
  #free = -1;
  #used = 0;
  /** Frames folded, by source: a request at or below is answered but never overlaid. */
  readonly #settled: number[] = [];

  get rows(): number {
    return this.#live;
  }

  /** Adds a row; false when it must not be overlaid (folded already, or no room). */
  add(
    hi: number,
    lo: number,
    timeUs: number,
    amount: number,
    counterparty: number,
    source: number,
    frame: number,
  ): boolean {
    if (frame <= (this.#settled[source] ?? 0) || (this.#free < 0 && this.#used === ROWS_MAX)) return false;
    const slot = this.#heads.slot(hi, lo);
    if (slot >= this.#head.length) {
      const grown = new Int32Array(this.#head.length * 2).fill(-1);
      grown.set(this.#head);
      this.#head = grown;
    }
    let i = this.#free;
    if (i >= 0) this.#free = this.#next[i];
    else i = this.#used++;
    this.#timeUs[i] = timeUs;
    this.#amount[i] = amount;
    this.#counterparty[i] = counterparty;
    this.#source[i] = source;
    this.#frame[i] = frame;
    const next = this.#head[slot];
    this.#next[i] = next;
    if (next >= 0) this.#previous[next] = i;
    this.#previous[i] = -1;
    this.#slot[i] = slot;
    this.#head[slot] = i;
    this.#after[i] = -1;
    if ((this.#oldest[source] ?? -1) < 0) this.#oldest[source] = i;
    else this.#after[this.#newest[source]] = i;
    this.#newest[source] = i;
    this.#live++;
    return true;
  }

  /** Gathers the rows of an entity, oldest first. */
  gather(hi: number, lo: number, into: PendingRows): void {
    into.n = 0;
    const slot = this.#live === 0 ? -1 : this.#heads.find(hi, lo);
    if (slot < 0) return;
    let n = 0;
    for (let i = this.#head[slot]; i >= 0; i = this.#next[i]) n++;
    if (n > into.timeUs.length) {
      into.timeUs = new Float64Array(n * 2);
      into.amount = new Float64Array(n * 2);
      into.counterparty = new Uint32Array(n * 2);
    }
    into.n = n;
    for (let i = this.#head[slot]; i >= 0; i = this.#next[i]) {
      n--;
      into.timeUs[n] = this.#timeUs[i];
      into.amount[n] = this.#amount[i];
      into.counterparty[n] = this.#counterparty[i];
    }
  }

  /** Drops the rows of `source` with frames up to `frame`: its oldest rows, as a source's frames come in order. */
  settle(source: number, frame: number): void {
    this.#settled[source] = Math.max(frame, this.#settled[source] ?? 0);
    let i = this.#oldest[source] ?? -1;
    while (i >= 0 && this.#frame[i] <= frame) {
      const after = this.#after[i];
      this.#unlink(i);
      i = after;
    }
    this.#oldest[source] = i;
    if (this.#heads.size > 4 * this.#live + 4096) this.#rebuild();
  }

  /** Drops the rows of `source` with frames from `frame` on, its newest: they will never be committed. */
  abandon(source: number, frame: number): void {
    let last = -1;
    let i = this.#oldest[source] ?? -1;
    while (i >= 0 && this.#frame[i] < frame) {
      last = i;
      i = this.#after[i];
    }
    if (last >= 0) this.#after[last] = -1;
    else this.#oldest[source] = -1;
    this.#newest[source] = last;
    while (i >= 0) {
      const after = this.#after[i];
      this.#unlink(i);
      i = after;
    }
  }

  #unlink(i: number): void {
    const previous = this.#previous[i];
    const next = this.#next[i];
    if (previous < 0) this.#head[this.#slot[i]] = next;
    else this.#next[previous] = next;
    if (next >= 0) this.#previous[next] = previous;
    this.#next[i] = this.#free;
    this.#free = i;
    this.#live--;
  }

  /** Forgets the keys without rows: they are only ballast. */
  #rebuild(): void {
    const heads = new KeyTable();
    const size = this.#heads.size;
    const head: number[] = [];
    for (let s = 0; s < size; s++) {
      if (this.#head[s] < 0) continue;
      const t = heads.slot(this.#heads.keyHi(s), this.#heads.keyLo(s));
      head[t] = this.#head[s];
      for (let i = this.#head[s]; i >= 0; i = this.#next[i]) this.#slot[i] = t;
    }
    this.#heads = heads;
    this.#head.fill(-1);
    this.#head.set(head);
  }
}
