/**
 * Exact sliding windows over the events of many actors: count, sum, mean, standard deviation, maximum and distinct
 * counterparties over (t - W, t] for each window W, in event time. Events may come late within a tolerance, be reversed
 * and be marked as fraud. This is the whole of what callers use: events and queries (WindowStore), and here single
 * events by handle, marks, search by id, snapshots and the canonical export.
 */
import { type ByteReader, BytesDamaged, type ByteWriter } from "../bytes.ts";
import { amountAt, FRAUD, REVERSED, timeAt, WORD_COUNTERPARTY } from "./event_words.ts";
import { POSITION_MASK } from "./heavy_store.ts";
import { BLOCK_BITS, BLOCK_MASK, RECORD } from "./slots.ts";
import { actorLine, eventLine, type ReadExtra, TableLoader, type WriteExtra } from "./table_snapshot.ts";
import { WindowStore } from "./window_store.ts";

export type { ReadExtra, WriteExtra } from "./table_snapshot.ts";
export type { WindowOptions } from "./window_options.ts";
export { FULL, INSERTED, LATE, NEAR_STEPS } from "./window_store.ts";

const NEVER = Number.NEGATIVE_INFINITY;

/** Numbers that knownRun() writes. */
export const KNOWN_RUN = 6;

/** The newest events of an actor, newest first. */
export class RecentEvents {
  n = 0;
  readonly timeUs: Float64Array;
  /** NaN: none. */
  readonly amount: Float64Array;
  readonly counterparty: Uint32Array;

  constructor(held_max: number) {
    this.timeUs = new Float64Array(held_max);
    this.amount = new Float64Array(held_max);
    this.counterparty = new Uint32Array(held_max);
  }
}

export class WindowTable extends WindowStore {
  private loader: TableLoader | null = null;
  private words: Uint32Array = new Uint32Array(0);
  private offset = 0;

  /** Time of the newest held event with time <= timeUs that is not reversed, -Infinity without. */
  latestUs(slot: number, timeUs: number): number {
    return this.latest(slot, timeUs, false);
  }

  /** As latestUs, but without the last appended event when that one is of this actor and of this very time. */
  previousUs(slot: number, timeUs: number): number {
    return this.latest(slot, timeUs, this.lastSlot === slot && this.lastUs === timeUs);
  }

  private latest(slot: number, timeUs: number, skipOne: boolean): number {
    const n = this.count(slot) - this.newer(slot, timeUs);
    let skip = skipOne;
    for (let i = n - 1; i >= 0; i--) {
      this.locate(slot, this.handle(slot, i));
      const { words, offset } = this;
      if ((words[offset + 1] & REVERSED) !== 0) continue;
      const time = timeAt(words, offset);
      if (!skip || time !== timeUs) return time;
      skip = false;
    }
    return NEVER;
  }

  /**
   * Fills `out` with the newest events in (fromUs, timeUs] that are not reversed, as many as it holds, but for the last
   * appended one when that is of this actor and of this very time. Of the same time the one appended last comes first.
   */
  recent(slot: number, timeUs: number, fromUs: number, out: RecentEvents): void {
    out.n = 0;
    let skip = this.lastSlot === slot && this.lastUs === timeUs;
    for (let i = this.count(slot) - this.newer(slot, timeUs) - 1; i >= 0 && out.n < out.timeUs.length; i--) {
      this.locate(slot, this.handle(slot, i));
      const { words, offset } = this;
      const time = timeAt(words, offset);
      if (time <= fromUs) return;
      if ((words[offset + 1] & REVERSED) !== 0) continue;
      if (skip && time === timeUs) {
        skip = false;
        continue;
      }
      out.timeUs[out.n] = time;
      out.amount[out.n] = amountAt(words, offset);
      out.counterparty[out.n++] = words[offset + WORD_COUNTERPARTY];
    }
  }

  /**
   * How the newest events that are at least `delay_us` old stand, walking back from there over at most `steps_max`:
   * frauds whose frame's word is 0 make up the run, others are passed over, the first event that is no fraud ends it.
   * Writes KNOWN_RUN numbers to `out`: length of the run; times of its first, of its newest, and of the event that
   * ended it (NaN without); events held since its first (NaN without); frauds passed over. False when none is so old.
   */
  knownRun(slot: number, timeUs: number, delay_us: number, steps_max: number, out: Float64Array): boolean {
    const count = this.count(slot);
    let i = count - this.newer(slot, timeUs - delay_us) - 1;
    const stop = Math.max(0, i + 1 - steps_max);
    let isKnown = false;
    out.fill(Number.NaN, 0, KNOWN_RUN);
    out[0] = 0;
    out[5] = 0;
    for (; i >= stop; i--) {
      this.locate(slot, this.handle(slot, i));
      const { words, offset } = this;
      const flags = words[offset + 1];
      if ((flags & REVERSED) !== 0) continue;
      isKnown = true;
      const time = timeAt(words, offset);
      if ((flags & FRAUD) === 0) {
        out[3] = time;
        break;
      }
      if (words[offset + this.plan.frameWord] !== 0) {
        out[5]++;
        continue;
      }
      if (out[0]++ === 0) out[2] = time;
      out[1] = time;
      out[4] = count - i;
    }
    return isKnown;
  }

