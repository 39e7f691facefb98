/**
 * Reading ahead. The state of many actors does not fit the caches, and an actor that was quiet for a while costs
 * several waits for memory, one after the other. Here the rows of a batch are looked up step by step, all rows a step,
 * only to read: the processor waits for many of them at once. What is read is near when the rows are then accepted one
 * by one. Nothing is changed and nothing is kept, so it can be left out anywhere.
 */
import { isPayment, type RowBlock } from "../../proto/columns.ts";
import type { Interner } from "../../runtime/kernel/interner.ts";
import { NEAR_STEPS } from "../../runtime/kernel/windows/window_table.ts";
import { READ_AHEAD_ROWS } from "../../runtime/program.ts";
import type { MerchantActors } from "../entity/merchant_actors.ts";
import type { UserActors } from "../user/user_actors.ts";

export class ReadAhead {
  readonly #users: UserActors;
  readonly #merchants: MerchantActors;
  readonly #merchantCodes: Interner;
  readonly #userSlots = new Int32Array(READ_AHEAD_ROWS);
  readonly #merchantSlots = new Int32Array(READ_AHEAD_ROWS);
  /** Where the values read go, so that no compiler may leave the reads out. */
  sink = 0;

  constructor(users: UserActors, merchants: MerchantActors, merchantCodes: Interner) {
    this.#users = users;
    this.#merchants = merchants;
    this.#merchantCodes = merchantCodes;
  }

  /** Reads for the payments of one shard among the rows order[from .. to), at most READ_AHEAD_ROWS. */
  read(b: RowBlock, order: Uint16Array, from: number, to: number, shard: number): void {
    let n = 0;
    for (let i = from; i < to; i++) {
      const r = order[i];
      if (b.shard[r] !== shard || b.error[r] !== 0 || !isPayment(b.kind[r])) continue;
      this.#userSlots[n] = this.#users.knownSlot(b.user.hi[r], b.user.lo[r]);
      const code = this.#merchantCodes.find(b.merchant.hi[r], b.merchant.lo[r]);
      this.#merchantSlots[n++] = this.#merchants.knownSlot(code);
    }
    for (let step = 0; step < NEAR_STEPS; step++) this.#near(n, step);
  }

  #near(n: number, step: number): void {
    const users = this.#users.windows;
    const merchants = this.#merchants.windows;
    const { extras } = this.#users;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const user = this.#userSlots[i];
      const merchant = this.#merchantSlots[i];
      if (user >= 0) sum += users.near(user, step) + (step === 0 ? extras.near(user) + extras.profiles.near(user) : 0);
      if (merchant >= 0) sum += merchants.near(merchant, step);
    }
    this.sink = sum;
  }
}
