/**
 * The first half of a tick, without a wait in it: inbox rows are folded, each row meets its user actor, then its entity
 * actors (here or, through the overlay, in another shard), and frame numbers are given out.
 */

import {
  BLOCK_ROWS,
  concernsMerchant,
  DEGRADED_ENTITY,
  ERROR_NOT_OWNER,
  hasDevice,
  isPayment,
  REASON_SLOTS,
  ROW_EVENT,
  ROW_PAYMENT,
  type RowBlock,
} from "../proto/columns.ts";
import type { MatrixShape } from "../proto/frame/rows_writer.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { roomFor, rowBytesMax, TENANT_BYTES, TENANTS_MAX } from "./frame_room.ts";
import { orderByTime } from "./kernel/time_order.ts";
import { ACCEPTED, type Decider, FULL, READ_AHEAD_ROWS, REFUSED, REPEATED } from "./program.ts";
import { isOfProcess, Poisoned, type Quarantine } from "./quarantine.ts";
import type { Shard } from "./shard.ts";
import type { Tick } from "./tick.ts";
import { EXCHANGE_DEVICE, EXCHANGE_DEVICE_EVENT, EXCHANGE_MERCHANT } from "./wire/exchange.ts";

/** Rows of other shards folded in one frame. */
export const INBOX_ROWS_MAX = 2048;

const order = new Uint16Array(BLOCK_ROWS);

/** The shard whose actors a row is with: a row's own, or that of one of its entities. */
let reached: Shard | null = null;

/** The way to entity actors that this node does not serve, for the rows of one tick at a time. */
export interface RemoteEntities {
  /** Row r of shard `own` concerns an entity of shard `target`; `what` is one of the EXCHANGE_ kinds. */
  ask(tick: Tick, what: number, target: number, r: number, own: Shard): void;
  /** No row of `own` is asked about in this tick after all. */
  forget(own: Shard): void;
}

/** Where an entity's columns begin in a row of the matrix; `what`: EXCHANGE_MERCHANT or EXCHANGE_DEVICE. */
export function columnsAt(shape: MatrixShape, what: number): number {
  return what === EXCHANGE_MERCHANT ? shape.merchant_at : shape.device_at;
}

export function columnsCount(shape: MatrixShape, what: number): number {
  return what === EXCHANGE_MERCHANT ? shape.merchant_columns : shape.device_columns;
}

/** How many of them, the first ones, frames of a format record: those of other shards have no more. */
export function columnsRecorded(shape: MatrixShape, what: number, format: number): number {
  if (format >= 3) return columnsCount(shape, what);
  return what === EXCHANGE_MERCHANT ? shape.merchant_columns_2 : shape.device_columns_2;
}

/** Entity columns that nobody can tell now are missing, and the decision says so. */
export function unknownColumns(b: RowBlock, r: number, matrix: Float32Array, shape: MatrixShape, what: number): void {
  const at = r * shape.columns + columnsAt(shape, what);
  matrix.fill(Number.NaN, at, at + columnsCount(shape, what));
  b.degraded[r] |= DEGRADED_ENTITY;
}

/** A row that is not decided has no score, no outcome and no reasons, whatever its place in the block held before. */
function blank(b: RowBlock, r: number): void {
  b.score[r] = Number.NaN;
  b.outcome[r] = 0;
  b.rules.hi[r] = 0;
  b.rules.lo[r] = 0;
  b.reasonFeature.fill(0, r * REASON_SLOTS, (r + 1) * REASON_SLOTS);
}

/** What a row without a decision is told that was certainly not recorded: its router asks again, or its caller must. */
export function notTaken(tick: Tick): number {
  return tick.remote === null ? ErrorCode.UNAVAILABLE : ERROR_NOT_OWNER;
}

/**
 * Runs the stage for all rows of the tick's block. Rows with an error or a repeat go into no frame, nor do those of the
 * shards in `tick.failures`.
 */
