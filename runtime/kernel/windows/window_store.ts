/**
 * Actors and their events: who is light and who heavy, what enters, what is dropped, what a query writes. An actor is
 * light (its events in one segment) or heavy (indexes); which, is never seen: the same calls give the same bits, also
 * after a snapshot was loaded. An append drops at most DROPS_PER_APPEND events that are older than the retention.
 */
import { KeyTable } from "../key_table.ts";
import {
  AMOUNT_MAX,
  amountAt,
  FRAUD,
  NO_AMOUNT,
  REVERSED,
  TIME_MAX,
  timeAt,
  WORD_COUNTERPARTY,
  WORD_ID_HI,
  WORD_ID_LO,
} from "./event_words.ts";
import { Heavy } from "./heavy.ts";
import { POSITION_MASK } from "./heavy_store.ts";
import { Light } from "./light.ts";
import { type HeldEvents, Overlay, type PendingRows } from "./pending.ts";
import {
  BLOCK_BITS,
  BLOCK_MASK,
  R_FIRST,
  R_NEWEST,
  R_PLACE,
  R_SHAPE,
  RECORD,
  SHAPE_EMPTY,
  SHAPE_HEAVY,
  Slots,
} from "./slots.ts";
import { type ActorKeys, type PassivePart, type SnapshotHost, TableSnapshot } from "./table_snapshot.ts";
import { T_MAX, TALLY, writeColumns, writeDelayed } from "./tally.ts";
import { type WindowOptions, WindowPlan } from "./window_options.ts";

/** Results of append. */
export const INSERTED = 0;
/** Too old: nothing changed. */
export const LATE = 1;
/** The table is full: shed the row. */
export const FULL = 2;

/** Steps of near(). */
export const NEAR_STEPS = 3;

const DROPS_PER_APPEND = 64;
const NEVER = Number.NEGATIVE_INFINITY;

export class WindowStore implements SnapshotHost, HeldEvents {
  readonly plan: WindowPlan;
  readonly keys: ActorKeys;
  readonly slots = new Slots();
  readonly light: Light;
  /** Events held. */
  events = 0;
  /** After append: no earlier held event of the same counterparty within the longest window, up to its time. */
  wasNew = false;
  protected readonly heavies: (Heavy | null)[] = [];
  private readonly heavyFree: number[] = [];
  private readonly overlay: Overlay;
  protected readonly snapshot: TableSnapshot;
  protected lastSlot = -1;
  protected lastUs = 0;

  /** All that comes is committed: it finds room above the limit too. */
  isUnbounded = false;

  /** Nobody looks at what queries write: query() does nothing. Neither events nor later queries are other for it. */
  isUnseen = false;

  /** Actors that are not in memory; null in a table that keeps all. */
  passive: PassivePart | null = null;

  /** Throws RangeError naming the option that makes no sense. */
  constructor(o: WindowOptions, keys: ActorKeys = new KeyTable()) {
    this.keys = keys;
    this.plan = new WindowPlan(o);
    this.light = new Light(this.plan);
    this.overlay = new Overlay(this.plan);
    this.snapshot = new TableSnapshot(this);
  }

  get isFull(): boolean {
    return this.events >= this.plan.eventsMax && !this.isUnbounded;
  }

  /** Actors in memory. */
  get actors(): number {
    return this.slots.held;
  }

  /** Slot of an actor, made when it is unknown. */
  slot(hi: number, lo: number): number {
    const known = this.keys.find(hi, lo);
    if (known >= 0) return known;
    const slot = this.keys.add(hi, lo);
    this.slots.add(slot, this.snapshot.mark);
    return slot;
  }

  /** Slot of an actor in memory, -1 else. */
  find(hi: number, lo: number): number {
    return this.keys.find(hi, lo);
  }

  keyHi(slot: number): number {
    return this.keys.keyHi(slot);
  }

  keyLo(slot: number): number {
    return this.keys.keyLo(slot);
  }

