/**
 * What a user actor holds beside its windows: the last place and country, and when its non-payment events happened.
 * Columns by slot; the few users with events have an entry in a side table, so that the others pay four bytes.
 */
import { LOCATION_NONE } from "../../proto/columns.ts";
import type { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";

/** Failed logins held for one user: the newest ones. */
export const FAILED_HELD = 8;
/** Kinds of events with a "time since" feature: login, password, device, payee, card. */
export const EVENT_TIMES = 5;
const EVENT_STRIDE = EVENT_TIMES + FAILED_HELD;

export class UserExtras {
  #capacity = 1024;
  latitudeE6 = new Int32Array(this.#capacity).fill(LOCATION_NONE);
  longitudeE6 = new Int32Array(this.#capacity);
  /** Event time of the last located payment, microseconds. */
  locatedUs = new Float64Array(this.#capacity);
  country = new Uint16Array(this.#capacity);
  /** Event time of the first payment, microseconds; 0 before it. */
  firstUs = new Float64Array(this.#capacity);
  /** 1 + entry in `events`, 0 without. */
  #entry = new Uint32Array(this.#capacity);
  #events = new Float64Array(EVENT_STRIDE * 64).fill(Number.NaN);
  #entries = 0;

  ensure(slot: number): void {
    if (slot < this.#capacity) return;
    const size = Math.max(slot + 1, Math.ceil(this.#capacity * 1.5));
    const i32 = (a: Int32Array, v: number) => {
      const b = new Int32Array(size).fill(v, a.length);
      b.set(a);
      return b;
    };
    const f64 = (a: Float64Array) => {
      const b = new Float64Array(size);
      b.set(a);
      return b;
    };
    this.latitudeE6 = i32(this.latitudeE6, LOCATION_NONE);
    this.longitudeE6 = i32(this.longitudeE6, 0);
    this.locatedUs = f64(this.locatedUs);
    this.firstUs = f64(this.firstUs);
    const country = new Uint16Array(size);
    country.set(this.country);
    this.country = country;
    const entry = new Uint32Array(size);
    entry.set(this.#entry);
    this.#entry = entry;
    this.#capacity = size;
  }

  /** Time of the newest event of one kind (0..EVENT_TIMES - 1), microseconds; NaN without. */
  eventUs(slot: number, kind: number): number {
    const e = this.#entry[slot];
    return e === 0 ? Number.NaN : this.#events[(e - 1) * EVENT_STRIDE + kind];
  }

  hasEvents(slot: number): boolean {
    return this.#entry[slot] !== 0;
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
    const e = this.#entry[slot];
    if (e === 0) return 0;
    let n = 0;
    const at = (e - 1) * EVENT_STRIDE + EVENT_TIMES;
    for (let i = at; i < at + FAILED_HELD; i++) if (this.#events[i] > fromUs && this.#events[i] <= toUs) n++;
    return n;
  }

  write(slot: number, w: ByteWriter): void {
    w.u32(this.latitudeE6[slot] >>> 0);
    w.u32(this.longitudeE6[slot] >>> 0);
    w.f64(this.locatedUs[slot]);
    w.u16(this.country[slot]);
    w.f64(this.firstUs[slot]);
    const e = this.#entry[slot];
    w.u8(e === 0 ? 0 : 1);
    if (e !== 0) for (let i = 0; i < EVENT_STRIDE; i++) w.f64(this.#events[(e - 1) * EVENT_STRIDE + i]);
  }

  read(slot: number, r: ByteReader): void {
    this.ensure(slot);
    this.latitudeE6[slot] = r.u32();
    this.longitudeE6[slot] = r.u32();
    this.locatedUs[slot] = r.f64();
    this.country[slot] = r.u16();
    this.firstUs[slot] = r.f64();
    if (r.u8() === 1) {
      const at = this.#at(slot);
      for (let i = 0; i < EVENT_STRIDE; i++) this.#events[at + i] = r.f64();
    }
  }

  bytes(): number {
    return this.#capacity * 30 + this.#events.byteLength;
  }

  #at(slot: number): number {
    if (this.#entry[slot] === 0) {
      if ((this.#entries + 1) * EVENT_STRIDE > this.#events.length) {
        const grown = new Float64Array(this.#events.length * 2).fill(Number.NaN, this.#events.length);
        grown.set(this.#events);
        this.#events = grown;
      }
      this.#entry[slot] = ++this.#entries;
    }
    return (this.#entry[slot] - 1) * EVENT_STRIDE;
  }
}
