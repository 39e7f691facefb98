/**
 * Actors that leave memory and come back. When a table holds more actors or events than it may, a hand goes round its
 * slots between ticks: it spares the actors that were used since it came by, and makes the others passive. A passive
 * actor is its snapshot record in the log, and comes back from it before its next row. Nothing else tells the
 * difference: snapshots, searches and the canonical export see all actors.
 */
import { ByteReader, BytesDamaged, type ByteWriter } from "../bytes.ts";
import { type CodedKeys, NOWHERE, placeOf } from "../coded_keys.ts";
import { WORD_ID_HI, WORD_ID_LO } from "./event_words.ts";
import { PassiveLog, type PassiveRecord, PassiveRecordLost, type PassiveStore, SPAN_BYTES } from "./passive_log.ts";
import { actorLine, eventLine, type PassivePart, RECORD_KEY_AT, skipHead } from "./table_snapshot.ts";
import type { WindowTable } from "./window_table.ts";

/** What the caller keeps of each actor beside its windows, by slot. */
export interface ActorExtras {
  write(slot: number, w: ByteWriter): void;
  /** `end`: where in `r` what write() wrote ends; older code wrote less. */
  read(slot: number, r: ByteReader, end: number): void;
  /** The slot's actor left: its next one begins anew. */
  release(slot: number): void;
  /** The actor is in use. */
  refer(slot: number): void;
  /** Whether it was used since this was asked last. */
  takeReferred(slot: number): boolean;
}

export interface PassiveLimits {
  /** Actors and events in memory above which some are made passive. */
  readonly actors_max: number;
  readonly events_max: number;
  /** Bytes of the log below which it is not cleaned. */
  readonly clean_bytes_min: number;
}

/** Records read at once. */
const READS_MAX = 64;
/** Slots that the hand passes for each row of a tick, or event that came back for it, and at least. */
const SLOTS_A_ROW = 4;
const SLOTS_MIN = 64;
/** So many times as far it goes when little is left of the events that the table may hold. */
const SLOTS_PRESSED = 16;
/** Bytes that wait to be written above which nobody is made passive. */
const WAITING_BYTES_MAX = 8 << 20;
/** Room that the log keeps for what is moved while it is cleaned. */
const SPAN_SPARE_BYTES = 2 ** 30;
/** Cleaned between two ticks, bytes: at least; for what was appended since; of what is behind; at most. */
const CLEAN_BYTES = 64 * 1024;
const CLEAN_A_BYTE = 2;
const CLEAN_OWED_BYTES = 2 << 20;
const CLEAN_BYTES_MAX = 64 << 20;

export class PassiveActors implements PassivePart {
  /** Passive actors and their events. */
  actors = 0;
  events = 0;
  /** Actors made passive and brought back so far; of the latter, in the middle of the work on a row. */
  left = 0;
  recalled = 0;
  recalledNow = 0;
  private readonly table: WindowTable;
  private readonly keys: CodedKeys;
  private readonly log: PassiveLog;
  private readonly extras: ActorExtras;
  private readonly limits: PassiveLimits;
  private hand = 0;
  /** Events brought back since the hand last moved. */
  private returned = 0;
  /** Recalls under way: what they read must stay where it is. */
  private recalling = 0;
  /** What the snapshot under way has still to write of the log. */
  private cutAt = 0;
  private cutEnd = 0;
  /** The slice of the log that is cleaned next. */
  private slice: Uint8Array | null = null;
  private reading = false;
  private failed: unknown = null;
  /** Bytes of actors that left since a slice was asked for, and what is still to be cleaned for those before. */
  private leftBytes = 0;
  private owedBytes = 0;

  constructor(table: WindowTable, keys: CodedKeys, extras: ActorExtras, store: PassiveStore, limits: PassiveLimits) {
    this.table = table;
    this.keys = keys;
    this.extras = extras;
    this.log = new PassiveLog(store);
    this.limits = limits;
    table.passive = this;
  }

  /** The log of passive actors: offsets of its oldest record and behind its newest. */
  get logBegin(): number {
    return this.log.tail;
  }

  get logEnd(): number {
    return this.log.end;
  }

  get isFull(): boolean {
    return this.table.actors >= this.limits.actors_max || this.table.events >= this.limits.events_max;
  }

  private get isOver(): boolean {
    return this.table.actors > this.limits.actors_max || this.table.events > this.limits.events_max;
  }

  /** More than half of the events between the limit and the most that the table holds. */
  private get isPressed(): boolean {
    return this.table.events * 2 > this.limits.events_max + this.table.plan.eventsMax;
  }

