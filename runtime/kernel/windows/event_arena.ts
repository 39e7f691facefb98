/**
 * The memory of all events of a table: slabs of 32-bit words, cut into pages of PAGE_EVENTS, each given to a size class
 * while any of its segments is in use. A segment is a run of events named by the number of its first event (a "ref").
 * Freed segments are used again by their class, emptied pages by every class; slabs are never given back.
 */

/** Events a segment of each class has room for, less what it holds besides them above CHUNK_CLASS (summaries.ts). */
export const CLASS_EVENTS = [
  4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64, 146, 170, 204, 256, 341, 512, 1024,
] as const;
/** The chunk of a heavy actor and its class. */
export const CHUNK_EVENTS = 64;
export const CHUNK_CLASS = CLASS_EVENTS.indexOf(CHUNK_EVENTS);
/** An event number splits into slab and event of the slab. */
export const SLAB_BITS = 15;
export const SLAB_MASK = (1 << SLAB_BITS) - 1;
const PAGE_BITS = 10;
const PAGE_EVENTS = 1 << PAGE_BITS;
const SLAB_PAGES = 1 << (SLAB_BITS - PAGE_BITS);
const NONE = -1;

export class EventArena {
  readonly stride: number;
  readonly slabs: Uint32Array[] = [];
  /** The same memory in 64-bit words. */
  readonly doubles: Float64Array[] = [];
  private pages = 0;
  private pageClass = new Uint8Array(SLAB_PAGES);
  private pageUsed = new Uint16Array(SLAB_PAGES);
  /** Segments ever cut from the page; the ones behind are untouched. */
  private pageCut = new Uint16Array(SLAB_PAGES);
  /** Head of the page's list of freed segments, + 1; the list runs through their first words. */
  private pageFree = new Uint16Array(SLAB_PAGES);
  private next = new Int32Array(SLAB_PAGES);
  private previous = new Int32Array(SLAB_PAGES);
  /** By class: a page with room. */
  private readonly partial = new Int32Array(CLASS_EVENTS.length).fill(NONE);
  private empty = NONE;

  /** `stride`: words an event. */
  constructor(stride: number) {
    this.stride = stride;
  }

  /** A segment of the class; its words are not cleared. */
  alloc(cls: number): number {
    let page = this.partial[cls];
    if (page === NONE) page = this.open(cls);
    const size = CLASS_EVENTS[cls];
    const first = page << PAGE_BITS;
    let k = this.pageFree[page];
    if (k > 0) {
      k--;
      const ref = first + k * size;
      this.pageFree[page] = this.slabs[ref >>> SLAB_BITS][(ref & SLAB_MASK) * this.stride];
    } else k = this.pageCut[page]++;
    if (++this.pageUsed[page] === Math.floor(PAGE_EVENTS / size)) this.unlink(page);
    return first + k * size;
  }

  /** Gives a segment back to its class. */
  free(ref: number): void {
    const page = ref >>> PAGE_BITS;
    const cls = this.pageClass[page];
    const size = CLASS_EVENTS[cls];
    const used = this.pageUsed[page]--;
    if (used === 0) throw new Error(`segment ${ref} is freed twice`);
    if (used === Math.floor(PAGE_EVENTS / size)) this.link(page, cls);
    if (used === 1) {
      this.unlink(page);
      this.next[page] = this.empty;
      this.empty = page;
      return;
    }
    this.slabs[ref >>> SLAB_BITS][(ref & SLAB_MASK) * this.stride] = this.pageFree[page];
    this.pageFree[page] = (ref & (PAGE_EVENTS - 1)) / size + 1;
  }

  private open(cls: number): number {
    if (this.empty === NONE) this.addSlab();
    const page = this.empty;
    this.empty = this.next[page];
    this.pageClass[page] = cls;
    this.pageUsed[page] = 0;
    this.pageCut[page] = 0;
    this.pageFree[page] = 0;
    this.link(page, cls);
    return page;
  }

  private link(page: number, cls: number): void {
    const head = this.partial[cls];
    this.next[page] = head;
    this.previous[page] = NONE;
    if (head !== NONE) this.previous[head] = page;
    this.partial[cls] = page;
  }

  private unlink(page: number): void {
    const next = this.next[page];
    const previous = this.previous[page];
    if (previous === NONE) this.partial[this.pageClass[page]] = next;
    else this.next[previous] = next;
    if (next !== NONE) this.previous[next] = previous;
  }

  private addSlab(): void {
    const slab = new Uint32Array((1 << SLAB_BITS) * this.stride);
    this.slabs.push(slab);
    this.doubles.push(new Float64Array(slab.buffer));
    const first = this.pages;
    this.pages += SLAB_PAGES;
    if (this.pages > this.next.length) {
      this.pageClass = grown(this.pageClass, new Uint8Array(this.pages * 2));
      this.pageUsed = grown(this.pageUsed, new Uint16Array(this.pages * 2));
      this.pageCut = grown(this.pageCut, new Uint16Array(this.pages * 2));
      this.pageFree = grown(this.pageFree, new Uint16Array(this.pages * 2));
      this.next = grown(this.next, new Int32Array(this.pages * 2));
      this.previous = grown(this.previous, new Int32Array(this.pages * 2));
    }
    for (let page = this.pages - 1; page >= first; page--) {
      this.next[page] = this.empty;
      this.empty = page;
    }
  }

  /** Allocated bytes, free segments included. */
  bytes(): number {
    return this.slabs.length * (1 << SLAB_BITS) * this.stride * 4 + this.next.length * 15;
  }
}

function grown<T extends Uint8Array | Uint16Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
