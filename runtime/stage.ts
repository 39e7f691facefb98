/**
 * The first half of a tick, without a wait in it: inbox rows are folded, each row meets its user actor, then its entity
 * actors (here or, through the overlay, in another shard), and frame numbers are given out.
 */

import {
  BLOCK_ROWS,
  DEGRADED_ENTITY,
  ERROR_NOT_OWNER,
  isPayment,
  LABEL_NONE,
  REASON_SLOTS,
  ROW_EVENT,
  ROW_OUTCOME,
  ROW_PAYMENT,
  type RowBlock,
} from "../proto/columns.ts";
import type { MatrixShape } from "../proto/frame/rows_writer.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { roomFor, rowBytesMax, TENANT_BYTES, TENANTS_MAX } from "./frame_room.ts";
import { orderByTime } from "./kernel/time_order.ts";
import { ACCEPTED, type Decider, FULL, READ_AHEAD_ROWS, REFUSED, REPEATED } from "./program.ts";
import type { Shard } from "./shard.ts";
import type { Tick } from "./tick.ts";
import { EXCHANGE_DEVICE, EXCHANGE_DEVICE_EVENT, EXCHANGE_MERCHANT } from "./wire/exchange.ts";

/** Rows of other shards folded in one frame. */
export const INBOX_ROWS_MAX = 2048;

const order = new Uint16Array(BLOCK_ROWS);

/** The way to entity actors that this node does not serve, for the rows of one tick at a time. */
export interface RemoteEntities {
  /** Row r of shard `own` concerns an entity of shard `target`; `what` is one of the EXCHANGE_ kinds. */
  ask(tick: Tick, what: number, target: number, r: number, own: Shard): void;
}

/** Entity columns that nobody can tell now are missing, and the decision says so. */
export function unknownMerchant(b: RowBlock, r: number, matrix: Float32Array, shape: MatrixShape): void {
  const at = r * shape.columns + shape.merchant_at;
  matrix.fill(Number.NaN, at, at + shape.merchant_columns);
  b.degraded[r] |= DEGRADED_ENTITY;
}

export function unknownDevice(b: RowBlock, r: number, matrix: Float32Array, shape: MatrixShape): void {
  const at = r * shape.columns + shape.device_at;
  matrix.fill(Number.NaN, at, at + shape.device_columns);
  b.degraded[r] |= DEGRADED_ENTITY;
}

export function hasDevice(b: RowBlock, r: number): boolean {
  return (b.device.hi[r] | b.device.lo[r]) !== 0;
}

/** A row that is not decided has no score, no outcome and no reasons, whatever its place in the block held before. */
function blank(b: RowBlock, r: number): void {
  b.score[r] = Number.NaN;
  b.outcome[r] = 0;
  b.rules.hi[r] = 0;
  b.rules.lo[r] = 0;
  b.reasonFeature.fill(0, r * REASON_SLOTS, (r + 1) * REASON_SLOTS);
}

/** Runs the stage for all rows of the tick's block. Rows with an error or a repeat go into no frame. */
export function stage(tick: Tick, shards: readonly Shard[], decider: Decider): void {
  for (const s of shards) if (s.accepting) s.foldInbox(tick.inbox[s.id], INBOX_ROWS_MAX);
  for (const s of shards) tick.room[s.id] = roomFor(tick.inbox[s.id].n);
  const b = tick.block;
  orderByTime(b.eventTimeUs, b.n, order);
  for (let i = 0; i < b.n; i++) {
    if (i % READ_AHEAD_ROWS === 0) {
      const to = Math.min(b.n, i + READ_AHEAD_ROWS);
      for (const s of shards) if (s.accepting) s.actors.readAhead(b, order, i, to, s.id);
    }
    if (b.error[order[i]] === 0) stageRow(tick, shards, decider, b, order[i]);
  }
  for (const s of shards) {
    if (tick.counts[s.id] > 0 || tick.inbox[s.id].n > 0) {
      tick.frames[s.id] = s.assignFrame();
      tick.owners[s.id] = s;
      tick.framesOpen++;
    }
  }
}

function stageRow(tick: Tick, shards: readonly Shard[], decider: Decider, b: RowBlock, r: number): void {
  const s = shards[b.shard[r]];
  if (!s.accepting) {
    b.error[r] = tick.remote === null ? ErrorCode.UNAVAILABLE : ERROR_NOT_OWNER;
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
    const hasMerchant = isPayment(kind) || (kind === ROW_OUTCOME && b.labelAction[r] !== LABEL_NONE);
    if (hasMerchant) merchant(tick, shards, decider, s, r, frame);
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
  if (here) target.actors.pendMerchant(b, r, tick.matrix.values, own.id, frame);
  else if (tick.remote !== null && !target.serving) tick.remote.ask(tick, EXCHANGE_MERCHANT, target.id, r, own);
  else unknownMerchant(b, r, tick.matrix.values, decider.shape);
}

function device(tick: Tick, shards: readonly Shard[], decider: Decider, own: Shard, r: number, frame: number): void {
  const b = tick.block;
  const target = shards[b.device.hi[r] % shards.length];
  const answers = target.answering && target.admits(own.id, own.epoch, own.takeover);
  const here = target === own || answers || !hasDevice(b, r);
  const elsewhere = !here && !target.serving ? tick.remote : null;
  if (b.kind[r] === ROW_PAYMENT) {
    tick.remoteDevice[r] = here ? 0 : 1;
    if (here) tick.remoteDevice[r] = target.actors.readDevice(b, r, tick.matrix.values) || target !== own ? 1 : 0;
    else if (elsewhere !== null) elsewhere.ask(tick, EXCHANGE_DEVICE, target.id, r, own);
    else unknownDevice(b, r, tick.matrix.values, decider.shape);
  } else if (target === own) own.actors.foldDevice(b, r);
  else if (here) target.actors.pendDevice(b, r, own.id, frame);
  else elsewhere?.ask(tick, EXCHANGE_DEVICE_EVENT, target.id, r, own);
}
