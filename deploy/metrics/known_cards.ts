/**
 * The published tables leave out cards that are already known as compromised: for test day d every card with a fraud in
 * the training days or after them up to day d - (delay + 1), because a label is known `delay` whole days after its day.
 */

export interface KnownCardsWindow {
  /** Days since 1970-01-01, both ends inclusive. */
  readonly train_from_day: number;
  readonly test_from_day: number;
  readonly test_to_day: number;
  /** Whole days until a label is known: 7 in the published tables. */
  readonly label_delay_days: number;
}

/**
 * Learns from labelled payments which cards are known on which day. Feed it every payment from the first training day
 * to the last test day, in any order; payments before the training days and after the test days are ignored.
 */
export class KnownCards {
  readonly #window: KnownCardsWindow;
  /** First day on which the card is known as compromised. */
  readonly #knownFrom = new Map<string, number>();

  constructor(window: KnownCardsWindow) {
    if (window.train_from_day > window.test_from_day || window.test_from_day > window.test_to_day) {
      throw new RangeError(`days out of order: ${JSON.stringify(window)}`);
    }
    if (!(window.label_delay_days >= 0)) throw new RangeError(`label_delay_days is ${window.label_delay_days}`);
    this.#window = window;
  }

  /** Takes the label of one payment. `day` is days since 1970-01-01. */
  learn(day: number, card: string, fraud: boolean): void {
    const w = this.#window;
    if (!fraud || day < w.train_from_day || day > w.test_to_day) return;
    const from = day + w.label_delay_days + 1;
    const known = this.#knownFrom.get(card);
    if (known === undefined || from < known) this.#knownFrom.set(card, from);
  }

  /** True when the card is known as compromised on that test day, so that its payments leave the test set. */
  has(day: number, card: string): boolean {
    const from = this.#knownFrom.get(card);
    return from !== undefined && day >= from;
  }
}
