/**
 * Summaries of a light actor's events, GROUP at a time: what a window takes from a group that lies wholly in it, and
 * two signatures that say which counterparties and ids a group cannot hold. They lie behind the events in the same
 * segment, and only full groups have one; so a query looks at few events, and everything it reads is close together.
 */
import { CHUNK_CLASS, CLASS_EVENTS } from "./event_arena.ts";
import { FRAUD, REVERSED, SUPERSEDED, timeAt, WORD_COUNTERPARTY, WORD_ID_LO } from "./event_words.ts";
import { addEvent, T_AMOUNTS, T_COUNT, T_DISTINCT, T_MAX, T_SQUARES_HI, T_SQUARES_LO, T_SUM, TALLY } from "./tally.ts";

export const GROUP_BITS = 4;
export const GROUP = 1 << GROUP_BITS;
export const GROUP_MASK = GROUP - 1;

/** In 64-bit words: time of the first event, sum, squares (2 limbs), largest amount (-1 without). */
export const S_FIRST_US = 0;
export const S_SUM = 1;
export const S_SQUARES_HI = 2;
export const S_SQUARES_LO = 3;
export const S_MAX = 4;
/** In 32-bit words: number of events, of amounts, of events without a successor, of frauds: 8 bits each. */
export const S_COUNTS = 10;
export const COUNT_AMOUNTS = 8;
export const COUNT_DISTINCT = 16;
export const COUNT_FRAUDS = 24;
/** 128 bits over the counterparties, two a key; then (in tables with ids) as many over the low words of the ids. */
const S_COUNTERPARTIES = 11;
const S_IDS = 15;
const SUMMARY_WITHOUT_IDS = 16;
const SUMMARY_WITH_IDS = 20;

/** Most events of a light actor. Segments have an eighth more room, so that moving events down is rare. */
export const LIGHT_EVENTS = 768;
/** Events above which a segment holds summaries. */
const PLAIN_EVENTS = CLASS_EVENTS[CHUNK_CLASS];

export class Summaries {
  /** 32-bit words a summary. */
  readonly size: number;
  /** By 1 + class: events that fit; where the summaries begin in the segment, 32-bit words, -1 without. */
  readonly capacity = new Uint16Array(CLASS_EVENTS.length + 1);
  readonly start = new Int32Array(CLASS_EVENTS.length + 1).fill(-1);
  private readonly stride: number;
  private readonly ids: boolean;
  private readonly sums = new Float64Array(TALLY);
  /** Smallest 1 + class by number of events. */
  private readonly classes = new Uint8Array(LIGHT_EVENTS + 1);

  constructor(stride: number, ids: boolean) {
    this.stride = stride;
    this.ids = ids;
    this.size = ids ? SUMMARY_WITH_IDS : SUMMARY_WITHOUT_IDS;
    CLASS_EVENTS.forEach((events, c) => {
      const groups = Math.floor((events * stride) / (GROUP * stride + this.size));
      this.capacity[c + 1] = events <= PLAIN_EVENTS ? events : groups * GROUP;
      if (events > PLAIN_EVENTS) this.start[c + 1] = groups * GROUP * stride;
    });
    for (let n = 1, c = 1; n <= LIGHT_EVENTS; n++) {
      const wanted = n <= PLAIN_EVENTS ? n : n + Math.max(GROUP, n >>> 3);
      while (this.capacity[c] < wanted) c++;
      this.classes[n] = c;
    }
  }

  /** 1 + class for an actor that is to hold n events. */
  classOf(n: number): number {
    return this.classes[n];
  }

  /** Sums up the full group whose events begin at word `o` into the summary at word `s`. */
  write(words: Uint32Array, doubles: Float64Array, o: number, s: number): void {
    const { stride, sums } = this;
    let frauds = 0;
    sums.fill(0);
    sums[T_MAX] = -1;
    words.fill(0, s + S_COUNTERPARTIES, s + this.size);
    for (let k = 0, p = o; k < GROUP; k++, p += stride) {
      mark(words, s + S_COUNTERPARTIES, words[p + WORD_COUNTERPARTY]);
      if (this.ids) mark(words, s + S_IDS, words[p + WORD_ID_LO]);
      const flags = words[p + 1];
      if ((flags & REVERSED) !== 0) continue;
      if ((flags & FRAUD) !== 0) frauds++;
      addEvent(sums, 0, words, p, (flags & SUPERSEDED) === 0 ? 1 : 0);
    }
    const d = s >>> 1;
    doubles[d + S_FIRST_US] = timeAt(words, o);
    doubles[d + S_SUM] = sums[T_SUM];
    doubles[d + S_SQUARES_HI] = sums[T_SQUARES_HI];
    doubles[d + S_SQUARES_LO] = sums[T_SQUARES_LO];
    doubles[d + S_MAX] = sums[T_MAX];
    words[s + S_COUNTS] =
      sums[T_COUNT] |
      (sums[T_AMOUNTS] << COUNT_AMOUNTS) |
      (sums[T_DISTINCT] << COUNT_DISTINCT) |
      (frauds << COUNT_FRAUDS);
  }

  /** Whether the group of the summary may hold an event of the counterparty. */
  mayHold(words: Uint32Array, s: number, counterparty: number): boolean {
    return marked(words, s + S_COUNTERPARTIES, counterparty);
  }

  /** Whether the group of the summary may hold an event whose id has this low word. */
  mayHoldId(words: Uint32Array, s: number, idLo: number): boolean {
    return marked(words, s + S_IDS, idLo);
  }
}

/** With 16 keys of two bits each in 128, one group in twenty says yes to a key that it does not hold. */
function mark(words: Uint32Array, at: number, key: number): void {
  const h = Math.imul(key, 0x9e3779b1);
  words[at + (h >>> 30)] |= 1 << ((h >>> 25) & 31);
  words[at + ((h >>> 23) & 3)] |= 1 << ((h >>> 18) & 31);
}

function marked(words: Uint32Array, at: number, key: number): boolean {
  const h = Math.imul(key, 0x9e3779b1);
  const first = words[at + (h >>> 30)] >>> ((h >>> 25) & 31);
  const second = words[at + ((h >>> 23) & 3)] >>> ((h >>> 18) & 31);
  return (first & second & 1) !== 0;
}
