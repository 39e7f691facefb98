/**
 * The exchange of entity columns: a tick's rows whose merchant or device lives in shards of another node, and that
 * node's answer. The asker keeps the rows it asked about, so the answer says nothing of them again.
 *
 *   exchange: request varint | sources u8, then (shard u8, epoch, takeover, frame varint) of each | rows u16 |
 *     columns: row u16, target u8, source u8, what u8 | key u64, user u64 | time f64, amount f64
 *   columns:  request varint | rows u16 | merchant columns u16 | device columns u16 | flags u8 a row |
 *     float32 bits of the columns of each answered row
 */
import { BLOCK_ROWS } from "../../proto/columns.ts";
import { grown } from "../../proto/frame/rows_layout.ts";
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import {
  decoding,
  finished,
  HEAD_BYTES,
  readEnd,
  readShard,
  SHARDS_MAX,
  VARINT_BYTES,
  WIRE_COLUMNS,
  WIRE_EXCHANGE,
  WireDamaged,
  writeHead,
  writeShard,
} from "./wire_head.ts";

/** Values of `what`. A payment is told to its merchant, whose columns are asked. */
export const EXCHANGE_MERCHANT = 1;
/** A device's columns are asked. */
export const EXCHANGE_DEVICE = 2;
/** An event is told to its device; nothing is asked. */
export const EXCHANGE_DEVICE_EVENT = 3;

/** Values of a row's flag in an answer. The row's shard is not served here, or may not be answered. */
export const COLUMNS_NOT_SERVED = 0;
export const COLUMNS_ANSWERED = 1;
/** The entity cannot say its columns: degraded. */
export const COLUMNS_UNKNOWN = 2;

/** Rows of a frame: each row of a tick has a merchant and a device. */
export const EXCHANGE_ROWS_MAX = 2 * BLOCK_ROWS;

const SOURCE_BYTES = 1 + 3 * VARINT_BYTES;
const ROW_BYTES = 5 + 16 + 16;
const HEAD_MAX = HEAD_BYTES + VARINT_BYTES + 8;

/** A shard of the asker and the frame its rows will stand in. */
export interface ExchangeSource {
  readonly shard: number;
  readonly epoch: number;
  /** Frame number of the epoch's Takeover. */
  readonly takeover: number;
  readonly frame: number;
}

export interface ExchangeHead {
  readonly from: string;
  /** The asker's number of this request. */
  readonly request: number;
  readonly sources: readonly ExchangeSource[];
}

/** Rows of an exchange. Growable columns. */
export class ExchangeRows {
  n = 0;
  /** The asker's row number. */
  row = new Uint16Array(64);
  /** The entity's shard. */
  target = new Uint8Array(64);
  /** Index into the frame's sources. */
  source = new Uint8Array(64);
  /** One of the EXCHANGE_ values. */
  what = new Uint8Array(64);
  /** Key of the entity. */
  hi = new Uint32Array(64);
  lo = new Uint32Array(64);
  userHi = new Uint32Array(64);
  userLo = new Uint32Array(64);
  timeUs = new Float64Array(64);
  /** Minor units of the base currency; NaN without a rate. */
  amount = new Float64Array(64);

  /** Index of a new row; the caller fills it. */
  add(): number {
    if (this.n === this.hi.length) this.#grow(this.n * 2);
    return this.n++;
  }

  /** Makes room for n rows in all. */
  reserve(n: number): void {
    if (n > this.hi.length) this.#grow(Math.max(n, 2 * this.hi.length));
  }

  /** Forgets the rows of a source. */
  drop(source: number): void {
    const { row, target, what, hi, lo, userHi, userLo, timeUs, amount } = this;
    let n = 0;
    for (let i = 0; i < this.n; i++) {
      if (this.source[i] === source) continue;
      for (const column of [row, target, this.source, what, hi, lo, userHi, userLo, timeUs, amount]) {
        column[n] = column[i];
      }
      n++;
    }
    this.n = n;
  }

  /** Forgets the rows, keeps the memory. */
  clear(): void {
    this.n = 0;
  }

  #grow(size: number): void {
    this.row = grown(this.row, new Uint16Array(size));
    this.target = grown(this.target, new Uint8Array(size));
    this.source = grown(this.source, new Uint8Array(size));
    this.what = grown(this.what, new Uint8Array(size));
    this.hi = grown(this.hi, new Uint32Array(size));
    this.lo = grown(this.lo, new Uint32Array(size));
    this.userHi = grown(this.userHi, new Uint32Array(size));
    this.userLo = grown(this.userLo, new Uint32Array(size));
    this.timeUs = grown(this.timeUs, new Float64Array(size));
    this.amount = grown(this.amount, new Float64Array(size));
  }
}

