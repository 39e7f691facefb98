/**
 * How committed rows reach the inboxes of entities' shards: at once where both are on this node, by range from other
 * nodes, and from the source's journal for whatever was missed. `Shard.received` says up to which frame of a source all
 * is known; only what continues it is taken, so every row comes once and in order.
 */
import {
  ALL_ROWS,
  concernsMerchant,
  hasDevice,
  isPayment,
  LABEL_REVERSAL,
  ROW_EVENT,
  RowBlock,
} from "../proto/columns.ts";
import { HEADER_BYTES, KIND_ROWS, KIND_TAKEOVER } from "../proto/frame/frame_header.ts";
import {
  INBOX_DEVICE_EVENT,
  INBOX_MERCHANT_LABEL,
  INBOX_MERCHANT_PAYMENT,
  INBOX_MERCHANT_REVERSAL,
  InboxRows,
} from "../proto/frame/rows_layout.ts";
import { RowsReader } from "../proto/frame/rows_reader.ts";
import { checkFrame, checkReadable, type Sleep, untilReachable } from "./journal/checked.ts";
import type { Journal, JournalMessage } from "./ports.ts";
import type { Decider } from "./program.ts";
import type { Shard } from "./shard.ts";

/** Shard of the merchant that row r is about; -1 when it is about none. */
export function merchantShard(b: RowBlock, r: number, shards: number): number {
  return concernsMerchant(b, r) ? b.merchant.hi[r] % shards : -1;
}

/** Shard of the device that event row r is about; -1 for other rows. */
export function deviceShard(b: RowBlock, r: number, shards: number): number {
  return b.kind[r] === ROW_EVENT && hasDevice(b, r) ? b.device.hi[r] % shards : -1;
}

/** Adds row r of a source's frame for its merchant to an inbox. */
export function addMerchantRow(into: InboxRows, b: RowBlock, r: number, source: number, frame: number): void {
  const payment = isPayment(b.kind[r]);
  const reversal = b.labelAction[r] === LABEL_REVERSAL;
  const j = into.add();
  into.kind[j] = payment ? INBOX_MERCHANT_PAYMENT : reversal ? INBOX_MERCHANT_REVERSAL : INBOX_MERCHANT_LABEL;
  into.hi[j] = b.merchant.hi[r];
  into.lo[j] = b.merchant.lo[r];
  into.timeUs[j] = payment ? b.eventTimeUs[r] : b.paymentTimeUs[r];
  into.flag[j] = payment ? b.unusual[r] : b.labelAction[r];
  addParties(into, j, b, r, source, frame);
}

export function addDeviceRow(into: InboxRows, b: RowBlock, r: number, source: number, frame: number): void {
  const j = into.add();
  into.kind[j] = INBOX_DEVICE_EVENT;
  into.hi[j] = b.device.hi[r];
  into.lo[j] = b.device.lo[r];
  into.timeUs[j] = b.eventTimeUs[r];
  into.flag[j] = 0;
  addParties(into, j, b, r, source, frame);
}

function addParties(into: InboxRows, j: number, b: RowBlock, r: number, source: number, frame: number): void {
  into.source[j] = source;
  into.frame[j] = frame;
  into.userHi[j] = b.user.hi[r];
  into.userLo[j] = b.user.lo[r];
  into.amount[j] = b.amountBase[r];
}

/** A source's frames in (after, upTo], and those of their rows that concern the target. */
export type OnGap = (target: Shard, source: number, after: number, upTo: number, rows: InboxRows) => void;

/** Rows of one frame, while it is delivered to a target that misses frames before it. */
const behind = new InboxRows();

/** Hands the committed rows of a frame of `own` to the entities' shards that this node serves. */
export function deliver(
  b: RowBlock,
  rows: Uint16Array,
  n: number,
  own: Shard,
  shards: readonly Shard[],
  frame: number,
  onGap: OnGap,
): void {
  if (shards.length === 1) return;
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    const m = merchantShard(b, r, shards.length);
    if (m >= 0 && m !== own.id && shards[m].continues(own.id, frame)) {
      addMerchantRow(shards[m].inboxQueue, b, r, own.id, frame);
    }
    const d = deviceShard(b, r, shards.length);
    if (d >= 0 && d !== own.id && shards[d].continues(own.id, frame)) {
      addDeviceRow(shards[d].inboxQueue, b, r, own.id, frame);
    }
  }
  for (const target of shards) {
    if (target === own || !target.serving) continue;
    if (target.continues(own.id, frame)) target.received[own.id] = frame;
    else if (target.received[own.id] < frame) {
      behind.n = 0;
      collect(behind, b, rows, n, target.id, shards.length, own.id, frame);
      onGap(target, own.id, frame - 1, frame, behind);
    }
  }
}

/** Adds the rows among rows[0..n) that concern entities of shard `target`. */
function collect(
  into: InboxRows,
  b: RowBlock,
  rows: Uint16Array,
  n: number,
  target: number,
  shards: number,
  source: number,
  frame: number,
): void {
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    if (merchantShard(b, r, shards) === target) addMerchantRow(into, b, r, source, frame);
    if (deviceShard(b, r, shards) === target) addDeviceRow(into, b, r, source, frame);
  }
}

