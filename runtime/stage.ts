/**
 * The first half of a tick, without a wait in it: inbox rows are folded, each row meets its user actor, then its entity
 * actors (here or, through the overlay, in another shard), and frame numbers are given out.
 */

import {
  BLOCK_ROWS,
  isPayment,
  LABEL_NONE,
  LABEL_REVERSAL,
  REASON_SLOTS,
  ROW_EVENT,
  ROW_OUTCOME,
  ROW_PAYMENT,
  type RowBlock,
} from "../proto/columns.ts";
import {
  INBOX_DEVICE_EVENT,
  INBOX_MERCHANT_LABEL,
  INBOX_MERCHANT_PAYMENT,
  INBOX_MERCHANT_REVERSAL,
} from "../proto/frame/rows_layout.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { roomFor, rowBytesMax, TENANT_BYTES, TENANTS_MAX } from "./frame_room.ts";
import { orderByTime } from "./kernel/time_order.ts";
import { ACCEPTED, type Decider, FULL, READ_AHEAD_ROWS, REFUSED, REPEATED } from "./program.ts";
import type { Shard } from "./shard.ts";
import type { Tick } from "./tick.ts";

/** Rows of other shards folded in one frame. */
export const INBOX_ROWS_MAX = 2048;

const order = new Uint16Array(BLOCK_ROWS);

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
  for (const s of shards) if (s.serving) s.foldInbox(tick.inbox[s.id], INBOX_ROWS_MAX);
  for (const s of shards) tick.room[s.id] = roomFor(tick.inbox[s.id].n);
  const b = tick.block;
  orderByTime(b.eventTimeUs, b.n, order);
  for (let i = 0; i < b.n; i++) {
    if (i % READ_AHEAD_ROWS === 0) {
      const to = Math.min(b.n, i + READ_AHEAD_ROWS);
      for (const s of shards) if (s.serving) s.actors.readAhead(b, order, i, to, s.id);
    }
    if (b.error[order[i]] === 0) stageRow(tick, shards, decider, b, order[i]);
  }
  for (const s of shards) {
    if (tick.counts[s.id] > 0 || tick.inbox[s.id].n > 0) {
      tick.frames[s.id] = s.assignFrame();
      tick.framesOpen++;
    }
  }
}

function stageRow(tick: Tick, shards: readonly Shard[], decider: Decider, b: RowBlock, r: number): void {
  const s = shards[b.shard[r]];
  if (!s.serving) {
    b.error[r] = ErrorCode.UNAVAILABLE;
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
    if (isPayment(kind) || (kind === ROW_OUTCOME && b.labelAction[r] !== LABEL_NONE))
      merchant(tick, shards, s, r, frame);
    if (kind === ROW_PAYMENT || (kind === ROW_EVENT && hasDevice(b, r))) device(tick, shards, s, r, frame);
  } else if (code === REPEATED) tick.repeats.push({ row: r, shard: s.id, frame: s.wholeFrame(s.actors.repeatFrame) });
  else if (code === FULL) b.error[r] = ErrorCode.RESOURCE_EXHAUSTED;
  else if (code !== REFUSED) throw new Error(`accept() answered ${code}`);
}

function merchant(tick: Tick, shards: readonly Shard[], own: Shard, r: number, frame: number): void {
  const b = tick.block;
  const target = shards[b.merchant.hi[r] % shards.length];
  if (target === own) {
    if (own.actors.foldMerchant(b, r, tick.matrix.values)) tick.remoteMerchant[r] = 1;
  } else if (isPayment(b.kind[r])) {
    target.actors.pendMerchant(b, r, tick.matrix.values, own.id, frame);
    tick.remoteMerchant[r] = 1;
  }
}

function device(tick: Tick, shards: readonly Shard[], own: Shard, r: number, frame: number): void {
  const b = tick.block;
  const target = shards[b.device.hi[r] % shards.length];
  if (b.kind[r] === ROW_PAYMENT) {
    const overlaid = target.actors.readDevice(b, r, tick.matrix.values);
    tick.remoteDevice[r] = overlaid || target !== own ? 1 : 0;
  } else if (target === own) own.actors.foldDevice(b, r);
  else target.actors.pendDevice(b, r, own.id, frame);
}

/**
 * Hands the committed rows of a frame that concern entities of other shards to those shards' inbox queues, unless they
 * folded that frame already (after a restart whole journals may be read again).
 */
export function deliver(
  b: RowBlock,
  rows: Uint16Array,
  n: number,
  own: Shard,
  shards: readonly Shard[],
  frame: number,
): void {
  if (shards.length === 1) return;
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    const kind = b.kind[r];
    if (isPayment(kind) || (kind === ROW_OUTCOME && b.labelAction[r] !== LABEL_NONE)) {
      const target = shards[b.merchant.hi[r] % shards.length];
      if (target !== own && frame > target.watermarks[own.id]) enqueueMerchant(b, r, own.id, target, frame);
    }
    if (kind === ROW_EVENT && hasDevice(b, r)) {
      const target = shards[b.device.hi[r] % shards.length];
      if (target !== own && frame > target.watermarks[own.id]) {
        const j = target.enqueue(own.id, frame, INBOX_DEVICE_EVENT, b.device.hi[r], b.device.lo[r]);
        fill(target, j, b, r, b.eventTimeUs[r], 0);
      }
    }
  }
}

function enqueueMerchant(b: RowBlock, r: number, source: number, target: Shard, frame: number): void {
  const payment = isPayment(b.kind[r]);
  const reversal = b.labelAction[r] === LABEL_REVERSAL;
  const kind = payment ? INBOX_MERCHANT_PAYMENT : reversal ? INBOX_MERCHANT_REVERSAL : INBOX_MERCHANT_LABEL;
  const j = target.enqueue(source, frame, kind, b.merchant.hi[r], b.merchant.lo[r]);
  fill(target, j, b, r, payment ? b.eventTimeUs[r] : b.paymentTimeUs[r], payment ? 0 : b.labelAction[r]);
}

function fill(target: Shard, j: number, b: RowBlock, r: number, timeUs: number, flag: number): void {
  const q = target.inboxQueue;
  q.userHi[j] = b.user.hi[r];
  q.userLo[j] = b.user.lo[r];
  q.timeUs[j] = timeUs;
  q.amount[j] = b.amountBase[r];
  q.flag[j] = flag;
}