/**
 * @param request the asker's number, below 2^53
 * @throws RangeError for more than 64 sources or EXCHANGE_ROWS_MAX rows
 */
export function writeExchange(
  from: string,
  request: number,
  sources: readonly ExchangeSource[],
  rows: ExchangeRows,
): Uint8Array {
  if (sources.length > SHARDS_MAX) throw new RangeError(`${sources.length} sources, at most ${SHARDS_MAX}`);
  if (rows.n > EXCHANGE_ROWS_MAX) throw new RangeError(`${rows.n} rows, at most ${EXCHANGE_ROWS_MAX}`);
  const w = new ByteWriter(HEAD_MAX + sources.length * SOURCE_BYTES + rows.n * ROW_BYTES);
  writeHead(w, WIRE_EXCHANGE, from);
  w.varint(request);
  w.u8(sources.length);
  for (const s of sources) {
    writeShard(w, s.shard);
    w.varint(s.epoch);
    w.varint(s.takeover);
    w.varint(s.frame);
  }
  w.u16(rows.n);
  let p = w.take(rows.n * ROW_BYTES);
  const v = w.numbers;
  for (let i = 0; i < rows.n; i++, p += 5) {
    v.setUint16(p, rows.row[i], true);
    v.setUint8(p + 2, rows.target[i]);
    v.setUint8(p + 3, rows.source[i]);
    v.setUint8(p + 4, rows.what[i]);
  }
  for (let i = 0; i < rows.n; i++, p += 16) {
    v.setUint32(p, rows.lo[i], true);
    v.setUint32(p + 4, rows.hi[i], true);
    v.setUint32(p + 8, rows.userLo[i], true);
    v.setUint32(p + 12, rows.userHi[i], true);
  }
  for (let i = 0; i < rows.n; i++, p += 16) {
    v.setFloat64(p, rows.timeUs[i], true);
    v.setFloat64(p + 8, rows.amount[i], true);
  }
  return finished(w);
}

/** Puts the rows into `into`, which is emptied first. Throws WireDamaged; `into` is empty then. */
export function readExchange(reader: ByteReader, from: string, into: ExchangeRows): ExchangeHead {
  into.clear();
  return decoding(() => {
    const request = reader.varint();
    const sources = readSources(reader);
    const n = reader.u16();
    if (n > EXCHANGE_ROWS_MAX) throw new WireDamaged(`${n} rows, at most ${EXCHANGE_ROWS_MAX}`);
    const at = reader.take(n * ROW_BYTES);
    readEnd(reader);
    const v = reader.numbers;
    into.reserve(n);
    readPlaces(v, at, n, sources.length, into);
    readValues(v, at + 5 * n, n, into);
    into.n = n;
    return { from, request, sources };
  });
}

function readSources(reader: ByteReader): ExchangeSource[] {
  const count = reader.u8();
  if (count > SHARDS_MAX) throw new WireDamaged(`${count} sources, at most ${SHARDS_MAX}`);
  return Array.from({ length: count }, () => {
    const shard = readShard(reader);
    const epoch = reader.varint();
    const takeover = reader.varint();
    return { shard, epoch, takeover, frame: reader.varint() };
  });
}

function readPlaces(v: DataView, at: number, n: number, sources: number, into: ExchangeRows): void {
  let p = at;
  for (let i = 0; i < n; i++, p += 5) {
    const row = v.getUint16(p, true);
    const target = v.getUint8(p + 2);
    const source = v.getUint8(p + 3);
    const what = v.getUint8(p + 4);
    if (row >= BLOCK_ROWS || target >= SHARDS_MAX || source >= sources) {
      throw new WireDamaged(`row ${row} for shard ${target} of source ${source}`);
    }
    if (what < EXCHANGE_MERCHANT || what > EXCHANGE_DEVICE_EVENT) throw new WireDamaged(`row ${row} asks ${what}`);
    into.row[i] = row;
    into.target[i] = target;
    into.source[i] = source;
    into.what[i] = what;
  }
}

