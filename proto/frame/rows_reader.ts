/**
 * Reads the body of a rows frame back into a block and its matrix: for replay, for the stored decision of a repeat and
 * for whoever follows a journal. Every read is bounds-checked; a broken body is a RowsDamaged error.
 */
import {
  ATTRIBUTE_SLOTS,
  BLOCK_ROWS,
  type KeyColumn,
  LOCATION_NONE,
  REASON_SLOTS,
  ROW_OUTCOME,
  type RowBlock,
} from "../columns.ts";
import { checkFormat } from "./frame_header.ts";
import * as L from "./rows_layout.ts";
import type { MatrixShape } from "./rows_writer.ts";

/** The body does not follow the layout of its format: the frame is damaged. Stop the shard. */
export class RowsDamaged extends Error {
  override name = "RowsDamaged";
}

/** What a frame held beside its rows. */
export interface RowsFacts extends L.FrameFacts {
  rows: number;
  matrix_checksum: number;
  /** Tenant ids of the frame, in the order of its dictionary. */
  tenants: string[];
  /** Sealed sections in the order of `tenants`: views into the frame. */
  sealed: Uint8Array[];
}

export class RowsReader {
  readonly #shape: MatrixShape;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  readonly #presence = new Uint16Array(BLOCK_ROWS);
  #format = 0;
  readonly inbox = new L.InboxRows();

  constructor(shape: MatrixShape) {
    this.#shape = shape;
  }

  /**
   * Fills rows 0.. of `block` (its n becomes the frame's count), remote entity columns of `matrix` (row-major, float32)
   * and `inbox`. `tenantIndex` gives this node's number of a tenant id, or throws when it is unknown. Throws
   * RowsDamaged; FrameError `version` for a `format` that this code does not read.
   */
  read(
    body: Uint8Array,
    format: number,
    block: RowBlock,
    matrix: Float32Array | null,
    tenantIndex: (id: string) => number,
  ): RowsFacts {
    checkFormat(format);
    this.#format = format;
    this.#bytes = body;
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.#at = 0;
    try {
      return this.#read(block, matrix, tenantIndex);
    } catch (e) {
      if (e instanceof RangeError)
        throw new RowsDamaged(`the body ends at ${body.length} inside a column: ${e.message}`);
      throw e;
    }
  }

