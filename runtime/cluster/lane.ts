/**
 * One block of a gateway's rows on its way to the owners of their shards and back: where each row stands, which
 * requests may still answer it, and who waits for it. Lanes are pooled; nothing here knows nodes or time.
 */
import { type BatchSink, BLOCK_ROWS, RowBlock } from "../../proto/columns.ts";

/** States of a row. */
const ROW_NEW = 0;
/** Waits for a route, or for another try. */
export const ROW_PARKED = 1;
/** Its newest request has no answer yet. */
const ROW_ASKED = 2;
/** Has its result. */
export const ROW_DONE = 3;

/** Refusals counted: a parked row waits for 1, 1, 2, 4, at most 8 looks. */
export const REFUSALS_MAX = 4;

/** Rows of one lane that one node was asked for, in one frame. */
export interface RowsRequest {
  readonly id: number;
  readonly node: string;
  readonly lane: Lane;
  /** Rows of the lane's block, in the order of the frame. */
  readonly rows: Uint16Array;
  /** Monotonic time when rows still asked by this request are asked again, microseconds; Infinity: never. */
  again_us: number;
}

export class Lane {
  readonly block = new RowBlock();
  // By row.
  readonly state = new Uint8Array(BLOCK_ROWS);
  /** Id of the newest request with the row: an answer to an older one is late. */
  readonly asked = new Float64Array(BLOCK_ROWS);
  /** Version of the shard's route that the row was last sent by. */
  readonly version = new Uint32Array(BLOCK_ROWS);
  /** How often the row was refused by who is no owner or could not be sent, up to REFUSALS_MAX. */
  readonly refusals = new Uint8Array(BLOCK_ROWS);
  /** 1: an earlier request with the row went unanswered, so it may have been accepted by whoever got it. */
  readonly unsure = new Uint8Array(BLOCK_ROWS);
  /** By batch: monotonic time of its submit, microseconds. */
  readonly #submitted_us = new Float64Array(BLOCK_ROWS);
  /** Requests that may still answer rows of this lane. */
  readonly requests = new Set<RowsRequest>();
  /** Rows [0, dispatched) are new no more. */
  dispatched = 0;
  /** Rows without a result, and those of them that are parked. */
  open = 0;
  parked = 0;
  /** No batch before this one waits. */
  #first = 0;

  add(bytes: Uint8Array, count: number, sink: BatchSink, now_us: number): void {
    const { block } = this;
    const start = block.n;
    if (start === 0) block.openedUs = now_us;
    this.#submitted_us[block.batchCount] = now_us;
    block.addBatch(bytes, start, count, sink);
    this.state.fill(ROW_NEW, start, start + count);
    this.unsure.fill(0, start, start + count);
    this.refusals.fill(0, start, start + count);
    this.open += count;
  }

  park(r: number): void {
    if (this.state[r] === ROW_PARKED) return;
    this.state[r] = ROW_PARKED;
    this.parked++;
  }

  ask(r: number, request: number): void {
    if (this.state[r] === ROW_PARKED) this.parked--;
    this.state[r] = ROW_ASKED;
    this.asked[r] = request;
  }

  /** Whether `request` is the newest one with row r, and the row waits for its answer. */
  waitsFor(r: number, request: number): boolean {
    return this.state[r] === ROW_ASKED && this.asked[r] === request;
  }

  /** Row r has its result in the block; with the last row of its batch the sink is told. */
  finish(r: number): void {
    if (this.state[r] === ROW_DONE) throw new Error(`row ${r} has two results`);
    if (this.state[r] === ROW_PARKED) this.parked--;
    this.state[r] = ROW_DONE;
    this.open--;
    const { block } = this;
    const batch = block.batches[block.batch[r]];
    if (--batch.pending > 0) return;
    const sink = batch.sink;
    batch.sink = null;
    sink?.done(block, batch.start, batch.count);
  }

  /** Writes the rows without a result of batches submitted before `before_us` to `rows`; returns how many. */
  overdue(before_us: number, rows: Uint16Array): number {
    const { batches, batchCount } = this.block;
    while (this.#first < batchCount && batches[this.#first].pending === 0) this.#first++;
    let n = 0;
    for (let i = this.#first; i < batchCount && this.#submitted_us[i] <= before_us; i++) {
      const { start, count, pending } = batches[i];
      if (pending === 0) continue;
      for (let r = start; r < start + count; r++) if (this.state[r] !== ROW_DONE) rows[n++] = r;
    }
    return n;
  }

  /** Empties the lane; every row must have its result. */
  reset(): void {
    if (this.open > 0 || this.parked > 0) throw new Error(`a lane with ${this.open} open rows cannot be reused`);
    this.block.reset();
    this.requests.clear();
    this.dispatched = 0;
    this.#first = 0;
  }
}