  heavyOf(slot: number): Heavy | null {
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    return rec[r + R_SHAPE] === SHAPE_HEAVY ? this.heavies[rec[r + R_PLACE]] : null;
  }

  /**
   * Reads what an append and its query will read of an actor, so that it is near; the result means nothing. Step 0 of
   * NEAR_STEPS reads the record, 1 the events, 2 those at the boundaries of light actors: each finds its place by the
   * one before.
   */
  near(slot: number, step: number): number {
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    if (step === 0) return rec[r];
    if (rec[r + R_SHAPE] === SHAPE_HEAVY) return step === 1 ? this.heavies[rec[r + R_PLACE]]!.near() : 0;
    return step === 1 ? this.light.near(rec, r) : this.light.nearBoundaries(rec, r);
  }

  /** Events held of an actor. */
  count(slot: number): number {
    const heavy = this.heavyOf(slot);
    if (heavy !== null) return heavy.count;
    return this.light.count(this.slots.words[slot >>> BLOCK_BITS], (slot & BLOCK_MASK) * RECORD);
  }

  /**
   * Adds an event: INSERTED, LATE or FULL. Time: integer microseconds; amount: integer 0 .. 2^40 - 1 or NaN (none);
   * counterparty, id words, frame: u32. Throws RangeError for other numbers.
   */
  append(
    slot: number,
    timeUs: number,
    amount: number,
    counterparty: number,
    idHi: number,
    idLo: number,
    frame: number,
  ): number {
    if (!(timeUs >= 0 && timeUs <= TIME_MAX) || Math.floor(timeUs) !== timeUs) throw new RangeError(`time ${timeUs}`);
    if (!Number.isNaN(amount) && (!(amount >= 0 && amount <= AMOUNT_MAX) || Math.floor(amount) !== amount)) {
      throw new RangeError(`amount ${amount}`);
    }
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const times = this.slots.times[slot >>> BLOCK_BITS];
    const newest = times[(r >>> 1) + R_NEWEST];
    if (timeUs < newest) {
      if (newest - timeUs > this.plan.lateUs || this.newer(slot, timeUs) > this.plan.lateEventsMax) return LATE;
    }
    if (this.snapshot.active) this.snapshot.capture(slot);
    if (rec[r + R_SHAPE] !== SHAPE_HEAVY) {
      // Without queries it is cheaper to scan once at the next one than to bring the tallies along.
      if (this.isUnseen) this.light.spoil(rec, r);
      else this.light.advance(rec, r, timeUs);
    }
    const dropped = this.drop(rec, r, Math.max(timeUs, newest) - this.plan.retentionUs);
    // What is shed leaves no trace: it takes the place of what it dropped, or it dropped nothing.
    if (dropped === 0 && this.isFull) return FULL;
    const met = this.place(rec, r, timeUs, amount, counterparty, idHi, idLo, frame, 0);
    if (timeUs > newest) times[(r >>> 1) + R_NEWEST] = timeUs;
    if (timeUs < times[(r >>> 1) + R_FIRST]) times[(r >>> 1) + R_FIRST] = timeUs;
    this.wasNew = !(met > timeUs - this.plan.longestUs);
    this.lastSlot = slot;
    this.lastUs = timeUs;
    return INSERTED;
  }

  protected drop(rec: Uint32Array, r: number, cutoffUs: number): number {
    if (rec[r + R_SHAPE] !== SHAPE_HEAVY) {
      const n = this.light.drop(rec, r, cutoffUs, DROPS_PER_APPEND);
      this.events -= n;
      return n;
    }
    const heavy = this.heavies[rec[r + R_PLACE]]!;
    const n = heavy.drop(cutoffUs, DROPS_PER_APPEND);
    this.events -= n;
    // Half of the limit, so that no actor goes to and fro.
    if (heavy.count <= this.plan.lightEventsMax / 2) this.lighten(rec, r, heavy);
    return n;
  }

