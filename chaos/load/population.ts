/**
 * Who pays whom in the bench: users by Zipf's law, merchants of which one has a tenth of the traffic, and the history
 * that is known before the run (8 payments of each user in 30 days, 60 of every tenth). Users and merchants are
 * numbers.
 */
import { mix32, Prng } from "../../deploy/demo/prng.ts";
import { Zipf } from "./zipf.ts";

/** Every tenth user has this many payments in the history, one in each round of it. */
export const HISTORY_ROUNDS = 60;
/** All others. */
export const HISTORY_LIGHT = 8;
export const HISTORY_US = 30 * 86_400_000_000;
/** Of 100 payments. */
const BIG_MERCHANT_SHARE = 10;
/** A round's users come in the order i * STEP mod size: spread out, and a prime shares no factor with the size. */
const STEP = 611_953;

export class Population {
  readonly users: number;
  readonly merchants: number;
  readonly #rng: Prng;
  readonly #zipf: Zipf;
  readonly #heavy: number;
  readonly #group: number;
  readonly #perRound: number;

  /** `users` must be a multiple of 4,000; `merchants` at least 2. */
  constructor(users: number, merchants: number, seed: number) {
    if (users % 4000 !== 0 || users < 4000) throw new RangeError(`users must be a multiple of 4000: ${users}`);
    if (!Number.isInteger(merchants) || merchants < 2) throw new RangeError(`at least 2 merchants: ${merchants}`);
    this.users = users;
    this.merchants = merchants;
    this.#rng = new Prng(seed, "load");
    this.#zipf = new Zipf(users, () => this.#rng.float());
    this.#heavy = users / 10;
    this.#group = (users - this.#heavy) / HISTORY_ROUNDS;
    this.#perRound = this.#heavy + HISTORY_LIGHT * this.#group;
  }

  /** A user by Zipf's law, s = 1: user 0 pays most. */
  drawUser(): number {
    return this.#zipf.next();
  }

  /** Merchant 0 for a tenth of the calls, else any of the others alike. */
  drawMerchant(): number {
    return this.#merchant(this.#rng.float());
  }

  /** The merchant of payment j of the history. */
  historyMerchant(j: number): number {
    return this.#merchant(mix32(j) / 4294967296);
  }

  #merchant(share: number): number {
    const x = share * 100;
    if (x < BIG_MERCHANT_SHARE) return 0;
    return 1 + Math.floor(((x - BIG_MERCHANT_SHARE) / (100 - BIG_MERCHANT_SHARE)) * (this.merchants - 1));
  }

  /** Payments of the whole history: 13.2 a user. */
  get historyCount(): number {
    return this.#perRound * HISTORY_ROUNDS;
  }

  /** Event time between two payments of the history. */
  get historyStepUs(): number {
    return HISTORY_US / this.historyCount;
  }

  /**
   * The user of payment j of the history, 0 <= j < historyCount. The first tenth of the users pays in each round; the
   * others stand in 60 groups, and group g pays in round r when 8 (r + g) mod 60 < 8, which is 8 of 60 rounds.
   */
  historyUser(j: number): number {
    const round = Math.floor(j / this.#perRound);
    const i = ((j - round * this.#perRound) * STEP) % this.#perRound;
    if (i < this.#heavy) return i;
    const turn = Math.floor((i - this.#heavy) / this.#group);

    const group = (turnGroup(turn) + HISTORY_ROUNDS - (round % HISTORY_ROUNDS)) % HISTORY_ROUNDS;
    return this.#heavy + group * this.#group + ((i - this.#heavy) % this.#group);
  }
}

const TURNS = Array.from({ length: HISTORY_ROUNDS }, (_, x) => x).filter((x) => (8 * x) % HISTORY_ROUNDS < 8);

/** The `turn`-th x of 0..59 with 8 x mod 60 < 8; there are eight. */
function turnGroup(turn: number): number {
  return TURNS[turn];
}
