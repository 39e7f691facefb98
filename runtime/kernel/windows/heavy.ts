/**
 * One heavy actor: more events than a scan may touch. It keeps, beside its events and running sums, the newest position
 * of each counterparty, the positions of ids and the suffix maxima, so that append and query cost a few memory accesses
 * however many events are held; a late event costs as much as there are newer ones.
 */
import { CHUNK_EVENTS } from "./event_arena.ts";
import {
  amountAt,
  FRAUD,
  NO_AMOUNT,
  REVERSED,
  SUPERSEDED,
  timeAt,
  WORD_COUNTERPARTY,
  WORD_ID_HI,
  WORD_ID_LO,
} from "./event_words.ts";
import { Handles } from "./handles.ts";
import { B_FRAUDS, HeavyBoundaries } from "./heavy_boundaries.ts";
import { POSITION_MASK } from "./heavy_store.ts";
import { MaxDeque } from "./max_deque.ts";
import { PositionMap } from "./position_map.ts";
import { addEvent, RADIX, T_COUNT, T_DISTINCT, T_MAX, T_SQUARES_HI, T_SQUARES_LO, TALLY } from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

export class Heavy extends HeavyBoundaries {
  /** Time of the newest event. */
  private newestUs = Number.NEGATIVE_INFINITY;
  private oldestUs = Number.POSITIVE_INFINITY;
  /** Counterparty -> handle of its newest event. */
  private readonly newestOf = new PositionMap();
  /** Low word of the id -> handle. */
  private readonly ids: PositionMap | null;
  private readonly handles = new Handles();
  private readonly maxima = new MaxDeque();
  private readonly shadow: Float64Array;
  /** Of the last append: time of the newest earlier event of the same counterparty, -Infinity without. */
  metUs = Number.NEGATIVE_INFINITY;

  constructor(plan: WindowPlan) {
    super(plan);
    this.ids = plan.ids ? new PositionMap() : null;
    this.shadow = new Float64Array(TALLY + plan.windows);
  }

  /** Events later than timeUs. */
  newer(timeUs: number): number {
    if (timeUs >= this.newestUs) return 0;
    return (this.end - this.after(timeUs)) & POSITION_MASK;
  }

  /** Adds an event; `flags` may hold FRAUD and REVERSED (when loaded). */
  append(timeUs: number, amount: number, cp: number, idHi: number, idLo: number, frame: number, flags: number): void {
    this.openEnd();
    const own = Number.isNaN(amount) ? flags | NO_AMOUNT : flags;
    if (timeUs < this.newestUs) this.insert(timeUs, amount, cp, idHi, idLo, frame, own);
    else this.push(timeUs, amount, cp, idHi, idLo, frame, own);
  }

  private push(
    timeUs: number,
    amount: number,
    cp: number,
    idHi: number,
    idLo: number,
    frame: number,
    own: number,
  ): void {
    const position = this.end;
    this.newestUs = timeUs;
    if (position === this.head) this.oldestUs = timeUs;
    this.end = (position + 1) & POSITION_MASK;
    this.metUs = Number.NEGATIVE_INFINITY;
    let back = 0;
    const handle = this.handles.take(position, this.head);
    if ((own & REVERSED) === 0) {
      const known = this.newestOf.swap(cp, handle);
      if (known >= 0) {
        const met = this.handles.position(known);
        back = (position - met) & POSITION_MASK;
        this.metUs = this.supersede(met);
      }
      if ((own & NO_AMOUNT) === 0) this.maxima.push(position, amount);
    }
    this.write(position, timeUs, amount, cp, idHi, idLo, frame, own, back);
    if (this.ids !== null && (idHi | idLo) !== 0) this.ids.add(idLo, handle);
    this.enter(position);
  }

  /** Position of the newest event of a counterparty, -1 without. */
  private newest(cp: number): number {
    const handle = this.newestOf.get(cp);
    return handle < 0 ? -1 : this.handles.position(handle);
  }

  /** Marks an event as followed by another of its counterparty; returns its time. */
  private supersede(position: number): number {
    const words = this.wordsOf(position);
    const o = this.offsetOf(position);
    words[o + 1] |= SUPERSEDED;
    this.changeDistinct(position, -1);
    return timeAt(words, o);
  }

  private unsupersede(position: number): void {
    this.setFlag(position, SUPERSEDED, false);
    this.changeDistinct(position, 1);
  }

