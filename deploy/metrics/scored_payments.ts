/**
 * The scored payments of an evaluation, as columns that grow: day, card, score, label, scenario, reach. Cards are
 * interned to small integers in order of first appearance, which is also the order that breaks ties between cards of
 * equal score.
 */

/** Rows a table takes. */
export const SCORED_ROWS_MAX = 50_000_000;

export interface ScoredPayment {
  /** Days since 1970-01-01 (UTC): floor(event time / 24 h). */
  readonly day: number;
  /** Key of the card; for data with one card a customer, the customer. */
  readonly card: string;
  /** Higher is more suspicious; never NaN. */
  readonly score: number;
  /** 1 fraud, 0 genuine. */
  readonly fraud: 0 | 1;
  /** Kind of fraud, 0 for genuine and where the data names none: 0..255. */
  readonly scenario?: number;
  /** True for a fraud that known labels leave within reach (ceiling.ts). For judging only. */
  readonly reachable?: boolean;
}

export class ScoredPayments {
  /** Rows held. */
  n = 0;
  #day = new Int32Array(1024);
  #card = new Uint32Array(1024);
  #score = new Float64Array(1024);
  #fraud = new Uint8Array(1024);
  #scenario = new Uint8Array(1024);
  #reachable = new Uint8Array(1024);
  readonly #cards = new Map<string, number>();

  /** Appends a row and returns its number. Throws RangeError for a NaN score or past SCORED_ROWS_MAX. */
  add(row: ScoredPayment): number {
    if (Number.isNaN(row.score)) throw new RangeError(`payment ${this.n} has no score (NaN)`);
    if (this.n === SCORED_ROWS_MAX) throw new RangeError(`more than ${SCORED_ROWS_MAX} scored payments`);
    const r = this.n;
    if (r === this.#day.length) this.#grow();
    this.n = r + 1;
    this.#day[r] = row.day;
    this.#card[r] = this.cardNumber(row.card);
    this.#score[r] = row.score;
    this.#fraud[r] = row.fraud;
    this.#scenario[r] = row.scenario ?? 0;
    this.#reachable[r] = row.reachable === true ? 1 : 0;
    return r;
  }

  /** Number of a card, given on first sight. */
  cardNumber(card: string): number {
    let number = this.#cards.get(card);
    if (number === undefined) {
      number = this.#cards.size;
      this.#cards.set(card, number);
    }
    return number;
  }

  /** Distinct cards seen. */
  get cards(): number {
    return this.#cards.size;
  }

  // Views of the rows held; invalid after the next add.
  get day(): Int32Array {
    return this.#day.subarray(0, this.n);
  }
  get card(): Uint32Array {
    return this.#card.subarray(0, this.n);
  }
  get score(): Float64Array {
    return this.#score.subarray(0, this.n);
  }
  get fraud(): Uint8Array {
    return this.#fraud.subarray(0, this.n);
  }
  get scenario(): Uint8Array {
    return this.#scenario.subarray(0, this.n);
  }
  get reachable(): Uint8Array {
    return this.#reachable.subarray(0, this.n);
  }

  /** A copy with the rows where keep[r] is 1. Card numbers stay as they are. */
  where(keep: Uint8Array): ScoredPayments {
    if (keep.length !== this.n) throw new RangeError(`a mask of ${keep.length} for ${this.n} rows`);
    const copy = new ScoredPayments();
    for (const [card, number] of this.#cards) copy.#cards.set(card, number);
    for (let r = 0; r < this.n; r++) if (keep[r] === 1) copy.#copyRow(this, r);
    return copy;
  }

  /** A copy with other scores for the same rows, such as another model's. Throws RangeError for a NaN among them. */
  withScores(score: Float64Array | Uint8Array): ScoredPayments {
    if (score.length !== this.n) throw new RangeError(`${score.length} scores for ${this.n} rows`);
    const nan = score.findIndex((s) => Number.isNaN(s));
    if (nan >= 0) throw new RangeError(`payment ${nan} has no score (NaN)`);
    const copy = this.where(new Uint8Array(this.n).fill(1));
    copy.#score.set(score);
    return copy;
  }

  #copyRow(from: ScoredPayments, r: number): void {
    if (this.n === this.#day.length) this.#grow();
    const at = this.n++;
    this.#day[at] = from.#day[r];
    this.#card[at] = from.#card[r];
    this.#score[at] = from.#score[r];
    this.#fraud[at] = from.#fraud[r];
    this.#scenario[at] = from.#scenario[r];
    this.#reachable[at] = from.#reachable[r];
  }

  #grow(): void {
    const rows = this.#day.length * 2;
    this.#day = grown(this.#day, new Int32Array(rows));
    this.#card = grown(this.#card, new Uint32Array(rows));
    this.#score = grown(this.#score, new Float64Array(rows));
    this.#fraud = grown(this.#fraud, new Uint8Array(rows));
    this.#scenario = grown(this.#scenario, new Uint8Array(rows));
    this.#reachable = grown(this.#reachable, new Uint8Array(rows));
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
