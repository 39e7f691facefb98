/**
 * Ids that stand in no ring: late payments and non-payment events of a shard, with the frame that holds them. Bounded:
 * the oldest is forgotten first. Cold path: plain maps.
 */
import { BoundedMap } from "../../runtime/kernel/bounded_map.ts";
import type { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";

/** Ids held by a shard; past it the oldest leaves, and its retry would count again. */
export const COLD_IDS_MAX = 200_000;

const text = (a: number, b: number, c: number, d: number) =>
  String.fromCharCode(a >>> 16, a & 65535, b >>> 16, b & 65535, c >>> 16, c & 65535, d >>> 16, d & 65535);

/** A 128-bit key of (user, id) as a string of eight 16-bit units. */
export const coldKey = text;

/** Bits of a generation of marks: ten for each id that it may hold. */
const MARK_BITS = 21;

export class ColdIds {
  readonly #frames = new BoundedMap(COLD_IDS_MAX);
  /**
   * One bit by hash for each of the last COLD_IDS_MAX ids, and for as many before them: every payment asks, almost none
   * is here, and this answer needs no text. What left the map is forgotten with its generation.
   */
  #marks = new Uint32Array(1 << (MARK_BITS - 5));
  #marksBefore = new Uint32Array(1 << (MARK_BITS - 5));
  #marked = 0;

  /** Frame of an id, 0 when unknown. */
  frame(userHi: number, userLo: number, idHi: number, idLo: number): number {
    const bit = bitOf(userLo, idLo);
    const word = this.#marks[bit >>> 5] | this.#marksBefore[bit >>> 5];
    return ((word >>> (bit & 31)) & 1) === 0 ? 0 : (this.#frames.get(text(userHi, userLo, idHi, idLo)) ?? 0);
  }

  #mark(userLo: number, idLo: number): void {
    if (this.#marked++ === COLD_IDS_MAX) {
      const free = this.#marksBefore.fill(0);
      this.#marksBefore = this.#marks;
      this.#marks = free;
      this.#marked = 1;
    }
    const bit = bitOf(userLo, idLo);
    this.#marks[bit >>> 5] |= 1 << (bit & 31);
  }

  /** Frame of an id whoever its user is, 0 when unknown. */
  frameOfId(idHi: number, idLo: number): number {
    const id = text(0, 0, idHi, idLo).slice(4);
    for (const [key, frame] of this.#frames) if (key.endsWith(id)) return frame;
    return 0;
  }

  add(userHi: number, userLo: number, idHi: number, idLo: number, frame: number): void {
    this.#mark(userLo, idLo);
    this.#frames.set(text(userHi, userLo, idHi, idLo), frame);
  }

  /** All of them, oldest first. */
  entries(): [string, number][] {
    return this.#frames.entries();
  }

  beginSnapshot(): void {
    this.#frames.beginCut();
  }

  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    return writeCut(this.#frames, w, bytesMax);
  }

  abandonSnapshot(): void {
    this.#frames.endCut();
  }

  /** As ShardActors.loadPart. Throws BytesDamaged. */
  loadPart(r: ByteReader): boolean {
    return readCut(r, (key, frame) => this.load(key, frame));
  }

  load(key: string, frame: number): void {
    this.#mark(key.charCodeAt(2) * 65536 + key.charCodeAt(3), key.charCodeAt(6) * 65536 + key.charCodeAt(7));
    this.#frames.set(key, frame);
  }

  get size(): number {
    return this.#frames.size;
  }
}

/** Bytes of an entry: its key and its value. */
const ENTRY_BYTES = 16 + 8;

/** Writes about `bytesMax` bytes more of a map's cut, as one part; true when it was the last. */
export function writeCut(map: BoundedMap, w: ByteWriter, bytesMax: number): boolean {
  const at = w.take(5);
  let n = 0;
  const isLast = map.nextOfCut(Math.max(1, Math.floor(bytesMax / ENTRY_BYTES)), (key, value) => {
    for (let i = 0; i < 8; i++) w.u16(key.charCodeAt(i));
    w.f64(value);
    n++;
  });
  w.memory[at] = isLast ? 1 : 0;
  w.patchU32(at + 1, n);
  return isLast;
}

/** Reads what writeCut wrote; true behind the last part. Throws BytesDamaged. */
export function readCut(r: ByteReader, load: (key: string, value: number) => void): boolean {
  const isLast = r.u8() === 1;
  for (let n = r.u32(); n > 0; n--) {
    // At once: a text put together piece by piece keeps its pieces.
    const key = String.fromCharCode(r.u16(), r.u16(), r.u16(), r.u16(), r.u16(), r.u16(), r.u16(), r.u16());
    load(key, r.f64());
  }
  return isLast;
}

function bitOf(userLo: number, idLo: number): number {
  return Math.imul(userLo ^ Math.imul(idLo, 0x85ebca6b), 0x9e3779b1) >>> (32 - MARK_BITS);
}
