/**
 * Writes the body of a rows frame from a block's rows. It owns one scratch buffer and hands out exact copies with room
 * for the header in front. Layout: rows_layout.ts. The sealed sections are made by a Sealer passed in. Each
 * format of FORMAT_OLDEST..FORMAT_NEWEST can be written: what the nodes that read it know decides.
 */
import {
  ATTRIBUTE_SLOTS,
  FLAG_APPLIED,
  FLAG_HELD,
  FLAG_LATE,
  FLAG_TEST_CARD,
  type KeyColumn,
  LOCATION_NONE,
  REASON_SLOTS,
  ROW_OUTCOME,
  type RowBlock,
} from "../columns.ts";
import * as L from "./rows_layout.ts";

/** Makes the sealed section of one tenant's rows: appends bytes to `out` at `at`, returns the new end. */
export interface Sealer {
  seal(
    block: RowBlock,
    rows: Uint16Array,
    n: number,
    tenant: number,
    out: Uint8Array,
    at: number,
    place: FramePlace,
  ): number;
  tenantId(index: number): Uint8Array;
}
/** Where a frame stands, and the format of its body. */
export interface FramePlace {
  readonly shard: number;
  readonly epoch: number;
  readonly frame: number;
  readonly format: number;
}

/** Where remote entity columns stand in the matrix. */
export interface MatrixShape {
  readonly columns: number;
  readonly merchant_at: number;
  readonly merchant_columns: number;
  /** So many of them, the first ones, are recorded in formats 1 and 2. */
  readonly merchant_columns_2: number;
  /** The first ones, which are predicted from each other. */
  readonly merchant_window_columns: number;
  readonly stats: number;
  readonly device_at: number;
  readonly device_columns: number;
  readonly device_columns_2: number;
}

const FLAGS_KEPT = FLAG_LATE | FLAG_APPLIED | FLAG_HELD | FLAG_TEST_CARD;

export class RowsWriter {
  readonly #shape: MatrixShape;
  readonly #sealer: Sealer;
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;
  readonly #presence: Uint16Array;
  readonly #template: Uint16Array;
  /** Rows whose merchant / device columns came from another shard, set by the tick before write(). */
  remoteMerchant: Uint8Array;
  remoteDevice: Uint8Array;
  readonly #templates = new Map<number, number>();
  #templateRow: number[] = [];
  #tenants: number[] = [];

  constructor(shape: MatrixShape, sealer: Sealer, rowsMax: number) {
    this.#shape = shape;
    this.#sealer = sealer;
    this.#bytes = new Uint8Array(1 << 20);
    this.#view = new DataView(this.#bytes.buffer);
    this.#presence = new Uint16Array(rowsMax);
    this.#template = new Uint16Array(rowsMax);
    this.remoteMerchant = new Uint8Array(rowsMax);
    this.remoteDevice = new Uint8Array(rowsMax);
  }

  /**
   * @param rows row numbers of the block that go into this frame, in the order they were accepted; n of them
   * @param matrix feature matrix, row-major float32, one row a block row; `bits` is the same memory as Uint32Array
   * @returns a buffer with `room` free bytes in front of the body
   */
  write(
    block: RowBlock,
    rows: Uint16Array,
    n: number,
    matrix: Float32Array,
    bits: Uint32Array,
    checksum: number,
    facts: L.FrameFacts,
    inbox: L.InboxRows,
    place: FramePlace,
    room: number,
  ): Uint8Array {
    this.#reserve(65536 + n * 400 + inbox.n * 64 + rawBytes(block));
    this.#at = 0;
    let base = Number.POSITIVE_INFINITY;
    for (let i = 0; i < n; i++) if (block.eventTimeUs[rows[i]] < base) base = block.eventTimeUs[rows[i]];
    if (n === 0) base = 0;
    this.#templatesOf(block, rows, n);
    this.#head(block, n, checksum, facts, base);
    this.#templateNumbers(n, place.format);
    this.#presenceOf(block, rows, n, base, place.format);
    this.#fixed(block, rows, n, base);
    this.#optional(block, rows, n);
    this.#answers(block, rows, n);
    this.#entities(rows, n, matrix, bits, place.format);
    this.#sealed(block, rows, n, place);
    if (place.format === 1) this.#inboxOf1(inbox);
    else this.#inbox(inbox);
    const out = new Uint8Array(room + this.#at);
    out.set(this.#bytes.subarray(0, this.#at), room);
    return out;
  }

  #reserve(size: number): void {
    if (this.#bytes.length >= size) return;
    this.#bytes = new Uint8Array(size * 2);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #text(s: string): void {
    this.#at += 1;
    const end = Buffer.from(this.#bytes.buffer).write(s, this.#at, 255, "utf8");
    this.#bytes[this.#at - 1] = end;
    this.#at += end;
  }

  #u16(v: number): void {
    this.#view.setUint16(this.#at, v, true);
    this.#at += 2;
  }

  #u32(v: number): void {
    this.#view.setUint32(this.#at, v, true);
    this.#at += 4;
  }

  #f64(v: number): void {
    this.#view.setFloat64(this.#at, v, true);
    this.#at += 8;
  }

