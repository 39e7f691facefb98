/**
 * The merchant actors of one shard: exact windows over all payments at a merchant, whoever's shard they came from, and
 * confirmed-fraud risk over windows that end where labels are known. Rows of other shards count from the overlay until
 * they are folded.
 */
import { DEGRADED_ENTITY, LABEL_CLEAR, LABEL_FRAUD, LABEL_REVERSAL, type RowBlock } from "../../proto/columns.ts";
import type { Interner } from "../../runtime/kernel/interner.ts";
import { SlotMap } from "../../runtime/kernel/slot_map.ts";
import { KNOWN_RUN, WindowTable } from "../../runtime/kernel/windows/window_table.ts";
import { Overlay, type PendingRows } from "../../runtime/overlay.ts";
import {
  DAY_US,
  DEVICE_AT,
  FEATURE_COUNT,
  LABEL_DELAY_US,
  MERCHANT_AT,
  MERCHANT_EXTRA_AT,
  MERCHANT_RUN_AT,
  RISK_WINDOWS_US,
  WINDOWS_US,
} from "../features/registry.ts";

const C = FEATURE_COUNT;
/** The first format of frames that say which payments were unusual for their users. */
const RUN_FORMAT = 3;
/** Known payments looked at for the run of frauds. */
const RUN_STEPS_MAX = 64;
const RUN_COLUMNS = DEVICE_AT - MERCHANT_RUN_AT;

export interface EntityOptions {
  readonly late_tolerance_us: number;
  readonly events_max: number;
}