function readValues(v: DataView, at: number, n: number, into: ExchangeRows): void {
  let p = at;
  for (let i = 0; i < n; i++, p += 16) {
    into.lo[i] = v.getUint32(p, true);
    into.hi[i] = v.getUint32(p + 4, true);
    into.userLo[i] = v.getUint32(p + 8, true);
    into.userHi[i] = v.getUint32(p + 12, true);
  }
  for (let i = 0; i < n; i++, p += 16) {
    const time = v.getFloat64(p, true);
    const amount = v.getFloat64(p + 8, true);
    if (!Number.isSafeInteger(time) || !(Number.isNaN(amount) || Number.isSafeInteger(amount))) {
      throw new WireDamaged(`row ${into.row[i]} has time ${time}, amount ${amount}`);
    }
    into.timeUs[i] = time;
    into.amount[i] = amount;
  }
}

/** Bits of a float32 NaN. */
const MISSING = 0x7fc00000;

/** Columns that the answer to a row holds. */
function columnsOf(what: number, merchant_columns: number, device_columns: number): number {
  return what === EXCHANGE_MERCHANT ? merchant_columns : what === EXCHANGE_DEVICE ? device_columns : 0;
}

/** Float32 seen as its bits, so that every NaN stays what it is. */
function bitsOf(columns: Float32Array): Uint32Array {
  return new Uint32Array(columns.buffer, columns.byteOffset, columns.length);
}

/**
 * The answer to an exchange, in the order of its rows.
 * @param flags a COLUMNS_ value a row
 * @param columns `stride` float32 a row, of which the first merchant_columns or device_columns are sent where answered
 * @throws RangeError when the columns take more than a frame holds: 250 bytes a row of a full block
 */
export function writeColumns(
  from: string,
  request: number,
  rows: ExchangeRows,
  flags: Uint8Array,
  columns: Float32Array,
  stride: number,
  merchant_columns: number,
  device_columns: number,
): Uint8Array {
  const { n, what } = rows;
  let values = 0;
  for (let i = 0; i < n; i++) {
    if (flags[i] === COLUMNS_ANSWERED) values += columnsOf(what[i], merchant_columns, device_columns);
  }
  const w = new ByteWriter(HEAD_MAX + n + values * 4);
  writeHead(w, WIRE_COLUMNS, from);
  w.varint(request);
  w.u16(n);
  w.u16(merchant_columns);
  w.u16(device_columns);
  w.bytes(flags, 0, n);
  const bits = bitsOf(columns);
  let p = w.take(values * 4);
  const v = w.numbers;
  for (let i = 0; i < n; i++) {
    if (flags[i] !== COLUMNS_ANSWERED) continue;
    const first = i * stride;
    const end = first + columnsOf(what[i], merchant_columns, device_columns);
    for (let c = first; c < end; c++, p += 4) v.setUint32(p, bits[c], true);
  }
  return finished(w);
}

/** The number of the request that is answered: what readColumns wants to know lies in the asker's memory under it. */
export function readColumnsRequest(reader: ByteReader): number {
  return decoding(() => reader.varint());
}

/**
 * Fills `flags` and, for answered rows, `columns` (a stride as of writeColumns) for the n rows that were asked. Another
 * version of the code may answer with more columns, which are passed over, or with fewer: then the others are missing.
 * @param reader the frame's, behind readColumnsRequest
 * @param what what each row asked
 * @throws WireDamaged, also when the answer is not one to these rows; flags and columns may then hold anything
 */
export function readColumns(
  reader: ByteReader,
  what: Uint8Array,
  n: number,
  merchant_columns: number,
  device_columns: number,
  flags: Uint8Array,
  columns: Float32Array,
): void {
  decoding(() => {
    const rows = reader.u16();
    if (rows !== n) throw new WireDamaged(`columns of ${rows} rows, ${n} were asked`);
    const merchant = reader.u16();
    const device = reader.u16();
    const v = reader.numbers;
    const flagsAt = reader.take(n);
    const first = reader.offset;
    let values = 0;
    for (let i = 0; i < n; i++) {
      const flag = v.getUint8(flagsAt + i);
      if (flag > COLUMNS_UNKNOWN) throw new WireDamaged(`row ${i} has flag ${flag}`);
      flags[i] = flag;
      if (flag === COLUMNS_ANSWERED) values += columnsOf(what[i], merchant, device);
    }
    reader.skip(values * 4);
    readEnd(reader);
    const stride = Math.max(merchant_columns, device_columns);
    const bits = bitsOf(columns);
    let p = first;
    for (let i = 0; i < n; i++) {
      if (flags[i] !== COLUMNS_ANSWERED) continue;
      const to = i * stride;
      const sent = columnsOf(what[i], merchant, device);
      const known = columnsOf(what[i], merchant_columns, device_columns);
      for (let c = 0; c < known; c++) bits[to + c] = c < sent ? v.getUint32(p + 4 * c, true) : MISSING;
      p += 4 * sent;
    }
  });
}
