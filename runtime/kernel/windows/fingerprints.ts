/**
 * A byte of each event's key, by place, four in a word: a search for a key reads them in a row, four at a time, and
 * then only events whose byte is the key's, one in 256 of the others.
 */
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;

function fingerprint(key: number): number {
  return Math.imul(key, 0x9e3779b1) >>> 24;
}

/** Writes the byte of the event at a place; the bytes begin at word `at`. */
export function putFingerprint(words: Uint32Array, at: number, place: number, key: number): void {
  const shift = (place & 3) << 3;
  const w = at + (place >>> 2);
  words[w] = (words[w] & ~(255 << shift)) | (fingerprint(key) << shift);
}

/** Newest place from `from` down to `stop` whose byte is the key's, -1 without. */
export function searchFingerprint(words: Uint32Array, at: number, from: number, stop: number, key: number): number {
  const byte = fingerprint(key);
  const pattern = Math.imul(byte, ONES);
  let p = from;
  while (p >= stop) {
    // A word has a zero byte exactly when this is not zero (the borrow of a byte needs a zero byte below it).
    const x = words[at + (p >>> 2)] ^ pattern;
    if (((x - ONES) & ~x & HIGH_BITS) === 0) {
      p = (p & ~3) - 1;
      continue;
    }
    for (const least = Math.max(stop, p & ~3); p >= least; p--) {
      if (((x >>> ((p & 3) << 3)) & 255) === 0) return p;
    }
  }
  return -1;
}