  /** Stores an event where it belongs; returns the time of the newest earlier one of its counterparty, or -Infinity. */
  private place(
    rec: Uint32Array,
    r: number,
    timeUs: number,
    amount: number,
    cp: number,
    idHi: number,
    idLo: number,
    frame: number,
    flags: number,
  ): number {
    this.events++;
    if (rec[r + R_SHAPE] !== SHAPE_HEAVY) {
      if (this.light.count(rec, r) < this.plan.lightEventsMax) {
        this.light.append(rec, r, timeUs, amount, cp, idHi, idLo, frame, flags);
        return this.light.metUs;
      }
      this.makeHeavy(rec, r);
    }
    const heavy = this.heavies[rec[r + R_PLACE]]!;
    heavy.append(timeUs, amount, cp, idHi, idLo, frame, flags);
    return heavy.metUs;
  }

  private makeHeavy(rec: Uint32Array, r: number): void {
    const heavy = new Heavy(this.plan);
    const words = this.light.words(rec, r);
    const n = this.light.count(rec, r);
    for (let i = 0; i < n; i++) {
      const o = this.light.offset(rec, r, i);
      const flags = words[o + 1] & (FRAUD | REVERSED);
      const [hi, lo] = this.plan.ids ? [words[o + WORD_ID_HI], words[o + WORD_ID_LO]] : [0, 0];
      const frame = words[o + this.plan.frameWord];
      heavy.append(timeAt(words, o), amountAt(words, o), words[o + WORD_COUNTERPARTY], hi, lo, frame, flags);
    }
    this.light.clear(rec, r);
    const k = this.heavyFree.pop() ?? this.heavies.length;
    this.heavies[k] = heavy;
    rec[r + R_PLACE] = k;
    rec[r + R_SHAPE] = SHAPE_HEAVY;
  }

  private lighten(rec: Uint32Array, r: number, heavy: Heavy): void {
    this.heavies[rec[r + R_PLACE]] = null;
    this.heavyFree.push(rec[r + R_PLACE]);
    rec[r + R_SHAPE] = SHAPE_EMPTY;
    for (let i = heavy.count, p = heavy.head; i > 0; i--, p = (p + 1) & POSITION_MASK) {
      const words = heavy.wordsOf(p);
      const o = heavy.offsetOf(p);
      const flags = words[o + 1] & (FRAUD | REVERSED);
      const [hi, lo] = this.plan.ids ? [words[o + WORD_ID_HI], words[o + WORD_ID_LO]] : [0, 0];
      const frame = words[o + this.plan.frameWord];
      this.light.append(
        rec,
        r,
        timeAt(words, o),
        amountAt(words, o),
        words[o + WORD_COUNTERPARTY],
        hi,
        lo,
        frame,
        flags,
      );
    }
    heavy.release();
  }

  /**
   * Frees all that an actor has here, its slot too; what a snapshot under way needs of it must have been captured, and
   * its key is the caller's.
   */
  release(slot: number): void {
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const heavy = this.heavyOf(slot);
    if (heavy === null) {
      this.events -= this.light.count(rec, r);
      this.light.clear(rec, r);
    } else {
      this.events -= heavy.count;
      this.heavies[rec[r + R_PLACE]] = null;
      this.heavyFree.push(rec[r + R_PLACE]);
      heavy.release();
    }
    this.slots.free(slot);
    if (this.lastSlot === slot) this.lastSlot = -1;
  }

  /** Time of the newest event ever appended, -Infinity without. */
  newestUs(slot: number): number {
    return this.slots.times[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * (RECORD / 2) + R_NEWEST];
  }

  /** Time of the earliest event ever appended, Infinity without. */
  firstSeenUs(slot: number): number {
    return this.slots.times[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * (RECORD / 2) + R_FIRST];
  }

