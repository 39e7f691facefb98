/**
 * What is usual for each user: a running account of its payments, 136 bytes and nothing an event. The columns of a
 * payment are those before it is folded, so that it never counts itself. A fold in journal order over IEEE arithmetic
 * and square roots: whoever folds the same payments holds the same bits. Labels and reversals change nothing.
 *
 * A payment is usual up to 3 times the mean of the usual ones before it, from the third on; it is high above 2.2 times.
 * Of the high ones the newest 16 are held with their ratios, in a side table, as most users have none.
 */
import { type ByteReader, BytesDamaged, type ByteWriter } from "../../runtime/kernel/bytes.ts";

/** A payment above so many times the mean does not enter it. */
export const USUAL_RATIO_MAX = 3;
/** ... once so many did. */
const USUAL_FIRST = 2;
/** A payment above so many times the mean is unusual for its user. */
export const HIGH_RATIO = 2.2;
/** High payments held. */
export const HIGH_HELD = 16;
/** A payment below so many times the mean is small. */
export const SMALL_RATIO = 0.5;
/** Different ones held of each, the newest. */
export const CATEGORIES_HELD = 8;
export const COUNTRIES_HELD = 4;
export const DEVICES_HELD = 4;
/** Columns of a payment. */
export const PROFILE_COLUMNS = 23;

const DAY_US = 86_400e6;
const TWO_HOURS_US = 7200e6;
const DAYS = 7;
/** A Monday: 1970-01-05. */
const MONDAY_US = 4 * DAY_US;
const TALLY_MAX = 255;

const BLOCK_BITS = 12;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;
const BYTES = 128;
/** In 64-bit words. */
const P_MEAN = 0;
const P_SQUARES = 1;
const P_LAST_US = 2;
const P_SECOND_US = 3;
const P_PREVIOUS = 4;
const P_MAX = 5;
const P_GAP = 6;
/** In 32-bit words. */
const P_USUAL = 14;
const P_GAPS = 15;
const P_PAYMENTS = 16;
const P_SMALL = 17;
/** 1 + entry in the side table, 0 without. */
const P_ENTRY = 18;
const P_DEVICES = 19;
/** In 16-bit words. */
const P_CATEGORIES = 46;
const P_COUNTRIES = 54;
/** In bytes. Weekdays stand in a block of their own. */
const P_HOURS = 116;
const HOUR_BINS = 12;
const WEEKDAY_BYTES = 8;

interface Block {
  readonly f64: Float64Array;
  readonly u32: Uint32Array;
  readonly u16: Uint16Array;
  readonly u8: Uint8Array;
  readonly weekdays: Uint8Array;
}

/**
 * Profiles by slot. A payment is told by the fields below, set before columns() and fold(): numbers only, no object a
 * row. ensure() comes before the first use of a slot.
 */
export class UserProfiles {
  readonly #blocks: Block[] = [];
  #highUs = new Float64Array(HIGH_HELD * 64);
  #highRatio = new Float32Array(HIGH_HELD * 64);
  /** Number held and where the oldest stands, by entry. */
  #highs = new Uint8Array(2 * 64);
  #entries = 0;
  readonly #freed: number[] = [];
  /** Base minor units, NaN when no rate is known. */
  amount = 0;
  timeUs = 0;
  /** The same moment as a clock at the user's place shows it. */
  localUs = 0;
  /** 0: not given. */
  category = 0;
  country = 0;
  device = 0;

