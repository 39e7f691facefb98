/**
 * The keys of a table whose actors come and go: each has a dense code of an Interner for good, and is in memory (a
 * slot, used again when its actor leaves), passive (a place elsewhere), or nowhere yet. Where it is costs one access to
 * memory by code, and no second dictionary.
 */
import type { Interner } from "./interner.ts";
import { SlotMap } from "./slot_map.ts";

/** Of at(): the code has no actor. What is less is a place: see placeOf. */
export const NOWHERE = -1;

/** Codes are kept by slot in blocks, so that growth copies nothing. */
const BLOCK_BITS = 12;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;

/** The place 0 .. 2^31 - 3 that a result of at() names. */
export function placeOf(at: number): number {
  return -2 - at;
}

export class CodedKeys {
  /** Slots ever given: 0 .. size - 1. */
  size = 0;
  private readonly interner: Interner;
  private readonly ats = new SlotMap();
  private readonly codes: Uint32Array[] = [];
  private readonly freed: number[] = [];

  constructor(interner: Interner) {
    this.interner = interner;
  }

  /** Slot of a code's actor; NOWHERE; or less: it is passive, at placeOf(). */
  at(code: number): number {
    return this.ats.get(code);
  }

  /** Slot of an actor in memory, -1 else. */
  find(hi: number, lo: number): number {
    const code = this.interner.find(hi, lo);
    return code < 0 ? NOWHERE : Math.max(NOWHERE, this.ats.get(code));
  }

  /** Slot for an actor that is nowhere yet. */
  add(hi: number, lo: number): number {
    const code = this.interner.code(hi, lo);
    if (this.ats.get(code) !== NOWHERE) throw new Error(`actor ${code} is known already`);
    return this.enter(code);
  }

  /** Slot for an actor that comes into memory. */
  enter(code: number): number {
    if (this.ats.get(code) >= 0) throw new Error(`actor ${code} is in memory already`);
    const slot = this.freed.pop() ?? this.size++;
    if (slot >>> BLOCK_BITS === this.codes.length) this.codes.push(new Uint32Array(1 << BLOCK_BITS));
    this.codes[slot >>> BLOCK_BITS][slot & BLOCK_MASK] = code;
    this.ats.set(code, slot);
    return slot;
  }

  /** The actor of a slot leaves memory for a place; the slot is free. */
  leave(slot: number, place: number): void {
    this.ats.set(this.code(slot), -2 - place);
    this.freed.push(slot);
  }

  /** A passive actor is at another place, or one that is nowhere is made passive. */
  move(code: number, place: number): void {
    if (this.ats.get(code) >= 0) throw new Error(`actor ${code} is in memory`);
    this.ats.set(code, -2 - place);
  }

  code(slot: number): number {
    return this.codes[slot >>> BLOCK_BITS][slot & BLOCK_MASK];
  }

  keyHi(slot: number): number {
    return this.interner.keyHi(this.code(slot));
  }

  keyLo(slot: number): number {
    return this.interner.keyLo(this.code(slot));
  }

  /** Codes given so far, those without an actor among them. */
  get known(): number {
    return this.interner.size;
  }

  codeOf(hi: number, lo: number): number {
    return this.interner.code(hi, lo);
  }

  findCode(hi: number, lo: number): number {
    return this.interner.find(hi, lo);
  }

  codeHi(code: number): number {
    return this.interner.keyHi(code);
  }

  codeLo(code: number): number {
    return this.interner.keyLo(code);
  }

  /** Allocated bytes, without the interner. */
  bytes(): number {
    return this.ats.bytes() + this.codes.length * (4 << BLOCK_BITS) + this.freed.length * 8;
  }
}