  /**
   * A slice of work, between ticks: makes actors passive, and cleans the log; nothing while a recall is under way.
   * `rows`: of the tick before. Throws PassiveRecordLost.
   */
  step(rows: number): void {
    if (this.recalling > 0) return;
    if (this.isOver && this.log.waiting < WAITING_BYTES_MAX && this.log.bytes < SPAN_BYTES - SPAN_SPARE_BYTES) {
      this.sweep(Math.max(rows, this.returned) * SLOTS_A_ROW + SLOTS_MIN);
    }
    this.returned = 0;
    if (!this.table.isSnapshotActive) this.clean();
  }

  private sweep(slots: number): void {
    const { keys, table, extras } = this;
    const slotsMax = this.isPressed ? slots * SLOTS_PRESSED : slots;
    for (let i = 0; i < slotsMax && this.isOver; i++) {
      if (this.hand >= keys.size) this.hand = 0;
      const slot = this.hand++;
      if (table.slots.isFree(slot)) continue;
      // Where all were used someone has to go: else there is no room for the next payments.
      if ((extras.takeReferred(slot) && !this.isPressed) || !table.canLeave(slot)) continue;
      this.leave(slot);
    }
  }

  private leave(slot: number): void {
    const { keys, table, extras, log } = this;
    const events = table.count(slot);
    table.writeActor(slot, log.begin(), (s, w) => extras.write(s, w));
    const before = log.end;
    keys.leave(slot, log.commit(keys.code(slot), events));
    this.leftBytes += log.end - before;
    table.release(slot);
    extras.release(slot);
    this.actors++;
    this.events += events;
    this.left++;
  }

  /** Brings back the actors of these codes, those that are still passive. Rejects with PassiveRecordLost. */
  async recall(codes: readonly number[]): Promise<void> {
    this.recalling++;
    try {
      await this.recallAll(codes);
    } finally {
      this.recalling--;
    }
  }

  private async recallAll(codes: readonly number[]): Promise<void> {
    for (let i = 0; i < codes.length; i += READS_MAX) {
      const group = codes.slice(i, i + READS_MAX).filter((code) => this.keys.at(code) < NOWHERE);
      const records = await Promise.all(group.map((code) => this.log.read(placeOf(this.keys.at(code)))));
      records.forEach((record, k) => {
        // A code may stand twice in a group.
        if (this.keys.at(group[k]) < NOWHERE) this.enter(group[k], record);
      });
    }
  }

  /** Slot of a passive actor, brought back at once. Throws PassiveRecordLost. */
  recallCode(code: number): number {
    this.recalledNow++;
    return this.enterNow(code);
  }

  recallNow(hi: number, lo: number): number {
    return this.has(hi, lo) ? this.enterNow(this.keys.findCode(hi, lo)) : NOWHERE;
  }

  private enterNow(code: number): number {
    return this.enter(code, this.log.readNow(placeOf(this.keys.at(code))));
  }

  has(hi: number, lo: number): boolean {
    const code = this.keys.findCode(hi, lo);
    return code >= 0 && this.keys.at(code) < NOWHERE;
  }

  private enter(code: number, record: PassiveRecord): number {
    const { keys, table, extras } = this;
    const r = this.open(code, record);
    if (table.isSnapshotActive && record.offset >= this.cutAt && record.offset < this.cutEnd) {
      table.captureRecord(record.body);
    }
    const slot = keys.enter(code);
    try {
      table.readActor(slot, r, (s, from, end) => extras.read(s, from, end));
    } catch (error) {
      if (error instanceof BytesDamaged) throw new PassiveRecordLost(error.message);
      throw error;
    }
    extras.refer(slot);
    this.drop(record);
    this.returned += record.events;
    this.recalled++;
    return slot;
  }

  /** A reader behind the key of an actor's record, which must be the code's. */
  private open(code: number, record: PassiveRecord): ByteReader {
    const r = new ByteReader(record.body);
    r.skip(RECORD_KEY_AT);
    const hi = r.u32();
    const lo = r.u32();
    if (record.code !== code || hi !== this.keys.codeHi(code) || lo !== this.keys.codeLo(code)) {
      throw new PassiveRecordLost(`record ${record.offset} is another actor's`);
    }
    return r;
  }

  private drop(record: PassiveRecord): void {
    this.actors--;
    this.events -= record.events;
    this.log.liveBytes -= record.length;
  }

