/**
 * A delivery: "all frames of shard `source` in (after, upTo] with rows for shard `target`, and these are the rows".
 *
 *   source u8 | target u8 | epoch, takeover, after, upTo varint | rows u16 |
 *   each row: kind and flag u8 | frame - after varint | key u64 | user u64 | time f64 | amount f64
 */
import { INBOX_DEVICE_EVENT, type InboxRows } from "../../proto/frame/rows_layout.ts";
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import { WIRE_BYTES_MAX } from "../ports.ts";
import {
  decoding,
  finished,
  HEAD_BYTES,
  readEnd,
  readShard,
  VARINT_BYTES,
  WIRE_DELIVERY,
  WireDamaged,
  writeHead,
  writeShard,
} from "./wire_head.ts";

/** Most and fewest bytes that a row takes. */
const ROW_BYTES_MAX = 33 + VARINT_BYTES;
const ROW_BYTES_MIN = 34;
const HEAD_MAX = HEAD_BYTES + 4 * VARINT_BYTES + 4;
/** Rows that fit into a frame, whatever their frame numbers are. */
export const DELIVERY_ROWS_MAX = Math.floor((WIRE_BYTES_MAX - HEAD_MAX) / ROW_BYTES_MAX);
/** Values of `flag`, from 0 on: LABEL_ values. */
const FLAG_MAX = 3;

export interface DeliveryHead {
  readonly from: string;
  readonly source: number;
  readonly target: number;
  /** Of the source. */
  readonly epoch: number;
  /** Frame number of that epoch's Takeover. */
  readonly takeover: number;
  /** Frames in (after, upTo]. */
  readonly after: number;
  readonly upTo: number;
}

/**
 * A frame with rows [rowFrom, rowEnd) of `rows`, all of source head.source, their frames in (after, upTo] and never
 * falling. RangeError otherwise, and for more than DELIVERY_ROWS_MAX rows.
 */
export function writeDelivery(head: DeliveryHead, rows: InboxRows, rowFrom: number, rowEnd: number): Uint8Array {
  const n = rowEnd - rowFrom;
  if (!(n >= 0 && n <= DELIVERY_ROWS_MAX)) throw new RangeError(`${n} rows, at most ${DELIVERY_ROWS_MAX}`);
  if (head.upTo < head.after) throw new RangeError(`frames in (${head.after}, ${head.upTo}]`);
  const w = new ByteWriter(HEAD_MAX + n * ROW_BYTES_MAX);
  writeHead(w, WIRE_DELIVERY, head.from);
  writeShard(w, head.source);
  writeShard(w, head.target);
  w.varint(head.epoch);
  w.varint(head.takeover);
  w.varint(head.after);
  w.varint(head.upTo);
  w.u16(n);
  let last = head.after + 1;
  for (let i = rowFrom; i < rowEnd; i++) {
    const frame = rows.frame[i];
    if (rows.source[i] !== head.source || !(frame >= last && frame <= head.upTo)) {
      throw new RangeError(`a row of frame ${frame} of ${rows.source[i]} behind ${last} of ${head.source}`);
    }
    last = frame;
    w.u8(rows.kind[i] | (rows.flag[i] << 4));
    w.varint(frame - head.after);
    w.u64(rows.hi[i], rows.lo[i]);
    w.u64(rows.userHi[i], rows.userLo[i]);
    w.f64(rows.timeUs[i]);
    w.f64(rows.amount[i]);
  }
  return finished(w);
}

/** Appends the rows to `into`. Throws WireDamaged; `into` is then as it was. */
export function readDelivery(reader: ByteReader, from: string, into: InboxRows): DeliveryHead {
  const had = into.n;
  try {
    return decoding(() => {
      const head = readDeliveryHead(reader, from);
      const n = reader.u16();
      if (n * ROW_BYTES_MIN > reader.left) throw new WireDamaged(`${n} rows in ${reader.left} bytes`);
      let last = head.after + 1;
      for (let i = 0; i < n; i++) last = readRow(reader, head, last, into);
      readEnd(reader);
      return head;
    });
  } catch (e) {
    into.n = had;
    throw e;
  }
}

function readDeliveryHead(reader: ByteReader, from: string): DeliveryHead {
  const source = readShard(reader);
  const target = readShard(reader);
  const epoch = reader.varint();
  const takeover = reader.varint();
  const after = reader.varint();
  const upTo = reader.varint();
  if (upTo < after) throw new WireDamaged(`frames in (${after}, ${upTo}]`);
  return { from, source, target, epoch, takeover, after, upTo };
}

/** Returns the row's frame, which is at least `last`. */
function readRow(reader: ByteReader, head: DeliveryHead, last: number, into: InboxRows): number {
  const i = into.add();
  const kindAndFlag = reader.u8();
  const kind = kindAndFlag & 15;
  const flag = kindAndFlag >> 4;
  if (kind > INBOX_DEVICE_EVENT || flag > FLAG_MAX) throw new WireDamaged(`a row of kind ${kind}, flag ${flag}`);
  const frame = head.after + reader.varint();
  if (!(frame >= last && frame <= head.upTo)) throw new WireDamaged(`frame ${frame} behind ${last}`);
  into.source[i] = head.source;
  into.frame[i] = frame;
  into.kind[i] = kind;
  into.flag[i] = flag;
  into.lo[i] = reader.u64lo();
  into.hi[i] = reader.hi();
  into.userLo[i] = reader.u64lo();
  into.userHi[i] = reader.hi();
  const time = reader.f64();
  const amount = reader.f64();
  if (!Number.isSafeInteger(time) || !(Number.isNaN(amount) || Number.isSafeInteger(amount))) {
    throw new WireDamaged(`a row with time ${time}, amount ${amount}`);
  }
  into.timeUs[i] = time;
  into.amount[i] = amount;
  return frame;
}