  /** Finds the templates (what few values most rows share) by a 32-bit mix, verified against the template's row. */
  #templatesOf(b: RowBlock, rows: Uint16Array, n: number): void {
    this.#templates.clear();
    this.#templateRow = [];
    this.#tenants = [];
    let last = -1;
    let lastTemplate = 0;
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      if (last < 0 || !sameTemplate(b, r, last)) {
        lastTemplate = this.#templateOf(b, r);
        last = r;
      }
      this.#template[i] = lastTemplate;
    }
  }

  #templateOf(b: RowBlock, r: number): number {
    if (!this.#tenants.includes(b.tenant[r])) this.#tenants.push(b.tenant[r]);
    let h = Math.imul(b.tenant[r] ^ (b.kind[r] << 16) ^ (b.code[r] << 24), 0x9e3779b1) ^ b.channel[r];
    h = Math.imul(h ^ b.category[r], 0x85ebca6b) ^ Math.imul(b.currency[r] ^ (b.country[r] << 16), 0xc2b2ae35);
    for (;;) {
      const t = this.#templates.get(h);
      if (t === undefined) {
        this.#templates.set(h, this.#templateRow.length);
        return this.#templateRow.push(r) - 1;
      }
      if (sameTemplate(b, r, this.#templateRow[t])) return t;
      h = (h + 1) | 0;
    }
  }

  #head(b: RowBlock, n: number, checksum: number, facts: L.FrameFacts, base: number): void {
    this.#u16(n);
    this.#u32(checksum);
    this.#f64(base);
    this.#text(facts.model_version);
    this.#text(facts.rule_set_version);
    this.#text(facts.rates_version);
    this.#text(facts.features_version);
    this.#bytes[this.#at++] = this.#tenants.length;
    for (const t of this.#tenants) {
      const id = this.#sealer.tenantId(t);
      this.#bytes[this.#at++] = id.length;
      this.#bytes.set(id, this.#at);
      this.#at += id.length;
    }
    this.#u16(this.#templateRow.length);
    for (const r of this.#templateRow) {
      this.#bytes[this.#at++] = this.#tenants.indexOf(b.tenant[r]);
      this.#bytes[this.#at++] = b.kind[r];
      this.#bytes[this.#at++] = b.code[r];
      this.#u16(b.currency[r]);
      this.#u16(b.country[r]);
      this.#u32(b.channel[r]);
      this.#u32(b.category[r]);
    }
  }

  /** The template of each row. Format 2: a byte when few are there. */
  #templateNumbers(n: number, format: number): void {
    const isNarrow = format >= 2 && this.#templateRow.length <= L.NARROW_TEMPLATES_MAX;
    for (let i = 0; i < n; i++) {
      if (isNarrow) this.#bytes[this.#at++] = this.#template[i];
      else this.#u16(this.#template[i]);
    }
  }

  #presenceOf(b: RowBlock, rows: Uint16Array, n: number, base: number, format: number): void {
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      let p = 0;
      if ((b.merchant.hi[r] | b.merchant.lo[r]) !== 0) p |= L.HAS_MERCHANT;
      if ((b.card.hi[r] | b.card.lo[r]) !== 0) p |= L.HAS_CARD;
      if ((b.device.hi[r] | b.device.lo[r]) !== 0) p |= L.HAS_DEVICE;
      if ((b.ip.hi[r] | b.ip.lo[r]) !== 0) p |= L.HAS_IP;
      if ((b.payee.hi[r] | b.payee.lo[r]) !== 0) p |= L.HAS_PAYEE;
      if (b.latitudeE6[r] !== LOCATION_NONE) p |= L.HAS_LOCATION;
      if ((b.attributesHash.hi[r] | b.attributesHash.lo[r]) !== 0) p |= L.HAS_ATTRIBUTES;
      if ((b.rules.hi[r] | b.rules.lo[r]) !== 0) p |= L.HAS_RULES;
      if (b.reasonFeature[r * REASON_SLOTS] !== 0) p |= L.HAS_REASONS;
      if (b.amountBase[r] !== b.amountMinor[r]) p |= L.HAS_BASE;
      if (b.kind[r] !== 0 || (b.flags[r] & FLAGS_KEPT) !== 0) p |= L.HAS_EXTRA;
      if (this.remoteMerchant[r] !== 0) p |= L.HAS_MERCHANT_COLUMNS;
      if (this.remoteDevice[r] !== 0) p |= L.HAS_DEVICE_COLUMNS;
      if (b.eventTimeUs[r] - base >= 4294967296) p |= L.WIDE_TIME;
      if (b.amountMinor[r] >= 4294967296) p |= L.WIDE_AMOUNT;
      if (format >= 3 && b.unusual[r] === 1) p |= L.UNUSUAL;
      this.#presence[i] = p;
      this.#u16(p);
    }
  }

  #fixed(b: RowBlock, rows: Uint16Array, n: number, base: number): void {
    const v = this.#view;
    let p = this.#at;
    const user = b.user;
    const id = b.id;
    for (let i = 0; i < n; i++, p += 16) {
      const r = rows[i];
      v.setUint32(p, user.hi[r], true);
      v.setUint32(p + 4, user.lo[r], true);
      v.setUint32(p + 8, id.hi[r], true);
      v.setUint32(p + 12, id.lo[r], true);
    }
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      const f = this.#presence[i];
      if ((f & L.WIDE_TIME) !== 0) {
        v.setFloat64(p, b.eventTimeUs[r], true);
        p += 8;
      } else {
        v.setUint32(p, b.eventTimeUs[r] - base, true);
        p += 4;
      }
      if ((f & L.WIDE_AMOUNT) !== 0) {
        v.setFloat64(p, b.amountMinor[r], true);
        p += 8;
      } else {
        v.setUint32(p, b.amountMinor[r], true);
        p += 4;
      }
      v.setUint32(p, L.floatBits(b.score[r]), true);
      this.#bytes[p + 4] = b.outcome[r] | (b.degraded[r] << 4);
      p += 5;
    }
    this.#at = p;
  }

  #keys(col: KeyColumn, bit: number, rows: Uint16Array, n: number): void {
    const v = this.#view;
    let p = this.#at;
    for (let i = 0; i < n; i++) {
      if ((this.#presence[i] & bit) === 0) continue;
      const r = rows[i];
      v.setUint32(p, col.hi[r], true);
      v.setUint32(p + 4, col.lo[r], true);
      p += 8;
    }
    this.#at = p;
  }

  #optional(b: RowBlock, rows: Uint16Array, n: number): void {
    this.#keys(b.merchant, L.HAS_MERCHANT, rows, n);
    this.#keys(b.card, L.HAS_CARD, rows, n);
    this.#keys(b.device, L.HAS_DEVICE, rows, n);
    this.#keys(b.ip, L.HAS_IP, rows, n);
    this.#keys(b.payee, L.HAS_PAYEE, rows, n);
    this.#keys(b.attributesHash, L.HAS_ATTRIBUTES, rows, n);
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      const p = this.#presence[i];
      if ((p & L.HAS_LOCATION) !== 0) {
        this.#u32(b.latitudeE6[r]);
        this.#u32(b.longitudeE6[r]);
      }
      if ((p & L.HAS_ATTRIBUTES) !== 0) {
        for (let k = 0; k < ATTRIBUTE_SLOTS; k++) this.#f64(b.attributes[r * ATTRIBUTE_SLOTS + k]);
      }
      if ((p & L.HAS_BASE) !== 0) this.#f64(b.amountBase[r]);
    }
  }

  #answers(b: RowBlock, rows: Uint16Array, n: number): void {
    this.#keys(b.rules, L.HAS_RULES, rows, n);
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      const p = this.#presence[i];
      if ((p & L.HAS_REASONS) !== 0) {
        for (let k = 0; k < REASON_SLOTS; k++) {
          this.#bytes[this.#at++] = b.reasonFeature[r * REASON_SLOTS + k];
          this.#u32(L.floatBits(b.reasonWeight[r * REASON_SLOTS + k]));
        }
      }
      if ((p & L.HAS_EXTRA) !== 0) {
        this.#bytes[this.#at++] = b.flags[r] & FLAGS_KEPT;
        this.#bytes[this.#at++] = b.retracted[r];
        this.#u16(b.revision[r]);
        this.#u16(b.standing[r]);
        if (b.kind[r] === ROW_OUTCOME) {
          this.#bytes[this.#at++] = b.labelAction[r];
          this.#f64(b.paymentTimeUs[r]);
        }
      }
    }
  }

  /** Entity columns that came from other shards: a bitmap of the columns that were not as predicted, and those. */
  #entities(rows: Uint16Array, n: number, matrix: Float32Array, bits: Uint32Array, format: number): void {
    const s = this.#shape;
    const merchants = format >= 3 ? s.merchant_columns : s.merchant_columns_2;
    const devices = format >= 3 ? s.device_columns : s.device_columns_2;
    if (format >= 3) {
      this.#u16(merchants);
      this.#u16(devices);
    }
    for (let i = 0; i < n; i++) {
      const at = rows[i] * s.columns;
      if ((this.#presence[i] & L.HAS_MERCHANT_COLUMNS) !== 0) {
        const map = this.#at;
        const mapBytes = (merchants + 7) >> 3;
        this.#bytes.fill(0, map, map + mapBytes);
        this.#at += mapBytes;
        for (let c = 0; c < merchants; c++) {
          const guess = L.predictColumn(matrix, at + s.merchant_at, c, s.merchant_window_columns, s.stats);
          const w = L.floatBits(matrix[at + s.merchant_at + c]);
          if (w === L.floatBits(guess)) continue;
          this.#bytes[map + (c >> 3)] |= 1 << (c & 7);
          this.#u32(w);
        }
      }
      if ((this.#presence[i] & L.HAS_DEVICE_COLUMNS) !== 0) {
        for (let c = 0; c < devices; c++) this.#u32(bits[at + s.device_at + c]);
      }
    }
  }

  #sealed(block: RowBlock, rows: Uint16Array, n: number, place: FramePlace): void {
    for (const tenant of this.#tenants) {
      const length = this.#at;
      this.#at += 4;
      this.#at = this.#sealer.seal(block, rows, n, tenant, this.#bytes, this.#at, place);
      this.#view.setUint32(length, this.#at - length - 4, true);
    }
  }

  /** Times are told from the earliest one; times and amounts that are small whole numbers take four bytes. */
  #inbox(rows: L.InboxRows): void {
    this.#u32(rows.n);
    if (rows.n === 0) return;
    let base = Number.POSITIVE_INFINITY;
    for (let i = 0; i < rows.n; i++) if (rows.timeUs[i] < base) base = rows.timeUs[i];
    this.#f64(base);
    let source = -1;
    let frame = -1;
    for (let i = 0; i < rows.n; i++) {
      const same = rows.source[i] === source && rows.frame[i] === frame;
      const behind_us = rows.timeUs[i] - base;
      const amount = rows.amount[i];
      const isSoon = behind_us === behind_us >>> 0 && base + behind_us === rows.timeUs[i];
      // Zero has two signs, and only one of them is a whole number of four bytes.
      const isSmall = Object.is(amount, amount >>> 0);
      let bits = rows.kind[i] | (rows.flag[i] << L.INBOX_FLAG_AT) | (same ? 0 : L.INBOX_NEXT_FRAME);
      if (!isSoon) bits |= L.INBOX_WIDE_TIME;
      if (!isSmall) bits |= L.INBOX_WIDE_AMOUNT;
      this.#bytes[this.#at++] = bits;
      if (!same) {
        source = rows.source[i];
        frame = rows.frame[i];
      }
      this.#inboxKeys(rows, i, same);
      if (isSoon) this.#u32(behind_us);
      else this.#f64(rows.timeUs[i]);
      if (isSmall) this.#u32(amount);
      else this.#f64(amount);
    }
  }

  /** The source's frame, unless the row before is of the `same`, and whom the row is about. */
  #inboxKeys(rows: L.InboxRows, i: number, same: boolean): void {
    if (!same) {
      this.#u16(rows.source[i]);
      this.#f64(rows.frame[i]);
    }
    this.#u32(rows.hi[i]);
    this.#u32(rows.lo[i]);
    this.#u32(rows.userHi[i]);
    this.#u32(rows.userLo[i]);
  }

  #inboxOf1(rows: L.InboxRows): void {
    this.#u32(rows.n);
    let source = -1;
    let frame = -1;
    for (let i = 0; i < rows.n; i++) {
      const same = rows.source[i] === source && rows.frame[i] === frame;
      this.#bytes[this.#at++] = rows.kind[i] | (rows.flag[i] << 4) | (same ? 0 : 128);
      if (!same) {
        source = rows.source[i];
        frame = rows.frame[i];
      }
      this.#inboxKeys(rows, i, same);
      this.#f64(rows.timeUs[i]);
      this.#f64(rows.amount[i]);
    }
  }
}

function sameTemplate(b: RowBlock, r: number, q: number): boolean {
  return (
    b.tenant[r] === b.tenant[q] &&
    b.kind[r] === b.kind[q] &&
    b.code[r] === b.code[q] &&
    b.currency[r] === b.currency[q] &&
    b.country[r] === b.country[q] &&
    b.channel[r] === b.channel[q] &&
    b.category[r] === b.category[q]
  );
}

function rawBytes(block: RowBlock): number {
  let n = 0;
  for (let i = 0; i < block.batchCount; i++) n += block.batches[i].bytes.length;
  return n;
}
