/**
 * The one tick loop of a node: takes blocks from the mailbox, runs at most three ticks at once, forms their frames in
 * order and opens the output gate when the journal has acknowledged them. A tick waits for inference and the journal,
 * for nothing else.
 */

import { BLOCK_ROWS, DEGRADED_MODEL, ROW_PAYMENT, type RowBlock } from "../proto/columns.ts";
import { HEADER_BYTES } from "../proto/frame/frame_header.ts";
import { matrixChecksum } from "../proto/frame/rows_layout.ts";
import { RowsWriter, type Sealer } from "../proto/frame/rows_writer.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { deliver, type OnGap } from "./inbox.ts";
import type { Mailbox } from "./mailbox.ts";
import type { TickObserver } from "./observer.ts";
import type { Clock, Timers } from "./ports.ts";
import type { Decider } from "./program.ts";
import { Poisoned, type Quarantine } from "./quarantine.ts";
import { Recalls } from "./recalls.ts";
import type { Repeats } from "./repeats.ts";
import type { Shard } from "./shard.ts";
import { notTaken, type RemoteEntities, stage } from "./stage.ts";
import { EMPTY_BLOCK, Tick } from "./tick.ts";

interface LineEntry {
  readonly tick: Tick;
  ready: boolean;
  ok: boolean;
}

/** Ticks under way at once: one with the actors or the model, up to two with the journal. */
const TICKS_MAX = 3;
/** Idle time after which inbox rows make a frame of their own, microseconds. */
const INBOX_IDLE_US = 50_000;
/** Longest pause between two ticks under load, microseconds: batches grow with the age, not with a fixed size. */
const TICK_AGE_US_MAX = 4000;
/** Rows a second from which the longest pause is used. */
const TICK_AGE_RATE = 40_000;

/** Entities of other nodes, and what they are told of committed rows. */
export interface Exchange extends RemoteEntities {
  /** Sends what a tick asked. True: `done` is called once, when all is answered or given up. False: no need to wait. */
  send(tick: Tick, done: () => void): boolean;
  /** Frame `frame` of `own` is committed. */
  committed(b: RowBlock, rows: Uint16Array, n: number, own: Shard, frame: number): void;
}

export interface TickLoopOptions {
  readonly shards: readonly Shard[];
  readonly mailbox: Mailbox;
  readonly decider: Decider;
  readonly repeats: Repeats;
  /** Rows that actors failed on. */
  readonly quarantine: Quarantine;
  /** One for each shard. */
  readonly sealers: readonly Sealer[];
  readonly observer: TickObserver;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Shortest pause between two ticks, microseconds: keeps appends under half of the measured fsync rate. */
  readonly tick_age_us_min: number;
  readonly features_version: string;
  readonly rates_version: string;
  /** Format of the next frame: one that every node can read that may follow or own the shard. */
  readonly journalFormat: () => number;
  /** Null on a node that is alone. */
  readonly exchange: Exchange | null;
  /** A shard here misses frames of a source: they must be read from its journal. */
  readonly onGap: OnGap;
  /** Told of a repeat that could not be answered from the journal. */
  readonly onRepeatFailed: (shard: number, error: Error) => void;
  /** Told of errors that stop a shard. */
  readonly onShardStopped: (shard: Shard, error: Error) => void;
}

export class TickLoop {
  readonly #o: TickLoopOptions;
  readonly #writers: RowsWriter[];
  readonly #pool: Tick[] = [];
  /** Ticks in order whose frames are not formed yet. */
  readonly #line: LineEntry[] = [];
  /** Ticks whose frame of a shard is not committed yet, by shard, in order. */
  readonly #sent: Tick[][];
  #underWay = 0;
  #lastUs = 0;
  #scheduled = false;
  #inboxTimer = false;
  /** A block waits for users that are not in memory. */
  readonly #recalls: Recalls;
  #advancing = false;
  #state: "running" | "draining" | "ended" = "running";
  #rate = 0;
  #rateRows = 0;
  #rateUs = 0;

  constructor(o: TickLoopOptions) {
    this.#o = o;
    this.#writers = o.sealers.map((sealer) => new RowsWriter(o.decider.shape, sealer, BLOCK_ROWS));
    this.#sent = o.shards.map(() => []);
    const { shards, clock, timers } = o;
    this.#recalls = new Recalls({ shards, clock, timers, lost: (s, error) => this.#lostUsers(s, error) });
    o.mailbox.onRows = () => this.#soon();
  }

  get idle(): boolean {
    return this.#underWay === 0 && !this.#recalls.isUnderWay && !this.#o.mailbox.waiting && !this.#inboxWaiting;
  }

