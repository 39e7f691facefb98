/**
 * Actors that hold each merchant answer against the oracle at the moment it is given: exact over what this shard folded
 * and what the overlay must hold then, told by the calls of the runtime alone. Everything else is the real actors'.
 */
import { FraudActors, type ShardActorsOptions } from "../../actors/decision/shard_actors.ts";
import { FEATURE_COUNT, MERCHANT_AT, WINDOW_COLUMNS, WINDOWS_US } from "../../actors/features/registry.ts";
import { DEGRADED_ENTITY, LABEL_REVERSAL, ROW_OUTCOME, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import { INBOX_DEVICE_EVENT, INBOX_MERCHANT_PAYMENT, type InboxRows } from "../../proto/frame/rows_layout.ts";
import type { ByteReader } from "../../runtime/kernel/bytes.ts";
import { keyText } from "../oracle/journal_row.ts";
import { OracleActor, type OracleEvent } from "../oracle/window_oracle.ts";
import { Violation } from "./violation.ts";

/** As in runtime/kernel/windows/window_options.ts. */
const LATE_EVENTS_MAX = 16_384;
/** An answer's columns are float32, and the standard deviation has an error of its own. */
const TOLERANCE = 1e-6;

/**
 * Amounts, minor units, of payments that an actor fails on, half of the row done: its user's, its merchant's, or the
 * rules behind both.
 */
export const POISON_USER = 700_001;
export const POISON_MERCHANT = 700_002;
export const POISON_RULE = 700_003;

/** What those throw. */
export class PlannedPoison extends Error {
  override name = "PlannedPoison";
}

interface Pending {
  readonly merchant: string;
  readonly event: OracleEvent;
  readonly source: number;
  readonly frame: number;
}

/**
 * What merchants answered to rows of other shards, wherever those were: the columns that such a row is decided with
 * must be among them.
 */
export class MerchantAnswers {
  readonly #told = new Map<string, Float32Array[]>();

  add(b: RowBlock, r: number, matrix: Float32Array, row_at: number, source: number, frame: number): void {
    const key = rowKey(b, r, source, frame);
    const at = row_at + MERCHANT_AT;
    const known = this.#told.get(key) ?? [];
    known.push(matrix.slice(at, at + WINDOW_COLUMNS));
    this.#told.set(key, known);
  }

  /** Throws Violation. A row whose merchant could not be asked says so instead. */
  check(b: RowBlock, r: number, matrix: Float32Array, source: number, frame: number): void {
    if ((b.degraded[r] & DEGRADED_ENTITY) !== 0) return;
    const at = r * FEATURE_COUNT + MERCHANT_AT;
    const known = this.#told.get(rowKey(b, r, source, frame)) ?? [];
    if (known.some((told) => told.every((v, c) => Object.is(v, matrix[at + c])))) return;
    const text = `row ${r} of frame ${frame} of shard ${source}`;
    throw new Violation("entity windows", `${text} was decided with columns that its merchant did not answer`);
  }
}

function rowKey(b: RowBlock, r: number, source: number, frame: number): string {
  const user = keyText(b.user.hi[r], b.user.lo[r]);
  return `${source} ${frame} ${user} ${keyText(b.merchant.hi[r], b.merchant.lo[r])} ${b.eventTimeUs[r]}`;
}

export class WatchedActors extends FraudActors {
  readonly #late_us: number;
  readonly #answers: MerchantAnswers | null;
  readonly #merchants = new Map<string, OracleActor>();
  #pending: Pending[] = [];
  /** Payments of the frame of another shard that is being folded. */
  #folded = 0;
  readonly #settled = new Map<number, number>();
  /** False once a snapshot was loaded: what it holds was folded unseen. */
  #sawAll = true;
  /** Answers compared. */
  compared = 0;

  /** `answers`: where every answer to another shard is kept. */
  constructor(o: ShardActorsOptions, answers: MerchantAnswers | null = null) {
    super(o);
    this.#late_us = o.late_tolerance_us;
    this.#answers = answers;
  }

  override accept(b: RowBlock, r: number, matrix: Float32Array, frame: number): number {
    const code = super.accept(b, r, matrix, frame);
    if (b.kind[r] === ROW_PAYMENT && b.amountMinor[r] === POISON_USER) throw new PlannedPoison("user");
    return code;
  }

  override loadPart(r: ByteReader): boolean {
    this.#sawAll = false;
    return super.loadPart(r);
  }

  override foldMerchant(b: RowBlock, r: number, matrix: Float32Array): boolean {
    const overlaid = super.foldMerchant(b, r, matrix);
    if (b.kind[r] === ROW_PAYMENT && b.amountMinor[r] === POISON_MERCHANT) throw new PlannedPoison("merchant");
    const key = keyText(b.merchant.hi[r], b.merchant.lo[r]);
    const user = keyText(b.user.hi[r], b.user.lo[r]);
    if (b.kind[r] === ROW_OUTCOME) {
      if (b.labelAction[r] === LABEL_REVERSAL) this.#reverse(key, user, b.paymentTimeUs[r], b.amountBase[r]);
      return overlaid;
    }
    const event = eventOf(user, b.eventTimeUs[r], b.amountBase[r]);
    if (this.#merchant(key).append(event)) this.#compare(b, r, matrix, key, event.timeUs);
    return overlaid;
  }

  override pendMerchant(b: RowBlock, r: number, matrix: Float32Array, source: number, frame: number): void {
    super.pendMerchant(b, r, matrix, source, frame);
    if (b.kind[r] === ROW_OUTCOME) return;
    if (b.amountBase[r] === POISON_MERCHANT) throw new PlannedPoison("merchant, of another shard");
    this.#answers?.add(b, r, matrix, r * FEATURE_COUNT, source, frame);
    const merchant = keyText(b.merchant.hi[r], b.merchant.lo[r]);
    const event = eventOf(keyText(b.user.hi[r], b.user.lo[r]), b.eventTimeUs[r], b.amountBase[r]);
    if (this.#merchant(merchant).newestUs - event.timeUs > this.#late_us) return;
    if (frame <= (this.#settled.get(source) ?? 0)) return;
    this.#pending.push({ merchant, event, source, frame });
    this.#compare(b, r, matrix, merchant, event.timeUs);
  }

  override foldInbox(t: InboxRows, i: number): void {
    super.foldInbox(t, i);
    if (t.kind[i] === INBOX_DEVICE_EVENT) return;
    const key = keyText(t.hi[i], t.lo[i]);
    const user = keyText(t.userHi[i], t.userLo[i]);
    if (t.kind[i] === INBOX_MERCHANT_PAYMENT) {
      this.#folded++;
      this.#merchant(key).append(eventOf(user, t.timeUs[i], t.amount[i]));
    } else if (t.flag[i] === LABEL_REVERSAL) this.#reverse(key, user, t.timeUs[i], t.amount[i]);
  }

  override settle(source: number, frame: number): void {
    super.settle(source, frame);
    const pended = this.#pending.filter((p) => p.source === source && p.frame === frame).length;
    // A frame without rows for this shard is settled without a fold.
    if (this.#folded > 0 && pended > this.#folded) {
      const text = `${pended} rows of frame ${frame} of shard ${source} were pending, ${this.#folded} were committed`;
      throw new Violation("entity windows", text);
    }
    this.#folded = 0;
    this.#settled.set(source, frame);
    this.#pending = this.#pending.filter((p) => p.source !== source || p.frame > frame);
  }

  override abandon(source: number, frame: number): void {
    super.abandon(source, frame);
    this.#pending = this.#pending.filter((p) => p.source !== source || p.frame < frame);
  }

  #merchant(key: string): OracleActor {
    let found = this.#merchants.get(key);
    if (found === undefined) {
      found = new OracleActor({
        windows_us: WINDOWS_US,
        late_tolerance_us: this.#late_us,
        late_events_max: LATE_EVENTS_MAX,
      });
      this.#merchants.set(key, found);
    }
    return found;
  }

  /** The oldest payment that matches and stands: equal ones are the same to every window. */
  #reverse(key: string, user: string, timeUs: number, amount: number): void {
    const same = (e: OracleEvent) => e.id === user && e.timeUs === timeUs && Object.is(e.amount, amount);
    const found = this.#merchant(key).events.find((e) => same(e) && !e.reversed);
    if (found !== undefined) found.reversed = true;
  }

  #compare(b: RowBlock, r: number, matrix: Float32Array, merchant: string, timeUs: number): void {
    if (!this.#sawAll || b.kind[r] !== ROW_PAYMENT) return;
    this.compared++;
    const rows = this.#pending.filter((p) => p.merchant === merchant).map((p) => p.event);
    const expected = this.#merchant(merchant).queryPending(timeUs, rows).columns.flat();
    const at = r * FEATURE_COUNT + MERCHANT_AT;
    for (let i = 0; i < WINDOW_COLUMNS; i++) {
      const got = matrix[at + i];
      const want = expected[i];
      if (Object.is(got, Math.fround(want))) continue;
      if (Math.abs(got - want) <= TOLERANCE * Math.max(1, Math.abs(want))) continue;
      throw new Violation("entity windows", `column ${i} of merchant ${merchant} is ${got}, the oracle says ${want}`);
    }
  }
}

/** The user is the counterparty; its text stands in for the code, and for the id, which merchants do not keep. */
function eventOf(user: string, timeUs: number, amount: number): OracleEvent {
  const counterparty = codeOf(user);
  return { timeUs, amount, counterparty, id: user, frame: 0, reversed: false, fraud: false };
}

const codes = new Map<string, number>();
function codeOf(user: string): number {
  const code = codes.get(user) ?? codes.size + 1;
  codes.set(user, code);
  return code;
}