  /** Handle of the i-th oldest event. */
  private handle(slot: number, i: number): number {
    const heavy = this.heavyOf(slot);
    return heavy === null ? i : (heavy.head + i) & POSITION_MASK;
  }

  private locate(slot: number, h: number): void {
    const heavy = this.heavyOf(slot);
    if (heavy !== null) {
      this.words = heavy.wordsOf(h);
      this.offset = heavy.offsetOf(h);
      return;
    }
    const rec = this.slots.words[slot >>> BLOCK_BITS];
    const r = (slot & BLOCK_MASK) * RECORD;
    this.words = this.light.words(rec, r);
    this.offset = this.light.offset(rec, r, h);
  }

  /** Handle of the newest event with the id, -1 when none is held; id (0, 0) is none. Needs options.ids. */
  findId(slot: number, idHi: number, idLo: number): number {
    if (!this.plan.ids || (idHi | idLo) === 0) return -1;
    const heavy = this.heavyOf(slot);
    if (heavy !== null) return heavy.findId(idHi, idLo);
    return this.light.findId(this.slots.words[slot >>> BLOCK_BITS], (slot & BLOCK_MASK) * RECORD, idHi, idLo);
  }

  eventFrame(slot: number, h: number): number {
    this.locate(slot, h);
    return this.words[this.offset + this.plan.frameWord];
  }

  eventTimeUs(slot: number, h: number): number {
    this.locate(slot, h);
    return timeAt(this.words, this.offset);
  }

  /** NaN: none. */
  eventAmount(slot: number, h: number): number {
    this.locate(slot, h);
    return amountAt(this.words, this.offset);
  }

  eventCounterparty(slot: number, h: number): number {
    this.locate(slot, h);
    return this.words[this.offset + WORD_COUNTERPARTY];
  }

  eventReversed(slot: number, h: number): boolean {
    this.locate(slot, h);
    return (this.words[this.offset + 1] & REVERSED) !== 0;
  }

  /**
   * Marks (or unmarks) the event with this time, counterparty and amount; among equal ones the oldest that is not yet
   * so. False when none is held; true also when all are so already.
   */
  setFraud(slot: number, timeUs: number, counterparty: number, amount: number, fraud: boolean): boolean {
    const h = this.match(slot, timeUs, counterparty, amount, FRAUD | REVERSED, fraud ? 0 : FRAUD);
    if (h < 0) return this.match(slot, timeUs, counterparty, amount, 0, 0) >= 0;
    if (this.snapshot.active) this.snapshot.capture(slot);
    const heavy = this.heavyOf(slot);
    if (heavy !== null) heavy.setFraud(h, fraud);
    else this.light.flipFraud(this.slots.words[slot >>> BLOCK_BITS], (slot & BLOCK_MASK) * RECORD, h);
    return true;
  }

  /** Takes the event out of every window; it is still found by id. Nothing when it is reversed already. */
  reverse(slot: number, h: number): void {
    if (this.snapshot.active) this.snapshot.capture(slot);
    const heavy = this.heavyOf(slot);
    if (heavy !== null) heavy.reverse(h);
    else this.light.reverse(this.slots.words[slot >>> BLOCK_BITS], (slot & BLOCK_MASK) * RECORD, h);
    this.lastSlot = -1;
  }

  /** Reverses the oldest such event that is not reversed yet. False when none is held. */
  reverseMatching(slot: number, timeUs: number, counterparty: number, amount: number): boolean {
    const h = this.match(slot, timeUs, counterparty, amount, REVERSED, 0);
    if (h >= 0) this.reverse(slot, h);
    return h >= 0 || this.match(slot, timeUs, counterparty, amount, 0, 0) >= 0;
  }

  /** Oldest event with time, counterparty, amount, and flags as wanted under the mask; -1 without. */
  private match(slot: number, timeUs: number, cp: number, amount: number, mask: number, wanted: number): number {
    let found = -1;
    for (let i = this.count(slot) - this.newer(slot, timeUs) - 1; i >= 0; i--) {
      const h = this.handle(slot, i);
      this.locate(slot, h);
      const { words, offset } = this;
      if (timeAt(words, offset) !== timeUs) break;
      const same = words[offset + WORD_COUNTERPARTY] === cp && Object.is(amountAt(words, offset), amount);
      if (same && (words[offset + 1] & mask) === wanted) found = h;
    }
    return found;
  }

  /**
   * Looks for an id through the actors from cursor.slot on, at most slotsMax of them, and moves the cursor behind the
   * last one seen. The slot of the first that holds it, -1 without; done when cursor.slot === keys.size.
   */
  scanIds(idHi: number, idLo: number, cursor: { slot: number }, slotsMax: number): number {
    const stop = Math.min(this.keys.size, cursor.slot + slotsMax);
    while (cursor.slot < stop) {
      const slot = cursor.slot++;
      if (this.findId(slot, idHi, idLo) >= 0) return slot;
    }
    return -1;
  }