  #read(b: RowBlock, matrix: Float32Array | null, tenantIndex: (id: string) => number): RowsFacts {
    const n = this.#u16();
    if (n > BLOCK_ROWS) throw new RowsDamaged(`${n} rows in a frame, at most ${BLOCK_ROWS}`);
    const facts: RowsFacts = {
      rows: n,
      matrix_checksum: this.#u32(),
      model_version: "",
      rule_set_version: "",
      rates_version: "",
      features_version: "",
      tenants: [],
      sealed: [],
    };
    const base = this.#f64();
    facts.model_version = this.#text();
    facts.rule_set_version = this.#text();
    facts.rates_version = this.#text();
    facts.features_version = this.#text();
    const tenants = this.#u8();
    for (let i = 0; i < tenants; i++) facts.tenants.push(this.#text());
    this.#templates(b, n, facts.tenants.map(tenantIndex));
    for (let i = 0; i < n; i++) this.#presence[i] = this.#u16();
    this.#fixed(b, n, base);
    this.#optional(b, n);
    this.#answers(b, n);
    this.#entities(n, matrix);
    for (let i = 0; i < tenants; i++) {
      const length = this.#u32();
      this.#need(length);
      facts.sealed.push(this.#bytes.subarray(this.#at, this.#at + length));
      this.#at += length;
    }
    if (this.#format === 1) this.#readInboxOf1();
    else this.#readInbox();
    if (this.#at !== this.#bytes.length)
      throw new RowsDamaged(`${this.#bytes.length - this.#at} bytes behind the body`);
    b.n = n;
    return facts;
  }

  #need(count: number): void {
    if (this.#at + count > this.#bytes.length)
      throw new RowsDamaged(`the body ends inside a section of ${count} bytes`);
  }

  #u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  #u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  #u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  #f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  #text(): string {
    const length = this.#u8();
    this.#need(length);
    this.#at += length;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at - length, length).toString("utf8");
  }

  #templates(b: RowBlock, n: number, tenants: number[]): void {
    const count = this.#u16();
    const isNarrow = this.#format >= 2 && count <= L.NARROW_TEMPLATES_MAX;
    this.#need(count * 15 + n * (isNarrow ? 1 : 2));
    const at = this.#at;
    const v = this.#view;
    this.#at += count * 15;
    for (let i = 0; i < n; i++) {
      const t = isNarrow ? this.#u8() : this.#u16();
      if (t >= count) throw new RowsDamaged(`row ${i} names template ${t} of ${count}`);
      const p = at + t * 15;
      const tenant = tenants[v.getUint8(p)];
      if (tenant === undefined) throw new RowsDamaged(`row ${i} names an unknown tenant`);
      b.tenant[i] = tenant;
      b.kind[i] = v.getUint8(p + 1);
      b.code[i] = v.getUint8(p + 2);
      b.currency[i] = v.getUint16(p + 3, true);
      b.country[i] = v.getUint16(p + 5, true);
      b.channel[i] = v.getUint32(p + 7, true);
      b.category[i] = v.getUint32(p + 11, true);
    }
  }

  #fixed(b: RowBlock, n: number, base: number): void {
    for (let i = 0; i < n; i++) {
      b.user.hi[i] = this.#u32();
      b.user.lo[i] = this.#u32();
      b.id.hi[i] = this.#u32();
      b.id.lo[i] = this.#u32();
    }
    for (let i = 0; i < n; i++) {
      const p = this.#presence[i];
      b.eventTimeUs[i] = (p & L.WIDE_TIME) !== 0 ? this.#f64() : base + this.#u32();
      b.amountMinor[i] = (p & L.WIDE_AMOUNT) !== 0 ? this.#f64() : this.#u32();
      b.score[i] = L.bitsFloat(this.#u32());
      const o = this.#u8();
      b.outcome[i] = o & 15;
      b.degraded[i] = o >> 4;
      b.error[i] = 0;
      b.errorField[i] = 0;
      b.amountBase[i] = b.amountMinor[i];
      b.unusual[i] = this.#format >= 3 && (p & L.UNUSUAL) !== 0 ? 1 : 0;
    }
  }

  #keys(col: KeyColumn, bit: number, n: number): void {
    for (let i = 0; i < n; i++) {
      if ((this.#presence[i] & bit) !== 0) {
        col.hi[i] = this.#u32();
        col.lo[i] = this.#u32();
      } else {
        col.hi[i] = 0;
        col.lo[i] = 0;
      }
    }
  }

  #optional(b: RowBlock, n: number): void {
    this.#keys(b.merchant, L.HAS_MERCHANT, n);
    this.#keys(b.card, L.HAS_CARD, n);
    this.#keys(b.device, L.HAS_DEVICE, n);
    this.#keys(b.ip, L.HAS_IP, n);
    this.#keys(b.payee, L.HAS_PAYEE, n);
    this.#keys(b.attributesHash, L.HAS_ATTRIBUTES, n);
    for (let i = 0; i < n; i++) {
      const p = this.#presence[i];
      b.latitudeE6[i] = LOCATION_NONE;
      b.longitudeE6[i] = LOCATION_NONE;
      if ((p & L.HAS_LOCATION) !== 0) {
        b.latitudeE6[i] = this.#u32();
        b.longitudeE6[i] = this.#u32();
      }
      for (let k = 0; k < ATTRIBUTE_SLOTS; k++) {
        b.attributes[i * ATTRIBUTE_SLOTS + k] = (p & L.HAS_ATTRIBUTES) !== 0 ? this.#f64() : Number.NaN;
      }
      if ((p & L.HAS_BASE) !== 0) b.amountBase[i] = this.#f64();
    }
  }

  #answers(b: RowBlock, n: number): void {
    this.#keys(b.rules, L.HAS_RULES, n);
    for (let i = 0; i < n; i++) {
      const p = this.#presence[i];
      for (let k = 0; k < REASON_SLOTS; k++) {
        const has = (p & L.HAS_REASONS) !== 0;
        b.reasonFeature[i * REASON_SLOTS + k] = has ? this.#u8() : 0;
        b.reasonWeight[i * REASON_SLOTS + k] = has ? L.bitsFloat(this.#u32()) : 0;
      }
      const extra = (p & L.HAS_EXTRA) !== 0;
      b.flags[i] = extra ? this.#u8() : 0;
      b.retracted[i] = extra ? this.#u8() : 0;
      b.revision[i] = extra ? this.#u16() : 0;
      b.standing[i] = extra ? this.#u16() : 0;
      if (b.kind[i] !== ROW_OUTCOME) continue;
      b.labelAction[i] = this.#u8();
      b.paymentTimeUs[i] = this.#f64();
    }
  }

