/**
 * How many bytes a row may take in a frame at most. A tick becomes one frame a shard, and rows are in the actors' state
 * before the frame is formed, so what would not fit must be known before a row is accepted: it is shed then, and the
 * caller sends it again in a later tick. Compression makes real frames smaller than this.
 */
import { BLOCK_ROWS, RAW_FIELDS, type RowBlock } from "../proto/columns.ts";
import { HEADER_BYTES, MAX_FRAME_BYTES } from "../proto/frame/frame_header.ts";

/** Columns of a row with all its keys, place, rules and reasons, without text and attributes. */
const ROW_BYTES = 152;
/** Attribute columns. */
const ATTRIBUTE_BYTES = 40;
/** A length of each raw field, and what compression may add to text that does not compress. */
const TEXT_BYTES = RAW_FIELDS + 8;
/** Entity columns of another shard: merchant's, device's and the map of them. */
const REMOTE_BYTES = 224;
const INBOX_ROW_BYTES = 45;
/** A tenant: its id and the head, nonce, compression frame and tag of its sealed section. */
export const TENANT_BYTES = 65 + 4 + 12 + 1 + 32 + 16;
/** Tenants in one frame: their dictionary is counted and named by one byte. */
export const TENANTS_MAX = 255;
/** Versions and heads: far more than they take. */
const FRAME_BYTES = 16 * 1024;

/** What a row takes in a frame beyond its bytes in the message that brought it, whose tags and lengths stay outside. */
export const ROW_BYTES_BEYOND_MESSAGE = 124;
/** The same of a row that came from another node's gateway, and whose entities may live elsewhere. */
export const ROW_BYTES_BEYOND_WIRE = ROW_BYTES_BEYOND_MESSAGE + REMOTE_BYTES;

/** Bytes that rows may take in a frame with so many inbox rows. */
export function roomFor(inboxRows: number): number {
  return MAX_FRAME_BYTES - HEADER_BYTES - FRAME_BYTES - inboxRows * INBOX_ROW_BYTES;
}

/** Bytes that the rows of a block may take in a frame: columns and text. */
export const BLOCK_BYTES_MAX = roomFor(0);

/** When the open block of a mailbox or a router is full: by rows, or by what its rows may take in a frame. */
export class BlockRoom {
  /** What a row takes beyond its bytes in the message that brings it. */
  readonly #rowBytes: number;
  #bytes = 0;

  constructor(rowBytes: number) {
    this.#rowBytes = rowBytes;
  }

  /** Whether the open block takes `rows` more of a message of `bytes`. A larger message has a block of its own. */
  fits(block: RowBlock, rows: number, bytes: number): boolean {
    if (block.n + rows > BLOCK_ROWS) return false;
    return block.n === 0 || this.#bytes + bytes + rows * this.#rowBytes <= BLOCK_BYTES_MAX;
  }

  add(rows: number, bytes: number): void {
    this.#bytes += bytes + rows * this.#rowBytes;
  }

  /** The open block is another one, or empty again. */
  empty(): void {
    this.#bytes = 0;
  }
}

/** Most bytes that row r takes; `remote`: its entities may live in other shards. */
export function rowBytesMax(b: RowBlock, r: number, remote: boolean): number {
  let bytes = ROW_BYTES + TEXT_BYTES + (remote ? REMOTE_BYTES : 0);
  if ((b.attributesHash.hi[r] | b.attributesHash.lo[r]) !== 0) bytes += ATTRIBUTE_BYTES;
  const from = r * RAW_FIELDS;
  for (let k = 0; k < RAW_FIELDS; k++) bytes += b.rawLength[from + k] + (b.rawLength[from + k] >= 255 ? 4 : 0);
  return bytes;
}
