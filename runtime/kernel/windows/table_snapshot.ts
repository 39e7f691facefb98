/**
 * A consistent cut of a window table, written in slices while the table goes on changing. An actor about to change is
 * written first, so every record shows it as it was at the cut. The events of one with many are only pinned then: its
 * segment (light) or its chunks (heavy), written in their turn or before they move or change. The format is logical:
 * keys, times and events in order, nothing derived and no layout; slot numbers are not kept.
 */
import { type ByteReader, BytesDamaged, type ByteWriter, ByteWriter as Writer } from "../bytes.ts";
import { CHUNK_EVENTS, SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import { SUPERSEDED, timeAt, WORD_COUNTERPARTY, WORD_ID_HI, WORD_ID_LO } from "./event_words.ts";
import type { Heavy } from "./heavy.ts";
import { type Pin, POSITION_MASK } from "./heavy_store.ts";
import type { Light } from "./light.ts";
import {
  BLOCK_BITS,
  BLOCK_MASK,
  COUNT_SHIFT,
  R_FIRST,
  R_MARK,
  R_NEWEST,
  R_PIN,
  R_SHAPE,
  RECORD,
  SHAPE_HEAVY,
  SHAPE_MASK,
  type Slots,
} from "./slots.ts";
import type { WindowPlan } from "./window_options.ts";

const FORMAT = 1;
const TAG_HEADER = 1;
const TAG_ACTOR = 2;
const TAG_EVENTS = 3;
const TAG_END = 4;
/** Bytes of the buffers for actors written before their turn. */
const EARLY_BYTES = 1 << 16;
/** Events up to which a light actor is written at once: a pin would cost as much. */
const WRITTEN_AT_ONCE = 64;

export type WriteExtra = (slot: number, w: ByteWriter) => void;
export type ReadExtra = (slot: number, r: ByteReader, end: number) => void;

/** The keys of a table's actors. Slots are given in order from 0, freed ones again. */
export interface ActorKeys {
  /** Slots ever given. */
  readonly size: number;
  /** Slot of an actor in memory, -1 else. */
  find(hi: number, lo: number): number;
  /** Slot for an actor that is unknown. */
  add(hi: number, lo: number): number;
  keyHi(slot: number): number;
  keyLo(slot: number): number;
  bytes(): number;
}

/** What a snapshot sees of the actors that are not in memory: records as it writes them, told by their keys. */
export interface PassivePart {
  readonly actors: number;
  readonly events: number;
  /** The cut is now. */
  beginSnapshot(): void;
  /** Writes about bytesMax bytes of the actors that are passive since the cut; true when all are written. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean;
  endSnapshot(): void;
  /** Whether a loaded actor is to be left passive. */
  readonly isFull: boolean;
  /** Leaves a loaded actor passive: its record with so many events. */
  load(hi: number, lo: number, events: number, record: Uint8Array): void;
  has(hi: number, lo: number): boolean;
  /** Brings an actor into memory: its slot; -1 when it is not passive. */
  recallNow(hi: number, lo: number): number;
  /** Canonical lines of each passive actor, by its key. */
  exportLines(codeText: (code: number) => string): { hi: number; lo: number; lines: () => string[] }[];
}

/** What a snapshot sees of its table. */
export interface SnapshotHost {
  readonly plan: WindowPlan;
  readonly keys: ActorKeys;
  readonly passive: PassivePart | null;
  readonly slots: Slots;
  readonly light: Light;
  readonly events: number;
  heavyOf(slot: number): Heavy | null;
  /** Adds an event, in order, without limits; words as in the snapshot. */
  restore(slot: number, timeUs: number, mixed: number, amountLow: number, rest: Uint32Array): void;
}

interface PinnedActor {
  readonly pin: Pin;
  readonly hi: number;
  readonly lo: number;
}

export class TableSnapshot {
  active = false;
  /** Records with this mark are written; new actors carry it from birth. */
  mark = 0;
  private readonly host: SnapshotHost;
  private extra: WriteExtra | null = null;
  private actors = 0;
  private events = 0;
  private slots = 0;
  private cursor = 0;
  private headed = false;
  private early: ByteWriter[] = [];
  private spare: ByteWriter[] = [];
  private pins: PinnedActor[] = [];
  /** Pinned segments of light actors: slot (-1 when written) and shape at the cut; the next to be written. */
  private pinnedSlots: number[] = [];
  private pinnedShapes: number[] = [];
  private pinnedNext = 0;

  constructor(host: SnapshotHost) {
    this.host = host;
    host.light.onUnpin = (pin) => this.writePinned(pin - 1, this.side());
  }

  /** The cut is now; a snapshot under way is given up. */
  begin(extra: WriteExtra | null): void {
    this.abandon();
    this.active = true;
    this.mark = (this.mark + 1) >>> 0;
    this.extra = extra;
    const { passive } = this.host;
    passive?.beginSnapshot();
    this.actors = this.host.slots.held + (passive?.actors ?? 0);
    this.events = this.host.events + (passive?.events ?? 0);
    this.slots = this.host.keys.size;
    this.cursor = 0;
    this.headed = false;
  }

  /** Forgets the snapshot under way, if any, and frees what it held. */
  abandon(): void {
    for (const p of this.pins) while (p.pin.written < p.pin.refs.length) this.unpinNext(p.pin);
    this.pins = [];
    for (const slot of this.pinnedSlots) {
      if (slot >= 0) this.host.slots.words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + R_PIN] = 0;
    }
    this.pinnedSlots = [];
    this.pinnedShapes = [];
    this.pinnedNext = 0;
    this.early = [];
    this.active = false;
    this.host.passive?.endSnapshot();
  }

  /** Writes the record of an actor that was passive at the cut, to the side: it comes into memory and may change. */
  captureRecord(record: Uint8Array): void {
    this.side().bytes(record);
  }

  /** Whether an actor can leave memory: not while a snapshot under way holds on to many events of it. */
  canRelease(slot: number): boolean {
    if (!this.active) return true;
    const rec = this.host.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    if (rec[r + R_SHAPE] === SHAPE_HEAVY || rec[r + R_PIN] !== 0) return false;
    return this.host.light.count(rec, r) <= WRITTEN_AT_ONCE;
  }

  /** Writes the actor to the side unless it is written; must be called before it changes while a snapshot is active. */
  capture(slot: number): void {
    const rec = this.host.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    if (rec[r + R_MARK] === this.mark) return;
    rec[r + R_MARK] = this.mark;
    const isLong = rec[r + R_SHAPE] !== SHAPE_HEAVY && this.host.light.count(rec, r) > WRITTEN_AT_ONCE;
    this.writeActor(slot, this.side(), isLong);
    if (!isLong) return;
    this.pinnedSlots.push(slot);
    this.pinnedShapes.push(rec[r + R_SHAPE]);
    rec[r + R_PIN] = this.pinnedSlots.length;
  }

  /** The buffer for what is written before its turn. */
  private side(): ByteWriter {
    let w = this.early.at(-1);
    if (w === undefined || w.length >= EARLY_BYTES) {
      w = this.spare.pop() ?? new Writer(EARLY_BYTES + 4096);
      this.early.push(w);
    }
    return w;
  }

  /** Writes the events of a pinned segment as they were at the cut. */
  private writePinned(pin: number, w: ByteWriter): void {
    const slot = this.pinnedSlots[pin];
    if (slot < 0) return;
    this.pinnedSlots[pin] = -1;
    const { keys, slots, light } = this.host;
    const rec = slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    rec[r + R_PIN] = 0;
    const shape = this.pinnedShapes[pin];
    const n = (shape >>> COUNT_SHIFT) & SHAPE_MASK;
    headEvents(w, keys.keyHi(slot), keys.keyLo(slot), n);
    this.writeEvents(light.words(rec, r), light.placeOffset(rec, r, shape & SHAPE_MASK), n, w);
  }

  /** Writes about bytesMax bytes more; true when the snapshot is whole. */
  step(w: ByteWriter, bytesMax: number): boolean {
    if (!this.active) throw new Error("no snapshot is under way");
    const start = w.length;
    const stop = start + bytesMax;
    if (!this.headed) this.writeHeader(w);
    do {
      const early = this.early.shift();
      if (early !== undefined) {
        w.bytes(early.view());
        early.reset();
        if (this.spare.length < 4) this.spare.push(early);
      } else if (this.pinnedNext < this.pinnedSlots.length) this.writePinned(this.pinnedNext++, w);
      else if (this.pins.length > 0) {
        if (this.writeChunk(this.pins[0], w)) this.pins.shift();
      } else if (this.cursor < this.slots) this.writeNext(w);
      else if (this.host.passive?.snapshotStep(w, stop - w.length) !== false) {
        w.u8(TAG_END);
        w.varint(this.events);
        this.active = false;
        this.host.passive?.endSnapshot();
        return true;
      } else if (w.length > start) return false;
    } while (w.length < stop);
    return false;
  }

  private writeHeader(w: ByteWriter): void {
    this.headed = true;
    w.u8(TAG_HEADER);
    w.u16(FORMAT);
    w.u8(this.host.plan.ids ? 1 : 0);
    w.varint(this.actors);
    w.varint(this.events);
  }

  private writeNext(w: ByteWriter): void {
    const slot = this.cursor++;
    const rec = this.host.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    if (rec[r + R_MARK] === this.mark || this.host.slots.isFree(slot)) return;
    rec[r + R_MARK] = this.mark;
    this.writeActor(slot, w, false);
  }

  /** `isPinned`: the events of a light actor are left for later. */
  private writeActor(slot: number, w: ByteWriter, isPinned: boolean): void {
    const { keys, slots, light } = this.host;
    this.writeHead(slot, w, this.extra);
    const heavy = this.host.heavyOf(slot);
    if (heavy !== null) {
      const pin = heavy.pinChunks();
      this.pins.push({ pin, hi: keys.keyHi(slot), lo: keys.keyLo(slot) });
      w.varint(0);
      return;
    }
    const rec = slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const n = isPinned ? 0 : light.count(rec, r);
    w.varint(n);
    if (n > 0) this.writeEvents(light.words(rec, r), light.offset(rec, r, 0), n, w);
  }

  /** Writes the whole record of an actor as it is now, whatever snapshot is under way. */
  writeWhole(slot: number, w: ByteWriter, extra: WriteExtra): void {
    const { slots, light } = this.host;
    this.writeHead(slot, w, extra);
    const heavy = this.host.heavyOf(slot);
    if (heavy === null) {
      const rec = slots.words[slot >>> BLOCK_BITS];
      const r = (slot & BLOCK_MASK) * RECORD;
      const n = light.count(rec, r);
      w.varint(n);
      if (n > 0) this.writeEvents(light.words(rec, r), light.offset(rec, r, 0), n, w);
      return;
    }
    w.varint(heavy.count);
    for (let p = heavy.head, left = heavy.count; left > 0; ) {
      const n = Math.min(left, CHUNK_EVENTS - (p & (CHUNK_EVENTS - 1)));
      this.writeEvents(heavy.wordsOf(p), heavy.offsetOf(p), n, w);
      p = (p + n) & POSITION_MASK;
      left -= n;
    }
  }

  private writeHead(slot: number, w: ByteWriter, extra: WriteExtra | null): void {
    const { keys, slots } = this.host;
    const times = slots.times[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    w.u8(TAG_ACTOR);
    w.u32(keys.keyHi(slot));
    w.u32(keys.keyLo(slot));
    w.f64(times[(r >>> 1) + R_NEWEST]);
    w.f64(times[(r >>> 1) + R_FIRST]);
    const at = w.length;
    w.u32(0);
    if (extra !== null) extra(slot, w);
    w.patchU32(at, w.length - at - 4);
  }

  private writeEvents(words: Uint32Array, at: number, n: number, w: ByteWriter): void {
    const { stride } = this.host.plan;
    w.reserve(n * stride * 4);
    for (let i = 0, o = at; i < n; i++, o += stride) {
      w.u32(words[o]);
      w.u32(words[o + 1] & ~SUPERSEDED);
      for (let k = 2; k < stride - 1; k++) w.u32(words[o + k]);
    }
  }

  /** Writes the next chunk of a pinned actor; true when it was the last. */
  private writeChunk(p: PinnedActor, w: ByteWriter): boolean {
    const { arena, stride } = this.host.plan;
    const { pin } = p;
    if (pin.written < pin.refs.length) {
      const ref = pin.refs[pin.written];
      const from = pin.written === 0 ? pin.skip : 0;
      const before = pin.written === 0 ? 0 : pin.written * CHUNK_EVENTS - pin.skip;
      const n = Math.min(CHUNK_EVENTS - from, pin.events - before);
      headEvents(w, p.hi, p.lo, n);
      this.writeEvents(arena.slabs[ref >>> SLAB_BITS], ((ref & SLAB_MASK) + from) * stride, n, w);
      this.unpinNext(pin);
    }
    return pin.written === pin.refs.length;
  }

  private unpinNext(pin: Pin): void {
    const k = pin.written++;
    if (pin.owned[k] === 1) this.host.plan.arena.free(pin.refs[k]);
    if (pin.written === pin.refs.length && pin.store.pin === pin) pin.store.pin = null;
  }
}

/** Begins a record of n events, written behind their actor's own. */
function headEvents(w: ByteWriter, hi: number, lo: number, n: number): void {
  w.u8(TAG_EVENTS);
  w.u32(hi);
  w.u32(lo);
  w.varint(n);
}

/**
 * Reads records into an empty table until the end of the snapshot (true) or of the bytes at a record's end (false: call
 * again with the rest). Throws BytesDamaged; the table is then unusable.
 */
export class TableLoader {
  private readonly host: SnapshotHost;
  private actors = -1;
  private events = 0;
  private readonly rest: Uint32Array;

  constructor(host: SnapshotHost) {
    this.host = host;
    this.rest = new Uint32Array(host.plan.stride);
  }

  read(r: ByteReader, extra: ReadExtra | null): boolean {
    while (r.left > 0) {
      const at = r.offset;
      const tag = r.u8();
      if (tag === TAG_HEADER && this.actors < 0) this.readHeader(r);
      else if (this.actors < 0) throw new BytesDamaged("no header", at);
      else if (tag === TAG_ACTOR) this.readActor(r, extra);
      else if (tag === TAG_EVENTS) this.readEvents(this.known(r), r.varint(), r);
      else if (tag === TAG_END) {
        const { events, slots, passive } = this.host;
        const held = events + (passive?.events ?? 0);
        const whole = r.varint() === held && held === this.events;
        if (!whole || slots.held + (passive?.actors ?? 0) !== this.actors)
          throw new BytesDamaged("actors or events are missing", at);
        return true;
      } else throw new BytesDamaged(`unknown tag ${tag}`, at);
    }
    return false;
  }

  private readHeader(r: ByteReader): void {
    const format = r.u16();
    if (format !== FORMAT) throw new BytesDamaged(`format ${format} is not known`, r.offset);
    if ((r.u8() === 1) !== this.host.plan.ids) throw new BytesDamaged("the other kind of table (ids)", r.offset);
    this.actors = r.varint();
    this.events = r.varint();
  }

  private known(r: ByteReader): number {
    const hi = r.u32();
    const lo = r.u32();
    const known = this.host.keys.find(hi, lo);
    const slot = known >= 0 ? known : (this.host.passive?.recallNow(hi, lo) ?? known);
    if (slot < 0) throw new BytesDamaged("events of an unknown actor", r.offset);
    return slot;
  }

  private readActor(r: ByteReader, extra: ReadExtra | null): void {
    const { keys, slots, passive } = this.host;
    const at = r.offset - 1;
    const hi = r.u32();
    const lo = r.u32();
    if (keys.find(hi, lo) >= 0 || passive?.has(hi, lo) === true) throw new BytesDamaged("an actor twice", r.offset);
    if (passive?.isFull === true) {
      const events = skipRecord(r, this.host.plan.stride);
      passive.load(hi, lo, events, r.memory.subarray(at, r.offset));
      return;
    }
    const slot = keys.add(hi, lo);
    slots.add(slot, 0);
    this.readInto(slot, r, extra);
  }

  /** Reads an actor's record that writeWhole wrote, from behind its key on, into a new slot. Throws BytesDamaged. */
  readInto(slot: number, r: ByteReader, extra: ReadExtra | null): void {
    const { slots } = this.host;
    const times = slots.times[slot >>> BLOCK_BITS];
    const t = (slot & BLOCK_MASK) * (RECORD / 2);
    times[t + R_NEWEST] = r.f64();
    times[t + R_FIRST] = r.f64();
    const bytes = r.u32();
    const end = r.offset + bytes;
    if (extra === null) r.skip(bytes);
    else extra(slot, r, end);
    if (r.offset !== end) throw new BytesDamaged(`${bytes} bytes of extras were not read as written`, r.offset);
    this.readEvents(slot, r.varint(), r);
  }

  private readEvents(slot: number, count: number, r: ByteReader): void {
    const { stride } = this.host.plan;
    for (let i = 0; i < count; i++) {
      const low = r.u32();
      const mixed = r.u32();
      const amountLow = r.u32();
      for (let k = 3; k < stride - 1; k++) this.rest[k] = r.u32();
      this.host.restore(slot, (mixed >>> 12) * 4294967296 + low, mixed, amountLow, this.rest);
    }
  }
}

/** Bytes of an actor's record before its key. */
export const RECORD_KEY_AT = 1;

/** Steps over what stands behind an actor's key in its record, up to the events: how many follow. */
export function skipHead(r: ByteReader): number {
  r.skip(16);
  r.skip(r.u32());
  return r.varint();
}

/** Steps over all that stands behind an actor's key in its record; returns its events. */
function skipRecord(r: ByteReader, stride: number): number {
  const events = skipHead(r);
  r.skip(events * (stride - 1) * 4);
  return events;
}

/** The canonical text of an actor's own facts. */
export function actorLine(hi: number, lo: number, firstUs: number, newestUs: number): string {
  return `${hi}:${lo} ${firstUs} ${newestUs}\n`;
}

/** The canonical text of an event, the same however it is stored. */
export function eventLine(plan: WindowPlan, words: Uint32Array, o: number, codeText: (code: number) => string): string {
  const high = (words[o + 1] >>> 4) & 255;
  const flags = words[o + 1] & ~SUPERSEDED & 15;
  const id = plan.ids ? `${words[o + WORD_ID_HI]}:${words[o + WORD_ID_LO]}` : "-";
  const amount = high * 4294967296 + words[o + 2];
  const frame = words[o + plan.frameWord];
  return `  ${timeAt(words, o)} ${amount} ${codeText(words[o + WORD_COUNTERPARTY])} ${id} ${frame} ${flags}\n`;
}