export class MerchantActors {
  /** Format of the frame that rows are of: see ShardActors.format. */
  format = 0;
  readonly windows: WindowTable;
  readonly overlay = new Overlay();
  readonly #users: Interner;
  readonly #slots = new SlotMap();
  readonly #lateUs: number;
  readonly #run = new Float64Array(KNOWN_RUN);
  readonly #pending: PendingRows = {
    n: 0,
    timeUs: new Float64Array(64),
    amount: new Float64Array(64),
    counterparty: new Uint32Array(64),
  };

  constructor(o: EntityOptions, users: Interner) {
    this.#users = users;
    this.#lateUs = o.late_tolerance_us;
    this.windows = new WindowTable({
      windows_us: WINDOWS_US,
      delayed: { delay_us: LABEL_DELAY_US, windows_us: RISK_WINDOWS_US },
      retention_us: 30 * DAY_US + LABEL_DELAY_US + o.late_tolerance_us,
      late_tolerance_us: o.late_tolerance_us,
      ids: false,
      events_max: o.events_max,
    });
  }

  /**
   * Folds a payment of this shard's own journal and writes its merchant columns; `user` and `merchant` are the codes of
   * its parties. True when rows of the overlay count.
   */
  fold(b: RowBlock, r: number, user: number, merchant: number, matrix: Float32Array): boolean {
    let slot = this.#slots.get(merchant);
    if (slot < 0) {
      slot = this.windows.slot(b.merchant.hi[r], b.merchant.lo[r]);
      this.#slots.set(merchant, slot);
    }
    const t = b.eventTimeUs[r];
    const at = r * C;
    // No merchant's payment is searched by id: its frame's word tells whether it was unusual for its user.
    if (this.windows.append(slot, t, b.amountBase[r], user, 0, 0, b.unusual[r]) !== 0) {
      b.degraded[r] |= DEGRADED_ENTITY;
      this.#unknown(matrix, at);
      return false;
    }
    this.#runColumns(slot, t, matrix, at + MERCHANT_RUN_AT);
    if (this.overlay.rows > 0) {
      this.overlay.gather(b.merchant.hi[r], b.merchant.lo[r], this.#pending);
      if (this.#pending.n > 0) {
        this.#columnsPending(slot, t, this.windows.previousUs(slot, t), this.#pending.n, matrix, at);
        return true;
      }
    }
    this.windows.query(slot, t, matrix, at + MERCHANT_AT, at + MERCHANT_EXTRA_AT + 1);
    const last = this.windows.previousUs(slot, t);
    matrix[at + MERCHANT_EXTRA_AT] = last > Number.NEGATIVE_INFINITY ? (t - last) / 1e6 : Number.NaN;
    return false;
  }

  /** Slot of a merchant's code that was folded before, -1 else. For reading ahead only. */
  knownSlot(code: number): number {
    return code < 0 ? -1 : this.#slots.get(code);
  }

  /** Answers a payment of another shard; it joins the overlay unless it was folded already or is too late. */
  pend(b: RowBlock, r: number, matrix: Float32Array, source: number, frame: number): void {
    const hi = b.merchant.hi[r];
    const lo = b.merchant.lo[r];
    const t = b.eventTimeUs[r];
    const slot = this.windows.find(hi, lo);
    const at = r * C;
    if (slot >= 0 && this.windows.newestUs(slot) - t > this.#lateUs) {
      b.degraded[r] |= DEGRADED_ENTITY;
      this.#unknown(matrix, at);
      return;
    }
    const user = this.#users.code(b.user.hi[r], b.user.lo[r]);
    if (!this.overlay.add(hi, lo, t, b.amountBase[r], user, source, frame)) {
      b.degraded[r] |= DEGRADED_ENTITY;
      this.#unknown(matrix, at);
      return;
    }
    this.overlay.gather(hi, lo, this.#pending);
    const last = slot < 0 ? Number.NEGATIVE_INFINITY : this.windows.latestUs(slot, t);
    this.#runColumns(slot, t, matrix, at + MERCHANT_RUN_AT);
    // The payment itself was added last.
    this.#columnsPending(slot, t, last, this.#pending.n - 1, matrix, at);
  }

  /** Columns over folded and pending rows; `last` and the first `others` pending rows are payments before this one. */
  #columnsPending(slot: number, t: number, last: number, others: number, matrix: Float32Array, at: number): void {
    const p = this.#pending;
    this.windows.queryPending(slot, t, p, matrix, at + MERCHANT_AT, at + MERCHANT_EXTRA_AT + 1);
    let newest = last;
    for (let i = 0; i < others; i++) if (p.timeUs[i] <= t && p.timeUs[i] > newest) newest = p.timeUs[i];
    matrix[at + MERCHANT_EXTRA_AT] = newest > Number.NEGATIVE_INFINITY ? (t - newest) / 1e6 : Number.NaN;
  }

  /** Folds a payment from the inbox; `unusual`: 1 when it is so for its user, else 0. */
  foldRow(
    hi: number,
    lo: number,
    userHi: number,
    userLo: number,
    timeUs: number,
    amount: number,
    unusual: number,
  ): void {
    const user = this.#users.code(userHi, userLo);
    this.windows.append(this.windows.slot(hi, lo), timeUs, amount, user, 0, 0, unusual);
  }

  /** Applies a label or a reversal to the payment that matches time, user and amount; nothing when it is not held. */
  label(hi: number, lo: number, userHi: number, userLo: number, timeUs: number, amount: number, action: number): void {
    const slot = this.windows.find(hi, lo);
    if (slot < 0 || action === 0) return;
    const user = this.#users.code(userHi, userLo);
    this.windows.touch(slot);
    if (action === LABEL_REVERSAL) this.windows.reverseMatching(slot, timeUs, user, amount);
    else if (action === LABEL_FRAUD || action === LABEL_CLEAR) {
      this.windows.setFraud(slot, timeUs, user, amount, action === LABEL_FRAUD);
    }
  }

  /** Over folded payments only: rows of the overlay are too young to be known. */
  #runColumns(slot: number, t: number, m: Float32Array, at: number): void {
    const run = this.#run;
    const isKnown =
      this.format >= RUN_FORMAT &&
      slot >= 0 &&
      !this.windows.isUnseen &&
      this.windows.knownRun(slot, t, LABEL_DELAY_US, RUN_STEPS_MAX, run);
    if (!isKnown) {
      m.fill(Number.NaN, at, at + RUN_COLUMNS);
      return;
    }
    m[at] = run[0];
    m[at + 1] = (t - run[1]) / 1e6;
    m[at + 2] = (t - run[2]) / 1e6;
    m[at + 3] = (t - run[3]) / 1e6;
    m[at + 4] = (run[1] - run[3]) / 1e6;
    m[at + 5] = run[4];
    m[at + 6] = run[5];
  }

  #unknown(matrix: Float32Array, at: number): void {
    matrix.fill(Number.NaN, at + MERCHANT_AT, at + DEVICE_AT);
  }
}
