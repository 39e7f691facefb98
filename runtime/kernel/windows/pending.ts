/**
 * Rows that are not yet events: they count in a query as if they had been appended before it, in their order, those too
 * late left out. They are added to the tallies of the held events; a counterparty counts once, held or pending.
 */
import {
  RADIX,
  squareHi,
  squareLo,
  T_AMOUNTS,
  T_COUNT,
  T_DISTINCT,
  T_MAX,
  T_SQUARES_HI,
  T_SQUARES_LO,
  T_SUM,
  TALLY,
} from "./tally.ts";
import type { WindowPlan } from "./window_options.ts";

/** Uncommitted rows of one actor, oldest first: the first n of each column. Amount NaN: none. */
export interface PendingRows {
  readonly n: number;
  readonly timeUs: Float64Array;
  readonly amount: Float64Array;
  readonly counterparty: Uint32Array;
}

/** What the overlay must know of the held events of the actor. */
export interface HeldEvents {
  /** Events later than timeUs. */
  newer(slot: number, timeUs: number): number;
  /** For each counterparty of the overlay: calls overlay.meet(cp, newest time <= timeUs of an event not reversed). */
  meetAll(slot: number, timeUs: number, overlay: Overlay): void;
}

const NEVER = Number.NEGATIVE_INFINITY;

export class Overlay {
  /** Distinct counterparties of the rows, the first `met` of each column. */
  met = 0;
  counterparty = new Uint32Array(64);
  private pendingUs = new Float64Array(64);
  private heldUs = new Float64Array(64);
  private index = new Uint32Array(256);
  /** An index entry is of this query when its stamp is the current one. */
  private stamps = new Uint32Array(256);
  private stamp = 0;
  private accepted = new Uint8Array(64);
  private readonly plan: WindowPlan;
  private readonly added: Float64Array;

  constructor(plan: WindowPlan) {
    this.plan = plan;
    this.added = new Float64Array(plan.windows * TALLY);
  }

  /** Adds the rows to the plan's tallies of the query of `slot` at timeUs; newestUs is that of the held events. */
  add(slot: number, timeUs: number, newestUs: number, p: PendingRows, held: HeldEvents, delayed: boolean): void {
    this.begin(p.n);
    this.accept(slot, newestUs, p, held);
    const { windows, lengths, tally } = this.plan;
    const added = this.added.fill(0);
    for (let w = 0; w < windows; w++) added[w * TALLY + T_MAX] = -1;
    for (let i = 0; i < p.n; i++) {
      const time = p.timeUs[i];
      if (this.accepted[i] === 0 || time > timeUs) continue;
      if (delayed) this.addDelayed(timeUs, time);
      let w = 0;
      while (w < windows && time <= timeUs - lengths[w]) w++;
      if (w === windows) continue;
      addRow(added, w * TALLY, p.amount[i]);
      this.see(p.counterparty[i], time);
    }
    if (this.met > 0) held.meetAll(slot, timeUs, this);
    for (let k = 0; k < this.met; k++) this.addCounterparty(timeUs, this.pendingUs[k], this.heldUs[k]);
    for (let w = 0; w < windows; w++) accumulate(tally, added, w * TALLY);
  }

  /** Tells the newest held time of a counterparty; ones that no row has are ignored. */
  meet(cp: number, timeUs: number): void {
    const i = this.find(cp);
    if (this.stamps[i] !== this.stamp) return;
    const k = this.index[i];
    if (timeUs > this.heldUs[k]) this.heldUs[k] = timeUs;
  }

  /** Which rows an append would take: not those too late, measured as append does. */
  private accept(slot: number, newestUs: number, p: PendingRows, held: HeldEvents): void {
    const { lateUs, lateEventsMax } = this.plan;
    let newest = newestUs;
    for (let i = 0; i < p.n; i++) {
      const time = p.timeUs[i];
      this.accepted[i] = 1;
      if (time >= newest) newest = time;
      else if (newest - time > lateUs) this.accepted[i] = 0;
      else if (time < newestUs || i > lateEventsMax) {
        let newer = time < newestUs ? held.newer(slot, time) : 0;
        if (newer + i > lateEventsMax) {
          for (let k = 0; k < i; k++) if (this.accepted[k] === 1 && p.timeUs[k] > time) newer++;
          if (newer > lateEventsMax) this.accepted[i] = 0;
        }
      }
    }
  }

