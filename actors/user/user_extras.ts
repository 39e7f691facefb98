/**
 * What a user actor holds beside its windows: the last place and country, when its non-payment events happened, and
 * its profile. One record a slot; the few users with events have an entry in a side table, so that the others pay four
 * bytes.
 *
 * Profiles are a fold over the payments since the journal's frames record what they need (format 3), the same for
 * whoever folds them. A payment in a frame of an older format ends them all at once: they are of a generation, and
 * count only while it is the current one.
 */
import { LOCATION_NONE } from "../../proto/columns.ts";
import type { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";
import type { ActorExtras } from "../../runtime/kernel/windows/passive_actors.ts";
import { UserProfiles } from "./profiles.ts";

/** Failed logins held for one user: the newest ones. */
export const FAILED_HELD = 8;
/** Kinds of events with a "time since" feature: login, password, device, payee, card. */
export const EVENT_TIMES = 5;
const EVENT_STRIDE = EVENT_TIMES + FAILED_HELD;

/** A user's record: 8 words of 32 bits, in blocks so that growth copies nothing. */
const BLOCK_BITS = 15;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;
const RECORD = 8;
/** Degrees of longitude an hour, times 1e6. */
const HOUR_E6 = 15e6;
/** In 32-bit words. */
const X_LATITUDE = 0;
const X_LONGITUDE = 1;
/** Low 16 bits: the country; USED: the user was used since the hand came by. */
const X_COUNTRY = 6;
const USED = 1 << 31;
const COUNTRY_MASK = 0xffff;
/** 1 + entry in the side table, 0 without. */
const X_ENTRY = 7;
/** In 64-bit words. */
const X_LOCATED_US = 1;
const X_FIRST_US = 2;

export class UserExtras implements ActorExtras {
  readonly profiles = new UserProfiles();
  /** Of each slot's profile; 0 without one. */
  readonly #generations: Uint32Array[] = [];
  #generation = 1;
  #isFolded = false;
  /** The current one when the snapshot under way was cut. */
  #cutGeneration = 1;
  readonly #words: Int32Array[] = [];
  readonly #times: Float64Array[] = [];
  #events = new Float64Array(EVENT_STRIDE * 64).fill(Number.NaN);
  #entries = 0;
  /** Entries of users that left. */
  readonly #freed: number[] = [];

  ensure(slot: number): void {
    while (slot >>> BLOCK_BITS >= this.#words.length) {
      const block = new ArrayBuffer((RECORD * 4) << BLOCK_BITS);
      const words = new Int32Array(block);
      for (let o = X_LATITUDE; o < words.length; o += RECORD) words[o] = LOCATION_NONE;
      this.#words.push(words);
      this.#times.push(new Float64Array(block));
      this.#generations.push(new Uint32Array(1 << BLOCK_BITS));
    }
  }

  /** Whether the slot has a profile that counts. */
  hasProfile(slot: number): boolean {
    return this.#generations[slot >>> BLOCK_BITS][slot & BLOCK_MASK] === this.#generation;
  }

  /** A profile that counts, an empty one at first; to be called before a payment is folded into it. */
  beginProfile(slot: number): void {
    if (this.hasProfile(slot)) return;
    this.profiles.clear(slot);
    this.#generations[slot >>> BLOCK_BITS][slot & BLOCK_MASK] = this.#generation;
    this.#isFolded = true;
  }

  /** No profile counts any more. */
  endProfiles(): void {
    if (this.#isFolded) this.#generation++;
    this.#isFolded = false;
  }

  beginSnapshot(): void {
    this.#cutGeneration = this.#generation;
  }

  /** The generation that counted at the cut; true: that was all. */
  writeGeneration(w: ByteWriter): boolean {
    w.u32(this.#cutGeneration);
    return true;
  }

  readGeneration(r: ByteReader): boolean {
    this.#generation = r.u32();
    this.#isFolded = true;
    return true;
  }

  /** Reads the record, so that it is near when it is needed. */
  near(slot: number): number {
    return this.#word(slot, 0);
  }

  #word(slot: number, k: number): number {
    return this.#words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + k];
  }

  #time(slot: number, k: number): number {
    return this.#times[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * (RECORD / 2) + k];
  }

  /** Last place, millionths of a degree; LOCATION_NONE before the first. */
  latitudeE6(slot: number): number {
    return this.#word(slot, X_LATITUDE);
  }

  longitudeE6(slot: number): number {
    return this.#word(slot, X_LONGITUDE);
  }

  /** Event time of the last located payment, microseconds. */
  locatedUs(slot: number): number {
    return this.#time(slot, X_LOCATED_US);
  }

  /** Hours that the sun is ahead of UTC at the user's last place, -12..12; 0 before the first. */
  zone_h(slot: number): number {
    return this.latitudeE6(slot) === LOCATION_NONE ? 0 : Math.round(this.longitudeE6(slot) / HOUR_E6);
  }

  locate(slot: number, latitudeE6: number, longitudeE6: number, timeUs: number): void {
    const words = this.#words[slot >>> BLOCK_BITS];
    const o = (slot & BLOCK_MASK) * RECORD;
    words[o + X_LATITUDE] = latitudeE6;
    words[o + X_LONGITUDE] = longitudeE6;
    this.#times[slot >>> BLOCK_BITS][(o >>> 1) + X_LOCATED_US] = timeUs;
  }

  /** Code of the country of the last payment that named one, 0 before it. */
  country(slot: number): number {
    return this.#word(slot, X_COUNTRY) & COUNTRY_MASK;
  }

  setCountry(slot: number, country: number): void {
    const words = this.#words[slot >>> BLOCK_BITS];
    const o = (slot & BLOCK_MASK) * RECORD + X_COUNTRY;
    words[o] = (words[o] & ~COUNTRY_MASK) | country;
  }

  refer(slot: number): void {
    this.#words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + X_COUNTRY] |= USED;
  }

  takeReferred(slot: number): boolean {
    const words = this.#words[slot >>> BLOCK_BITS];
    const o = (slot & BLOCK_MASK) * RECORD + X_COUNTRY;
    const isUsed = (words[o] & USED) !== 0;
    words[o] &= ~USED;
    return isUsed;
  }

  /** The slot's user left memory. */
  release(slot: number): void {
    const entry = this.#word(slot, X_ENTRY);
    if (entry !== 0) {
      this.#events.fill(Number.NaN, (entry - 1) * EVENT_STRIDE, entry * EVENT_STRIDE);
      this.#freed.push(entry);
    }
    const words = this.#words[slot >>> BLOCK_BITS];
    const o = (slot & BLOCK_MASK) * RECORD;
    words.fill(0, o, o + RECORD);
    words[o + X_LATITUDE] = LOCATION_NONE;
    const generations = this.#generations[slot >>> BLOCK_BITS];
    if (generations[slot & BLOCK_MASK] !== 0) this.profiles.clear(slot);
    generations[slot & BLOCK_MASK] = 0;
  }

  /** Event time of the earliest payment, microseconds; 0 before it. */
  firstUs(slot: number): number {
    return this.#time(slot, X_FIRST_US);
  }

  setFirst(slot: number, timeUs: number): void {
    this.#times[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * (RECORD / 2) + X_FIRST_US] = timeUs;
  }

  /** Time of the newest event of one kind (0..EVENT_TIMES - 1), microseconds; NaN without. */
  eventUs(slot: number, kind: number): number {
    const e = this.#word(slot, X_ENTRY);
    return e === 0 ? Number.NaN : this.#events[(e - 1) * EVENT_STRIDE + kind];
  }

  hasEvents(slot: number): boolean {
    return this.#word(slot, X_ENTRY) !== 0;
  }

  recordEvent(slot: number, kind: number, timeUs: number): void {
    const at = this.#at(slot) + kind;
    if (!(this.#events[at] >= timeUs)) this.#events[at] = timeUs;
  }

  /** Keeps the FAILED_HELD newest failed logins. */
  recordFailedLogin(slot: number, timeUs: number): void {
    const at = this.#at(slot) + EVENT_TIMES;
    let oldest = at;
    for (let i = at; i < at + FAILED_HELD; i++) {
      if (Number.isNaN(this.#events[i])) {
        oldest = i;
        break;
      }
      if (this.#events[i] < this.#events[oldest]) oldest = i;
    }
    if (!(this.#events[oldest] >= timeUs)) this.#events[oldest] = timeUs;
  }

  /** Failed logins in (fromUs, toUs], at most FAILED_HELD. */
  failedLogins(slot: number, fromUs: number, toUs: number): number {
    const e = this.#word(slot, X_ENTRY);
    if (e === 0) return 0;
    let n = 0;
    const at = (e - 1) * EVENT_STRIDE + EVENT_TIMES;
    for (let i = at; i < at + FAILED_HELD; i++) if (this.#events[i] > fromUs && this.#events[i] <= toUs) n++;
    return n;
  }

  write(slot: number, w: ByteWriter): void {
    w.u32(this.latitudeE6(slot) >>> 0);
    w.u32(this.longitudeE6(slot) >>> 0);
    w.f64(this.locatedUs(slot));
    w.u16(this.country(slot));
    w.f64(this.firstUs(slot));
    const e = this.#word(slot, X_ENTRY);
    w.u8(e === 0 ? 0 : 1);
    if (e !== 0) for (let i = 0; i < EVENT_STRIDE; i++) w.f64(this.#events[(e - 1) * EVENT_STRIDE + i]);
    // One that counts no more may have counted when the snapshot was cut.
    const generation = this.#generations[slot >>> BLOCK_BITS][slot & BLOCK_MASK];
    if (generation === 0) return;
    w.u32(generation);
    this.profiles.write(slot, w);
  }

  /** Without a profile it ends before one. Throws BytesDamaged. */
  read(slot: number, r: ByteReader, end: number): void {
    this.ensure(slot);
    this.locate(slot, r.u32() | 0, r.u32() | 0, r.f64());
    this.setCountry(slot, r.u16());
    this.setFirst(slot, r.f64());
    if (r.u8() === 1) {
      const at = this.#at(slot);
      for (let i = 0; i < EVENT_STRIDE; i++) this.#events[at + i] = r.f64();
    }
    if (r.offset === end) return;
    this.#generations[slot >>> BLOCK_BITS][slot & BLOCK_MASK] = r.u32();
    this.profiles.read(slot, r);
  }

  bytes(): number {
    const records = this.#words.length * ((RECORD * 4 + 4) << BLOCK_BITS);
    return records + this.#events.byteLength + this.profiles.bytes();
  }

  #at(slot: number): number {
    if (this.#word(slot, X_ENTRY) === 0) {
      const freed = this.#freed.pop();
      if (freed === undefined && (this.#entries + 1) * EVENT_STRIDE > this.#events.length) {
        const grown = new Float64Array(this.#events.length * 2).fill(Number.NaN, this.#events.length);
        grown.set(this.#events);
        this.#events = grown;
      }
      this.#words[slot >>> BLOCK_BITS][(slot & BLOCK_MASK) * RECORD + X_ENTRY] = freed ?? ++this.#entries;
    }
    return (this.#word(slot, X_ENTRY) - 1) * EVENT_STRIDE;
  }
}
