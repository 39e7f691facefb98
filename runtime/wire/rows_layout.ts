/**
 * Layout of a rows frame, shared by its writer and its reader.
 *
 *   request varint | rows u16 | tenants u16, then each id as a text
 *   columns, one after another, in row order: presence u16 | tenant u16, kind u8, shard u8, code u8 |
 *     currency u16, country u16, channel u32, category u32 | user u64, id u64 | time f64, amount f64 |
 *     those of the presence bits, where a row has them
 *   raw lengths of each row (seven of u8, or of u32 with WIDE_RAW; one of u32 with HAS_MESSAGE) | raw bytes
 *
 * A payment with card, device, address, payee and place takes 106 bytes and its texts.
 */
import { ATTRIBUTE_SLOTS, RAW_MESSAGE } from "../../proto/columns.ts";

export const HAS_MERCHANT = 1;
export const HAS_CARD = 2;
export const HAS_DEVICE = 4;
export const HAS_IP = 8;
export const HAS_PAYEE = 16;
export const HAS_ATTRIBUTES_HASH = 32;
export const HAS_ATTRIBUTES = 64;
export const HAS_LOCATION = 128;
/** The base amount is not the amount. */
export const HAS_BASE = 256;
/** Revision u16 and retracted u8. */
export const HAS_REVISION = 512;
/** The message is kept whole. */
export const HAS_MESSAGE = 1024;
/** A raw text is longer than 255 bytes. */
export const WIDE_RAW = 2048;
export const PRESENCE_END = 4096;

/** What each presence bit costs, from bit 0 on, bytes. */
const BIT_BYTES = [8, 8, 8, 8, 8, 8, 8 * ATTRIBUTE_SLOTS, 8, 8, 3, 4, 3 * RAW_MESSAGE];
/** What the presence bits of a row cost together, bytes. */
export const OPTIONAL_BYTES = new Uint16Array(PRESENCE_END).map((_, p) =>
  BIT_BYTES.reduce((sum, bytes, bit) => sum + (((p >> bit) & 1) === 0 ? 0 : bytes), 0),
);
/** The presence column of a row, bytes. */
export const PRESENCE_BYTES = 2;
/** What every row takes, bytes: its fixed columns and seven short lengths. */
export const FIXED_BYTES = PRESENCE_BYTES + 5 + 12 + 16 + 16 + RAW_MESSAGE;
