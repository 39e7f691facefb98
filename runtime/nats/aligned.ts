/** Alignment of received bytes; one rule for both ways of reading a journal. */

/** A body at an offset divisible by 8, so that readers may lay typed arrays over it. */
export function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
}
