/**
 * Owns what a dead letter holds of the message it is about: never a card number, never more than a stream takes. The
 * message may be anything, also unreadable, so it is searched as bytes.
 */
import { isCardNumber } from "../codec/text_forms.ts";

/** Bytes kept of a message: far more than a payment has, well below what a NATS server takes (1 MiB by default). */
export const LETTER_BYTES_MAX = 256 * 1024;

const STAR = 0x2a;
/** Groups of digits with one space or hyphen between them. */
const RUNS = /\d+(?:[ -]\d+)*/g;
const GROUP = /\d+/g;
/** 16 digits from 1: microseconds since 1970 look so, and no card number does. */
const TIME = /^1\d{15}$/;
/** Groups that a card number may be written in. */
const GROUPS_MAX = 8;

/** A copy with card numbers starred out, cut at LETTER_BYTES_MAX. */
export function letterBytes(message: Uint8Array): Uint8Array {
  const bytes = Buffer.from(message);
  // One character a byte, so that places in the text are places in the bytes.
  for (const run of bytes.toString("latin1").matchAll(RUNS)) if (run[0].length >= 12) starRun(bytes, run[0], run.index);
  return bytes.subarray(0, LETTER_BYTES_MAX);
}

/** Other digits may stand beside a card number: every span of whole groups is looked at. */
function starRun(bytes: Buffer, text: string, at: number): void {
  const groups = [...text.matchAll(GROUP)];
  for (const [i, first] of groups.entries()) {
    for (const last of groups.slice(i, i + GROUPS_MAX)) {
      const from = at + first.index;
      const end = at + last.index + last[0].length;
      if (end - from > 19 + GROUPS_MAX) break;
      if (!TIME.test(text.slice(first.index, end - at)) && isCardNumber(bytes, from, end)) bytes.fill(STAR, from, end);
    }
  }
}
