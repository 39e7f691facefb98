/**
 * What a window sums up, exactly: seven numbers a window in a Float64Array (a "tally"), and how the six columns follow
 * from them. The sum of squares is an integer in two limbs of radix 2^45, so that it neither drifts nor depends on the
 * order of additions: the same set of events gives the same bits, however it was reached.
 */
import { amountAt, NO_AMOUNT } from "./event_words.ts";

export const T_COUNT = 0;
/** Events with an amount. */
export const T_AMOUNTS = 1;
export const T_SUM = 2;
export const T_SQUARES_HI = 3;
export const T_SQUARES_LO = 4;
export const T_DISTINCT = 5;
/** Largest amount; -1 without any. */
export const T_MAX = 6;
export const TALLY = 8;

/** Columns a window writes: count, sum, mean, std, max, distinct. */
export const WINDOW_STATS = 6;

/** Weight of the high limb. */
export const RADIX = 2 ** 45;
const INVERSE_RADIX = 2 ** -45;
/** Below it the square is below one low limb. */
export const SMALL_AMOUNT = 2 ** 22;
/** Below it a * a is exact. */
const EXACT_SQUARE = 94906265;
const LIMB = 2 ** 22;

/** High limb of a * a, for integers 0 <= a < 2^40. */
export function squareHi(a: number): number {
  if (a < EXACT_SQUARE) return Math.floor(a * a * INVERSE_RADIX);
  return exactHi(a);
}

/** Low limb of a * a when the high limb is `hi`. */
export function squareLo(a: number, hi: number): number {
  if (a < EXACT_SQUARE) return a * a - hi * RADIX;
  return exactLo(a);
}

// With a = h * 2^22 + l: a * a = h^2 * 2^44 + h * l * 2^23 + l^2; each part is split at 2^45 before it is added.
function exactLow(h: number, l: number): number {
  return ((h * l) % LIMB) * (2 * LIMB) + ((h * h) % 2) * (LIMB * LIMB) + l * l;
}

function exactHi(a: number): number {
  const l = a % LIMB;
  const h = (a - l) / LIMB;
  return Math.floor((h * l) / LIMB) + Math.floor((h * h) / 2) + Math.floor(exactLow(h, l) / RADIX);
}

function exactLo(a: number): number {
  const l = a % LIMB;
  return exactLow((a - l) / LIMB, l) % RADIX;
}

/**
 * Adds the event at word `o`, which is not reversed, to the tally at `at`; `last` is 1 when its counterparty has no
 * later one, else 0. The low limb stays below RADIX: however many events are added, nothing is rounded. The event comes
 * as words, since a float among the arguments would be boxed.
 */
export function addEvent(tally: Float64Array, at: number, words: Uint32Array, o: number, last: number): void {
  const mixed = words[o + 1];
  tally[at + T_COUNT]++;
  tally[at + T_DISTINCT] += last;
  if ((mixed & NO_AMOUNT) !== 0) return;
  const a = amountAt(words, o);
  tally[at + T_AMOUNTS]++;
  tally[at + T_SUM] += a;
  if (a > tally[at + T_MAX]) tally[at + T_MAX] = a;
  let low = a * a;
  if (a >= SMALL_AMOUNT) {
    const high = squareHi(a);
    tally[at + T_SQUARES_HI] += high;
    low = squareLo(a, high);
  }
  low += tally[at + T_SQUARES_LO];
  if (low >= RADIX) {
    low -= RADIX;
    tally[at + T_SQUARES_HI]++;
  }
  tally[at + T_SQUARES_LO] = low;
}

/**
 * Takes an event that addEvent added out again, all but the maximum; whether its amount was the maximum, which then is
 * to be found anew.
 */
export function takeEvent(tally: Float64Array, at: number, words: Uint32Array, o: number, last: number): boolean {
  const mixed = words[o + 1];
  tally[at + T_COUNT]--;
  tally[at + T_DISTINCT] -= last;
  if ((mixed & NO_AMOUNT) !== 0) return false;
  const a = amountAt(words, o);
  tally[at + T_AMOUNTS]--;
  tally[at + T_SUM] -= a;
  let low = tally[at + T_SQUARES_LO];
  if (a < SMALL_AMOUNT) low -= a * a;
  else {
    const high = squareHi(a);
    tally[at + T_SQUARES_HI] -= high;
    low -= squareLo(a, high);
  }
  if (low < 0) {
    low += RADIX;
    tally[at + T_SQUARES_HI]--;
  }
  tally[at + T_SQUARES_LO] = low;
  return a === tally[at + T_MAX];
}

const SPLITTER = 134217729;

/**
 * Population variance from exact integers: (sum((a - m)^2) - n * (S/n - m)^2)/n, m the rounded mean; the first sum is
 * S2 - m * S - m * (S - n * m), where m * S is taken as an exact pair (Dekker's product), so that nothing cancels.
 */
export function variance(n: number, sum: number, mean: number, hi: number, lo: number): number {
  const m = Math.floor(mean + 0.5);
  const rest = sum - n * m;
  const p = m * sum;
  let c = SPLITTER * m;
  const mh = c - (c - m);
  const ml = m - mh;
  c = SPLITTER * sum;
  const sh = c - (c - sum);
  const sl = sum - sh;
  const e = mh * sh - p + mh * sl + ml * sh + ml * sl;
  const v = (hi * RADIX - p + (lo - e) - m * rest - rest * (rest / n)) / n;
  return Math.max(0, v);
}

/** Writes the six columns of each window from the tallies (the low limb may hold up to 2^53). */
export function writeColumns(tally: Float64Array, windows: number, out: Float32Array, at: number): void {
  for (let w = 0; w < windows; w++) {
    const i = w * TALLY;
    const o = at + w * WINDOW_STATS;
    const count = tally[i + T_COUNT];
    if (w > 0 && count === tally[i - TALLY + T_COUNT]) {
      // Windows are nested: the same count is the same set.
      for (let s = 0; s < WINDOW_STATS; s++) out[o + s] = out[o - WINDOW_STATS + s];
      continue;
    }
    const n = tally[i + T_AMOUNTS];
    const sum = tally[i + T_SUM];
    out[o] = count;
    out[o + 1] = sum;
    out[o + 5] = tally[i + T_DISTINCT];
    if (n === 0) {
      out[o + 2] = Number.NaN;
      out[o + 3] = Number.NaN;
      out[o + 4] = Number.NaN;
      continue;
    }
    const low = tally[i + T_SQUARES_LO];
    const carry = Math.floor(low * INVERSE_RADIX);
    const mean = sum / n;
    out[o + 2] = mean;
    out[o + 3] = n === 1 ? 0 : Math.sqrt(variance(n, sum, mean, tally[i + T_SQUARES_HI] + carry, low - carry * RADIX));
    out[o + 4] = tally[i + T_MAX];
  }
}

/** Writes count and share of frauds of each delayed window from pairs (count, frauds). */
export function writeDelayed(delayed: Float64Array, windows: number, out: Float32Array, at: number): void {
  for (let w = 0; w < windows; w++) {
    const count = delayed[w * 2];
    out[at + w * 2] = count;
    out[at + w * 2 + 1] = count === 0 ? 0 : delayed[w * 2 + 1] / count;
  }
}
