/**
 * How an event lies in its words. Word 0: low 32 bits of the time. Word 1: high 20 bits of the time, high 8 bits of the
 * amount, 4 flags. Word 2: low 32 bits of the amount. Word 3: counterparty. Then, in tables with ids, id high and low;
 * then the frame; last the distance to the previous event of the same counterparty (kept for heavy actors only).
 * Times are integers 0 .. 2^52 - 1 (microseconds), amounts integers 0 .. 2^40 - 1 or NaN.
 */
export const NO_AMOUNT = 1;
export const REVERSED = 2;
export const FRAUD = 4;
/** A later event of the same counterparty, not reversed, is held. Derived: never exported. */
export const SUPERSEDED = 8;

export const WORD_COUNTERPARTY = 3;
export const WORD_ID_HI = 4;
export const WORD_ID_LO = 5;
export const STRIDE_WITH_IDS = 8;
export const STRIDE_WITHOUT_IDS = 6;
export const TIME_MAX = 2 ** 52 - 1;
export const AMOUNT_MAX = 2 ** 40 - 1;

const WORD = 4294967296;

/** Word of the frame, for a stride. */
export function frameWord(stride: number): number {
  return stride - 2;
}

export function timeAt(words: Uint32Array, o: number): number {
  return (words[o + 1] >>> 12) * WORD + words[o];
}

export function amountAt(words: Uint32Array, o: number): number {
  const mixed = words[o + 1];
  return (mixed & NO_AMOUNT) !== 0 ? Number.NaN : ((mixed >>> 4) & 255) * WORD + words[o + 2];
}

/** Writes words 0..3; flags other than NO_AMOUNT are the caller's. */
export function putEvent(
  words: Uint32Array,
  o: number,
  timeUs: number,
  amount: number,
  counterparty: number,
  flags: number,
): void {
  const high = Math.floor(timeUs / WORD);
  words[o] = timeUs - high * WORD;
  if (!Number.isNaN(amount)) {
    const amountHigh = Math.floor(amount / WORD);
    words[o + 1] = (high << 12) | (amountHigh << 4) | flags;
    words[o + 2] = amount - amountHigh * WORD;
  } else {
    words[o + 1] = (high << 12) | flags | NO_AMOUNT;
    words[o + 2] = 0;
  }
  words[o + WORD_COUNTERPARTY] = counterparty;
}

/** Writes the words behind putEvent's but the last: the id, in tables with ids, and the frame. */
export function putOrigin(
  words: Uint32Array,
  o: number,
  stride: number,
  idHi: number,
  idLo: number,
  frame: number,
): void {
  if (stride === STRIDE_WITH_IDS) {
    words[o + WORD_ID_HI] = idHi;
    words[o + WORD_ID_LO] = idLo;
  }
  words[o + frameWord(stride)] = frame;
}
