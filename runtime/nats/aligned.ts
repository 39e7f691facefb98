/** Alignment of received bytes; one rule for whatever the client gives. */

/**
 * A body at an offset divisible by 8, so that readers may lay typed arrays over it. A plain Uint8Array: the client
 * gives Buffers, whose slice() is a view and not a copy.
 */
export function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    : new Uint8Array(bytes);
}