export function stage(tick: Tick, shards: readonly Shard[], decider: Decider, quarantine: Quarantine): void {
  for (const s of shards) s.actors.format = tick.format;
  for (const s of shards) if (s.accepting) foldInbox(tick, s);
  for (const s of shards) tick.room[s.id] = roomFor(tick.inbox[s.id].n);
  const b = tick.block;
  orderByTime(b.eventTimeUs, b.n, order);
  for (let i = 0; i < b.n; i++) {
    if (i % READ_AHEAD_ROWS === 0) {
      const to = Math.min(b.n, i + READ_AHEAD_ROWS);
      for (const s of shards) if (s.accepting) readAhead(s, b, i, to);
    }
    const r = order[i];
    if (b.error[r] !== 0) continue;
    try {
      stageRow(tick, shards, decider, quarantine, b, r);
    } catch (error) {
      failRow(tick, shards[b.shard[r]], quarantine, b, r, error);
    }
  }
  for (const s of shards) {
    if (tick.counts[s.id] > 0 || tick.inbox[s.id].n > 0) {
      tick.frames[s.id] = s.assignFrame();
      tick.owners[s.id] = s;
      tick.framesOpen++;
    }
  }
  // It may be given up until the next tick, and then must not stay in memory.
  reached = null;
}

/** Rows that others committed cannot be refused: when they cannot be folded, their shard ends for good. */
function foldInbox(tick: Tick, s: Shard): void {
  try {
    s.foldInbox(tick.inbox[s.id], INBOX_ROWS_MAX);
  } catch (cause) {
    if (isOfProcess(cause)) {
      fail(tick, s, new Poisoned(null, cause));
      return;
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    fail(tick, s, new Error(`shard ${s.id} cannot fold what other shards committed: ${why}`, { cause }));
  }
}

/** It only reads, so that it may end anywhere: the row that it fails on is told when it meets its actor. */
function readAhead(s: Shard, b: RowBlock, from: number, to: number): void {
  try {
    s.actors.readAhead(b, order, from, to, s.id);
  } catch {}
}

/** An actor failed on row r, half of which may be in the memory of the row's shard, and of the one it had reached. */
function failRow(tick: Tick, own: Shard, quarantine: Quarantine, b: RowBlock, r: number, cause: unknown): void {
  b.error[r] = notTaken(tick);
  const error = quarantine.blame(b, r, cause);
  fail(tick, own, error);
  if (reached !== null && reached !== own && reached.serving) fail(tick, reached, new Poisoned(null, cause));
}

/** Gives a shard up: what the tick has of it goes into no frame, and the rows behind it are not taken. */
function fail(tick: Tick, s: Shard, error: Error): void {
  tick.failures.push({ shard: s, error });
  s.accepting = false;
  s.answering = false;
  for (let i = 0; i < tick.counts[s.id]; i++) tick.block.error[tick.rows[s.id][i]] = notTaken(tick);
  tick.counts[s.id] = 0;
  tick.inbox[s.id].n = 0;
  tick.remote?.forget(s);
}

/** A quarantined row, unless it was decided all the same: by an owner that did not fail on it. */
function refuseQuarantined(tick: Tick, s: Shard, b: RowBlock, r: number): void {
  const known = isPayment(b.kind[r]) ? s.actors.findFrame(b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]) : 0;
  if (known > 0) tick.repeats.push({ row: r, shard: s, frame: s.wholeFrame(known) });
  else b.error[r] = ErrorCode.INTERNAL;
}

