/**
 * The way of a gateway's rows to the owners of their shards: blocks of its own to decode into, rows sent as columns to
 * whoever serves their shard now, and the answers written back, until each row has exactly one result.
 *
 * A row that an owner refuses before it accepted it is asked elsewhere; one that gets no answer is asked again, perhaps
 * of the next owner: the same id has the same decision, whoever tells it. So an answer to an older request is as good
 * as one to the newest, unless it says that nothing was decided: then the newest request decides what comes of the row.
 */
import { ALL_ROWS, type BatchSink, BLOCK_ROWS, copyDecided, ERROR_NOT_OWNER, RowBlock } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { BLOCK_BYTES_MAX, BlockRoom, ROW_BYTES_BEYOND_MESSAGE, rowBytesMax } from "../frame_room.ts";
import type { Clock, Intake, Timers, Transport } from "../ports.ts";
import { readAnswers, readAnswersHead } from "../wire/answers.ts";
import { rowsFitting, writeRows } from "../wire/rows.ts";
import { readHead, WIRE_ANSWERS, WireDamaged, type WireHead } from "../wire/wire_head.ts";
import { Lane, REFUSALS_MAX, ROW_DONE, ROW_PARKED, type RowsRequest } from "./lane.ts";
import { NOWHERE, type Routes, RouteView } from "./route_view.ts";
import type { RowService } from "./row_service.ts";

/** How often waiting rows are looked at, milliseconds. */
const LOOK_MS = 50;
/** Time after which rows without an answer are asked for again, microseconds. */
const AGAIN_US = 1_000_000;
/** Time after its submit when a row without a result is answered UNAVAILABLE, microseconds. */
const GIVE_UP_US = 10_000_000;
/** Longest time that a caller is told to wait, milliseconds. */
const RETRY_MS_MAX = 2000;
const BLOCKS_MAX = 32;

export interface RouterOptions {
  /** Name of this node. */
  readonly node: string;
  readonly shards: number;
  /** Blocks that hold rows without a result: they bound the memory. Default 32. */
  readonly blocks_max?: number;
  readonly transport: Transport;
  readonly routes: Routes;
  /** Takes the rows of shards that this node owns, in the same bytes as another node's. */
  readonly local: Pick<RowService, "take">;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Id of the tenant with an index of the `tenant` column. */
  readonly tenantId: (index: number) => string;
  /** Index for the `version` column. */
  readonly versionIndex: (model: string, ruleSet: string) => number;
}

export class Router implements Intake {
  readonly shards: number;
  /** Rows that all blocks hold. */
  readonly rowsMax: number;
  readonly #o: RouterOptions;
  readonly #routes: RouteView;
  readonly #free: Lane[] = [];
  /** Lanes with rows, in the order in which they were opened; the last one may be open. */
  readonly #used: Lane[] = [];
  #open: Lane | null = null;
  readonly #room = new BlockRoom(ROW_BYTES_BEYOND_MESSAGE);
  /** Requests that may still be answered, by id. */
  readonly #requests = new Map<number, RowsRequest>();
  #nextRequest: number;
  /** Rows by node, while rows are sent. */
  readonly #groups: Uint16Array[] = [];
  readonly #counts: Uint32Array;
  readonly #rows = new Uint16Array(BLOCK_ROWS);
  /** Answers are read into this block first: the rows of the lane may have results already, or belong to others. */
  readonly #answers = new RowBlock();
  /** Answers that came while rows were sent: those of this node's own service. */
  readonly #held: WireHead[] = [];
  #sending = false;
  #scheduled = false;
  /** Some route may have changed. */
  #stirred = false;
  #closed = false;
  readonly #stopLooking: () => void;
  #refusedUntil_us = 0;
  #looks = 0;
  #rateRows = 0;
  #rateUs: number;
  /** Rows shed so far, rows without a result now. */
  shed = 0;
  depth = 0;
  /** Rows a second that got results of late. */
  drainRate = 50_000;
  /** Frames that could not be read; answers that nobody waited for any more. */
  damaged = 0;
  late = 0;
  /** Rows asked for again because no answer came; rows that were refused by who is no owner. */
  askedAgain = 0;
  refused = 0;