  /** 1 for a row whose merchant columns were recorded. */
  hasMerchantColumns(i: number): boolean {
    return (this.#presence[i] & L.HAS_MERCHANT_COLUMNS) !== 0;
  }

  hasDeviceColumns(i: number): boolean {
    return (this.#presence[i] & L.HAS_DEVICE_COLUMNS) !== 0;
  }

  /** What is recorded beyond this code's columns is passed over; columns that are not recorded are missing. */
  #entities(n: number, matrix: Float32Array | null): void {
    const s = this.#shape;
    const merchants = this.#format >= 3 ? this.#u16() : s.merchant_columns_2;
    const devices = this.#format >= 3 ? this.#u16() : s.device_columns_2;
    const row = matrix ?? new Float32Array(s.columns);
    for (let i = 0; i < n; i++) {
      const at = matrix === null ? 0 : i * s.columns;
      if ((this.#presence[i] & L.HAS_MERCHANT_COLUMNS) !== 0) this.#merchantColumns(row, at + s.merchant_at, merchants);
      if ((this.#presence[i] & L.HAS_DEVICE_COLUMNS) === 0) continue;
      for (let c = 0; c < devices; c++) {
        const value = L.bitsFloat(this.#u32());
        if (c < s.device_columns) row[at + s.device_at + c] = value;
      }
      for (let c = devices; c < s.device_columns; c++) row[at + s.device_at + c] = Number.NaN;
    }
  }

  #merchantColumns(row: Float32Array, at: number, recorded: number): void {
    const s = this.#shape;
    const map = this.#at;
    this.#at += (recorded + 7) >> 3;
    this.#need(0);
    for (let c = 0; c < recorded; c++) {
      const isThere = ((this.#bytes[map + (c >> 3)] >> (c & 7)) & 1) === 1;
      const value = isThere
        ? L.bitsFloat(this.#u32())
        : L.predictColumn(row, at, c, s.merchant_window_columns, s.stats);
      if (c < s.merchant_columns) row[at + c] = value;
    }
    for (let c = recorded; c < s.merchant_columns; c++) row[at + c] = Number.NaN;
  }

  /** Number of inbox rows, each of at least `row_bytes`. */
  #inboxCount(row_bytes: number): number {
    const n = this.#u32();
    if (n * row_bytes > this.#bytes.length) throw new RowsDamaged(`${n} inbox rows in ${this.#bytes.length} bytes`);
    this.inbox.n = 0;
    return n;
  }

  #readInbox(): void {
    const n = this.#inboxCount(25);
    if (n === 0) return;
    const t = this.inbox;
    const base = this.#f64();
    let source = 0;
    let frame = 0;
    for (let i = 0; i < n; i++) {
      const k = this.#u8();
      if ((k & L.INBOX_NEXT_FRAME) !== 0) {
        source = this.#u16();
        frame = this.#f64();
      }
      const j = t.add();
      t.source[j] = source;
      t.frame[j] = frame;
      t.kind[j] = k & L.INBOX_KIND;
      t.flag[j] = (k >> L.INBOX_FLAG_AT) & L.INBOX_FLAG;
      t.hi[j] = this.#u32();
      t.lo[j] = this.#u32();
      t.userHi[j] = this.#u32();
      t.userLo[j] = this.#u32();
      t.timeUs[j] = (k & L.INBOX_WIDE_TIME) !== 0 ? this.#f64() : base + this.#u32();
      t.amount[j] = (k & L.INBOX_WIDE_AMOUNT) !== 0 ? this.#f64() : this.#u32();
    }
  }

  #readInboxOf1(): void {
    const n = this.#inboxCount(33);
    const t = this.inbox;
    let source = 0;
    let frame = 0;
    for (let i = 0; i < n; i++) {
      const k = this.#u8();
      if ((k & 128) !== 0) {
        source = this.#u16();
        frame = this.#f64();
      }
      const j = t.add();
      t.source[j] = source;
      t.frame[j] = frame;
      t.kind[j] = k & 15;
      t.flag[j] = (k >> 4) & 7;
      t.hi[j] = this.#u32();
      t.lo[j] = this.#u32();
      t.userHi[j] = this.#u32();
      t.userLo[j] = this.#u32();
      t.timeUs[j] = this.#f64();
      t.amount[j] = this.#f64();
    }
  }
}
