/**
 * Little-endian bytes: a writer that grows, a reader that checks every bound. It owns no format; frames and snapshots
 * are built on it. Integers above 32 bits are a pair (hi, lo) or a varint below 2^53.
 */

/** The bytes end early or hold a value that no writer makes: the source is damaged. Not retryable. */
export class BytesDamaged extends Error {
  override name = "BytesDamaged";
  /** Offset of the read that failed. */
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(`${message} (offset ${offset})`);
    this.offset = offset;
  }
}

const VARINT_MAX = 2 ** 53 - 1;

export class ByteWriter {
  /** Bytes written. */
  length = 0;
  private buffer: Uint8Array<ArrayBuffer>;
  private data: DataView;

  /** `capacity`: bytes reserved at first; the buffer doubles when they do not suffice and is kept by reset(). */
  constructor(capacity = 1024) {
    this.buffer = new Uint8Array(Math.max(16, capacity));
    this.data = new DataView(this.buffer.buffer);
  }

  /** Makes room for `bytes` more. */
  reserve(bytes: number): void {
    const need = this.length + bytes;
    if (need <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(need, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.data = new DataView(grown.buffer);
  }

  /**
   * Makes room for `bytes`, counts them as written and returns where they begin: loops fill them through `memory` and
   * `numbers`. They hold what was there before.
   */
  take(bytes: number): number {
    this.reserve(bytes);
    const at = this.length;
    this.length += bytes;
    return at;
  }

  /** The memory, from the first byte written; valid until the next write, as `numbers` is. */
  get memory(): Uint8Array<ArrayBuffer> {
    return this.buffer;
  }

  /** The same memory as numbers; little endian must be said at each use. */
  get numbers(): DataView {
    return this.data;
  }

  u8(v: number): void {
    this.reserve(1);
    this.buffer[this.length++] = v;
  }

  u16(v: number): void {
    this.reserve(2);
    this.data.setUint16(this.length, v, true);
    this.length += 2;
  }

  u32(v: number): void {
    this.reserve(4);
    this.data.setUint32(this.length, v, true);
    this.length += 4;
  }

  /** 64 bits as two words, the low one first on the wire. */
  u64(hi: number, lo: number): void {
    this.reserve(8);
    this.data.setUint32(this.length, lo, true);
    this.data.setUint32(this.length + 4, hi, true);
    this.length += 8;
  }

  f32(v: number): void {
    this.reserve(4);
    this.data.setFloat32(this.length, v, true);
    this.length += 4;
  }

  f64(v: number): void {
    this.reserve(8);
    this.data.setFloat64(this.length, v, true);
    this.length += 8;
  }

  /** An integer 0 .. 2^53 - 1 in 7-bit groups, lowest first. RangeError otherwise. */
  varint(v: number): void {
    if (!(v >= 0 && v <= VARINT_MAX && Number.isInteger(v))) throw new RangeError(`not a varint: ${v}`);
    this.reserve(8);
    let x = v;
    while (x > 0x7fffffff) {
      this.buffer[this.length++] = (x % 128) | 128;
      x = Math.floor(x / 128);
    }
    while (x > 127) {
      this.buffer[this.length++] = (x & 127) | 128;
      x >>>= 7;
    }
    this.buffer[this.length++] = x;
  }

  /** An integer between -2^52 and 2^52 - 1 as a zigzag varint. */
  signed(v: number): void {
    this.varint(v >= 0 ? v * 2 : -v * 2 - 1);
  }

  /** The bytes [start, end) of `b`, without a length. */
  bytes(b: Uint8Array, start = 0, end = b.length): void {
    const n = end - start;
    this.reserve(n);
    if (n < 32) for (let i = 0; i < n; i++) this.buffer[this.length + i] = b[start + i];
    else this.buffer.set(b.subarray(start, end), this.length);
    this.length += n;
  }

  /** Overwrites a u32 written before at offset `at`. */
  patchU32(at: number, v: number): void {
    if (at < 0 || at + 4 > this.length) throw new RangeError(`nothing written at ${at}`);
    this.data.setUint32(at, v, true);
  }

  /** Overwrites bytes written before, from offset `at`. */
  patchBytes(at: number, b: Uint8Array): void {
    if (at < 0 || at + b.length > this.length) throw new RangeError(`nothing written at ${at}`);
    this.buffer.set(b, at);
  }

  /** What was written from `start` on; valid until the next write. */
  view(start = 0): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(start, this.length);
  }

  /** A copy of what was written. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.buffer.slice(0, this.length);
  }

  /** Forgets what was written, keeps the memory. */
  reset(): void {
    this.length = 0;
  }
}

export class ByteReader {
  /** Next byte to read. */
  offset: number;
  /** Where the bytes end. */
  readonly end: number;
  private readonly buffer: Uint8Array;
  private readonly data: DataView;

  /** Reads bytes [start, end) of `buffer`; they must not change meanwhile. */
  constructor(buffer: Uint8Array, start = 0, end = buffer.length) {
    if (!(start >= 0 && start <= end && end <= buffer.length)) throw new RangeError(`no bytes ${start}..${end}`);
    this.buffer = buffer;
    this.data = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.offset = start;
    this.end = end;
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.end - this.offset;
  }

  /** What is read: offsets count from its first byte. */
  get memory(): Uint8Array {
    return this.buffer;
  }

  /** The same bytes as numbers; little endian must be said at each use. */
  get numbers(): DataView {
    return this.data;
  }

  /** Checks that `n` more bytes are there, skips them and returns where they begin: loops read them in `numbers`. */
  take(n: number): number {
    const at = this.offset;
    // Written so that NaN fails too.
    if (!(n <= this.end - at)) throw new BytesDamaged(`${n} bytes wanted, ${this.end - at} left`, at);
    this.offset = at + n;
    return at;
  }

  u8(): number {
    return this.buffer[this.take(1)];
  }

  u16(): number {
    return this.data.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.data.getUint32(this.take(4), true);
  }

  /** Reads 64 bits; the high word is returned by hi() afterwards, the low word here. */
  u64lo(): number {
    const at = this.take(8);
    this.high = this.data.getUint32(at + 4, true);
    return this.data.getUint32(at, true);
  }
  private high = 0;

  /** High word of the last u64lo(). */
  hi(): number {
    return this.high;
  }

  f32(): number {
    return this.data.getFloat32(this.take(4), true);
  }

  f64(): number {
    return this.data.getFloat64(this.take(8), true);
  }

  varint(): number {
    const start = this.offset;
    let v = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const b = this.buffer[this.take(1)];
      v += (b & 127) * scale;
      if (b < 128) {
        if (v > VARINT_MAX) break;
        return v;
      }
      scale *= 128;
    }
    throw new BytesDamaged("varint above 2^53 - 1", start);
  }

  signed(): number {
    const z = this.varint();
    return z % 2 === 0 ? z / 2 : -(z + 1) / 2;
  }

  /** The next `n` bytes, a view on the source. */
  bytes(n: number): Uint8Array {
    const at = this.take(n);
    return this.buffer.subarray(at, at + n);
  }

  skip(n: number): void {
    this.take(n);
  }
}
