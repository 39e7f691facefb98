/**
 * What a segment with many events holds behind them: summaries of the full groups of GROUP events (what a window takes
 * from a group that lies wholly in it); a byte of each event's counterparty and, in tables with ids, of its id, which
 * every append looks through (see fingerprints.ts); standing tallies (see standing.ts).
 */
import { CHUNK_CLASS, CLASS_EVENTS } from "./event_arena.ts";
import { FRAUD, REVERSED, SUPERSEDED, timeAt } from "./event_words.ts";
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
/** 32-bit words a summary. */
export const SUMMARY = 12;
/** Most events of a light actor. Segments have about an eighth more room, so that moving events down is rare. */
export const LIGHT_EVENTS = 768;
/** Events above which a segment holds summaries. */
const PLAIN_EVENTS = CLASS_EVENTS[CHUNK_CLASS];

export class Summaries {
  /** By 1 + class: events that fit; in 32-bit words, -1 without: where each part begins. */
  readonly capacity = new Uint16Array(CLASS_EVENTS.length + 1);
  readonly start = new Int32Array(CLASS_EVENTS.length + 1).fill(-1);
  readonly counterparties = new Int32Array(CLASS_EVENTS.length + 1).fill(-1);
  readonly idBytes = new Int32Array(CLASS_EVENTS.length + 1).fill(-1);
  readonly standing = new Int32Array(CLASS_EVENTS.length + 1).fill(-1);
  private readonly stride: number;
  private readonly sums = new Float64Array(TALLY);
  /** Smallest 1 + class by number of events. */
  private readonly classes = new Uint8Array(LIGHT_EVENTS + 1);

  /** `stride`: words an event; `standing`: words of standing tallies. */
  constructor(stride: number, ids: boolean, standing: number) {
    this.stride = stride;
    const bytes = ids ? 2 : 1;
    CLASS_EVENTS.forEach((events, c) => {
      this.capacity[c + 1] = events;
      if (events <= PLAIN_EVENTS) return;
      const groups = Math.floor((events * stride - standing) / (GROUP * stride + SUMMARY + (GROUP * bytes) / 4));
      this.capacity[c + 1] = groups * GROUP;
      this.start[c + 1] = groups * GROUP * stride;
      this.counterparties[c + 1] = this.start[c + 1] + groups * SUMMARY;
      this.idBytes[c + 1] = this.counterparties[c + 1] + (groups * GROUP) / 4;
      this.standing[c + 1] = this.counterparties[c + 1] + (groups * GROUP * bytes) / 4;
    });
    const most = this.capacity[CLASS_EVENTS.length];
    for (let n = 1, c = 1; n <= LIGHT_EVENTS; n++) {
      const wanted = n <= PLAIN_EVENTS ? n : Math.min(most, n + Math.max(GROUP, n >>> 3));
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
    for (let k = 0, p = o; k < GROUP; k++, p += stride) {
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
}