  /** Events held later than timeUs. */
  newer(slot: number, timeUs: number): number {
    const heavy = this.heavyOf(slot);
    if (heavy !== null) return heavy.newer(timeUs);
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    return this.light.count(rec, r) - this.light.upTo(rec, r, timeUs);
  }

  /**
   * Writes six float32 columns a window at out[at ...] for windows ending at timeUs, and with delayedAt >= 0 two a
   * delayed window (count, share of frauds) at out[delayedAt ...]. An event at timeUs counts. Nothing is allocated.
   */
  query(slot: number, timeUs: number, out: Float32Array, at: number, delayedAt: number): void {
    if (this.isUnseen) return;
    const tally = this.tally(slot, timeUs, delayedAt >= 0);
    writeColumns(tally, this.plan.windows, out, at);
    if (delayedAt >= 0) writeDelayed(this.plan.delayed, this.plan.delayedWindows, out, delayedAt);
  }

  /** As query, as if the pending rows had been appended in their order. Slot -1: an actor of pending rows only. */
  queryPending(
    slot: number,
    timeUs: number,
    pending: PendingRows,
    out: Float32Array,
    at: number,
    delayedAt: number,
  ): void {
    const { plan } = this;
    const delayed = delayedAt >= 0;
    if (slot >= 0) {
      const held = this.tally(slot, timeUs, delayed);
      if (held !== plan.tally) for (let k = 0; k < plan.tally.length; k++) plan.tally[k] = held[k];
    } else {
      plan.tally.fill(0);
      plan.delayed.fill(0);
      for (let w = 0; w < plan.windows; w++) plan.tally[w * TALLY + T_MAX] = -1;
    }
    if (pending.n > 0) {
      const newest = slot >= 0 ? this.newestUs(slot) : NEVER;
      this.overlay.add(slot, timeUs, newest, pending, this, delayed && plan.delayedWindows > 0);
    }
    writeColumns(plan.tally, plan.windows, out, at);
    if (delayed) writeDelayed(plan.delayed, plan.delayedWindows, out, delayedAt);
  }

  /** The tallies of a query, to be read only and at once. */
  private tally(slot: number, timeUs: number, delayed: boolean): Float64Array {
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const wanted = delayed && this.plan.delayedWindows > 0;
    if (rec[r + R_SHAPE] === SHAPE_HEAVY) {
      return this.heavies[rec[r + R_PLACE]]!.query(timeUs, wanted);
    }
    this.light.query(rec, r, timeUs, wanted);
    return this.plan.tally;
  }

  meetAll(slot: number, timeUs: number, overlay: Overlay): void {
    if (slot < 0) return;
    const heavy = this.heavyOf(slot);
    if (heavy !== null) {
      for (let k = 0; k < overlay.met; k++)
        overlay.meet(overlay.counterparty[k], heavy.latestOf(overlay.counterparty[k], timeUs));
      return;
    }
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const n = this.light.upTo(rec, r, timeUs);
    if (n === 0) return;
    const words = this.light.words(rec, r);
    for (let i = n - 1, o = this.light.offset(rec, r, i); i >= 0; i--, o -= this.plan.stride) {
      if ((words[o + 1] & REVERSED) === 0) overlay.meet(words[o + WORD_COUNTERPARTY], timeAt(words, o));
    }
  }

  /** Adds an event of a snapshot behind the actor's newest; words as in the snapshot. */
  restore(slot: number, timeUs: number, mixed: number, amountLow: number, rest: Uint32Array): void {
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    const amount = (mixed & NO_AMOUNT) !== 0 ? Number.NaN : ((mixed >>> 4) & 255) * 4294967296 + amountLow;
    const { ids, frameWord } = this.plan;
    const idHi = ids ? rest[WORD_ID_HI] : 0;
    const idLo = ids ? rest[WORD_ID_LO] : 0;
    const cp = rest[WORD_COUNTERPARTY];
    this.place(rec, r, timeUs, amount, cp, idHi, idLo, rest[frameWord], mixed & (FRAUD | REVERSED));
  }
}
