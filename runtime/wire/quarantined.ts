/**
 * Told to all nodes: an actor failed on this row, it is to be refused.
 *
 *   quarantined: shard u8 | kind u8 | user u64, id u64 | since varint, microseconds | message: length u8 and UTF-8
 */
import { ROW_HISTORY } from "../../proto/columns.ts";
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import type { QuarantinedRow } from "../ports.ts";
import {
  decoding,
  finished,
  HEAD_BYTES,
  readEnd,
  readShard,
  readText,
  VARINT_BYTES,
  WIRE_QUARANTINED,
  WireDamaged,
  writeHead,
  writeShard,
  writeText,
} from "./wire_head.ts";

/** Bytes of a message on the wire; the rest of it stays where it was thrown. */
const MESSAGE_BYTES = 200;
/** Most bytes of a character in UTF-8, for one unit of UTF-16. */
const CHARACTER_BYTES = 3;

/** @param row its shard, kind and time as any row has them; RangeError otherwise */
export function writeQuarantined(from: string, row: QuarantinedRow): Uint8Array {
  const w = new ByteWriter(HEAD_BYTES + 18 + VARINT_BYTES + 1 + MESSAGE_BYTES);
  writeHead(w, WIRE_QUARANTINED, from);
  writeShard(w, row.shard);
  w.u8(row.kind);
  for (const word of [row.userLo, row.userHi, row.idLo, row.idHi]) w.u32(word);
  w.varint(row.sinceUs);
  const short = row.message.slice(0, Math.floor(MESSAGE_BYTES / CHARACTER_BYTES));
  writeText(w, short.toWellFormed(), 0, MESSAGE_BYTES);
  return finished(w);
}

/** Throws WireDamaged. */
export function readQuarantined(reader: ByteReader): QuarantinedRow {
  return decoding(() => {
    const shard = readShard(reader);
    const kind = reader.u8();
    if (kind > ROW_HISTORY) throw new WireDamaged(`a row of kind ${kind}`);
    const [userLo, userHi, idLo, idHi] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
    const sinceUs = reader.varint();
    const message = readText(reader, 0, MESSAGE_BYTES);
    readEnd(reader);
    return { shard, kind, userHi, userLo, idHi, idLo, sinceUs, message };
  });
}