/** Takes what is said of a source's frames in (after, upTo]: `rows` are those for `target`. */
export function take(target: Shard, source: number, after: number, upTo: number, rows: InboxRows, onGap: OnGap): void {
  if (target.received[source] < after) {
    onGap(target, source, after, upTo, rows);
    return;
  }
  for (let i = 0; i < rows.n; i++) {
    if (rows.frame[i] > target.received[source]) target.inboxQueue.copyRow(rows, i);
  }
  target.received[source] = Math.max(target.received[source], upTo);
}

/** Rows held back for one target and source; past it they are read from the journal later. */
const HELD_MAX = 1 << 16;

/** What came of a source while its journal is read for a target. */
interface Held {
  after: number;
  upTo: number;
  readonly rows: InboxRows;
}

export interface InboxGapsOptions {
  readonly decider: Decider;
  readonly shards: readonly Shard[];
  readonly tenantIndex: (id: string) => number;
  readonly sleep: Sleep;
  /** A gap could not be closed: the next range shows it again. */
  readonly onFailed: (target: Shard, source: number, error: Error) => void;
  /** Something came into an inbox. */
  readonly wake: () => void;
}

/**
 * Closes gaps: reads what a target missed of a source from its journal, one journal at a time, while what comes
 * meanwhile is held back and taken behind it.
 */
export class InboxGaps {
  readonly #o: InboxGapsOptions;
  readonly #refill: InboxRefill;
  readonly #held = new Map<string, Held>();
  #last: Promise<void> = Promise.resolve();

  constructor(o: InboxGapsOptions) {
    this.#o = o;
    this.#refill = new InboxRefill(o.decider, o.shards.length, o.tenantIndex, o.sleep);
  }

  /** A range came behind something that is missing. */
  readonly found: OnGap = (target, source, after, upTo, rows) => {
    const key = `${target.id}<${source}`;
    const held = this.#held.get(key);
    if (held === undefined) {
      const first: Held = { after, upTo, rows: new InboxRows() };
      for (let i = 0; i < rows.n; i++) first.rows.copyRow(rows, i);
      this.#held.set(key, first);
      this.read(target, source).catch((e: Error) => this.#o.onFailed(target, source, e));
      return;
    }
    if (after > held.upTo || held.rows.n > HELD_MAX) {
      // What lies between was lost as well: this one begins anew.
      held.after = after;
      held.rows.n = 0;
    }
    for (let i = 0; i < rows.n; i++) if (rows.frame[i] > held.upTo || held.rows.n === 0) held.rows.copyRow(rows, i);
    held.upTo = Math.max(held.upTo, upTo);
  };

  /** Reads up to the journal's tail. Rejects with JournalDamaged. */
  read(target: Shard, source: number): Promise<void> {
    const turn = this.#last.then(async () => {
      const key = `${target.id}<${source}`;
      try {
        await this.#refill.read(target, source, this.#o.shards[source].journal);
      } finally {
        const held = this.#held.get(key);
        this.#held.delete(key);
        if (held !== undefined && target.serving && target.received[source] >= held.after) {
          take(target, source, held.after, held.upTo, held.rows, () => {});
        }
        this.#o.wake();
      }
    });
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Reads a source's journal up to its tail and queues what `target` misses. */
class InboxRefill {
  readonly #reader: RowsReader;
  readonly #tenantIndex: (id: string) => number;
  readonly #sleep: Sleep;
  readonly #shards: number;

  constructor(decider: Decider, shards: number, tenantIndex: (id: string) => number, sleep: Sleep) {
    this.#reader = new RowsReader(decider.shape);
    this.#shards = shards;
    this.#tenantIndex = tenantIndex;
    this.#sleep = sleep;
  }

  /**
   * Waits while the journal is unreachable (a rejecting `sleep` ends it). Rejects with JournalDamaged. Ends early when
   * the target serves no more.
   */
  read(target: Shard, source: number, journal: Journal): Promise<void> {
    const block = new RowBlock();
    const readAll = async (): Promise<void> => {
      // Nothing of the source is missed up to what was folded or received; after a failure it goes on there.
      const first = Math.max(target.received[source], target.watermarks[source]) + 1;
      for await (const message of journal.readFrom(first)) {
        if (!target.serving) return;
        this.#queue(block, target, source, message, journal);
      }
      target.received[source] = Math.max(target.received[source], first - 1);
    };
    return untilReachable(this.#sleep, readAll);
  }

  #queue(block: RowBlock, target: Shard, source: number, message: JournalMessage, journal: Journal): void {
    const { sequence: frame, bytes } = message;
    // Meanwhile the source may have told of it.
    if (frame <= target.received[source]) return;
    const header = checkFrame(journal, message, { checksum: null, epoch: 0 });
    if (header.kind === KIND_ROWS) {
      checkReadable(header.version, frame);
      this.#reader.read(bytes.subarray(HEADER_BYTES), header.version, block, null, this.#tenantIndex);
      collect(target.inboxQueue, block, ALL_ROWS, block.n, target.id, this.#shards, source, frame);
    }
    // Rows that an earlier owner announced must not stay pending beside those of this one.
    if (header.kind === KIND_TAKEOVER) target.admits(source, header.epoch, frame);
    target.received[source] = frame;
  }
}
