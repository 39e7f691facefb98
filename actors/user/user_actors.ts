/**
 * The user actors of one shard: exact windows over each user's payments, the user's extras, and the features made of
 * both. Calls come in journal order; the same calls give the same state and the same float32 columns.
 */
import {
  FLAG_APPLIED,
  FLAG_HELD,
  FLAG_LATE,
  LABEL_CLEAR,
  LABEL_FRAUD,
  LABEL_NONE,
  LABEL_REVERSAL,
  LOCATION_NONE,
  type RowBlock,
} from "../../proto/columns.ts";
import { EventKind, OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { CodedKeys, NOWHERE } from "../../runtime/kernel/coded_keys.ts";
import type { Interner } from "../../runtime/kernel/interner.ts";
import { PassiveActors } from "../../runtime/kernel/windows/passive_actors.ts";
import { type WindowOptions, WindowTable } from "../../runtime/kernel/windows/window_table.ts";
import type { PassiveStore } from "../../runtime/ports.ts";
import { ACCEPTED, FULL, REPEATED } from "../../runtime/program.ts";
import {
  DAY_US,
  FEATURE_COUNT,
  HOUR_US,
  PAYMENT_AT,
  STAT_COUNT,
  USER_AT,
  USER_EXTRA_AT,
  USER_PROFILE_AT,
  USER_RECENT_AT,
  WINDOWS_US,
} from "../features/registry.ts";
import { ColdIds } from "./cold_ids.ts";
import { greatCircleKm } from "./geography.ts";
import { Outcomes } from "./outcomes.ts";
import { PROFILE_COLUMNS } from "./profiles.ts";
import { RECENT_COLUMNS, recentColumns } from "./recent_payments.ts";
import { UserExtras } from "./user_extras.ts";

const C = FEATURE_COUNT;
/** Columns of the 30 d window. */
const MONTH = USER_AT + 5 * STAT_COUNT;
/** Time between two places below which no speed is computed, seconds. */
const SPEED_TIME_S_MIN = 1;
/** Mixed into the ids of events: an event and a payment of a user may have the same id. */
const EVENT_ID = 0x45564e54;

/** The first format of frames whose payments profiles are folded from. */
const PROFILED_FORMAT = 3;

/** Share of the events that a shard may hold above which users are made passive. */
const EVENTS_SHARE = 0.9;
/** Below this the log of passive users is not cleaned, bytes. */
const CLEAN_BYTES_MIN = 16 << 20;

/** How many users may be in memory, and where the others are. */
export interface PassivationOptions {
  readonly store: PassiveStore;
  readonly users_max: number;
  /** Default CLEAN_BYTES_MIN. */
  readonly clean_bytes_min?: number;
}

export interface UserActorsOptions {
  readonly late_tolerance_us: number;
  readonly events_max: number;
  /** Absent: all users stay in memory. */
  readonly passivation?: PassivationOptions;
}

/** Of a hash the 16 bits that profiles keep; 0 only for none. */
function code16(hash: number): number {
  return hash === 0 ? 0 : (hash ^ (hash >>> 16)) & 0xffff || 1;
}

export class UserActors {
  readonly windows: WindowTable;
  readonly extras = new UserExtras();
  readonly outcomes = new Outcomes();
  /** Ids that stand in no window: late payments and non-payment events. */
  readonly cold = new ColdIds();
  readonly #merchants: Interner;
  readonly #users: Interner;
  readonly #keys: CodedKeys;
  /** Null when all users stay in memory. */
  readonly passive: PassiveActors | null;
  repeatFrame = 0;
  /** Format of the frame that rows are of: see ShardActors.format. */
  format = 0;
  /** Codes of the user and the merchant of the payment accepted last. */
  userCode = 0;
  merchantCode = 0;

  constructor(o: UserActorsOptions, users: Interner, merchants: Interner) {
    this.#users = users;
    this.#merchants = merchants;
    this.#keys = new CodedKeys(users);
    const windows: WindowOptions = {
      windows_us: WINDOWS_US,
      retention_us: 30 * DAY_US + o.late_tolerance_us,
      late_tolerance_us: o.late_tolerance_us,
      ids: true,
      events_max: o.events_max,
    };
    this.windows = new WindowTable(windows, this.#keys);
    const p = o.passivation;
    const limits = {
      actors_max: p?.users_max ?? 0,
      events_max: Math.floor(o.events_max * EVENTS_SHARE),
      clean_bytes_min: p?.clean_bytes_min ?? CLEAN_BYTES_MIN,
    };
    this.passive = p === undefined ? null : new PassiveActors(this.windows, this.#keys, this.extras, p.store, limits);
  }

  /** Users known, in memory or not. */
  get known(): number {
    return this.windows.actors + (this.passive?.actors ?? 0);
  }

  /**
   * Brings back the passive users among the rows of a shard (-1: of all shards): null when there are none. Rejects with
   * PassiveRecordLost.
   */
  recall(b: RowBlock, shard: number): Promise<void> | null {
    if (this.passive === null || this.passive.actors === 0) return null;
    const codes: number[] = [];
    for (let r = 0; r < b.n; r++) {
      if ((shard >= 0 && b.shard[r] !== shard) || b.error[r] !== 0) continue;
      const code = this.#users.find(b.user.hi[r], b.user.lo[r]);
      if (code >= 0 && this.#keys.at(code) < NOWHERE) codes.push(code);
    }
    return codes.length === 0 ? null : this.passive.recall(codes);
  }

  /** Slot of a user, NOWHERE when it is unknown. One that is still passive comes back at once. */
  #slotOf(code: number): number {
    const at = this.#keys.at(code);
    return at >= NOWHERE || this.passive === null ? at : this.passive.recallCode(code);
  }

  #knownSlotOf(hi: number, lo: number): number {
    const code = this.#users.find(hi, lo);
    return code < 0 ? NOWHERE : this.#slotOf(code);
  }

  /** Frame of a user's payment, 0 when it holds none with the id; passive users stay so. */
  findFrame(code: number, idHi: number, idLo: number): number {
    const at = code < 0 ? NOWHERE : this.#keys.at(code);
    if (at < NOWHERE && (idHi | idLo) !== 0) return this.passive?.findFrame(code, idHi, idLo) ?? 0;
    const h = at < 0 ? -1 : this.windows.findId(at, idHi, idLo);
    return h < 0 ? 0 : this.windows.eventFrame(at, h);
  }

  isPassive(code: number): boolean {
    return this.#keys.at(code) < NOWHERE;
  }

  /** Brings all users back into memory, for comparisons. */
  recallAll(): void {
    for (let code = 0; code < this.#users.size; code++) this.#slotOf(code);
  }

  /** `hasRoom`: the entities have room for one more event. */
  payment(b: RowBlock, r: number, matrix: Float32Array, frame: number, hasRoom: boolean): number {
    const w = this.windows;
    const idHi = b.id.hi[r];
    const idLo = b.id.lo[r];
    const code = this.#users.code(b.user.hi[r], b.user.lo[r]);
    this.userCode = code;
    const known = this.#slotOf(code);
    if (known >= 0 && this.#isRepeat(b, r, known)) return REPEATED;
    // What is shed must leave no trace: replay does not see it.
    if (!hasRoom || (known < 0 && w.isFull)) return FULL;
    let slot = known;
    if (slot < 0) {
      slot = w.slot(b.user.hi[r], b.user.lo[r]);
      this.extras.ensure(slot);
    }
    w.touch(slot);
    this.extras.refer(slot);
    const t = b.eventTimeUs[r];
    const at = r * C;
    const merchant = this.#merchants.code(b.merchant.hi[r], b.merchant.lo[r]);
    this.merchantCode = merchant;
    const result = w.append(slot, t, b.amountBase[r], merchant, idHi, idLo, frame);
    if (result === 2) return FULL;
    if (result === 1) {
      this.cold.add(b.user.hi[r], b.user.lo[r], idHi, idLo, frame);
      b.flags[r] |= FLAG_LATE;
      matrix.fill(Number.NaN, at + USER_AT, at + PAYMENT_AT);
      return ACCEPTED;
    }
    const isNew = w.wasNew ? 1 : 0;
    w.query(slot, t, matrix, at + USER_AT, -1);
    this.#extraColumns(b, r, slot, matrix, at, isNew);
    this.#profile(b, r, slot, matrix, at + USER_PROFILE_AT);
    if (!w.isUnseen) {
      const e = at + USER_RECENT_AT;
      recentColumns(w, slot, t, t - 30 * DAY_US, b.amountBase[r], merchant, matrix, e);
      const local_us = t + this.extras.zone_h(slot) * HOUR_US;
      matrix[e + RECENT_COLUMNS] = Math.floor((local_us % DAY_US) / HOUR_US);
    }
    return ACCEPTED;
  }

  /** Profile columns of the payment, which is folded into it then. */
  #profile(b: RowBlock, r: number, slot: number, m: Float32Array, at: number): void {
    const x = this.extras;
    if (this.format < PROFILED_FORMAT) {
      x.endProfiles();
      m.fill(Number.NaN, at, at + PROFILE_COLUMNS);
      return;
    }
    const p = x.profiles;
    x.beginProfile(slot);
    p.amount = b.amountBase[r];
    p.timeUs = b.eventTimeUs[r];
    p.localUs = p.timeUs + x.zone_h(slot) * HOUR_US;
    p.category = code16(b.category[r]);
    p.country = b.country[r];
    p.device = b.device.lo[r] ^ b.device.hi[r];
    if (!this.windows.isUnseen) p.columns(slot, m, at);
    if (p.fold(slot)) b.unusual[r] = 1;
  }

  /** Slot of a user in memory, less than 0 else. For reading ahead only. */
  knownSlot(hi: number, lo: number): number {
    const code = this.#users.find(hi, lo);
    return code < 0 ? -1 : this.#keys.at(code);
  }

  #isRepeat(b: RowBlock, r: number, slot: number): boolean {
    const h = this.windows.findId(slot, b.id.hi[r], b.id.lo[r]);
    if (h >= 0) {
      this.repeatFrame = this.windows.eventFrame(slot, h);
      return true;
    }
    this.repeatFrame = this.cold.frame(b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]);
    return this.repeatFrame > 0;
  }

  #extraColumns(b: RowBlock, r: number, slot: number, m: Float32Array, at: number, isNew: number): void {
    const x = this.extras;
    const t = b.eventTimeUs[r];
    const e = at + USER_EXTRA_AT;
    const first = x.firstUs(slot);
    if (first === 0 || t < first) x.setFirst(slot, t);
    const last = this.windows.previousUs(slot, t);
    m[e] = last > Number.NEGATIVE_INFINITY ? (t - last) / 1e6 : Number.NaN;
    this.#geography(b, r, slot, m, e);
    this.#history(b.amountBase[r], m, at, e);
    m[e + 5] = isNew;
    this.#country(b, r, slot, m, e);
    m[e + 7] = (t - x.firstUs(slot)) / 1e6;
    if (x.hasEvents(slot)) {
      m[e + 8] = x.failedLogins(slot, t - DAY_US, t);
      for (let k = 0; k < 5; k++) {
        const since = (t - x.eventUs(slot, k)) / 1e6;
        m[e + 9 + k] = since >= 0 ? since : Number.NaN;
      }
    } else {
      m[e + 8] = 0;
      for (let k = 9; k < 14; k++) m[e + k] = Number.NaN;
    }
  }

  #geography(b: RowBlock, r: number, slot: number, m: Float32Array, e: number): void {
    const x = this.extras;
    m[e + 1] = Number.NaN;
    m[e + 2] = Number.NaN;
    if (b.latitudeE6[r] === LOCATION_NONE) return;
    const t = b.eventTimeUs[r];
    const known = x.latitudeE6(slot) !== LOCATION_NONE;
    if (known) {
      const km = greatCircleKm(x.latitudeE6(slot), x.longitudeE6(slot), b.latitudeE6[r], b.longitudeE6[r]);
      const s = (t - x.locatedUs(slot)) / 1e6;
      m[e + 2] = km;
      if (s >= SPEED_TIME_S_MIN) m[e + 1] = km / (s / 3600);
    }
    if (!known || t >= x.locatedUs(slot)) x.locate(slot, b.latitudeE6[r], b.longitudeE6[r], t);
  }

  /** Amount against the 30 d history without X, from the window's columns with X (n, mean, std). */
  #history(a: number, m: Float32Array, at: number, e: number): void {
    const n = m[at + MONTH - USER_AT];
    const mean = m[at + MONTH - USER_AT + 2];
    const std = m[at + MONTH - USER_AT + 3];
    m[e + 3] = Number.NaN;
    m[e + 4] = Number.NaN;
    if (n < 2) return;
    const before = (n * mean - a) / (n - 1);
    m[e + 3] = before > 0 ? a / before : Number.NaN;
    if (n < 3) return;
    const variance = (n / (n - 1)) * (std * std - ((a - mean) * (a - mean)) / (n - 1));
    // Below this share of the variance the difference is rounding of float32 columns, not spread.
    if (variance > 1e-5 * std * std && variance > 1e-6 * mean * mean) m[e + 4] = (a - before) / Math.sqrt(variance);
  }

  #country(b: RowBlock, r: number, slot: number, m: Float32Array, e: number): void {
    const now = b.country[r];
    const last = this.extras.country(slot);
    m[e + 6] = now === 0 || last === 0 ? Number.NaN : now === last ? 0 : 1;
    if (now !== 0) this.extras.setCountry(slot, now);
  }

  /** Folds a login, a change, a new payee or card. REPEATED when the id is known. */
  event(b: RowBlock, r: number, frame: number, hasRoom: boolean): number {
    const idHi = (b.id.hi[r] ^ EVENT_ID) >>> 0;
    const known = this.cold.frame(b.user.hi[r], b.user.lo[r], idHi, b.id.lo[r]);
    if (known > 0) {
      this.repeatFrame = known;
      return REPEATED;
    }
    if (!hasRoom) return FULL;
    const held = this.#knownSlotOf(b.user.hi[r], b.user.lo[r]);
    const slot = held >= 0 ? held : this.windows.slot(b.user.hi[r], b.user.lo[r]);
    this.extras.ensure(slot);
    this.windows.touch(slot);
    this.extras.refer(slot);
    this.cold.add(b.user.hi[r], b.user.lo[r], idHi, b.id.lo[r], frame);
    const t = b.eventTimeUs[r];
    const kind = b.code[r];
    if (kind === EventKind.LOGIN_FAILED) this.extras.recordFailedLogin(slot, t);
    else this.extras.recordEvent(slot, kind === EventKind.LOGIN ? 0 : kind - EventKind.LOGIN_FAILED, t);
    b.flags[r] |= FLAG_APPLIED;
    return ACCEPTED;
  }

  /** Folds an outcome: the newest revision wins; says in the row what the payment's merchant must do. */
  outcome(b: RowBlock, r: number): number {
    const slot = this.#knownSlotOf(b.user.hi[r], b.user.lo[r]);
    const h = slot < 0 ? -1 : this.windows.findId(slot, b.id.hi[r], b.id.lo[r]);
    b.labelAction[r] = LABEL_NONE;
    b.merchant.hi[r] = 0;
    b.merchant.lo[r] = 0;
    if (h >= 0) b.flags[r] |= FLAG_HELD;
    const standing = this.outcomes.revision(b, r);
    if (standing >= b.revision[r]) {
      b.standing[r] = standing;
      return ACCEPTED;
    }
    b.standing[r] = b.revision[r];
    b.flags[r] |= FLAG_APPLIED;
    const wasFraud = this.outcomes.fraud(b, r);
    const kind = b.code[r];
    const fraud = b.retracted[r] === 0 && (kind === OutcomeKind.CHARGEBACK || kind === OutcomeKind.CONFIRMED_FRAUD);
    this.outcomes.set(b, r, fraud);
    if (h < 0) return ACCEPTED;
    const code = this.windows.eventCounterparty(slot, h);
    b.merchant.hi[r] = this.#merchants.keyHi(code);
    b.merchant.lo[r] = this.#merchants.keyLo(code);
    b.paymentTimeUs[r] = this.windows.eventTimeUs(slot, h);
    b.amountBase[r] = this.windows.eventAmount(slot, h);
    if (kind === OutcomeKind.REVERSAL && b.retracted[r] === 0) {
      if (!this.windows.eventReversed(slot, h)) {
        this.windows.touch(slot);
        this.windows.reverse(slot, h);
        b.labelAction[r] = LABEL_REVERSAL;
      }
    } else if (fraud !== wasFraud) b.labelAction[r] = fraud ? LABEL_FRAUD : LABEL_CLEAR;
    return ACCEPTED;
  }
}
