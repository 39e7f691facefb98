/**
 * A set of ids as 64-bit fingerprints in open addressing: 11 to 22 bytes an id, for millions of them. Two different
 * ids share a fingerprint with a chance of n^2 / 2^65: 6e-8 for 1.5 million.
 */

/** Ids a set takes. */
export const IDS_MAX = 100_000_000;

export class IdSet {
  size = 0;
  #mask = (1 << 12) - 1;
  #hi = new Uint32Array(1 << 12);
  #lo = new Uint32Array(1 << 12);

  /** Adds an id; false when it was there. Throws RangeError past IDS_MAX. */
  add(id: string): boolean {
    let h1 = 0x811c9dc5;
    let h2 = 0x9747b28c;
    for (let i = 0; i < id.length; i++) {
      const c = id.charCodeAt(i);
      h1 = Math.imul(h1 ^ c, 0x01000193);
      h2 = Math.imul(h2 ^ c, 0x5bd1e995);
      h2 ^= h2 >>> 15;
    }
    // Zero in `lo` marks an empty place.
    return this.#put(mix(h1 ^ id.length), mix(h2 + h1) || 1);
  }

  #put(hi: number, lo: number): boolean {
    for (let at = hi & this.#mask; ; at = (at + 1) & this.#mask) {
      if (this.#lo[at] === 0) {
        this.#hi[at] = hi;
        this.#lo[at] = lo;
        if (++this.size * 4 > (this.#mask + 1) * 3) this.#grow();
        return true;
      }
      if (this.#lo[at] === lo && this.#hi[at] === hi) return false;
    }
  }

  #grow(): void {
    if (this.size >= IDS_MAX) throw new RangeError(`more than ${IDS_MAX} ids`);
    const [hi, lo] = [this.#hi, this.#lo];
    const places = lo.length * 2;
    this.#hi = new Uint32Array(places);
    this.#lo = new Uint32Array(places);
    this.#mask = places - 1;
    this.size = 0;
    for (let i = 0; i < lo.length; i++) if (lo[i] !== 0) this.#put(hi[i], lo[i]);
  }
}

function mix(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
