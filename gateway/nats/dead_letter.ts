/**
 * Owns what a dead letter holds of the message it is about: never a card number, never more than a stream takes. The
 * message may be anything, also unreadable, so it is searched as bytes.
 */
import { isCardNumber } from "../codec/text_forms.ts";

/** Bytes kept of a message: far more than a payment has, well below what a NATS server takes (1 MiB by default). */
export const LETTER_BYTES_MAX = 256 * 1024;

const STAR = 0x2a;
/** Digits, with a space or a hyphen between groups of them. */
const GROUPS = /\d(?:[ -]?\d){11,}/g;
const UNBROKEN = /\d{12,}/g;
/** 16 digits from 1: microseconds since 1970 look so, and no card number does. */
const TIME = /^1\d{15}$/;

/** A copy with card numbers starred out, cut at LETTER_BYTES_MAX. */
export function letterBytes(message: Uint8Array): Uint8Array {
  const bytes = Buffer.from(message.subarray(0, LETTER_BYTES_MAX));
  // One character a byte, so that places in the text are places in the bytes.
  const text = bytes.toString("latin1");
  for (const pattern of [GROUPS, UNBROKEN]) {
    for (const found of text.matchAll(pattern)) {
      const end = found.index + found[0].length;
      if (!TIME.test(found[0]) && isCardNumber(bytes, found.index, end)) bytes.fill(STAR, found.index, end);
    }
  }
  return bytes;
}
