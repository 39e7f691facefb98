/**
 * The attributes of a payment: each entry is checked against the tenant's declaration, numbers and bools go to the
 * slots that features read, and all of them together into one hash that does not depend on their order.
 */
import { isUtf8 } from "node:buffer";
import type { RowBlock } from "../../proto/columns.ts";
import { ATTRIBUTE_SLOTS } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, HIGH_BITS, keyedHash } from "../../runtime/kernel/keyed_hash.ts";
import { ENTRIES_MAX, entryCount, entryEnd, entryStart } from "./fields.ts";
import type { TenantCodec } from "./tenant_codec.ts";
import { VALUE_BOOL, VALUE_NUMBER, VALUE_STRING } from "./tenant_codec.ts";
import { BROKEN, doubleAt, readLength, readTag, readVarint, skipValue, varint, WIRE_BYTES } from "./wire.ts";

const { INVALID, MALFORMED, NOT_UTF8 } = ErrorCode;
const NAME_BYTES = 64;
const STRING_BYTES = 256;

// Registers of the entry that is being read: where its name and its string lie, the kind and the number of its value.
const nameAt = new Int32Array(2);
const textAt = new Int32Array(2);
const valueKind = new Int32Array(1);
const valueNumber = new Float64Array(1);
const valueNumberBytes = new Uint8Array(valueNumber.buffer);

// Position of each entry's declaration and its hash, to find a name that comes twice: the last one counts.
const positions = new Int32Array(ENTRIES_MAX);
const hashHi = new Uint32Array(ENTRIES_MAX);
const hashLo = new Uint32Array(ENTRIES_MAX);

/** What an entry's hash is taken over: its name's hash (8 bytes), its kind (1), its value. */
const plain = Buffer.alloc(9 + STRING_BYTES);

/** Decodes the entries that `walkFields` found into `row`. Returns 0 or the ErrorCode of the first bad entry. */
export function decodeAttributes(bytes: Uint8Array, block: RowBlock, row: number, codec: TenantCodec): number {
  const count = entryCount[0];
  if (count > ENTRIES_MAX) return INVALID;
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (!readEntry(bytes, entryStart[i], entryEnd[i])) return MALFORMED;
    const nameLength = nameAt[1] - nameAt[0];
    if (nameLength > NAME_BYTES) return INVALID;
    const bits = keyedHash(bytes, nameAt[0], nameAt[1], codec.k0, codec.k1);
    if ((bits & HIGH_BITS) !== 0 && !isUtf8(bytes.subarray(nameAt[0], nameAt[1]))) return NOT_UTF8;
    const position = codec.find(bytes, nameAt[0], nameAt[1], H.lo);
    if (position < 0 || codec.kinds[position] !== valueKind[0]) return INVALID;
    const length = fillPlain(bytes);
    if (length < 0) return -length;
    keyedHash(plain, 0, length, codec.k0, codec.k1);
    let place = 0;
    while (place < kept && positions[place] !== position) place++;
    if (place === kept) kept++;
    positions[place] = position;
    hashHi[place] = H.hi;
    hashLo[place] = H.lo;
    const slot = codec.slots[position];
    if (slot >= 0 && valueKind[0] !== VALUE_STRING) block.attributes[row * ATTRIBUTE_SLOTS + slot] = valueNumber[0];
  }
  keepHash(block, row, kept);
  return 0;
}

/** The 64-bit sum of the entries' hashes, never (0, 0) when there are entries. */
function keepHash(block: RowBlock, row: number, kept: number): void {
  let hi = 0;
  let lo = 0;
  for (let i = 0; i < kept; i++) {
    const sum = lo + hashLo[i];
    lo = sum >>> 0;
    hi = (hi + hashHi[i] + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  }
  block.attributesHash.hi[row] = hi;
  block.attributesHash.lo[row] = kept > 0 && hi === 0 && lo === 0 ? 1 : lo;
}

/** Writes name hash (from `H`), kind and value to `plain`. Returns the length, or minus the ErrorCode of the value. */
function fillPlain(bytes: Uint8Array): number {
  const lo = H.lo | 0;
  const hi = H.hi | 0;
  for (let i = 0; i < 4; i++) {
    plain[i] = lo >>> (8 * i);
    plain[4 + i] = hi >>> (8 * i);
  }
  plain[8] = valueKind[0];
  if (valueKind[0] !== VALUE_STRING) {
    if (!Number.isFinite(valueNumber[0])) return -INVALID;
    for (let i = 0; i < 8; i++) plain[9 + i] = valueNumberBytes[i];
    return 17;
  }
  const start = textAt[0];
  const length = textAt[1] - start;
  if (length > STRING_BYTES) return -INVALID;
  let bits = 0;
  for (let i = 0; i < length; i++) {
    const b = bytes[start + i];
    bits |= b;
    plain[9 + i] = b;
  }
  if (bits >= 0x80 && !isUtf8(plain.subarray(9, 9 + length))) return -NOT_UTF8;
  return 9 + length;
}

/** Reads one map entry (key 1, value 2) into the registers; false when it is broken. */
function readEntry(bytes: Uint8Array, start: number, end: number): boolean {
  nameAt[0] = nameAt[1] = start;
  valueKind[0] = 0;
  let at = start;
  while (at < end) {
    at = readTag(bytes, at, end);
    if (at < 0) return false;
    const tag = varint[0] | 0;
    const field = tag >>> 3;
    if (field === 1 || field === 2) {
      if ((tag & 7) !== WIRE_BYTES) return false;
      at = readLength(bytes, at, end);
      if (at < 0) return false;
      const stop = at + (varint[0] | 0);
      if (field === 1) {
        nameAt[0] = at;
        nameAt[1] = stop;
      } else if (!readValue(bytes, at, stop)) return false;
      at = stop;
    } else {
      at = skipValue(bytes, at, end, tag);
      if (at < 0) return false;
    }
  }
  return true;
}

/** Wire type of each kind of google.protobuf.Value: null 1, number 2, string 3, bool 4, struct 5, list 6. */
const VALUE_WIRE = new Uint8Array([0, 0, 1, 2, 0, 2, 2]);

/** Reads a google.protobuf.Value into the registers; of several kinds the last one counts. */
function readValue(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    at = readTag(bytes, at, end);
    if (at < 0) return false;
    const tag = varint[0] | 0;
    const kind = tag >>> 3;
    if (kind <= 6) {
      if ((tag & 7) !== VALUE_WIRE[kind]) return false;
      valueKind[0] = kind;
      at = readKind(bytes, at, end, kind, tag);
    } else at = skipValue(bytes, at, end, tag);
    if (at < 0) return false;
  }
  return true;
}

function readKind(bytes: Uint8Array, start: number, end: number, kind: number, tag: number): number {
  if (kind === VALUE_NUMBER) {
    if (end - start < 8) return BROKEN;
    // Adding zero makes -0 and 0 the same content.
    valueNumber[0] = doubleAt(bytes, start) + 0;
    return start + 8;
  }
  if (kind === VALUE_BOOL) {
    const at = readVarint(bytes, start, end);
    valueNumber[0] = varint[0] === 0 ? 0 : 1;
    return at;
  }
  if (kind === VALUE_STRING) {
    const at = readLength(bytes, start, end);
    if (at < 0) return BROKEN;
    textAt[0] = at;
    textAt[1] = at + (varint[0] | 0);
    return textAt[1];
  }
  return skipValue(bytes, start, end, tag);
}
