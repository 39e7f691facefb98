/**
 * A stand-in for the runtime in the gateway's own tests: one block after another, answered when the test says so (or at
 * once). It decides nothing real: protocol edges are what these tests are about.
 */

import type { BatchSink } from "../../proto/columns.ts";
import { ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import type { Intake } from "../../runtime/ports.ts";

export class FakeIntake implements Intake {
  readonly shards = 4;
  /** Answers each batch in the next turn of the event loop; false holds them until `answerAll`. */
  automatic = true;
  /** Refuses everything, as a full mailbox does. */
  full = false;
  /** Called for each row that was let in, to write its result. */
  decide: (block: RowBlock, row: number) => void = allow;
  /** Rows taken so far. */
  rows = 0;
  #block = new RowBlock();
  #free: RowBlock[] = [];
  #scheduled = false;

  open(rows: number): RowBlock | null {
    if (this.full) return null;
    if (this.#block.n + rows > this.#block.kind.length) this.answerAll();
    return this.#block;
  }

  submit(block: RowBlock, count: number, bytes: Uint8Array, sink: BatchSink): void {
    block.addBatch(bytes, block.n, count, sink);
    this.rows += count;
    if (!this.automatic || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.automatic) this.answerAll();
    });
  }

  /** Batches that wait for answerAll. */
  get waiting(): number {
    return this.#block.batchCount;
  }

  answerAll(): void {
    const block = this.#block;
    this.#block = this.#free.pop() ?? new RowBlock();
    block.stagesUs.set([10, 20, 30, 40, 50]);
    for (let r = 0; r < block.n; r++) if (block.error[r] === 0) this.decide(block, r);
    for (let i = 0; i < block.batchCount; i++) {
      const batch = block.batches[i];
      batch.sink?.done(block, batch.start, batch.count);
    }
    block.reset();
    this.#free.push(block);
  }

  retryAfterMs(): number {
    return 1500;
  }
}

export function allow(block: RowBlock, row: number): void {
  block.score[row] = 0.25;
  block.outcome[row] = 1;
  block.flags[row] = block.kind[row] === ROW_PAYMENT ? 0 : 4 | 8;
  block.standing[row] = block.revision[row];
}