  private isLive(record: PassiveRecord): boolean {
    const at = this.keys.at(record.code);
    return at < NOWHERE && placeOf(at) === this.log.placeOf(record.offset);
  }

  /** When more than half of the log stands for nobody, its oldest records that do are moved to its end. */
  private clean(): void {
    if (this.failed !== null) throw new PassiveRecordLost((this.failed as Error).message);
    if (this.slice !== null) this.cleanSlice(this.slice);
    if (!this.reading) this.readSlice();
  }

  private readSlice(): void {
    const { log } = this;
    const left = this.leftBytes * CLEAN_A_BYTE;
    this.leftBytes = 0;
    if (log.bytes <= this.limits.clean_bytes_min || log.liveBytes * 2 > log.bytes) {
      this.owedBytes = 0;
      return;
    }
    // In proportion to what leaves, so that the log cannot outgrow it; what a snapshot kept from it comes bit by bit.
    this.owedBytes += left;
    const wanted = Math.max(CLEAN_BYTES, left, Math.min(this.owedBytes, CLEAN_OWED_BYTES));
    const bytes = Math.min(wanted, CLEAN_BYTES_MAX, log.bytes);
    this.owedBytes = Math.max(0, this.owedBytes - bytes);
    this.reading = true;
    log.oldest(bytes).then(
      (slice) => {
        this.slice = slice;
      },
      (error: unknown) => {
        this.failed = error;
      },
    );
  }

  private cleanSlice(slice: Uint8Array): void {
    const { log } = this;
    this.slice = null;
    this.reading = false;
    let end = log.tail;
    for (const record of log.recordsOf(slice, log.tail)) {
      if (this.isLive(record)) {
        log.begin().bytes(record.body);
        this.keys.move(record.code, log.commit(record.code, record.events));
        log.liveBytes -= record.length;
      }
      end = record.offset + record.length;
    }
    log.clean(end);
  }

  beginSnapshot(): void {
    this.cutAt = this.log.tail;
    this.cutEnd = this.log.end;
  }

  endSnapshot(): void {
    this.cutEnd = this.cutAt;
  }

  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    for (const record of this.log.recordsFrom(this.cutAt, this.cutEnd, bytesMax)) {
      if (this.isLive(record)) w.bytes(record.body);
      this.cutAt = record.offset + record.length;
    }
    return this.cutAt >= this.cutEnd;
  }

  load(hi: number, lo: number, events: number, record: Uint8Array): void {
    const code = this.keys.codeOf(hi, lo);
    this.log.begin().bytes(record);
    this.keys.move(code, this.log.commit(code, events));
    this.actors++;
    this.events += events;
  }

  /** Frame of the newest event of a passive actor with the id, 0 without. Throws PassiveRecordLost. */
  findFrame(code: number, idHi: number, idLo: number): number {
    const { stride, frameWord } = this.table.plan;
    const r = this.open(code, this.log.readNow(placeOf(this.keys.at(code))));
    const n = skipHead(r);
    const data = r.numbers;
    const bytes = (stride - 1) * 4;
    for (let o = r.offset + (n - 1) * bytes; o >= r.offset; o -= bytes) {
      if (data.getUint32(o + WORD_ID_LO * 4, true) !== idLo) continue;
      if (data.getUint32(o + WORD_ID_HI * 4, true) === idHi) return data.getUint32(o + frameWord * 4, true);
    }
    return 0;
  }

  exportLines(codeText: (code: number) => string): { hi: number; lo: number; lines: () => string[] }[] {
    const all: { hi: number; lo: number; lines: () => string[] }[] = [];
    for (let code = 0; code < this.keys.known; code++) {
      if (this.keys.at(code) >= NOWHERE) continue;
      const hi = this.keys.codeHi(code);
      const lo = this.keys.codeLo(code);
      all.push({ hi, lo, lines: () => this.actorLines(code, codeText) });
    }
    return all;
  }

  private actorLines(code: number, codeText: (code: number) => string): string[] {
    const { plan } = this.table;
    const r = this.open(code, this.log.readNow(placeOf(this.keys.at(code))));
    const newestUs = r.f64();
    const firstUs = r.f64();
    r.skip(r.u32());
    const lines = [actorLine(this.keys.codeHi(code), this.keys.codeLo(code), firstUs, newestUs)];
    const words = new Uint32Array(plan.stride);
    for (let n = r.varint(); n > 0; n--) {
      for (let k = 0; k < plan.stride - 1; k++) words[k] = r.u32();
      lines.push(eventLine(plan, words, 0, codeText));
    }
    return lines;
  }
}
