/**
 * What a desk that can look at k cards a day would find. Per day the score of a card is the largest score of its
 * payments that day; the k cards with the highest are alerted; a card is found when it is alerted on a day on which it
 * has a fraud, and it takes no part in later days. Equal card scores are ordered by card number (first appearance), so
 * the result is the same in every run.
 */
import type { ScoredPayments } from "./scored_payments.ts";

export interface AlertDay {
  readonly day: number;
  /** Cards with a payment that day and not found earlier. */
  readonly cards: number;
  /** Of these, cards with a fraud that day. */
  readonly fraud_cards: number;
  /** Alerted cards with a fraud that day. */
  readonly found: number;
  /** found / k, also on a day with fewer than k cards. */
  readonly precision: number;
}

export interface CardAlerts {
  readonly k: number;
  readonly days: readonly AlertDay[];
  /** Mean of the days' precision: card precision@k. NaN without a day. */
  readonly precision: number;
  /** Per row: 1 its card was alerted that day, 2 its card had been found on an earlier day, 0 neither. */
  readonly state: Uint8Array;
}

export const NOT_ALERTED = 0;
export const ALERTED = 1;
export const FOUND_EARLIER = 2;

interface CardDay {
  card: number;
  score: number;
  fraud: boolean;
}

/** Card precision@k per day and over all days, and which payments the alerts touch. */
export function cardAlerts(rows: ScoredPayments, k: number): CardAlerts {
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`k must be a whole number of at least 1, got ${k}`);
  const state = new Uint8Array(rows.n);
  const found = new Set<number>();
  const days: AlertDay[] = [];
  const card = rows.card;
  let sum = 0;
  for (const [day, members] of rowsByDay(rows)) {
    const cards = cardsOfDay(rows, members, found);
    const ranked = [...cards.values()].sort((a, b) => b.score - a.score || a.card - b.card);
    const alerted = new Set(ranked.slice(0, k).map((c) => c.card));
    for (const r of members) {
      if (found.has(card[r])) state[r] = FOUND_EARLIER;
      else if (alerted.has(card[r])) state[r] = ALERTED;
    }
    const hits = ranked.slice(0, k).filter((c) => c.fraud);
    for (const c of hits) found.add(c.card);
    const precision = hits.length / k;
    sum += precision;
    days.push({
      day,
      cards: ranked.length,
      fraud_cards: ranked.filter((c) => c.fraud).length,
      found: hits.length,
      precision,
    });
  }
  return { k, days, precision: sum / days.length, state };
}

/**
 * The score at which a desk of k cards a day would cut if it used one threshold for all days: the (k x days)-th largest
 * of the (day, card) scores, no card left out. -Infinity when there are fewer of them: everything is above.
 */
export function thresholdOfBudget(rows: ScoredPayments, k: number): number {
  const scores: number[] = [];
  let days = 0;
  for (const members of rowsByDay(rows).values()) {
    days++;
    for (const c of cardsOfDay(rows, members, NONE).values()) scores.push(c.score);
  }
  const budget = k * days;
  if (scores.length < budget || budget === 0) return Number.NEGATIVE_INFINITY;
  return scores.sort((a, b) => b - a)[budget - 1];
}

const NONE: ReadonlySet<number> = new Set();

/** Row numbers of each day, days rising. */
function rowsByDay(rows: ScoredPayments): Map<number, number[]> {
  const byDay = new Map<number, number[]>();
  const day = rows.day;
  for (let r = 0; r < rows.n; r++) {
    const members = byDay.get(day[r]);
    if (members === undefined) byDay.set(day[r], [r]);
    else members.push(r);
  }
  return new Map([...byDay].sort((a, b) => a[0] - b[0]));
}

function cardsOfDay(rows: ScoredPayments, members: readonly number[], skip: ReadonlySet<number>): Map<number, CardDay> {
  const { card, score, fraud } = rows;
  const cards = new Map<number, CardDay>();
  for (const r of members) {
    if (skip.has(card[r])) continue;
    const known = cards.get(card[r]);
    if (known === undefined) cards.set(card[r], { card: card[r], score: score[r], fraud: fraud[r] === 1 });
    else {
      known.score = Math.max(known.score, score[r]);
      known.fraud ||= fraud[r] === 1;
    }
  }
  return cards;
}
