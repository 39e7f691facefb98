/**
 * Writes protobuf messages backwards, last field first: when a length is written, the bytes it counts already stand, so
 * nothing is measured beforehand and nothing is moved. Messages lie in slabs, which are given out in pieces: a finished
 * message is a view of its own bytes and stays valid as long as someone holds it.
 */

/** Bytes of a slab. Small, because one held reply keeps its whole slab. */
const SLAB_BYTES = 64 * 1024;

export class WireWriter {
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  private end = SLAB_BYTES;
  /** Position of the first byte written so far; what stands behind a mark is `mark - at` bytes long. */
  at = SLAB_BYTES;

  private readonly number = new Float64Array(1);
  private readonly numberBytes = new Uint8Array(this.number.buffer);
  private readonly single = new Float32Array(1);
  private readonly singleBytes = new Uint8Array(this.single.buffer);

  /** Starts a message; one that was not finished (its encoder threw) is forgotten. */
  begin(): void {
    this.at = this.end;
  }

  /** The message written since `begin`. */
  finish(): Buffer {
    const message = this.slab.subarray(this.at, this.end);
    this.end = this.at;
    return message;
  }

  /** Makes room for `n` more bytes; a begun message moves to the end of a new slab. */
  private room(n: number): void {
    if (this.at >= n) return;
    const written = this.end - this.at;
    const size = Math.max(SLAB_BYTES, 2 * (written + n));
    const slab = Buffer.allocUnsafeSlow(size);
    slab.set(this.slab.subarray(this.at, this.end), size - written);
    this.slab = slab;
    this.end = size;
    this.at = size - written;
  }

  byte(value: number): void {
    if (this.at < 1) this.room(1);
    this.slab[--this.at] = value;
  }

  /** Two bytes: a tag and a one-byte value. */
  pair(tag: number, value: number): void {
    if (this.at < 2) this.room(2);
    this.at -= 2;
    this.slab[this.at] = tag;
    this.slab[this.at + 1] = value;
  }

  /** An unsigned number below 2^32. */
  varint(value: number): void {
    if (value >= 0 && value < 0x80) {
      this.byte(value);
      return;
    }
    const size = Math.ceil((32 - Math.clz32(value)) / 7);
    this.room(size);
    this.at -= size;
    let rest = value;
    let i = this.at;
    for (let n = size - 1; n > 0; n--) {
      this.slab[i++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.slab[i] = rest;
  }

  /** Closes what was written since `mark` (a value of `written`) as a length-delimited field with a one-byte tag. */
  close(tag: number, mark: number): void {
    this.varint(this.written() - mark);
    this.byte(tag);
  }

  /** Bytes written since `begin`: a mark that survives a new slab. */
  written(): number {
    return this.end - this.at;
  }

  /** Bytes [start, start + length) of `from`. */
  bytes(from: Uint8Array, start: number, length: number): void {
    if (this.at < length) this.room(length);
    this.at -= length;
    const slab = this.slab;
    const at = this.at;
    for (let i = 0; i < length; i++) slab[at + i] = from[start + i];
  }

  /** All of `from`, which may be long. */
  all(from: Uint8Array): void {
    if (this.at < from.length) this.room(from.length);
    this.at -= from.length;
    this.slab.set(from, this.at);
  }

  float(value: number): void {
    this.single[0] = value;
    this.bytes(this.singleBytes, 0, 4);
  }

  double(value: number): void {
    this.number[0] = value;
    this.bytes(this.numberBytes, 0, 8);
  }
}