  /**
   * Frees events of quiet actors: drops those with time <= horizonUs of the next slotsMax actors from cursor.slot on.
   * The caller promises that no event or query with time < horizonUs + retention comes any more.
   */
  expire(horizonUs: number, cursor: { slot: number }, slotsMax: number): void {
    const stop = Math.min(this.keys.size, cursor.slot + slotsMax);
    for (; cursor.slot < stop; cursor.slot++) {
      const slot = cursor.slot;
      if (this.count(slot) === 0) continue;
      this.locate(slot, this.handle(slot, 0));
      if (timeAt(this.words, this.offset) > horizonUs) continue;
      if (this.snapshot.active) this.snapshot.capture(slot);
      this.drop(this.slots.words[slot >>> BLOCK_BITS], (slot & BLOCK_MASK) * RECORD, horizonUs);
    }
  }

  /** To be called before the caller changes its own extras of a slot: a snapshot under way takes them as they are. */
  touch(slot: number): void {
    if (this.snapshot.active) this.snapshot.capture(slot);
  }

  /** The cut is now. `extra` writes the caller's part of an actor. A snapshot under way is given up. */
  beginSnapshot(extra?: WriteExtra): void {
    this.snapshot.begin(extra ?? null);
  }

  /** Writes about bytesMax bytes more (at least one record); true when the snapshot is whole. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    return this.snapshot.step(w, bytesMax);
  }

  /** Gives up the snapshot under way, if any. */
  abandonSnapshot(): void {
    this.snapshot.abandon();
  }

  /** Reads a whole snapshot into an empty table. Throws BytesDamaged; the table is then unusable. */
  load(r: ByteReader, extra?: ReadExtra): void {
    if (!this.loadPart(r, extra)) throw new BytesDamaged("the snapshot ends early", r.offset);
  }

  /** As load, for a snapshot that comes in parts (whole steps each): true when it is whole. */
  loadPart(r: ByteReader, extra?: ReadExtra): boolean {
    if (this.loader === null) {
      if (this.actors > 0) throw new RangeError("load needs an empty table");
      this.loader = new TableLoader(this);
    }
    const whole = this.loader.read(r, extra ?? null);
    if (whole) this.loader = null;
    return whole;
  }

  /** Whether an actor can be made passive now; what a snapshot under way needs of it is then captured. */
  canLeave(slot: number): boolean {
    if (!this.snapshot.canRelease(slot)) return false;
    this.touch(slot);
    return true;
  }

  /** Writes an actor's whole record, as it stands in snapshots. */
  writeActor(slot: number, w: ByteWriter, extra: WriteExtra): void {
    this.snapshot.writeWhole(slot, w, extra);
  }

  /** Reads an actor's record, from behind its key on, into a slot that its keys gave just now. Throws BytesDamaged. */
  readActor(slot: number, r: ByteReader, extra: ReadExtra): void {
    this.slots.add(slot, this.snapshot.mark);
    new TableLoader(this).readInto(slot, r, extra);
  }

  /** An actor that was passive at the cut of the snapshot under way comes back: its record as it was. */
  captureRecord(record: Uint8Array): void {
    this.snapshot.captureRecord(record);
  }

  get isSnapshotActive(): boolean {
    return this.snapshot.active;
  }

  /** Canonical text: actors by key, their events in order; codeText names a counterparty. Equal states, equal text. */
  *exportLines(codeText: (code: number) => string): IterableIterator<string> {
    const all = this.passive?.exportLines(codeText) ?? [];
    for (let slot = 0; slot < this.keys.size; slot++) {
      if (this.slots.isFree(slot)) continue;
      all.push({ hi: this.keyHi(slot), lo: this.keyLo(slot), lines: () => this.actorLines(slot, codeText) });
    }
    all.sort((a, b) => a.hi - b.hi || a.lo - b.lo);
    for (const actor of all) {
      for (const line of actor.lines()) yield line;
    }
  }

  private actorLines(slot: number, codeText: (code: number) => string): string[] {
    const lines = [actorLine(this.keyHi(slot), this.keyLo(slot), this.firstSeenUs(slot), this.newestUs(slot))];
    const n = this.count(slot);
    for (let i = 0; i < n; i++) {
      this.locate(slot, this.handle(slot, i));
      lines.push(eventLine(this.plan, this.words, this.offset, codeText));
    }
    return lines;
  }

  /** Allocated bytes: what actors take (keys, records, indexes) and the memory of events, its free part included. */
  bytes(): { actors: number; events: number } {
    let actors = this.keys.bytes() + this.slots.bytes();
    for (const h of this.heavies) actors += h === null ? 8 : h.bytes();
    return { actors, events: this.plan.arena.bytes() };
  }
}