  constructor(o: RouterOptions) {
    this.#o = o;
    this.shards = o.shards;
    const blocks_max = o.blocks_max ?? BLOCKS_MAX;
    this.rowsMax = blocks_max * BLOCK_ROWS;
    for (let i = 0; i < blocks_max; i++) this.#free.push(new Lane());
    this.#routes = new RouteView(o.routes, o.shards);
    this.#counts = new Uint32Array(o.shards);
    for (let i = 0; i < o.shards; i++) this.#groups.push(new Uint16Array(BLOCK_ROWS));
    // Answers to a namesake that ran before on this or another machine must not be taken for answers to this one.
    this.#nextRequest = Math.floor(o.clock.wallUs());
    this.#rateUs = o.clock.monotonicUs();
    this.#stopLooking = o.timers.every(LOOK_MS, this.#look);
  }

  open(rows: number, bytes: number): RowBlock | null {
    if (this.#closed || rows > BLOCK_ROWS) return this.#shed(rows);
    let lane = this.#open;
    if (lane !== null && this.#room.fits(lane.block, rows, bytes)) return lane.block;
    lane = this.#free.pop() ?? null;
    if (lane === null) return this.#shed(rows);
    this.#open = lane;
    this.#room.empty();
    this.#used.push(lane);
    return lane.block;
  }

  submit(block: RowBlock, count: number, bytes: Uint8Array, sink: BatchSink): void {
    const lane = this.#open;
    if (lane === null || block !== lane.block) {
      throw new Error("submit() of a block that is not open: open() and submit() in one go");
    }
    if (count < 1 || block.n + count > BLOCK_ROWS) throw new Error(`submit() of ${count} rows after ${block.n}`);
    lane.add(bytes, count, sink, this.#o.clock.monotonicUs());
    this.#room.add(count, bytes.length);
    this.depth += count;
    this.#soon();
  }

  retryAfterMs(): number {
    const own_ms = Math.ceil((this.depth / Math.max(1000, this.drainRate)) * 1000);
    const owners_ms = Math.ceil((this.#refusedUntil_us - this.#o.clock.monotonicUs()) / 1000);
    return Math.min(RETRY_MS_MAX, Math.max(20, own_ms, owners_ms));
  }

  /** Whether every row has its result. */
  get idle(): boolean {
    return this.depth === 0;
  }

  /** Blocks that no row is in. */
  get freeBlocks(): number {
    return this.#free.length + (this.#open !== null && this.#open.block.n === 0 ? 1 : 0);
  }

  /** Lets nothing in any more: rows that are in still get their results, after 10 s at the latest. */
  close(): void {
    this.#closed = true;
  }

  /** Some shard may have another owner or epoch than before. */
  routesChanged(): void {
    this.#stirred = true;
    this.#soon();
  }

  /** A frame of kind WIRE_ANSWERS. Damaged ones are counted and dropped: the rows are asked for again. */
  onFrame(head: WireHead): void {
    if (head.kind !== WIRE_ANSWERS) throw new Error(`the router was given a frame of kind ${head.kind}`);
    if (this.#sending) {
      this.#held.push(head);
      return;
    }
    try {
      this.#onAnswers(head);
    } catch (e) {
      if (!(e instanceof WireDamaged)) throw e;
      this.damaged++;
    }
  }

  #shed(rows: number): null {
    this.shed += rows;
    return null;
  }

  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#o.timers.soon(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#send(false);
  };

  readonly #look = (): void => {
    const now = this.#o.clock.monotonicUs();
    this.#looks++;
    this.#meter(now);
    for (const lane of this.#used) {
      const n = lane.overdue(now - GIVE_UP_US, this.#rows);
      for (let i = 0; i < n; i++) this.#fail(lane, this.#rows[i], ErrorCode.UNAVAILABLE);
    }
    this.#stirred = true;
    this.#send(true);
    if (this.#closed && this.idle) this.#stopLooking();
  };

  #meter(now: number): void {
    const span_us = now - this.#rateUs;
    if (span_us < 100_000) return;
    const rate = 0.5 * this.drainRate + 0.5 * (this.#rateRows / (span_us / 1e6));
    if (this.#rateRows > 0) this.drainRate = rate;
    this.#rateRows = 0;
    this.#rateUs = now;
  }

  /**
   * Sends every row that is new or whose route changed; `due`: also the rows that wait for their time. Answers of this
   * node's own service are held back meanwhile, so that no list of rows changes while it is gone through.
   */
  #send(due: boolean): void {
    if (this.#sending) throw new Error("rows are being sent already");
    this.#sending = true;
    try {
      if (this.#stirred) {
        this.#stirred = false;
        const changed = this.#routes.look();
        for (const request of this.#requests.values()) this.#askAgain(request, changed);
        for (const lane of this.#used) if (lane.parked > 0) this.#unpark(lane, due);
      }
      for (const lane of this.#used) this.#sendNew(lane);
    } finally {
      this.#sending = false;
    }
    for (const head of this.#held.splice(0)) this.onFrame(head);
    for (let i = this.#used.length - 1; i >= 0; i--) this.#settle(this.#used[i]);
  }

  #sendNew(lane: Lane): void {
    const { block } = lane;
    const to = block.n;
    let n = 0;
    for (let r = lane.dispatched; r < to; r++) {
      // A process that stood still for long gives up rows before it sends them.
      if (lane.state[r] === ROW_DONE) continue;
      if (block.error[r] === 0) this.#rows[n++] = r;
      else this.#finish(lane, r);
    }
    lane.dispatched = to;
    if (n > 0) this.#dispatch(lane, n);
  }

  /**
   * Sends parked rows whose route is not the one they were refused by; `due`: also the others. Those wait longer each
   * time: their owner hands over or cannot be reached, and the change of its route calls them at once.
   */
  #unpark(lane: Lane, due: boolean): void {
    const { versions } = this.#routes;
    const { state, version, refusals, block } = lane;
    let n = 0;
    for (let r = 0; r < lane.dispatched; r++) {
      if (state[r] !== ROW_PARKED) continue;
      const isTime = due && this.#looks % (1 << Math.max(0, refusals[r] - 1)) === 0;
      if (isTime || version[r] !== versions[block.shard[r]]) this.#rows[n++] = r;
    }
    if (n > 0) this.#dispatch(lane, n);
  }

  /**
   * Looks after an unanswered request: rows whose route `changed` are asked for by the new one. When it is time and all
   * of its rows wait, it goes out again as it was, so that an owner which has it under way can tell; else those that
   * wait are asked for anew.
   */
  #askAgain(request: RowsRequest, changed: boolean): void {
    const now = this.#o.clock.monotonicUs();
    const due = request.again_us <= now;
    if (!due && !changed) return;
    const { lane, rows, id } = request;
    const { versions } = this.#routes;
    let whole = true;
    let n = 0;
    for (const r of rows) {
      const waits = lane.waitsFor(r, id);
      const moved = lane.version[r] !== versions[lane.block.shard[r]];
      if (!waits || moved) whole = false;
      if (!waits || (!due && !moved)) continue;
      lane.unsure[r] = 1;
      this.#rows[n++] = r;
    }
    this.askedAgain += n;
    if (due) request.again_us = Number.POSITIVE_INFINITY;
    if (due && whole) {
      request.again_us = now + AGAIN_US;
      // A frame that does not go out now is as one that is lost.
      this.#carry(request);
    } else if (n > 0) this.#dispatch(lane, n);
  }

  /** Sends the first n rows of #rows to their owners; those without a known owner are parked. */
  #dispatch(lane: Lane, n: number): void {
    const { nodeOf, versions, names } = this.#routes;
    const { block } = lane;
    this.#counts.fill(0);
    for (let i = 0; i < n; i++) {
      const r = this.#rows[i];
      const shard = block.shard[r];
      lane.version[r] = versions[shard];
      const to = nodeOf[shard];
      if (to === NOWHERE) lane.park(r);
      else this.#groups[to][this.#counts[to]++] = r;
    }
    for (let to = 0; to < names.length; to++) {
      if (this.#counts[to] > 0) this.#ask(lane, names[to], this.#groups[to], this.#counts[to]);
    }
  }

  #ask(lane: Lane, node: string, rows: Uint16Array, n: number): void {
    for (let at = 0; at < n; ) {
      const count = rowsFitting(lane.block, rows, at, n);
      if (count === 1 && rowBytesMax(lane.block, rows[at], true) > BLOCK_BYTES_MAX) {
        // It may not even fit alone, and no owner could journal it.
        this.#fail(lane, rows[at++], ErrorCode.RESOURCE_EXHAUSTED);
        continue;
      }
      this.#request(lane, node, rows.slice(at, at + count));
      at += count;
    }
  }

  #request(lane: Lane, node: string, rows: Uint16Array): void {
    const id = this.#nextRequest++;
    const request = { id, node, lane, rows, again_us: this.#o.clock.monotonicUs() + AGAIN_US };
    this.#requests.set(id, request);
    lane.requests.add(request);
    for (const r of rows) lane.ask(r, id);
    if (this.#carry(request)) return;
    this.#forget(request);
    for (const r of rows) this.#park(lane, r);
  }

  /** Sends a request's frame. False: it is known not to go out. */
  #carry({ lane, rows, node, id }: RowsRequest): boolean {
    const { transport, local, tenantId } = this.#o;
    const bytes = writeRows(lane.block, rows, rows.length, this.#o.node, id, tenantId);
    if (node !== this.#o.node) return transport.send(node, bytes);
    local.take(bytes, readHead(bytes));
    return true;
  }

  #park(lane: Lane, r: number): void {
    lane.park(r);
    if (lane.refusals[r] < REFUSALS_MAX) lane.refusals[r]++;
  }

  #forget(request: RowsRequest): void {
    this.#requests.delete(request.id);
    request.lane.requests.delete(request);
  }

  #onAnswers({ reader, from }: WireHead): void {
    const head = readAnswersHead(reader, from);
    const request = this.#requests.get(head.request);
    if (request === undefined || request.node !== from) {
      this.late++;
      return;
    }
    const { lane, rows } = request;
    if (head.refused) this.#refused(request, head.retry_after_ms);
    else {
      readAnswers(reader, head, this.#answers, ALL_ROWS, rows.length, this.#o.versionIndex);
      lane.block.stagesUs.set(this.#answers.stagesUs);
      for (let i = 0; i < rows.length; i++) {
        if (!this.#isResult(request, rows[i], this.#answers.error[i])) continue;
        copyAnswer(this.#answers, i, lane.block, rows[i]);
        this.#finish(lane, rows[i]);
      }
    }
    this.#answered(request);
    this.#settle(lane);
  }

  /** The node took none of the rows: it is full, or (retry 0) takes nothing any more. */
  #refused(request: RowsRequest, retry_after_ms: number): void {
    const { lane, rows } = request;
    const code = retry_after_ms === 0 ? ERROR_NOT_OWNER : ErrorCode.RESOURCE_EXHAUSTED;
    const until_us = this.#o.clock.monotonicUs() + Math.min(retry_after_ms, RETRY_MS_MAX) * 1000;
    this.#refusedUntil_us = Math.max(this.#refusedUntil_us, until_us);
    for (const r of rows) if (this.#isResult(request, r, code)) this.#fail(lane, r, code);
  }

  /** Whether an answer with this code is the result of the request's row r. A row to be asked elsewhere is parked. */
  #isResult(request: RowsRequest, r: number, code: number): boolean {
    const { lane } = request;
    if (lane.state[r] === ROW_DONE) return false;
    if (!lane.waitsFor(r, request.id)) return isForGood(code);
    if (code === ERROR_NOT_OWNER) {
      this.#park(lane, r);
      this.refused++;
      return false;
    }
    // "Not accepted" would be untrue of a row that whoever was asked before may have accepted.
    return code !== ErrorCode.RESOURCE_EXHAUSTED || lane.unsure[r] === 0;
  }

  /** Forgets an answered request, unless rows of it wait on: their refusal was no result. */
  #answered(request: RowsRequest): void {
    const { lane, rows, id } = request;
    for (const r of rows) {
      if (!lane.waitsFor(r, id)) continue;
      request.again_us = this.#o.clock.monotonicUs() + AGAIN_US;
      return;
    }
    this.#forget(request);
  }

  #fail(lane: Lane, r: number, code: number): void {
    lane.block.error[r] = code;
    lane.block.errorField[r] = 0;
    this.#finish(lane, r);
  }

  #finish(lane: Lane, r: number): void {
    this.depth--;
    this.#rateRows++;
    lane.finish(r);
  }

  /** Takes a lane back whose rows all have results; the open one stays open, empty. */
  #settle(lane: Lane): void {
    if (lane.open > 0 || lane.block.n === 0) return;
    for (const request of lane.requests) this.#requests.delete(request.id);
    lane.reset();
    if (lane === this.#open) {
      this.#room.empty();
      return;
    }
    this.#used.splice(this.#used.indexOf(lane), 1);
    this.#free.push(lane);
  }
}

/** Copies what is answered from row i to row r. */
function copyAnswer(from: RowBlock, i: number, to: RowBlock, r: number): void {
  to.error[r] = from.error[i];
  to.errorField[r] = from.errorField[i];
  copyDecided(from, i, to, r);
  to.version[r] = from.version[i];
  to.paymentTimeUs[r] = from.paymentTimeUs[i];
  to.labelAction[r] = from.labelAction[i];
  to.standing[r] = from.standing[i];
}

/** Whether a code stands whoever else is asked: a decision, or a refusal that does not depend on who was asked when. */
function isForGood(code: number): boolean {
  switch (code) {
    case ERROR_NOT_OWNER:
    case ErrorCode.RESOURCE_EXHAUSTED:
    case ErrorCode.UNAVAILABLE:
    case ErrorCode.INTERNAL:
      return false;
    default:
      return true;
  }
}
