/**
 * The keyed hash of identifiers: HalfSipHash-1-3 with a 64-bit key and a 64-bit result.
 *
 * Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), in its 32-bit-word form
 * HalfSipHash. Words are little-endian; `lo` holds bytes 0..3 of the published output and `hi` bytes 4..7. The pair
 * (0, 0) means "absent" in every column, so that one output in 2^64 is moved to (0, 1).
 */

/** Where `keyedHash` leaves its result: two unsigned 32-bit words. Read it before the next call. */
export class KeyRegister {
  hi = 0xffffffff;
  lo = 0xffffffff;
}
export const H = new KeyRegister();

/** Bits that are set in the return value of `keyedHash` when some byte was 0x80 or more. */
export const HIGH_BITS = 0x80808080 | 0;

/**
 * Hashes bytes [start, end) into `H`. The key words may be signed or unsigned; signed ones cost no allocation when the
 * call is not inlined. Returns the OR of all 32-bit words: `(result & HIGH_BITS) === 0` says that all bytes are ASCII.
 */
export function keyedHash(bytes: Uint8Array, start: number, end: number, k0: number, k1: number): number {
  let v0 = k0 | 0;
  let v1 = k1 ^ 0xee;
  let v2 = k0 ^ 0x6c796765;
  let v3 = k1 ^ 0x74656462;
  let seen = 0;
  let at = start;
  for (const whole = end - 3; at < whole; at += 4) {
    const m = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    seen |= m;
    v3 ^= m;
    // One SipRound; it stands here in full because a call would cost more than the round.
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  let tail = 0;
  for (let shift = 0; at < end; at++, shift += 8) tail |= bytes[at] << shift;
  seen |= tail;
  // The last block carries the length; then 3 rounds for each half of the result.
  finish(v0, v1, v2, v3, tail | ((end - start) << 24));
  return seen;
}

/** The last block, and the seven rounds that follow: one for it and three for each half of the result. */
function finish(a: number, b: number, c: number, d: number, last: number): void {
  let v0 = a;
  let v1 = b;
  let v2 = c;
  let v3 = d ^ last;
  let lo = 0;
  for (let round = 0; round < 7; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 0) {
      v0 ^= last;
      v2 ^= 0xee;
    } else if (round === 3) {
      lo = v1 ^ v3;
      v1 ^= 0xdd;
    }
  }
  const hi = v1 ^ v3;
  H.hi = hi >>> 0;
  H.lo = (hi | lo) === 0 ? 1 : lo >>> 0;
}

/** Hashes the UTF-8 bytes of a text into `H`; for the cold path (a lookup by id, a list, a test card). */
export function keyedHashText(text: string, k0: number, k1: number): void {
  const bytes = Buffer.from(text, "utf8");
  keyedHash(bytes, 0, bytes.length, k0, k1);
}
