/**
 * Reads the protobuf wire format by position: varints, lengths and fields to skip.
 *
 * Every reader takes the position and the end of the enclosing message and returns the next position, or BROKEN when
 * the bytes end too early or make no sense; it never reads at or beyond `end`. Numbers come back in `varint[0]`.
 */

/** The bytes are not protobuf. */
export const BROKEN = -1;

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_GROUP = 3;
export const WIRE_GROUP_END = 4;
export const WIRE_FIXED32 = 5;

/**
 * The last varint. Exact up to 2^53, rounded above; every negative number (a tenth byte with its low bit set) reads as
 * -1, because no field of ours takes one.
 */
export const varint = new Float64Array(1);

const TWO_28 = 2 ** 28;
const TWO_56 = 2 ** 56;

/** Reads a varint of 1 to 10 bytes into `varint[0]`. */
export function readVarint(bytes: Uint8Array, start: number, end: number): number {
  let low = 0;
  let middle = 0;
  let high = 0;
  for (let at = start; at < end; at++) {
    const b = bytes[at];
    const n = at - start;
    if (n < 4) low |= (b & 0x7f) << (7 * n);
    else if (n < 8) middle |= (b & 0x7f) << (7 * (n - 4));
    else if (n === 8) high = b & 0x7f;
    else if (b >= 0x80) return BROKEN;
    else {
      varint[0] = (b & 1) === 1 ? -1 : low + middle * TWO_28 + high * TWO_56;
      return at + 1;
    }
    if (b < 0x80) {
      varint[0] = low + middle * TWO_28 + high * TWO_56;
      return at + 1;
    }
  }
  return BROKEN;
}

/** Reads a field's tag into `varint[0]`; BROKEN too for field number 0 and numbers beyond 2^29 - 1. */
export function readTag(bytes: Uint8Array, start: number, end: number): number {
  const at = readVarint(bytes, start, end);
  return varint[0] < 8 || varint[0] > 0xffffffff ? BROKEN : at;
}

/** Reads a length into `varint[0]`; BROKEN too when the bytes it promises are not there. */
export function readLength(bytes: Uint8Array, start: number, end: number): number {
  const at = readVarint(bytes, start, end);
  return at < 0 || varint[0] < 0 || varint[0] > end - at ? BROKEN : at;
}

/** Skips the value of a field whose tag stood before `start`. */
export function skipValue(bytes: Uint8Array, start: number, end: number, tag: number): number {
  switch (tag & 7) {
    case WIRE_VARINT:
      return readVarint(bytes, start, end);
    case WIRE_FIXED64:
      return end - start >= 8 ? start + 8 : BROKEN;
    case WIRE_BYTES: {
      const at = readLength(bytes, start, end);
      return at < 0 ? BROKEN : at + (varint[0] | 0);
    }
    case WIRE_GROUP:
      return skipGroup(bytes, start, end, tag >>> 3);
    case WIRE_FIXED32:
      return end - start >= 4 ? start + 4 : BROKEN;
    default:
      return BROKEN;
  }
}

/** Groups may stand in each other; deeper than this is refused. */
const GROUP_DEPTH = 32;
const groups = new Int32Array(GROUP_DEPTH);

function skipGroup(bytes: Uint8Array, start: number, end: number, field: number): number {
  let depth = 1;
  groups[0] = field;
  let at = start;
  while (at < end) {
    at = readTag(bytes, at, end);
    if (at < 0) return BROKEN;
    const tag = varint[0] | 0;
    const number = tag >>> 3;
    if ((tag & 7) === WIRE_GROUP) {
      if (depth === GROUP_DEPTH) return BROKEN;
      groups[depth++] = number;
    } else if ((tag & 7) === WIRE_GROUP_END) {
      if (groups[--depth] !== number) return BROKEN;
      if (depth === 0) return at;
    } else {
      at = skipValue(bytes, at, end, tag);
      if (at < 0) return BROKEN;
    }
  }
  return BROKEN;
}

const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);

/** The double in the eight bytes at `at`, little-endian as on the wire and on every machine that Node 24 runs on. */
export function doubleAt(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) doubleBytes[i] = bytes[at + i];
  return double[0];
}