function stageRow(
  tick: Tick,
  shards: readonly Shard[],
  decider: Decider,
  quarantine: Quarantine,
  b: RowBlock,
  r: number,
): void {
  const s = shards[b.shard[r]];
  if (!s.accepting) {
    b.error[r] = notTaken(tick);
    return;
  }
  reached = s;
  if (quarantine.size > 0 && quarantine.holds(b, r)) {
    refuseQuarantined(tick, s, b, r);
    return;
  }
  const tenants = tick.tenants[s.id];
  const isNewTenant = !tenants.has(b.tenant[r]);
  const bytes = rowBytesMax(b, r, shards.length > 1) + (isNewTenant ? TENANT_BYTES : 0);
  if (bytes > tick.room[s.id] || (isNewTenant && tenants.size === TENANTS_MAX)) {
    b.error[r] = ErrorCode.RESOURCE_EXHAUSTED;
    return;
  }
  const frame = s.nextFrame;
  const m = tick.matrix.values;
  const code = s.actors.accept(b, r, m, frame);
  if (code === ACCEPTED) {
    tick.room[s.id] -= bytes;
    if (isNewTenant) tenants.add(b.tenant[r]);
    tick.rows[s.id][tick.counts[s.id]++] = r;
    tick.remoteMerchant[r] = 0;
    tick.remoteDevice[r] = 0;
    const kind = b.kind[r];
    if (kind === ROW_PAYMENT) {
      tick.payments++;
      decider.paymentColumns(b, r, m);
    } else blank(b, r);
    if (concernsMerchant(b, r)) merchant(tick, shards, decider, s, r, frame);
    if (kind === ROW_PAYMENT || (kind === ROW_EVENT && hasDevice(b, r))) device(tick, shards, decider, s, r, frame);
  } else if (code === REPEATED) tick.repeats.push({ row: r, shard: s, frame: s.wholeFrame(s.actors.repeatFrame) });
  else if (code === FULL) b.error[r] = ErrorCode.RESOURCE_EXHAUSTED;
  else if (code !== REFUSED) throw new Error(`accept() answered ${code}`);
}

/** The merchant's columns of a payment, or its label: here, from another shard of this node, or from another node. */
function merchant(tick: Tick, shards: readonly Shard[], decider: Decider, own: Shard, r: number, frame: number): void {
  const b = tick.block;
  const target = shards[b.merchant.hi[r] % shards.length];
  if (target === own) {
    if (own.actors.foldMerchant(b, r, tick.matrix.values)) tick.remoteMerchant[r] = 1;
    // Rows that other shards committed before the claim may still be missing.
    if (!own.answering) b.degraded[r] |= DEGRADED_ENTITY;
    return;
  }
  // A label is told when its frame is committed.
  if (!isPayment(b.kind[r])) return;
  tick.remoteMerchant[r] = 1;
  const here = target.answering && target.admits(own.id, own.epoch, own.takeover);
  if (here) {
    reached = target;
    target.actors.pendMerchant(b, r, tick.matrix.values, own.id, frame);
  } else if (tick.remote !== null && !target.serving) tick.remote.ask(tick, EXCHANGE_MERCHANT, target.id, r, own);
  else unknownColumns(b, r, tick.matrix.values, decider.shape, EXCHANGE_MERCHANT);
}

function device(tick: Tick, shards: readonly Shard[], decider: Decider, own: Shard, r: number, frame: number): void {
  const b = tick.block;
  const target = shards[b.device.hi[r] % shards.length];
  const isOwn = target === own || !hasDevice(b, r);
  const here = isOwn || (target.answering && target.admits(own.id, own.epoch, own.takeover));
  const elsewhere = !here && !target.serving ? tick.remote : null;
  reached = target;
  if (b.kind[r] === ROW_PAYMENT) {
    tick.remoteDevice[r] = here ? 0 : 1;
    if (here) tick.remoteDevice[r] = target.actors.readDevice(b, r, tick.matrix.values) || target !== own ? 1 : 0;
    else if (elsewhere !== null) elsewhere.ask(tick, EXCHANGE_DEVICE, target.id, r, own);
    else unknownColumns(b, r, tick.matrix.values, decider.shape, EXCHANGE_DEVICE);
  } else if (target === own) own.actors.foldDevice(b, r);
  else if (here) target.actors.pendDevice(b, r, own.id, frame);
  else elsewhere?.ask(tick, EXCHANGE_DEVICE_EVENT, target.id, r, own);
}
