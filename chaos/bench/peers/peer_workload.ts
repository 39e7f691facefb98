/**
 * What the peers are fed: the bench's population and history in small, and batches of payments that go on from there in
 * the same rhythm, so that as many payments expire as come.
 */
import { Prng } from "../../../deploy/demo/prng.ts";
import { Population } from "../../load/population.ts";

/** Columns of a batch; index i is one payment. */
export interface PeerBatch {
  readonly n: number;
  readonly id: number[];
  readonly user: number[];
  readonly merchant: number[];
  /** Microseconds since 1970; whole numbers. */
  readonly time_us: number[];
  readonly amount: number[];
}

export class PeerWorkload {
  readonly people: Population;
  readonly #rng: Prng;
  readonly #start_us: number;
  #next = 0;

  constructor(users: number, merchants: number, start_us: number) {
    this.people = new Population(users, merchants, 1);
    this.#rng = new Prng(1, "peers");
    this.#start_us = start_us;
  }

  /** Batches of the whole history. */
  *history(size: number): Generator<PeerBatch> {
    while (this.#next < this.people.historyCount) {
      const n = Math.min(size, this.people.historyCount - this.#next);
      yield this.#batch(n, (j) => this.people.historyUser(j));
    }
  }

  batch(n: number): PeerBatch {
    return this.#batch(n, () => this.people.drawUser());
  }

  #batch(n: number, user: (j: number) => number): PeerBatch {
    const b: PeerBatch = { n, id: [], user: [], merchant: [], time_us: [], amount: [] };
    for (let i = 0; i < n; i++) {
      const j = this.#next++;
      b.id.push(j);
      b.user.push(user(j));
      b.merchant.push(this.people.drawMerchant());
      b.time_us.push(this.#start_us + Math.floor(j * this.people.historyStepUs));
      b.amount.push(Math.max(50, Math.round(this.#rng.lognormal(2800, 1.1))));
    }
    return b;
  }
}
