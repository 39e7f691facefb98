/**
 * Owns the deadlines of all pending calls: a wheel of 10 ms slots, each a doubly linked list through the waiting
 * objects themselves. Adding and removing are a few pointer writes and one timer serves all. A call expires within
 * one slot after its deadline, never before it.
 */
import type { Clock, Timers } from "../../runtime/ports.ts";

/** Width of a slot, milliseconds. */
export const SLOT_MS = 10;
const SLOTS = 1024;

/** Something with a deadline. The links belong to the wheel. */
export interface Expiring {
  /** The slot number it expires in; -1 while it is in no list. */
  expires_slot: number;
  before: Expiring | null;
  after: Expiring | null;
  /** The deadline has passed; it is in the wheel no more. Must not throw. */
  expire(): void;
}

export class DeadlineWheel {
  readonly #clock: Clock;
  readonly #heads: (Expiring | null)[] = new Array<Expiring | null>(SLOTS).fill(null);
  #now_slot: number;
  #stop: (() => void) | null = null;
  /** Calls with a deadline now. */
  size = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#now_slot = this.#slotOf(clock.monotonicUs());
  }

  /** Adds with a deadline `delay_ms` from now. */
  add(waiting: Expiring, delay_ms: number): void {
    const at_us = this.#clock.monotonicUs() + delay_ms * 1000;
    const slot = Math.max(this.#slotOf(at_us) + 1, this.#now_slot + 1);
    const head = this.#heads[slot % SLOTS];
    waiting.expires_slot = slot;
    waiting.before = null;
    waiting.after = head;
    if (head !== null) head.before = waiting;
    this.#heads[slot % SLOTS] = waiting;
    this.size++;
  }

  /** Takes out; nothing happens when it is not in. */
  remove(waiting: Expiring): void {
    if (waiting.expires_slot < 0) return;
    const { before, after } = waiting;
    if (before === null) this.#heads[waiting.expires_slot % SLOTS] = after;
    else before.after = after;
    if (after !== null) after.before = before;
    waiting.before = null;
    waiting.after = null;
    waiting.expires_slot = -1;
    this.size--;
  }

  /** Expires all whose slot has passed. Called by the timer; tests call it with their own clock. */
  advance(): void {
    const to = this.#slotOf(this.#clock.monotonicUs());
    // After a long pause every list is visited once, not once for each missed turn.
    const from = Math.max(this.#now_slot + 1, to - SLOTS + 1);
    this.#now_slot = Math.max(to, this.#now_slot);
    for (let slot = from; slot <= to; slot++) this.#expireList(slot % SLOTS, to);
  }

  start(timers: Timers): void {
    this.#stop ??= timers.every(SLOT_MS, () => this.advance());
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  #expireList(index: number, to: number): void {
    const due: Expiring[] = [];
    for (let w = this.#heads[index]; w !== null; w = w.after) if (w.expires_slot <= to) due.push(w);
    for (const w of due) {
      // An earlier expire() may have taken it out, or put it back with a later deadline.
      if (w.expires_slot < 0 || w.expires_slot > to) continue;
      this.remove(w);
      w.expire();
    }
  }

  #slotOf(us: number): number {
    return Math.floor(us / (SLOT_MS * 1000));
  }
}
