/**
 * Finds the known fields of one message without decoding them: the position and length of each text, the value of each
 * varint. A field that comes twice counts with its last value, as protobuf says; checks come after the walk, so of an
 * overwritten value only its encoding is checked. The result stands in module-level registers until the next walk.
 */
import { isUtf8 } from "node:buffer";
import {
  BROKEN,
  doubleAt,
  readLength,
  readTag,
  readVarint,
  skipValue,
  varint,
  WIRE_BYTES,
  WIRE_FIXED64,
  WIRE_VARINT,
} from "./wire.ts";

/** What a field number holds; 0 for unknown ones, which are skipped. */
export const HOLDS_NUMBER = 1;
export const HOLDS_TEXT = 2;
export const HOLDS_LOCATION = 3;
export const HOLDS_ENTRY = 4;

/** Map entries kept of one message. */
export const ENTRIES_MAX = 64;

/** Registers by field number, meaningful where the bit of the walk's result is set. */
export const starts = new Int32Array(32);
export const lengths = new Int32Array(32);
export const numbers = new Float64Array(32);
/** Latitude and longitude, degrees. */
export const location = new Float64Array(2);
/** Positions of map entries; `entryCount[0]` counts those beyond ENTRIES_MAX too. */
export const entryStart = new Int32Array(ENTRIES_MAX);
export const entryEnd = new Int32Array(ENTRIES_MAX);
export const entryCount = new Int32Array(1);

/** Makes the table of a message: kinds of its fields, by field number 1, 2, .. (at most 30: a walk returns bits). */
export function shapeOf(...kinds: number[]): Uint8Array {
  const shape = new Uint8Array(32);
  shape.set(kinds, 1);
  return shape;
}

/**
 * Walks the message in [start, end). Returns the set of fields seen (bit n: field n), or BROKEN when the bytes are not
 * protobuf or a known field has the wrong wire type. An empty text counts as not seen, as proto3 has it.
 */
export function walkFields(bytes: Uint8Array, start: number, end: number, shape: Uint8Array): number {
  let seen = 0;
  let at = start;
  entryCount[0] = 0;
  location[0] = 0;
  location[1] = 0;
  while (at < end) {
    let tag = bytes[at++];
    if (tag >= 0x80) {
      at = readTag(bytes, at - 1, end);
      if (at < 0) return BROKEN;
      tag = varint[0] | 0;
    } else if (tag < 8) return BROKEN;
    const field = tag >>> 3;
    const kind = field < 32 ? shape[field] : 0;
    if (kind === 0) {
      at = skipValue(bytes, at, end, tag);
      if (at < 0) return BROKEN;
    } else if (kind === HOLDS_NUMBER) {
      if ((tag & 7) !== WIRE_VARINT) return BROKEN;
      at = readVarint(bytes, at, end);
      if (at < 0) return BROKEN;
      numbers[field] = varint[0];
      seen |= 1 << field;
    } else {
      if ((tag & 7) !== WIRE_BYTES || at >= end) return BROKEN;
      let length = bytes[at++];
      if (length >= 0x80) {
        at = readLength(bytes, at - 1, end);
        if (at < 0) return BROKEN;
        length = varint[0] | 0;
      } else if (length > end - at) return BROKEN;
      if (kind === HOLDS_TEXT) {
        if (((seen >>> field) & 1) !== 0 && !isEarlierText(bytes, field)) return BROKEN;
        starts[field] = at;
        lengths[field] = length;
        seen = length > 0 ? seen | (1 << field) : seen & ~(1 << field);
      } else {
        if (!keepInner(bytes, at, at + length, kind)) return BROKEN;
        seen |= 1 << field;
      }
      at += length;
    }
  }
  return seen;
}

/** The last of several values counts, but a message with a text that is no UTF-8 is broken wherever it stands. */
function isEarlierText(bytes: Uint8Array, field: number): boolean {
  return isUtf8(bytes.subarray(starts[field], starts[field] + lengths[field]));
}

function keepInner(bytes: Uint8Array, start: number, end: number, kind: number): boolean {
  if (kind === HOLDS_LOCATION) return walkLocation(bytes, start, end);
  const n = entryCount[0]++;
  if (n < ENTRIES_MAX) {
    entryStart[n] = start;
    entryEnd[n] = end;
  }
  return true;
}

/** A location that comes twice is merged, as protobuf says. */
function walkLocation(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    at = readTag(bytes, at, end);
    if (at < 0) return false;
    const tag = varint[0] | 0;
    const field = tag >>> 3;
    if (field === 1 || field === 2) {
      if ((tag & 7) !== WIRE_FIXED64 || end - at < 8) return false;
      location[field - 1] = doubleAt(bytes, at);
      at += 8;
    } else {
      at = skipValue(bytes, at, end, tag);
      if (at < 0) return false;
    }
  }
  return true;
}