  private insert(
    timeUs: number,
    amount: number,
    cp: number,
    idHi: number,
    idLo: number,
    frame: number,
    flags: number,
  ): void {
    const position = this.after(timeUs);
    // Its neighbours of the same counterparty, by the positions before the move.
    let next = -1;
    let met = this.newest(cp);
    while (met >= 0 && this.rank(met) >= this.rank(position)) {
      next = met;
      met = this.previousOf(met);
    }
    this.moveUp(position);
    const handle = this.handles.take(position, this.head);
    const back = met < 0 ? 0 : (position - met) & POSITION_MASK;
    let own = flags;
    if (next >= 0) {
      own |= SUPERSEDED;
      this.setBack((next + 1) & POSITION_MASK, (next + 1 - position) & POSITION_MASK);
    } else this.newestOf.swap(cp, handle);
    this.write(position, timeUs, amount, cp, idHi, idLo, frame, own, back);
    if (this.ids !== null && (idHi | idLo) !== 0) this.ids.add(idLo, handle);
    if (position === this.head) this.oldestUs = timeUs;
    this.forget(position);
    this.maxima.shift(position, this.head);
    if ((own & NO_AMOUNT) === 0) this.maxima.insert(position, this.head, amount);
    this.enter(position);
    if (met >= 0 && next < 0) this.supersede(met);
    this.metUs = met < 0 ? Number.NEGATIVE_INFINITY : this.timeOf(met);
  }

  /** Moves the events from `position` on up by one: chunk by chunk from the newest, the last of each to the next. */
  private moveUp(position: number): void {
    const { stride } = this.plan;
    this.handles.moveUp(position, this.end, this.head);
    for (let to = this.end; to !== position; ) {
      this.unshare(to);
      const inChunk = to & (CHUNK_EVENTS - 1);
      const left = (to - position) & POSITION_MASK;
      const words = this.wordsOf(to);
      const o = this.offsetOf(to);
      if (inChunk === 0) {
        const p = (to - 1) & POSITION_MASK;
        const source = this.wordsOf(p);
        const q = this.offsetOf(p);
        for (let k = 0; k < stride; k++) words[o + k] = source[q + k];
        to = p;
      } else {
        const n = Math.min(inChunk, left);
        words.copyWithin(o - (n - 1) * stride, o - n * stride, o);
        to = (to - n) & POSITION_MASK;
      }
    }
    this.unshare(position);
    const end = (this.end + 1) & POSITION_MASK;
    this.end = end;
    // The one before did not move unless it lies at `position` or behind.
    for (let p = (position + 1) & POSITION_MASK, moved = 0; p !== end; p = (p + 1) & POSITION_MASK, moved++) {
      const words = this.wordsOf(p);
      const o = this.offsetOf(p) + stride - 1;
      if (words[o] > moved) words[o]++;
    }
  }

  /** Drops at most `limit` of the oldest events with time <= cutoffUs; returns how many. */
  drop(cutoffUs: number, limit: number): number {
    let n = 0;
    while (this.oldestUs <= cutoffUs && n < limit && this.head !== this.end) {
      this.dropOldest();
      n++;
    }
    return n;
  }

  private dropOldest(): void {
    const head = this.head;
    const words = this.wordsOf(head);
    const o = this.offsetOf(head);
    this.leaveOldest();
    const handle = this.handles.handle(head);
    if ((words[o + 1] & (REVERSED | SUPERSEDED)) === 0) this.newestOf.remove(words[o + WORD_COUNTERPARTY], handle);
    if (this.ids !== null && (words[o + WORD_ID_HI] | words[o + WORD_ID_LO]) !== 0) {
      this.ids.remove(words[o + WORD_ID_LO], handle);
    }
    this.handles.release(head);
    if (this.maxima.length > 0 && this.maxima.position(0) === head) this.maxima.popFront();
    this.head = (head + 1) & POSITION_MASK;
    if ((this.head & (CHUNK_EVENTS - 1)) === 0) this.releaseChunk(head >>> 6);
    this.oldestUs = this.head === this.end ? Number.POSITIVE_INFINITY : this.timeOf(this.head);
  }

