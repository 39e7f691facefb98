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

export class ColdIds {
  readonly #frames = new BoundedMap(COLD_IDS_MAX);

  /** Frame of an id, 0 when unknown. */
  frame(userHi: number, userLo: number, idHi: number, idLo: number): number {
    return this.#frames.size === 0 ? 0 : (this.#frames.get(text(userHi, userLo, idHi, idLo)) ?? 0);
  }

  /** Frame of an id whoever its user is, 0 when unknown. */
  frameOfId(idHi: number, idLo: number): number {
    const id = text(0, 0, idHi, idLo).slice(4);
    for (const [key, frame] of this.#frames) if (key.endsWith(id)) return frame;
    return 0;
  }

  add(userHi: number, userLo: number, idHi: number, idLo: number, frame: number): void {
    this.#frames.set(text(userHi, userLo, idHi, idLo), frame);
  }

  /** A copy for a snapshot cut. */
  entries(): [string, number][] {
    return this.#frames.entries();
  }

  load(key: string, frame: number): void {
    this.#frames.set(key, frame);
  }

  get size(): number {
    return this.#frames.size;
  }
}

export function writeKey(key: string, w: ByteWriter): void {
  for (let i = 0; i < 8; i++) w.u16(key.charCodeAt(i));
}

export function readKey(r: ByteReader): string {
  let s = "";
  for (let i = 0; i < 8; i++) s += String.fromCharCode(r.u16());
  return s;
}