  ensure(slot: number): void {
    while (slot >>> BLOCK_BITS >= this.#blocks.length) {
      const memory = new ArrayBuffer(BYTES << BLOCK_BITS);
      this.#blocks.push({
        f64: new Float64Array(memory),
        u32: new Uint32Array(memory),
        u16: new Uint16Array(memory),
        u8: new Uint8Array(memory),
        weekdays: new Uint8Array(WEEKDAY_BYTES << BLOCK_BITS),
      });
    }
  }

  /** Reads the record, so that it is near when it is needed. */
  near(slot: number): number {
    if (slot >>> BLOCK_BITS >= this.#blocks.length) return 0;
    const b = this.#blocks[slot >>> BLOCK_BITS];
    const o = (slot & BLOCK_MASK) * (BYTES / 4);
    return b.u32[o] + b.u32[o + 16];
  }

  /** Forgets the slot's payments. */
  clear(slot: number): void {
    this.ensure(slot);
    const { u32, weekdays } = this.#blocks[slot >>> BLOCK_BITS];
    const at = slot & BLOCK_MASK;
    const o = at * (BYTES / 4);
    if (u32[o + P_ENTRY] !== 0) this.#freed.push(u32[o + P_ENTRY]);
    u32.fill(0, o, o + BYTES / 4);
    weekdays.fill(0, at * WEEKDAY_BYTES, (at + 1) * WEEKDAY_BYTES);
  }

  /** Writes the PROFILE_COLUMNS of the payment that was told; NaN where nothing is known. */
  columns(slot: number, m: Float32Array, at: number): void {
    const { f64, u32, u16, u8, weekdays } = this.#blocks[slot >>> BLOCK_BITS];
    const k = slot & BLOCK_MASK;
    const d = k * (BYTES / 8);
    const o = k * (BYTES / 4);
    if (u32[o + P_PAYMENTS] === 0) {
      m.fill(Number.NaN, at, at + PROFILE_COLUMNS);
      return;
    }
    const a = this.amount;
    const n = u32[o + P_USUAL];
    const mean = n > 0 ? f64[d + P_MEAN] : Number.NaN;
    const deviation = n >= 2 ? Math.sqrt(f64[d + P_SQUARES] / n) : Number.NaN;
    const max = n > 0 ? f64[d + P_MAX] : Number.NaN;
    m[at] = mean;
    m[at + 1] = deviation;
    m[at + 2] = max;
    m[at + 3] = mean > 0 ? a / mean : Number.NaN;
    m[at + 4] = deviation > 0 ? (a - mean) / deviation : Number.NaN;
    m[at + 5] = max > 0 ? a / max : Number.NaN;
    this.#highColumns(u32[o + P_ENTRY], m, at + 6);
    const previous = f64[d + P_PREVIOUS];
    m[at + 13] = previous;
    m[at + 14] = previous > 0 ? a / previous : Number.NaN;
    const gap = this.timeUs - f64[d + P_LAST_US];
    const gaps = u32[o + P_GAPS];
    m[at + 15] = u32[o + P_PAYMENTS] > 1 ? seconds(this.timeUs - f64[d + P_SECOND_US]) : Number.NaN;
    m[at + 16] = gaps > 0 && gap >= 0 && f64[d + P_GAP] > 0 ? gap / f64[d + P_GAP] : Number.NaN;
    m[at + 17] = u32[o + P_SMALL];
    m[at + 18] = shareOf(u8, k * BYTES + P_HOURS, HOUR_BINS, this.#hourBin());
    m[at + 19] = shareOf(weekdays, k * WEEKDAY_BYTES, DAYS, this.#weekday());
    const s = k * (BYTES / 2);
    m[at + 20] = novelty(u16, s + P_CATEGORIES, CATEGORIES_HELD, this.category);
    m[at + 21] = novelty(u16, s + P_COUNTRIES, COUNTRIES_HELD, this.country);
    m[at + 22] = novelty(u32, o + P_DEVICES, DEVICES_HELD, this.device);
  }

  /** Of the high payments held: counts over 3, 7, 28 days, sums of ratios over 7, 28, ages of newest and oldest. */
  #highColumns(entry: number, m: Float32Array, at: number): void {
    let n3 = 0;
    let n7 = 0;
    let n28 = 0;
    let sum7 = 0;
    let sum28 = 0;
    let newest = Number.NaN;
    let oldest = Number.NaN;
    const held = entry === 0 ? 0 : this.#highs[2 * (entry - 1)];
    for (let i = 0; i < held; i++) {
      const h = this.#highAt(entry, i);
      const age = this.timeUs - this.#highUs[h];
      if (age < 0 || age >= 28 * DAY_US) continue;
      n28++;
      sum28 += this.#highRatio[h];
      if (!(newest <= age)) newest = age;
      if (!(oldest >= age)) oldest = age;
      if (age >= 7 * DAY_US) continue;
      n7++;
      sum7 += this.#highRatio[h];
      if (age < 3 * DAY_US) n3++;
    }
    m[at] = n3;
    m[at + 1] = n7;
    m[at + 2] = n28;
    m[at + 3] = sum7;
    m[at + 4] = sum28;
    m[at + 5] = newest / 1e6;
    m[at + 6] = oldest / 1e6;
  }

  /** Place of the i-th oldest high payment held. */
  #highAt(entry: number, i: number): number {
    const e = entry - 1;
    return e * HIGH_HELD + ((this.#highs[2 * e + 1] + i) & (HIGH_HELD - 1));
  }

  #hourBin(): number {
    return Math.floor((((this.localUs % DAY_US) + DAY_US) % DAY_US) / TWO_HOURS_US);
  }

  #weekday(): number {
    const day = Math.floor((this.localUs - MONDAY_US) / DAY_US) % DAYS;
    return day < 0 ? day + DAYS : day;
  }

  /** Folds the payment that was told. True when it is unusual for its user. */
  fold(slot: number): boolean {
    const { f64, u32, u16, u8, weekdays } = this.#blocks[slot >>> BLOCK_BITS];
    const k = slot & BLOCK_MASK;
    const d = k * (BYTES / 8);
    const o = k * (BYTES / 4);
    const t = this.timeUs;
    const isHigh = this.#foldAmount(f64, u32, d, o);
    const payments = u32[o + P_PAYMENTS];
    const last = f64[d + P_LAST_US];
    if (payments === 0) f64[d + P_LAST_US] = t;
    else if (t >= last) {
      const gaps = ++u32[o + P_GAPS];
      f64[d + P_GAP] += (t - last - f64[d + P_GAP]) / gaps;
      f64[d + P_SECOND_US] = last;
      f64[d + P_LAST_US] = t;
    } else if (t > f64[d + P_SECOND_US]) f64[d + P_SECOND_US] = t;
    u32[o + P_PAYMENTS] = payments + 1;
    count(u8, k * BYTES + P_HOURS, HOUR_BINS, this.#hourBin());
    count(weekdays, k * WEEKDAY_BYTES, DAYS, this.#weekday());
    const s = k * (BYTES / 2);
    remember(u16, s + P_CATEGORIES, CATEGORIES_HELD, this.category);
    remember(u16, s + P_COUNTRIES, COUNTRIES_HELD, this.country);
    remember(u32, o + P_DEVICES, DEVICES_HELD, this.device);
    return isHigh;
  }

  /** Welford 1962, Note on a method for calculating corrected sums of squares and products. */
  #foldAmount(f64: Float64Array, u32: Uint32Array, d: number, o: number): boolean {
    const a = this.amount;
    f64[d + P_PREVIOUS] = a;
    if (Number.isNaN(a)) return false;
    const n = u32[o + P_USUAL];
    const mean = f64[d + P_MEAN];
    const ratio = n > 0 && mean > 0 ? a / mean : Number.NaN;
    u32[o + P_SMALL] = ratio < SMALL_RATIO ? u32[o + P_SMALL] + 1 : 0;
    if (!(n >= USUAL_FIRST && ratio > USUAL_RATIO_MAX)) {
      u32[o + P_USUAL] = n + 1;
      f64[d + P_MEAN] = mean + (a - mean) / (n + 1);
      f64[d + P_SQUARES] += (a - mean) * (a - f64[d + P_MEAN]);
      if (n === 0 || a > f64[d + P_MAX]) f64[d + P_MAX] = a;
    }
    if (!(ratio > HIGH_RATIO)) return false;
    if (u32[o + P_ENTRY] === 0) u32[o + P_ENTRY] = this.#newEntry();
    this.#addHigh(u32[o + P_ENTRY], this.timeUs, ratio);
    return true;
  }

  #addHigh(entry: number, timeUs: number, ratio: number): void {
    const e = entry - 1;
    const held = this.#highs[2 * e];
    if (held === HIGH_HELD) this.#highs[2 * e + 1] = (this.#highs[2 * e + 1] + 1) & (HIGH_HELD - 1);
    else this.#highs[2 * e] = held + 1;
    const h = this.#highAt(entry, Math.min(held, HIGH_HELD - 1));
    this.#highUs[h] = timeUs;
    this.#highRatio[h] = ratio;
  }

  #newEntry(): number {
    const entry = this.#freed.pop() ?? ++this.#entries;
    if (entry * 2 > this.#highs.length) {
      const size = this.#highs.length;
      this.#highUs = enlarged(this.#highUs, new Float64Array(size * HIGH_HELD));
      this.#highRatio = enlarged(this.#highRatio, new Float32Array(size * HIGH_HELD));
      this.#highs = enlarged(this.#highs, new Uint8Array(size * 2));
    }
    this.#highs[2 * (entry - 1)] = 0;
    this.#highs[2 * (entry - 1) + 1] = 0;
    return entry;
  }

  write(slot: number, w: ByteWriter): void {
    const { u32, u8, weekdays } = this.#blocks[slot >>> BLOCK_BITS];
    const k = slot & BLOCK_MASK;
    const entry = u32[k * (BYTES / 4) + P_ENTRY];
    const held = entry === 0 ? 0 : this.#highs[2 * (entry - 1)];
    w.u8(held);
    for (let i = 0; i < held; i++) {
      const h = this.#highAt(entry, i);
      w.f64(this.#highUs[h]);
      w.f32(this.#highRatio[h]);
    }
    w.bytes(u8, k * BYTES, (k + 1) * BYTES);
    w.bytes(weekdays, k * WEEKDAY_BYTES, k * WEEKDAY_BYTES + DAYS);
  }

  /** Reads what write() wrote. Throws BytesDamaged. */
  read(slot: number, r: ByteReader): void {
    this.clear(slot);
    const held = r.u8();
    if (held > HIGH_HELD) throw new BytesDamaged(`${held} high payments, at most ${HIGH_HELD}`, r.offset);
    const entry = held === 0 ? 0 : this.#newEntry();
    const { u32, u8, weekdays } = this.#blocks[slot >>> BLOCK_BITS];
    const k = slot & BLOCK_MASK;
    // From here on the slot owns the entry, whatever is thrown.
    u32[k * (BYTES / 4) + P_ENTRY] = entry;
    for (let i = 0; i < held; i++) this.#addHigh(entry, r.f64(), r.f32());
    const record = r.bytes(BYTES);
    const days = r.bytes(DAYS);
    u8.set(record, k * BYTES);
    u32[k * (BYTES / 4) + P_ENTRY] = entry;
    weekdays.set(days, k * WEEKDAY_BYTES);
  }

  bytes(): number {
    const table = this.#highUs.byteLength + this.#highRatio.byteLength + this.#highs.byteLength;
    return this.#blocks.length * ((BYTES + WEEKDAY_BYTES) << BLOCK_BITS) + table;
  }
}

const seconds = (us: number): number => (us >= 0 ? us / 1e6 : Number.NaN);

function enlarged<T extends Float64Array | Float32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Share of a tally's bin among all; NaN when nothing was counted. */
function shareOf(tally: Uint8Array, at: number, bins: number, bin: number): number {
  let sum = 0;
  for (let i = 0; i < bins; i++) sum += tally[at + i];
  return sum === 0 ? Number.NaN : tally[at + bin] / sum;
}

/** Counts in one bin; all are halved before it would overflow, so that newer payments weigh more. */
function count(tally: Uint8Array, at: number, bins: number, bin: number): void {
  if (tally[at + bin] === TALLY_MAX) for (let i = 0; i < bins; i++) tally[at + i] >>>= 1;
  tally[at + bin]++;
}

/** 1 when the code is not among those held, 0 when it is; NaN without a code, and before the first one. */
function novelty(list: Uint16Array | Uint32Array, at: number, length: number, code: number): number {
  if (code === 0 || list[at] === 0) return Number.NaN;
  for (let i = 0; i < length; i++) if (list[at + i] === code) return 0;
  return 1;
}

/** Puts the code first; the one that was seen least lately leaves. */
function remember(list: Uint16Array | Uint32Array, at: number, length: number, code: number): void {
  if (code === 0) return;
  let i = 0;
  while (i < length - 1 && list[at + i] !== code) i++;
  for (; i > 0; i--) list[at + i] = list[at + i - 1];
  list[at] = code;
}