  /** Position of the newest event with the id, -1 when none is held. */
  findId(idHi: number, idLo: number): number {
    if (this.ids === null) return -1;
    let best = -1;
    for (let h = this.ids.first(idLo); h >= 0; h = this.ids.next()) {
      const p = this.handles.position(h);
      if (this.wordsOf(p)[this.offsetOf(p) + WORD_ID_HI] !== idHi) continue;
      if (best < 0 || this.rank(p) > this.rank(best)) best = p;
    }
    return best;
  }

  /** Marks or unmarks fraud; the event must be held. */
  setFraud(position: number, fraud: boolean): void {
    const flags = this.flagsOf(position);
    if (((flags & FRAUD) !== 0) === fraud) return;
    this.unshare(position);
    this.setFlag(position, FRAUD, fraud);
    if ((flags & REVERSED) !== 0) return;
    this.changeFraud(position, fraud ? 1 : -1);
    this.forgetOne(position);
  }

  /** Takes the event out of every window; it stays held. */
  reverse(position: number): void {
    const flags = this.flagsOf(position);
    if ((flags & REVERSED) !== 0) return;
    const cp = this.wordsOf(position)[this.offsetOf(position) + WORD_COUNTERPARTY];
    const before = this.previousOf(position);
    const next = (flags & SUPERSEDED) === 0 ? -1 : this.nextOf(position, cp);
    this.unshare(position);
    this.leave(position);
    this.setFlag(position, SUPERSEDED, false);
    this.setFlag(position, REVERSED, true);
    this.setBack(position, 0);
    if (next >= 0) this.setBack(next, before < 0 ? 0 : (next - before) & POSITION_MASK);
    else if (before >= 0) {
      this.newestOf.swap(cp, this.handles.handle(before));
      this.unsupersede(before);
    } else this.newestOf.remove(cp, this.handles.handle(position));
    this.forgetOne(position);
    if ((flags & NO_AMOUNT) === 0) this.uncover(position);
  }

  /** The next event of the counterparty: by scan from the event or the chain from the newest, whichever is first. */
  private nextOf(position: number, cp: number): number {
    let chain = this.newest(cp);
    for (let p = (position + 1) & POSITION_MASK; ; p = (p + 1) & POSITION_MASK) {
      const words = this.wordsOf(p);
      const o = this.offsetOf(p);
      if (words[o + WORD_COUNTERPARTY] === cp && (words[o + 1] & REVERSED) === 0) return p;
      const previous = this.previousOf(chain);
      if (previous === position) return chain;
      chain = previous;
    }
  }

  /** Repairs the maxima after the event at `position` was reversed. */
  private uncover(position: number): void {
    const d = this.maxima;
    const i = d.search(position, this.head, 0);
    if (i === d.length || d.position(i) !== position) return;
    d.removeAt(i);
    const stop = i === 0 ? this.head : (d.position(i - 1) + 1) & POSITION_MASK;
    let floor = i < d.length ? d.amount(i) : -1;
    for (let p = position; p !== stop; ) {
      const chunk = (p - CHUNK_EVENTS) & POSITION_MASK;
      if (((p - stop) & POSITION_MASK) >= CHUNK_EVENTS && this.wholeChunk(chunk, p)) {
        const c = this.summary(chunk);
        if (this.summaryWords()[c + T_MAX] <= floor) {
          p = chunk;
          continue;
        }
      }
      p = (p - 1) & POSITION_MASK;
      const words = this.wordsOf(p);
      const o = this.offsetOf(p);
      if ((words[o + 1] & (REVERSED | NO_AMOUNT)) !== 0) continue;
      const a = amountAt(words, o);
      if (a <= floor) continue;
      d.insert(p, this.head, a);
      floor = a;
    }
  }

  /**
   * The tallies for a query at timeUs, to be read only and at once; with `delayed` fills the plan's delayed counts.
   */
  query(timeUs: number, delayed: boolean): Float64Array {
    this.follow(timeUs);
    if (delayed) this.queryDelayed();
    if (timeUs >= this.newestUs) {
      this.maximaFrom(this.end, this.sums);
      return this.sums;
    }
    const { windows, tally } = this.plan;
    for (let k = 0; k < windows * TALLY; k++) tally[k] = this.sums[k];
    this.queryLate(timeUs);
    return tally;
  }