  private addDelayed(timeUs: number, time: number): void {
    const { windows, delayedWindows, delayed, lengths } = this.plan;
    if (time > timeUs - lengths[windows]) return;
    for (let w = 0; w < delayedWindows; w++) if (time > timeUs - lengths[windows + 1 + w]) delayed[w * 2]++;
  }

  /** One more in the windows that hold a pending event of the counterparty but no held one. */
  private addCounterparty(timeUs: number, pendingUs: number, heldUs: number): void {
    const { windows, lengths } = this.plan;
    let from = 0;
    while (from < windows && pendingUs <= timeUs - lengths[from]) from++;
    let to = from;
    while (to < windows && heldUs <= timeUs - lengths[to]) to++;
    if (from === to) return;
    this.added[from * TALLY + T_DISTINCT]++;
    if (to < windows) this.added[to * TALLY + T_DISTINCT]--;
  }

  private see(cp: number, timeUs: number): void {
    const i = this.find(cp);
    let k = this.index[i];
    if (this.stamps[i] !== this.stamp) {
      k = this.met++;
      this.index[i] = k;
      this.stamps[i] = this.stamp;
      this.counterparty[k] = cp;
      this.pendingUs[k] = NEVER;
      this.heldUs[k] = NEVER;
    }
    if (timeUs > this.pendingUs[k]) this.pendingUs[k] = timeUs;
  }

  private find(cp: number): number {
    const mask = this.index.length - 1;
    let i = (Math.imul(cp ^ (cp >>> 16), 0x9e3779b1) >>> 8) & mask;
    while (this.stamps[i] === this.stamp && this.counterparty[this.index[i]] !== cp) i = (i + 1) & mask;
    return i;
  }

  private begin(n: number): void {
    this.met = 0;
    this.stamp = (this.stamp + 1) >>> 0;
    if (this.stamp === 0) this.stamps.fill(this.stamp++);
    if (n <= this.accepted.length) return;
    const size = 2 ** Math.ceil(Math.log2(n));
    this.accepted = new Uint8Array(size);
    this.counterparty = new Uint32Array(size);
    this.pendingUs = new Float64Array(size);
    this.heldUs = new Float64Array(size);
    this.index = new Uint32Array(size * 4);
    this.stamps = new Uint32Array(size * 4);
  }
}

function addRow(added: Float64Array, i: number, a: number): void {
  added[i + T_COUNT]++;
  if (Number.isNaN(a)) return;
  const hi = squareHi(a);
  added[i + T_AMOUNTS]++;
  added[i + T_SUM] += a;
  added[i + T_SQUARES_HI] += hi;
  added[i + T_SQUARES_LO] += squareLo(a, hi);
  if (added[i + T_SQUARES_LO] >= RADIX) {
    added[i + T_SQUARES_LO] -= RADIX;
    added[i + T_SQUARES_HI]++;
  }
  if (a > added[i + T_MAX]) added[i + T_MAX] = a;
}

/** Adds the next shorter window's additions to this one's, and both to the tally. */
function accumulate(tally: Float64Array, added: Float64Array, i: number): void {
  if (i > 0) {
    for (let k = T_COUNT; k <= T_DISTINCT; k++) added[i + k] += added[i - TALLY + k];
    if (added[i - TALLY + T_MAX] > added[i + T_MAX]) added[i + T_MAX] = added[i - TALLY + T_MAX];
  }
  for (let k = T_COUNT; k <= T_DISTINCT; k++) tally[i + k] += added[i + k];
  if (added[i + T_MAX] > tally[i + T_MAX]) tally[i + T_MAX] = added[i + T_MAX];
}
