/**
 * What the frames between nodes share: the head (who speaks, and of what), the error of all decoders, and the few
 * fields that several kinds have. Little endian:
 *
 *   magic "FGWF" u32 | format u8 | kind u8 | sender's node name: length u8 and UTF-8
 *
 * Nodes of different code speak to each other while a cluster is upgraded node by node. Kinds and formats that a node
 * does not know it drops, so what is new comes as a kind of its own, or as a format that is sent to nodes that read it.
 * Announcements have had two formats (announcement.ts), all other kinds say format 1.
 */
import { ByteReader, BytesDamaged, type ByteWriter } from "../kernel/bytes.ts";
import { WIRE_BYTES_MAX } from "../ports.ts";

export const WIRE_ANNOUNCEMENT = 1;
export const WIRE_ROWS = 2;
export const WIRE_ANSWERS = 3;
export const WIRE_EXCHANGE = 4;
export const WIRE_COLUMNS = 5;
export const WIRE_DELIVERY = 6;
export const WIRE_FIND = 7;
export const WIRE_FOUND = 8;
export const WIRE_HAND_OVER = 9;
export const WIRE_QUARANTINED = 10;

/** Shards a cluster may have. */
export const SHARDS_MAX = 64;
/** Bytes of a node's name. */
const NODE_NAME_BYTES = 64;
/** Bytes of any other text: a tenant's id, a version's name. */
const TEXT_BYTES = 255;
/** Most bytes that a head takes. */
export const HEAD_BYTES = 7 + NODE_NAME_BYTES;
/** Most bytes that a varint takes. */
export const VARINT_BYTES = 8;

const MAGIC = 0x46574746;
const FORMAT_OLDEST = 1;
const FORMAT_NEWEST = 2;
const MAGIC_BYTES = 4;
// The mark at the start is part of a text here, so that every text is read as it was written.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A frame of another node that no writer of this format makes: drop it. Nothing in it may be believed. */
export class WireDamaged extends Error {
  override name = "WireDamaged";
}

/** Who speaks, and of what; the reader stands behind the head. */
export interface WireHead {
  /** One of the WIRE_ kinds. */
  readonly kind: number;
  readonly format: number;
  readonly from: string;
  readonly reader: ByteReader;
}

/** @param from name of the sending node, 1..64 bytes of UTF-8; RangeError otherwise */
export function writeHead(w: ByteWriter, kind: number, from: string, format = FORMAT_OLDEST): void {
  w.u32(MAGIC);
  w.u8(format);
  w.u8(kind);
  writeText(w, from, 1, NODE_NAME_BYTES);
}

/** Reads the head of a whole frame. Throws WireDamaged, also for a kind or format that this code does not know. */
export function readHead(bytes: Uint8Array): WireHead {
  return decoding(() => {
    const reader = new ByteReader(bytes);
    if (bytes.length < MAGIC_BYTES || reader.u32() !== MAGIC) throw new WireDamaged("does not begin with FGWF");
    const format = reader.u8();
    if (format < FORMAT_OLDEST || format > FORMAT_NEWEST) {
      throw new WireDamaged(`format ${format}, this code reads ${FORMAT_OLDEST} to ${FORMAT_NEWEST}`);
    }
    const kind = reader.u8();
    if (kind < WIRE_ANNOUNCEMENT || kind > WIRE_QUARANTINED) throw new WireDamaged(`unknown kind ${kind}`);
    return { kind, format, from: readText(reader, 1, NODE_NAME_BYTES), reader };
  });
}

/** Runs a decoder; bytes that end early or hold no number are WireDamaged like every other fault. */
export function decoding<T>(read: () => T): T {
  try {
    return read();
  } catch (e) {
    if (e instanceof BytesDamaged) throw new WireDamaged(e.message, { cause: e });
    throw e;
  }
}

/** Writes a text of min..max bytes of UTF-8 (max <= 255) behind its length; RangeError otherwise. */
export function writeText(w: ByteWriter, text: string, min = 0, max = TEXT_BYTES): void {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length < min || bytes.length > max) throw new RangeError(`${bytes.length} bytes, allowed ${min}..${max}`);
  w.u8(bytes.length);
  w.bytes(bytes);
}

/** Reads what writeText wrote. Throws WireDamaged for another length, and for bytes that are not UTF-8. */
export function readText(reader: ByteReader, min = 0, max = TEXT_BYTES): string {
  const length = reader.u8();
  if (length < min || length > max) throw new WireDamaged(`a text of ${length} bytes, allowed ${min}..${max}`);
  const bytes = reader.bytes(length);
  try {
    return utf8.decode(bytes);
  } catch (e) {
    throw new WireDamaged("a text that is not UTF-8", { cause: e });
  }
}

/** RangeError for a number that is no shard. */
export function writeShard(w: ByteWriter, shard: number): void {
  if (!(Number.isInteger(shard) && shard >= 0 && shard < SHARDS_MAX)) throw new RangeError(`not a shard: ${shard}`);
  w.u8(shard);
}

export function readShard(reader: ByteReader): number {
  const shard = reader.u8();
  if (shard >= SHARDS_MAX) throw new WireDamaged(`shard ${shard}, there are at most ${SHARDS_MAX}`);
  return shard;
}

export function readBoolean(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new WireDamaged(`${value} is neither true nor false`);
  return value === 1;
}

/** To be called when all was read: a frame with bytes left over is damaged. */
export function readEnd(reader: ByteReader): void {
  if (reader.left !== 0) throw new WireDamaged(`${reader.left} bytes behind the frame`);
}

/** The frame that was written, without a copy: the writer must not be used again. RangeError for one too large. */
export function finished(w: ByteWriter): Uint8Array {
  if (w.length > WIRE_BYTES_MAX) throw new RangeError(`a frame of ${w.length} bytes, at most ${WIRE_BYTES_MAX}`);
  return w.view();
}
