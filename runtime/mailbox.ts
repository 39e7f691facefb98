/**
 * The node's mailbox: a bounded pool of row blocks. Gateways write into the open block; the tick loop takes the oldest
 * one. When every block is taken the mailbox is full and callers shed. It owns no timer: `onRows` tells the tick loop
 * that something waits.
 */
import { type BatchSink, BLOCK_ROWS, RowBlock } from "../proto/columns.ts";
import { BlockRoom, ROW_BYTES_BEYOND_MESSAGE, ROW_BYTES_BEYOND_WIRE } from "./frame_room.ts";
import type { Clock, Intake } from "./ports.ts";

export interface MailboxOptions {
  readonly shards: number;
  /** Blocks waiting or open; with the blocks under way they bound the memory and the waiting time. */
  readonly blocks_max: number;
  readonly clock: Clock;
  /** Its rows come as columns from the gateways of a cluster. */
  readonly is_shared?: boolean;
}

export class Mailbox implements Intake {
  readonly shards: number;
  /** Rows that all blocks hold. */
  readonly rowsMax: number;
  readonly #clock: Clock;
  readonly #room: BlockRoom;
  readonly #free: RowBlock[] = [];
  #waiting: RowBlock[] = [];
  #open: RowBlock | null = null;
  #closed = false;
  /** Rows shed so far, rows waiting now. */
  shed = 0;
  depth = 0;
  /** Rows a second of late, for retryAfterMs; kept by the tick loop. */
  drainRate = 50_000;
  onRows: () => void = () => {};

  constructor(o: MailboxOptions) {
    this.shards = o.shards;
    this.#clock = o.clock;
    this.#room = new BlockRoom(o.is_shared === true ? ROW_BYTES_BEYOND_WIRE : ROW_BYTES_BEYOND_MESSAGE);
    this.rowsMax = o.blocks_max * BLOCK_ROWS;
    for (let i = 0; i < o.blocks_max; i++) this.#free.push(new RowBlock());
  }

  open(rows: number, bytes: number): RowBlock | null {
    if (this.#closed || rows > BLOCK_ROWS) return this.#refuse(rows);
    let b = this.#open;
    if (b !== null && this.#room.fits(b, rows, bytes)) return b;
    if (this.#free.length === 0) return this.#refuse(rows);
    if (b !== null) this.#waiting.push(b);
    b = this.#free.pop() as RowBlock;
    this.#open = b;
    this.#room.empty();
    return b;
  }

  submit(block: RowBlock, count: number, bytes: Uint8Array, sink: BatchSink): void {
    if (block !== this.#open) throw new Error("submit() of a block that is not open: open() and submit() in one go");
    if (block.n === 0) block.openedUs = this.#clock.monotonicUs();
    block.addBatch(bytes, block.n, count, sink);
    this.#room.add(count, bytes.length);
    this.depth += count;
    this.onRows();
  }

  retryAfterMs(): number {
    return Math.min(2000, Math.max(20, Math.ceil((this.depth / Math.max(1000, this.drainRate)) * 1000)));
  }

  /** Whether rows wait. */
  get waiting(): boolean {
    return this.#waiting.length > 0 || (this.#open !== null && this.#open.n > 0);
  }

  /** True when a whole block waits: more delay would gain nothing. */
  get ripe(): boolean {
    return this.#waiting.length > 0;
  }

  /** Monotonic time of the oldest waiting row, microseconds; Infinity without one. */
  get oldestUs(): number {
    const b = this.#waiting[0] ?? this.#open;
    return b !== null && b !== undefined && b.n > 0 ? b.openedUs : Number.POSITIVE_INFINITY;
  }

  /** Takes the oldest block with rows, or null. */
  take(): RowBlock | null {
    let b = this.#waiting.shift();
    if (b === undefined) {
      if (this.#open === null || this.#open.n === 0) return null;
      b = this.#open;
      this.#open = null;
    }
    this.depth -= b.n;
    return b;
  }

  /** Gives a block back when every batch in it is answered. */
  giveBack(block: RowBlock): void {
    block.reset();
    this.#free.push(block);
  }

  /** Lets nothing in any more: what waits is still decided. */
  close(): void {
    this.#closed = true;
  }

  #refuse(rows: number): null {
    this.shed += rows;
    return null;
  }
}
