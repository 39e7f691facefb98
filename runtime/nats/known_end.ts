/**
 * Where a journal is known to reach at least, and whether an answer that says less is one. One server alone knows what
 * it has. Of several, a leader that was replaced and does not know it yet, or a new one that has not caught up, says
 * what was true before. Only answers that say so one after the other for BEHIND_MS, with nothing else in between, are
 * the truth: then the history is lost.
 */

/** An election takes 4 to 9 s. */
export const BEHIND_MS = 20_000;
/** Answers further apart are not one after the other: nobody knows what would have been said in between. */
const APART_MS = 5000;

export class KnownEnd {
  readonly #isAlone: boolean;
  readonly #now_ms: () => number;
  #sequence = 0;
  /** When the first and the newest of a row of answers came that were behind; null without one. */
  #behind: { readonly since_ms: number; last_ms: number } | null = null;

  /** `replicas`: servers that keep the journal. `now_ms`: a monotonic clock, milliseconds. */
  constructor(replicas: number, now_ms: () => number) {
    this.#isAlone = replicas === 1;
    this.#now_ms = now_ms;
  }

  /** The journal reaches so far at least. To be taken when a question is asked: its answer may be older. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Somebody knows that the record stood, whoever may have it now. */
  know(sequence: number): void {
    this.#sequence = Math.max(this.#sequence, sequence);
  }

  /** A server has the record. */
  stands(sequence: number): void {
    this.know(sequence);
    this.#behind = null;
  }

  /** Nobody answered, or with an error. */
  unanswered(): void {
    this.#behind = null;
  }

  /** Whether `last`, said to be the newest sequence, is an answer. `asked`: `sequence` when the question went out. */
  isAnswer(last: number, asked: number): boolean {
    if (last >= asked) {
      this.stands(last);
      return true;
    }
    if (this.#isAlone) return true;
    const now_ms = this.#now_ms();
    const row = this.#behind;
    if (row === null || now_ms - row.last_ms > APART_MS) {
      this.#behind = { since_ms: now_ms, last_ms: now_ms };
      return false;
    }
    row.last_ms = now_ms;
    return now_ms - row.since_ms > BEHIND_MS;
  }
}
