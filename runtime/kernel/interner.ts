/**
 * Dense 32-bit codes for 64-bit keys, so that an event holds a counterparty in one word. Codes count up from 0 in the
 * order of first sight and are never reused; a snapshot keeps them, since events held elsewhere name them.
 */
import { type ByteReader, BytesDamaged, type ByteWriter } from "./bytes.ts";
import { KeyTable } from "./key_table.ts";

const TAG_KEYS = 0x4b;
const TAG_END = 0x45;

export class Interner {
  private readonly table = new KeyTable();
  private cut = 0;
  private written = 0;
  private loading = false;

  /** Keys known. */
  get size(): number {
    return this.table.size;
  }

  /** Code of a key, a new one when it is unknown. */
  code(hi: number, lo: number): number {
    return this.table.slot(hi, lo);
  }

  /** Code of a key, -1 when it is unknown. */
  find(hi: number, lo: number): number {
    return this.table.find(hi, lo);
  }

  keyHi(code: number): number {
    return this.table.keyHi(code);
  }

  keyLo(code: number): number {
    return this.table.keyLo(code);
  }

  /** The key of a code as 16 hex digits. */
  keyText(code: number): string {
    return this.keyHi(code).toString(16).padStart(8, "0") + this.keyLo(code).toString(16).padStart(8, "0");
  }

  /** The cut is now: codes given later are not in the snapshot. */
  beginSnapshot(): void {
    this.cut = this.size;
    this.written = 0;
  }

  /** Writes about `bytesMax` bytes more; true when the snapshot is whole. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    const n = Math.min(this.cut - this.written, Math.max(1, Math.floor(bytesMax / 8)));
    if (n > 0) {
      w.u8(TAG_KEYS);
      w.varint(n);
      for (let i = 0; i < n; i++) w.u64(this.keyHi(this.written + i), this.keyLo(this.written + i));
      this.written += n;
    }
    if (this.written < this.cut) return false;
    w.u8(TAG_END);
    w.varint(this.cut);
    return true;
  }

  /** Reads a whole snapshot into an empty interner. Throws BytesDamaged. */
  load(r: ByteReader): void {
    if (!this.loadPart(r)) throw new BytesDamaged("the snapshot ends early", r.offset);
  }

  /** As load, for a snapshot that comes in parts (whole steps each): true when it is whole. */
  loadPart(r: ByteReader): boolean {
    if (!this.loading && this.size > 0) throw new RangeError("load needs an empty interner");
    this.loading = true;
    while (r.left > 0) {
      const tag = r.u8();
      if (tag === TAG_END) {
        if (r.varint() !== this.size) throw new BytesDamaged("keys are missing", r.offset);
        this.loading = false;
        return true;
      }
      if (tag !== TAG_KEYS) throw new BytesDamaged(`unknown tag ${tag}`, r.offset - 1);
      for (let n = r.varint(); n > 0; n--) {
        const lo = r.u64lo();
        const code = this.size;
        if (this.code(r.hi(), lo) !== code) throw new BytesDamaged("a key twice", r.offset);
      }
    }
    return false;
  }

  /** Allocated bytes. */
  bytes(): number {
    return this.table.bytes();
  }
}
