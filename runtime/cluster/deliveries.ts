/**
 * What nodes tell each other of committed rows: each shard's owner tells the owners of entities' shards elsewhere, by
 * ranges of its frames that leave nothing out. What got lost on the way shows as a gap, and is read from the journal.
 */
import type { RowBlock } from "../../proto/columns.ts";
import { InboxRows } from "../../proto/frame/rows_layout.ts";
import { addDeviceRow, addMerchantRow, deviceShard, merchantShard, type OnGap, take } from "../inbox.ts";
import type { ByteReader } from "../kernel/bytes.ts";
import type { Timers, Transport } from "../ports.ts";
import type { Shard } from "../shard.ts";
import { readDelivery, writeDelivery } from "../wire/delivery.ts";
import type { Routes } from "./route_view.ts";

/** How often a shard tells all others how far it has come, milliseconds. */
const TELL_MS = 250;

export interface DeliveryOptions {
  readonly node: string;
  readonly shards: readonly Shard[];
  readonly transport: Transport;
  readonly routes: Routes;
  readonly timers: Timers;
  readonly onGap: OnGap;
  /** Something came into an inbox. */
  readonly wake: () => void;
}

const NO_ROWS = new InboxRows();

export class Deliveries {
  readonly #o: DeliveryOptions;
  /** Rows of one frame, by target; empty between calls. */
  readonly #rows: InboxRows[];
  readonly #came = new InboxRows();
  readonly #stop: () => void;

  constructor(o: DeliveryOptions) {
    this.#o = o;
    this.#rows = o.shards.map(() => new InboxRows());
    this.#stop = o.timers.every(TELL_MS, () => this.#tellAll());
  }

  close(): void {
    this.#stop();
  }

  /** A frame of a shard here is committed: its rows for entities elsewhere go there. */
  committed(b: RowBlock, rows: Uint16Array, n: number, own: Shard, frame: number): void {
    const { shards } = this.#o;
    let any = false;
    for (let i = 0; i < n; i++) {
      const r = rows[i];
      const m = merchantShard(b, r, shards.length);
      if (m >= 0 && m !== own.id && !shards[m].serving) {
        addMerchantRow(this.#rows[m], b, r, own.id, frame);
        any = true;
      }
      const d = deviceShard(b, r, shards.length);
      if (d >= 0 && d !== own.id && !shards[d].serving) {
        addDeviceRow(this.#rows[d], b, r, own.id, frame);
        any = true;
      }
    }
    // What went to a shard here must not seem told to an owner elsewhere, who may have taken it over unnoticed.
    for (const target of shards) if (target.serving) own.told[target.id] = frame;
    if (!any) return;
    for (const target of shards) {
      const out = this.#rows[target.id];
      if (out.n > 0) this.#tell(own, target.id, frame, out);
      out.n = 0;
    }
  }

  /** Tells target's owner of `own`'s frames up to `upTo`. What cannot be sent is left out: the next range shows it. */
  #tell(own: Shard, target: number, upTo: number, rows: InboxRows): void {
    const after = own.told[target];
    own.told[target] = upTo;
    const to = this.#o.routes.node(target);
    if (to === null || to === this.#o.node) return;
    const { epoch, takeover } = own;
    const head = { from: this.#o.node, source: own.id, target, epoch, takeover, after, upTo };
    this.#o.transport.send(to, writeDelivery(head, rows, 0, rows.n));
  }

  #tellAll(): void {
    for (const own of this.#o.shards) {
      if (!own.serving) continue;
      for (const target of this.#o.shards) {
        if (target === own) continue;
        if (!target.serving) this.#tell(own, target.id, own.committedFrame, NO_ROWS);
        else if (target.received[own.id] < own.committedFrame)
          this.#o.onGap(target, own.id, own.committedFrame, own.committedFrame, NO_ROWS);
      }
    }
  }

  /** Takes another node's range. Throws WireDamaged. */
  onDelivery(reader: ByteReader, from: string): void {
    this.#came.n = 0;
    const head = readDelivery(reader, from, this.#came);
    const target = this.#o.shards[head.target];
    const source = this.#o.shards[head.source];
    if (target === undefined || source === undefined || source === target || !target.serving) return;
    if (!target.admits(head.source, head.epoch, head.takeover)) return;
    take(target, head.source, head.after, head.upTo, this.#came, this.#o.onGap);
    if (target.inboxWaiting > 0) this.#o.wake();
  }
}
