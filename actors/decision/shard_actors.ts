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
import { readKey, writeKey } from "../user/cold_ids.ts";
import { UserActors } from "../user/user_actors.ts";
import { ReadAhead } from "./read_ahead.ts";

/** Version of the snapshot's layout; a snapshot of another one is not loaded (the journal is replayed instead). */
export const SNAPSHOT_LAYOUT = 2;

/** Field number of `retracted` in ReportOutcomeRequest. */
const FIELD_RETRACTED = 6;
/** Actors searched in one call of scanFrame. */
const SCAN_SLOTS = 20_000;

export interface ShardActorsOptions {
  readonly late_tolerance_us: number;
  /** Events a table of this shard may hold. */
  readonly events_max: number;
}

export class FraudActors implements ShardActors {
  readonly #merchantCodes = new Interner();
  readonly #userCodes = new Interner();
  readonly users: UserActors;
  readonly merchants: MerchantActors;
  readonly devices: DeviceActors;
  readonly #entityEventsMax: number;
  readonly #ahead: ReadAhead;
  #part = 0;
  #cold: [string, number][] = [];
  #outcomes: [string, number][] = [];

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

  get repeatFrame(): number {
    return this.users.repeatFrame;
  }

  accept(b: RowBlock, r: number, matrix: Float32Array, frame: number): number {
    b.flags[r] = 0;
    const kind = b.kind[r];
    if (isPayment(kind)) {
      const hasRoom = this.merchants.windows.events < this.#entityEventsMax;
      return this.users.payment(b, r, matrix, frame, hasRoom);
    }
    if (kind === ROW_EVENT) return this.users.event(b, r, frame, this.devices.windows.events < this.#entityEventsMax);
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
      this.merchants.foldRow(t.hi[i], t.lo[i], t.userHi[i], t.userLo[i], t.timeUs[i], t.amount[i]);
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
    const w = this.users.windows;
    const slot = w.find(userHi, userLo);
    const h = slot < 0 ? -1 : w.findId(slot, idHi, idLo);
    return h >= 0 ? w.eventFrame(slot, h) : this.users.cold.frame(userHi, userLo, idHi, idLo);
  }

  scanFrame(idHi: number, idLo: number, cursor: { slot: number }): number {
    const w = this.users.windows;
    const slot = w.scanIds(idHi, idLo, cursor, SCAN_SLOTS);
    if (slot < 0) return cursor.slot >= w.actors ? this.users.cold.frameOfId(idHi, idLo) : -1;
    return w.eventFrame(slot, w.findId(slot, idHi, idLo));
  }

  beginSnapshot(): void {
    this.#part = 0;
    this.#cold = this.users.cold.entries();
    this.#outcomes = this.users.outcomes.entries();
    this.users.windows.beginSnapshot((slot, w) => this.users.extras.write(slot, w));
    this.merchants.windows.beginSnapshot();
    this.devices.windows.beginSnapshot();
    this.#merchantCodes.beginSnapshot();
    this.#userCodes.beginSnapshot();
  }

  abandonSnapshot(): void {
    for (const table of [this.users, this.merchants, this.devices]) table.windows.abandonSnapshot();
    this.#cold = [];
    this.#outcomes = [];
  }

  /** Parts in order: dictionaries, users, merchants, devices, cold ids, outcomes. */
  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    const parts = [
      () => this.#merchantCodes.snapshotStep(w, bytesMax),
      () => this.#userCodes.snapshotStep(w, bytesMax),
      () => this.users.windows.snapshotStep(w, bytesMax),
      () => this.merchants.windows.snapshotStep(w, bytesMax),
      () => this.devices.windows.snapshotStep(w, bytesMax),
      () => writeEntries(this.#cold, w),
      () => writeEntries(this.#outcomes, w),
    ];
    if (parts[this.#part]()) this.#part++;
    return this.#part === parts.length;
  }

  load(r: ByteReader): void {
    this.#merchantCodes.load(r);
    this.#userCodes.load(r);
    this.users.windows.load(r, (slot, from) => this.users.extras.read(slot, from));
    this.merchants.windows.load(r);
    this.devices.windows.load(r);
    readEntries(r, (k, v) => this.users.cold.load(k, v));
    readEntries(r, (k, v) => this.users.outcomes.load(k, v));
  }

  digest(): string {
    const h = createHash("sha256");
    for (const part of [
      this.users.windows.exportLines((code) => this.#merchantCodes.keyText(code)),
      this.merchants.windows.exportLines((code) => this.#userCodes.keyText(code)),
      this.devices.windows.exportLines((code) => this.#userCodes.keyText(code)),
    ]) {
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
      users: u.actors,
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

function writeEntries(entries: [string, number][], w: ByteWriter): boolean {
  w.u32(entries.length);
  for (const [k, v] of entries) {
    writeKey(k, w);
    w.f64(v);
  }
  return true;
}

function readEntries(r: ByteReader, load: (key: string, value: number) => void): void {
  const n = r.u32();
  for (let i = 0; i < n; i++) {
    const k = readKey(r);
    load(k, r.f64());
  }
}