  /** Ticks between their first row and their last frame's acknowledgement. */
  get underWay(): number {
    return this.#underWay;
  }

  get #inboxWaiting(): boolean {
    return this.#o.shards.some((s) => s.accepting && s.inboxWaiting > 0);
  }

  /** Looks for work: rows that came into an inbox without a tick. */
  wake(): void {
    this.#soon();
  }

  /** From now on inbox rows wait for no company. */
  drain(): void {
    this.#state = "draining";
    this.#soon();
  }

  /** Forms no frame any more. */
  end(): void {
    this.#state = "ended";
  }

  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#o.timers.soon(this.#pump);
  }

  /** Age that the oldest row must have before a tick starts; 0 when traffic is low. */
  #ageUs(): number {
    const load = Math.min(1, this.#rate / TICK_AGE_RATE);
    return Math.max(this.#o.tick_age_us_min, TICK_AGE_US_MAX * load);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    if (this.#underWay >= TICKS_MAX || this.#recalls.isUnderWay || this.#state === "ended") return;
    const { mailbox, clock } = this.#o;
    const now = clock.monotonicUs();
    if (!mailbox.waiting) {
      if (this.#inboxDue(now)) this.#run(EMPTY_BLOCK, now);
      return;
    }
    const wait = this.#lastUs + this.#ageUs() - now;
    if (wait > 300 && !mailbox.ripe) {
      this.#scheduled = true;
      this.#o.timers.after(Math.max(1, Math.round(wait / 1000)), this.#pump);
      return;
    }
    this.#begin(mailbox.take() as RowBlock, now);
    if (mailbox.waiting) this.#soon();
  };

  /** Its users that are not in memory come back first. What came behind it waits too: the order of arrival is kept. */
  #begin(block: RowBlock, now: number): void {
    this.#recalls.before(block, (hasWaited) => {
      this.#run(block, hasWaited ? this.#o.clock.monotonicUs() : now);
      if (hasWaited) this.#soon();
    });
  }

  /** Between two ticks users who were quiet leave memory. */
  #passivate(tick: Tick): void {
    for (const s of this.#o.shards) {
      if (!s.serving) continue;
      try {
        s.actors.passivate(tick.counts[s.id]);
      } catch (error) {
        this.#lostUsers(s, error);
      }
    }
  }

  /** A user that cannot be brought back is never taken for a new one: the shard is given up and loaded anew. */
  #lostUsers(s: Shard, error: unknown): void {
    if (s.serving) this.shardStopped(s, new Poisoned(null, error));
  }

  #inboxDue(now: number): boolean {
    if (!this.#inboxWaiting) return false;
    const wait_us = INBOX_IDLE_US - (now - this.#lastUs);
    if (wait_us <= 0 || this.#state === "draining") return true;
    // A timer of its own: payments that come meanwhile must not wait for it.
    if (!this.#inboxTimer) {
      this.#inboxTimer = true;
      this.#o.timers.after(Math.ceil(wait_us / 1000), () => {
        this.#inboxTimer = false;
        this.#soon();
      });
    }
    return false;
  }

  #run(block: RowBlock, now: number): void {
    const { shards, decider } = this.#o;
    const matrix = decider.acquire();
    const tick = this.#pool.pop() ?? new Tick(shards.length, matrix, this.#o.exchange);
    tick.start(block, matrix, this.#o.journalFormat(), now);
    this.#underWay++;
    this.#lastUs = now;
    this.#meter(block.n, now);
    block.stagesUs[0] = block.n > 0 ? Math.max(0, now - block.openedUs) : 0;
    stage(tick, shards, decider, this.#o.quarantine);
    for (const { shard, error } of tick.failures) this.shardStopped(shard, error);
    this.#passivate(tick);
    const staged = this.#o.clock.monotonicUs();
    block.stagesUs[1] = staged - now;
    this.#o.observer.staged(block.n, staged - now, block.stagesUs[0]);
    const entry: LineEntry = { tick, ready: false, ok: true };
    this.#line.push(entry);
    const waits = this.#o.exchange?.send(tick, () => this.#score(entry)) === true;
    if (!waits) this.#score(entry);
  }

  /** The tick's rows have all their columns. */
  #score(entry: LineEntry): void {
    const { tick } = entry;
    const { block } = tick;
    if (tick.payments === 0) {
      entry.ready = true;
      this.#advance();
      return;
    }
    const asked = this.#o.clock.monotonicUs();
    const { decider } = this.#o;
    decider.score(tick.matrix, block.n, block).then(
      (ok) => {
        entry.ok = ok;
        entry.ready = true;
        block.stagesUs[2] = this.#o.clock.monotonicUs() - asked;
        this.#advance();
      },
      (e) => this.#fail(entry, e as Error),
    );
  }

  #meter(rows: number, now: number): void {
    this.#rateRows += rows;
    const span = now - this.#rateUs;
    if (span < 100_000) return;
    this.#rate = 0.5 * this.#rate + 0.5 * (this.#rateRows / (span / 1e6));
    if (this.#rate > 0) this.#o.mailbox.drainRate = this.#rate;
    this.#rateRows = 0;
    this.#rateUs = now;
  }

  /** Never within itself: a shard that is given up by a tick's decisions must not let the next tick's frames out. */
  #advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#line.length > 0 && this.#line[0].ready && this.#canSend(this.#line[0].tick)) {
        const entry = this.#line.shift() as LineEntry;
        this.#finish(entry.tick, entry.ok);
      }
    } finally {
      this.#advancing = false;
    }
  }

  /** Whether every shard with a frame in this tick may send it: the journal has room for two in flight. */
  #canSend(tick: Tick): boolean {
    for (const s of this.#o.shards) {
      if (tick.frames[s.id] > 0 && owns(tick, s) && s.committer !== null && !s.committer.canSubmit) return false;
    }
    return true;
  }

  /** The second half: decisions, frames, and the rows that wait for no frame. */
  #finish(tick: Tick, ok: boolean): void {
    const { clock, shards } = this.#o;
    const b = tick.block;
    const from = clock.monotonicUs();
    if (!ok) {
      for (let r = 0; r < b.n; r++) if (b.kind[r] === ROW_PAYMENT) b.degraded[r] |= DEGRADED_MODEL;
    }
    if (tick.payments > 0) this.#decide(tick);
    const decided = clock.monotonicUs();
    b.stagesUs[3] = decided - from;
    tick.sentUs = decided;
    for (const s of shards) {
      if (tick.frames[s.id] === 0) continue;
      if (owns(tick, s) && this.#state !== "ended") this.#form(tick, s);
      else this.#lose(tick, s);
    }
    this.#o.observer.decided(b, b.stagesUs[2], decided - from, clock.monotonicUs() - decided);
    this.#answerErrors(tick);
    if (tick.repeats.length > 0) this.#answerRepeats(tick);
    if (tick.framesOpen === 0) this.#landed(tick);
    this.#release(tick);
  }

  /**
   * All rows at once; when that fails each of those that a frame waits for, so that only the shards of the failing ones
   * are given up: their windows count the row already.
   */
  #decide(tick: Tick): void {
    const { decider, shards, quarantine } = this.#o;
    const b = tick.block;
    try {
      decider.decide(b, 0, b.n, tick.matrix.values);
      return;
    } catch {}
    for (const s of shards) {
      for (let i = 0; i < tick.counts[s.id] && owns(tick, s); i++) {
        const r = tick.rows[s.id][i];
        try {
          decider.decide(b, r, r + 1, tick.matrix.values);
        } catch (error) {
          this.shardStopped(s, quarantine.blame(b, r, error));
        }
      }
    }
  }

  /** The shard stopped while the tick was under way: its rows go nowhere, and are answered with the refused ones. */
  #lose(tick: Tick, s: Shard): void {
    for (let i = 0; i < tick.counts[s.id]; i++) tick.block.error[tick.rows[s.id][i]] = notTaken(tick);
    tick.framesOpen--;
  }

  #form(tick: Tick, s: Shard): void {
    const { decider, clock } = this.#o;
    const n = tick.counts[s.id];
    const rows = tick.rows[s.id];
    const c = decider.shape.columns;
    let checksum = 0;
    for (let i = 0; i < n; i++) {
      if (tick.block.kind[rows[i]] === ROW_PAYMENT) {
        checksum = matrixChecksum(tick.matrix.bits, rows[i] * c, rows[i] * c + c, checksum);
      }
    }
    const versions = decider.versions();
    const writer = this.#writers[s.id];
    writer.remoteMerchant = tick.remoteMerchant;
    writer.remoteDevice = tick.remoteDevice;
    const number = tick.frames[s.id];
    const { format } = tick;
    const bytes = writer.write(
      tick.block,
      rows,
      n,
      tick.matrix.values,
      tick.matrix.bits,
      checksum,
      {
        model_version: versions.model,
        rule_set_version: versions.rule_set,
        rates_version: this.#o.rates_version,
        features_version: this.#o.features_version,
      },
      tick.inbox[s.id],
      { shard: s.id, epoch: s.epoch, frame: number, format },
      HEADER_BYTES,
    );
    tick.bytes[s.id] = bytes.length;
    this.#sent[s.id].push(tick);
    s.send(bytes, number, n, clock, format);
  }

  /** The output gate: frame `number` of a shard is acknowledged, its rows' answers go out. */
  committed(s: Shard, number: number): void {
    const tick = this.#sent[s.id].shift();
    // A Release at the end of a planned stop is a frame of no tick.
    if (tick === undefined) {
      s.committed(number);
      return;
    }
    if (tick.frames[s.id] !== number) throw new Error(`frame ${number} committed, ${tick.frames[s.id]} expected`);
    const now = this.#o.clock.monotonicUs();
    const b = tick.block;
    b.stagesUs[4] = now - tick.sentUs;
    const n = tick.counts[s.id];
    const age = b.n > 0 ? now - b.openedUs : 0;
    this.#o.observer.acknowledged(b, tick.rows[s.id], n, tick.matrix.values, tick.bytes[s.id], now - tick.sentUs, age);
    s.committed(number);
    deliver(b, tick.rows[s.id], n, s, this.#o.shards, number, this.#o.onGap);
    this.#o.exchange?.committed(b, tick.rows[s.id], n, s, number);
    this.#answer(tick, tick.rows[s.id], tick.counts[s.id]);
    if (--tick.framesOpen === 0) this.#landed(tick);
    this.#release(tick);
    this.#advance();
  }

  /** A shard stopped: rows of its frames in flight are unknown, never failed. */
  shardStopped(s: Shard, error: Error): void {
    s.stop(error);
    // One that was given up before has nothing under way; another object stands for the shard now.
    if (this.#o.shards[s.id] !== s) return;
    this.#o.onShardStopped(s, error);
    for (const tick of this.#sent[s.id].splice(0)) {
      for (let i = 0; i < tick.counts[s.id]; i++) tick.block.error[tick.rows[s.id][i]] = ErrorCode.UNAVAILABLE;
      this.#answer(tick, tick.rows[s.id], tick.counts[s.id]);
      if (--tick.framesOpen === 0) this.#landed(tick);
      this.#release(tick);
    }
    this.#advance();
  }

  #answer(tick: Tick, rows: Uint16Array, n: number): void {
    const b = tick.block;
    for (let i = 0; i < n; i++) this.#answerRow(tick, b, rows[i]);
  }

  #answerRow(tick: Tick, b: RowBlock, r: number): void {
    const batch = b.batches[b.batch[r]];
    if (--batch.pending > 0) return;
    tick.batchesOpen--;
    const sink = batch.sink;
    batch.sink = null;
    if (sink !== null) sink.done(b, batch.start, batch.count);
  }

  #answerErrors(tick: Tick): void {
    const b = tick.block;
    for (let r = 0; r < b.n; r++) if (b.error[r] !== 0) this.#answerRow(tick, b, r);
  }

  #answerRepeats(tick: Tick): void {
    const b = tick.block;
    for (const repeat of tick.repeats) {
      this.#o.repeats.resolve(b, repeat).then(
        () => this.#answerRepeat(tick, b, repeat.row),
        (error: Error) => {
          this.#o.onRepeatFailed(repeat.shard.id, error);
          b.error[repeat.row] = ErrorCode.UNAVAILABLE;
          this.#answerRepeat(tick, b, repeat.row);
        },
      );
    }
  }

  #answerRepeat(tick: Tick, b: RowBlock, r: number): void {
    this.#answerRow(tick, b, r);
    this.#release(tick);
  }

  #landed(tick: Tick): void {
    this.#underWay--;
    this.#o.decider.release(tick.matrix);
    this.#soon();
  }

  /** Returns the tick and its block to their pools once nobody needs them. */
  #release(tick: Tick): void {
    if (tick.framesOpen > 0 || tick.batchesOpen > 0 || tick.released) return;
    const block = tick.block;
    tick.clear();
    if (block !== EMPTY_BLOCK) this.#o.mailbox.giveBack(block);
    this.#pool.push(tick);
    this.#soon();
  }

  /** Nothing is known about the tick's scores: no shard can go on, and its rows are answered so. */
  #fail(entry: LineEntry, error: Error): void {
    for (const s of this.#o.shards) if (s.serving) this.shardStopped(s, error);
    entry.ready = true;
    this.#advance();
  }
}

/** Whether the frame that the tick has for a shard can be sent: it was numbered in the epoch that still serves. */
function owns(tick: Tick, s: Shard): boolean {
  return s.serving && tick.owners[s.id] === s;
}
