/**
 * All actors of one shard behind the runtime's ShardActors port: users, merchants, devices, their dictionaries, and the
 * snapshot of them together.
 */
import { createHash } from "node:crypto";
import { isPayment, ROW_EVENT, ROW_OUTCOME, type RowBlock } from "../../proto/columns.ts";
import { INBOX_DEVICE_EVENT, INBOX_MERCHANT_PAYMENT, type InboxRows } from "../../proto/frame/rows_layout.ts";
import { ErrorCode, OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";
import { Interner } from "../../runtime/kernel/interner.ts";
import { REFUSED, type ShardActors } from "../../runtime/program.ts";
import { DeviceActors } from "../entity/device_actors.ts";
import { MerchantActors } from "../entity/merchant_actors.ts";
import { type PassivationOptions, UserActors } from "../user/user_actors.ts";
import { ReadAhead } from "./read_ahead.ts";

/** Layout of snapshots that is written. Layout 3 has no profiles and no part that says their generation. */
export const SNAPSHOT_LAYOUT = 4;
/** Those that are read; a snapshot of another one is not loaded (the journal is replayed instead). */
export const SNAPSHOT_LAYOUTS: readonly string[] = ["3", `${SNAPSHOT_LAYOUT}`];

/** Field number of `retracted` in ReportOutcomeRequest. */
const FIELD_RETRACTED = 6;
/** Users searched in one call of scanFrame; a passive one counts for more. */
const SCAN_COST = 20_000;
const SCAN_COST_PASSIVE = 40;

/** Late tolerance of user and entity windows, microseconds of event time; the retry horizon of 24 h is longer. */
export const LATE_TOLERANCE_US = 3600e6;

export interface ShardActorsOptions {
  readonly late_tolerance_us: number;
  /** Events a table of this shard may hold. */
  readonly events_max: number;
  /** Absent: all users stay in memory. */
  readonly passivation?: PassivationOptions;
}

export class FraudActors implements ShardActors {
  readonly #merchantCodes = new Interner();
  readonly #userCodes = new Interner();
  readonly users: UserActors;
  readonly merchants: MerchantActors;
  readonly devices: DeviceActors;
  readonly #entityEventsMax: number;
  readonly #ahead: ReadAhead;
  /** Parts of the snapshot that are written, and that are loaded. */
  #part = 0;
  #loaded = 0;
  #loadedLayout = "";

  constructor(o: ShardActorsOptions) {
    this.users = new UserActors(o, this.#userCodes, this.#merchantCodes);
    this.#entityEventsMax = o.events_max;
    // Committed rows of other shards must always find room: intake stops at half of what the tables hold.
    const entities = { ...o, events_max: Math.min(2 ** 31, o.events_max * 2) };
    this.merchants = new MerchantActors(entities, this.#userCodes);
    this.devices = new DeviceActors(entities, this.#userCodes);
    this.#ahead = new ReadAhead(this.users, this.merchants, this.#merchantCodes);
  }

  readAhead(b: RowBlock, order: Uint16Array, from: number, to: number, shard: number): void {
    this.#ahead.read(b, order, from, to, shard);
  }

  recall(b: RowBlock, shard: number): Promise<void> | null {
    return this.users.recall(b, shard);
  }

  passivate(rows: number): void {
    this.users.passive?.step(rows);
  }

  get format(): number {
    return this.users.format;
  }

  set format(format: number) {
    this.users.format = format;
    this.merchants.format = format;
  }

  get isReplay(): boolean {
    return this.users.windows.isUnbounded;
  }

  set isReplay(is: boolean) {
    this.users.windows.isUnbounded = is;
  }

  get isUnseen(): boolean {
    return this.users.windows.isUnseen;
  }

  set isUnseen(is: boolean) {
    this.users.windows.isUnseen = is;
    this.merchants.windows.isUnseen = is;
  }

  get repeatFrame(): number {
    return this.users.repeatFrame;
  }

  accept(b: RowBlock, r: number, matrix: Float32Array, frame: number): number {
    b.flags[r] = 0;
    b.unusual[r] = 0;
    const kind = b.kind[r];
    if (isPayment(kind)) {
      const hasRoom = this.merchants.windows.events < this.#entityEventsMax || this.isReplay;
      return this.users.payment(b, r, matrix, frame, hasRoom);
    }
    if (kind === ROW_EVENT) {
      const hasRoom = this.devices.windows.events < this.#entityEventsMax || this.isReplay;
      return this.users.event(b, r, frame, hasRoom);
    }
    if (b.retracted[r] === 1 && b.code[r] === OutcomeKind.REVERSAL) {
      b.error[r] = ErrorCode.INVALID;
      b.errorField[r] = FIELD_RETRACTED;
      return REFUSED;
    }
    return this.users.outcome(b, r);
  }

  foldMerchant(b: RowBlock, r: number, matrix: Float32Array): boolean {
    if (b.kind[r] !== ROW_OUTCOME)
      return this.merchants.fold(b, r, this.users.userCode, this.users.merchantCode, matrix);
    this.merchants.label(
      b.merchant.hi[r],
      b.merchant.lo[r],
      b.user.hi[r],
      b.user.lo[r],
      b.paymentTimeUs[r],
      b.amountBase[r],
      b.labelAction[r],
    );
    return false;
  }

  pendMerchant(b: RowBlock, r: number, matrix: Float32Array, source: number, frame: number): void {
    if (b.kind[r] !== ROW_OUTCOME) this.merchants.pend(b, r, matrix, source, frame);
  }

  foldDevice(b: RowBlock, r: number): void {
    this.devices.fold(b, r);
  }

  pendDevice(b: RowBlock, r: number, source: number, frame: number): void {
    this.devices.pend(b, r, source, frame);
  }

  readDevice(b: RowBlock, r: number, matrix: Float32Array): boolean {
    return this.devices.read(b, r, matrix);
  }

  foldInbox(t: InboxRows, i: number): void {
    const k = t.kind[i];
    if (k === INBOX_MERCHANT_PAYMENT) {
      this.merchants.foldRow(t.hi[i], t.lo[i], t.userHi[i], t.userLo[i], t.timeUs[i], t.amount[i], t.flag[i]);
    } else if (k === INBOX_DEVICE_EVENT) {
      this.devices.foldRow(t.hi[i], t.lo[i], t.userHi[i], t.userLo[i], t.timeUs[i]);
    } else {
      this.merchants.label(t.hi[i], t.lo[i], t.userHi[i], t.userLo[i], t.timeUs[i], t.amount[i], t.flag[i]);
    }
  }

  settle(source: number, frame: number): void {
    this.merchants.overlay.settle(source, frame);
    this.devices.overlay.settle(source, frame);
  }

  abandon(source: number, frame: number): void {
    this.merchants.overlay.abandon(source, frame);
    this.devices.overlay.abandon(source, frame);
  }

  findFrame(userHi: number, userLo: number, idHi: number, idLo: number): number {
    const frame = this.users.findFrame(this.#userCodes.find(userHi, userLo), idHi, idLo);
    return frame > 0 ? frame : this.users.cold.frame(userHi, userLo, idHi, idLo);
  }

  scanFrame(idHi: number, idLo: number, cursor: { slot: number }): number {
    // By code, which a user keeps wherever it goes between two slices.
    for (let left = SCAN_COST; left > 0 && cursor.slot < this.#userCodes.size; cursor.slot++) {
      const frame = this.users.findFrame(cursor.slot, idHi, idLo);
      if (frame > 0) return frame;
      left -= this.users.isPassive(cursor.slot) ? SCAN_COST_PASSIVE : 1;
    }
    return cursor.slot < this.#userCodes.size ? -1 : this.users.cold.frameOfId(idHi, idLo);
  }

  beginSnapshot(): void {
    this.#part = 0;
    this.users.extras.beginSnapshot();
    this.users.cold.beginSnapshot();
    this.users.outcomes.beginSnapshot();
    this.users.windows.beginSnapshot((slot, w) => this.users.extras.write(slot, w));
    this.merchants.windows.beginSnapshot();
    this.devices.windows.beginSnapshot();
    this.#merchantCodes.beginSnapshot();
    this.#userCodes.beginSnapshot();
  }

  abandonSnapshot(): void {
    for (const table of [this.users, this.merchants, this.devices]) table.windows.abandonSnapshot();
    this.users.cold.abandonSnapshot();
    this.users.outcomes.abandonSnapshot();
  }

  /** Parts in order: dictionaries, users, merchants, devices, cold ids, outcomes, the profiles' generation. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    const parts = [
      () => this.#merchantCodes.snapshotStep(w, bytesMax),
      () => this.#userCodes.snapshotStep(w, bytesMax),
      () => this.users.windows.snapshotStep(w, bytesMax),
      () => this.merchants.windows.snapshotStep(w, bytesMax),
      () => this.devices.windows.snapshotStep(w, bytesMax),
      () => this.users.cold.snapshotStep(w, bytesMax),
      () => this.users.outcomes.snapshotStep(w, bytesMax),
      () => this.users.extras.writeGeneration(w),
    ];
    if (parts[this.#part]()) this.#part++;
    return this.#part === parts.length;
  }

  beginLoad(layout: string): boolean {
    this.#loadedLayout = layout;
    return SNAPSHOT_LAYOUTS.includes(layout);
  }

  loadPart(r: ByteReader): boolean {
    const parts = [
      () => this.#merchantCodes.loadPart(r),
      () => this.#userCodes.loadPart(r),
      () => this.users.windows.loadPart(r, (slot, from, end) => this.users.extras.read(slot, from, end)),
      () => this.merchants.windows.loadPart(r),
      () => this.devices.windows.loadPart(r),
      () => this.users.cold.loadPart(r),
      () => this.users.outcomes.loadPart(r),
      () => this.users.extras.readGeneration(r),
    ];
    if (parts[this.#loaded]()) this.#loaded++;
    return this.#loaded === (this.#loadedLayout === "3" ? parts.length - 1 : parts.length);
  }

  /** The windows of users, merchants and devices as lines of text: an actor's head, then its events, indented. */
  exports(): readonly Iterable<string>[] {
    return [
      this.users.windows.exportLines((code) => this.#merchantCodes.keyText(code)),
      this.merchants.windows.exportLines((code) => this.#userCodes.keyText(code)),
      this.devices.windows.exportLines((code) => this.#userCodes.keyText(code)),
    ];
  }

  digest(): string {
    const h = createHash("sha256");
    for (const part of this.exports()) {
      for (const line of part) h.update(line);
      h.update("\n--\n");
    }
    for (const [k, v] of [...this.users.cold.entries(), ...this.users.outcomes.entries()].sort())
      h.update(`${k}:${v}\n`);
    return h.digest("hex");
  }

  sizes() {
    const u = this.users.windows;
    const m = this.merchants.windows;
    return {
      users: this.users.known,
      activeUsers: u.actors,
      events: u.events,
      entities: m.actors + this.devices.windows.actors,
      entityEvents: m.events + this.devices.windows.events,
      bytes: {
        user_actors: u.bytes().actors + this.users.extras.bytes(),
        user_events: u.bytes().events,
        entity_actors: m.bytes().actors,
        entity_events: m.bytes().events,
      },
    };
  }
}