  private queryDelayed(): void {
    const { windows, delayedWindows, delayed } = this.plan;
    const s = this.sums;
    const end = windows * TALLY;
    for (let w = 0; w < delayedWindows; w++) {
      const start = end + (w + 1) * TALLY;
      delayed[w * 2] = s[start + T_COUNT] - s[end + T_COUNT];
      delayed[w * 2 + 1] = s[start + B_FRAUDS] - s[end + B_FRAUDS];
    }
  }

  /** Maxima of the windows that end before `stop`. */
  private maximaFrom(stop: number, tally: Float64Array): void {
    const { windows } = this.plan;
    const d = this.maxima;
    let i = 0;
    for (let w = windows - 1; w >= 0; w--) {
      i = d.seek(this.tails[w], this.head, i);
      const held = i < d.length && this.rank(d.position(i)) < this.rank(stop);
      tally[w * TALLY + T_MAX] = held ? d.amount(i) : -1;
    }
    if (stop === this.end) return;
    // Where the maximum lies behind the end of a late query's window, the events before must be looked at.
    let from = stop;
    let max = -1;
    for (let w = 0; w < windows; w++) {
      if (tally[w * TALLY + T_MAX] >= 0) continue;
      max = this.maxOver(from, this.tails[w], max);
      tally[w * TALLY + T_MAX] = max;
      from = this.tails[w];
    }
  }

  /** The larger of `max` and the amounts of [to, from). */
  private maxOver(from: number, to: number, max: number): number {
    let best = max;
    for (let p = from; p !== to; ) {
      const chunk = (p - CHUNK_EVENTS) & POSITION_MASK;
      if (((p - to) & POSITION_MASK) >= CHUNK_EVENTS && this.wholeChunk(chunk, p)) {
        const c = this.summary(chunk);
        best = Math.max(best, this.summaryWords()[c + T_MAX]);
        p = chunk;
        continue;
      }
      p = (p - 1) & POSITION_MASK;
      const words = this.wordsOf(p);
      const o = this.offsetOf(p);
      if ((words[o + 1] & (REVERSED | NO_AMOUNT)) === 0) best = Math.max(best, amountAt(words, o));
    }
    return best;
  }

  /**
   * Takes the events after timeUs out of the tallies. A counterparty whose newest event is taken out still counts when
   * it has one in the window: exactly when the first of those taken out points back into the window.
   */
  private queryLate(timeUs: number): void {
    const { windows, tally } = this.plan;
    const stop = this.after(timeUs);
    const out = this.shadow.fill(0);
    const stopRank = this.rank(stop);
    for (let p = stop; p !== this.end; p = (p + 1) & POSITION_MASK) {
      const words = this.wordsOf(p);
      const o = this.offsetOf(p);
      const flags = words[o + 1];
      if ((flags & REVERSED) !== 0) continue;
      addEvent(out, 0, words, o, (flags & SUPERSEDED) === 0 ? 1 : 0);
      const r = this.previousOf(p) < 0 ? stopRank : this.rank(this.previousOf(p));
      if (r >= stopRank) continue;
      let w = 0;
      while (w < windows && this.rank(this.tails[w]) > r) w++;
      if (w < windows) out[TALLY + w]++;
    }
    let back = 0;
    for (let w = 0; w < windows; w++) {
      const i = w * TALLY;
      back += out[TALLY + w];
      for (let k = T_COUNT; k <= T_DISTINCT; k++) tally[i + k] -= out[k];
      tally[i + T_DISTINCT] += back;
      if (tally[i + T_SQUARES_LO] < 0) {
        tally[i + T_SQUARES_LO] += RADIX;
        tally[i + T_SQUARES_HI]--;
      }
    }
    this.maximaFrom(stop, tally);
  }

  /** Time of the newest event of a counterparty with time <= timeUs that is not reversed; -Infinity without. */
  latestOf(cp: number, timeUs: number): number {
    let p = this.newest(cp);
    while (p >= 0) {
      const time = this.timeOf(p);
      if (time <= timeUs) return time;
      p = this.previousOf(p);
    }
    return Number.NEGATIVE_INFINITY;
  }

  /** Allocated bytes beside the events' chunks. */
  bytes(): number {
    const maps = this.newestOf.bytes() + (this.ids?.bytes() ?? 0) + this.handles.bytes();
    return this.storeBytes() + maps + this.maxima.bytes() + this.sums.length * 8 + this.tails.length * 20 + 600;
  }
}
