/**
 * The device actors of one shard: windows over the non-payment events of a device (logins, changes), read by payments
 * that name the device.
 */
import type { RowBlock } from "../../proto/columns.ts";
import type { Interner } from "../../runtime/kernel/interner.ts";
import { WindowTable } from "../../runtime/kernel/windows/window_table.ts";
import { Overlay, type PendingRows } from "../../runtime/overlay.ts";
import { DAY_US, DEVICE_AT, FEATURE_COUNT } from "../features/registry.ts";
import type { EntityOptions } from "./merchant_actors.ts";

const C = FEATURE_COUNT;
const WINDOWS_US = [DAY_US, 30 * DAY_US];

export class DeviceActors {
  readonly windows: WindowTable;
  readonly overlay = new Overlay();
  readonly #users: Interner;
  readonly #scratch = new Float32Array(WINDOWS_US.length * 6);
  readonly #pending: PendingRows = {
    n: 0,
    timeUs: new Float64Array(16),
    amount: new Float64Array(16),
    counterparty: new Uint32Array(16),
  };

  constructor(o: EntityOptions, users: Interner) {
    this.#users = users;
    this.windows = new WindowTable({
      windows_us: WINDOWS_US,
      retention_us: 30 * DAY_US + o.late_tolerance_us,
      late_tolerance_us: o.late_tolerance_us,
      ids: false,
      events_max: o.events_max,
    });
  }

  fold(b: RowBlock, r: number): void {
    this.foldRow(b.device.hi[r], b.device.lo[r], b.user.hi[r], b.user.lo[r], b.eventTimeUs[r]);
  }

  foldRow(hi: number, lo: number, userHi: number, userLo: number, timeUs: number): void {
    this.windows.append(this.windows.slot(hi, lo), timeUs, Number.NaN, this.#users.code(userHi, userLo), 0, 0, 0);
  }

  pend(b: RowBlock, r: number, source: number, frame: number): void {
    const user = this.#users.code(b.user.hi[r], b.user.lo[r]);
    this.overlay.add(b.device.hi[r], b.device.lo[r], b.eventTimeUs[r], Number.NaN, user, source, frame);
  }

  /**
   * Writes the three device columns of a payment: missing without a device, zero for one without events. True when rows
   * of the overlay count.
   */
  read(b: RowBlock, r: number, matrix: Float32Array): boolean {
    const at = r * C + DEVICE_AT;
    const hi = b.device.hi[r];
    const lo = b.device.lo[r];
    if ((hi | lo) === 0) {
      matrix.fill(Number.NaN, at, at + 3);
      return false;
    }
    const t = b.eventTimeUs[r];
    const slot = this.windows.actors === 0 ? -1 : this.windows.find(hi, lo);
    this.#pending.n = 0;
    if (this.overlay.rows > 0) this.overlay.gather(hi, lo, this.#pending);
    if (slot < 0 && this.#pending.n === 0) {
      matrix[at] = 0;
      matrix[at + 1] = 0;
      matrix[at + 2] = Number.NaN;
      return false;
    }
    this.windows.queryPending(slot, t, this.#pending, this.#scratch, 0, -1);
    matrix[at] = this.#scratch[0];
    matrix[at + 1] = this.#scratch[6 + 5];
    let last = slot < 0 ? Number.NEGATIVE_INFINITY : this.windows.newestUs(slot);
    for (let i = 0; i < this.#pending.n; i++) last = Math.max(last, this.#pending.timeUs[i]);
    matrix[at + 2] = last <= t && last > Number.NEGATIVE_INFINITY ? (t - last) / 1e6 : Number.NaN;
    return this.#pending.n > 0;
  }
}
