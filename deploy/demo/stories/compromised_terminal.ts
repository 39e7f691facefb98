/**
 * Compromised terminals: a skimmer sits on a few counters at a time, for days. Some cards paid with there are copied
 * and used hours later: again at that counter, or in shops of the same city. A fixed share of all payments is kept for
 * this story, so it runs on its own account and not on the one that starts the others.
 */
import { LOCAL_SHARE } from "../population.ts";
import type { Prng } from "../prng.ts";
import { DAY_US, HOUR_US, MINUTE_US, type Stage } from "../stage.ts";
import { type Anchor, labelOf } from "./story.ts";

/** Chance that a card is skimmed; it rises by SKIM_EAGERNESS for each fraud payment that is overdue. */
const P_SKIMMED = 0.3;
const SKIM_EAGERNESS = 0.02;
const P_SAME_COUNTER = 0.4;
/** Of the merchants with a counter, this share is compromised at a time, and at least two; more for much fraud. */
const COMPROMISED_SHARE = 0.01;
const COMPROMISED_FOR_SHARE = 2;
/** Payments saved up and not yet used: a bound, for streams in which nobody visits a compromised counter. */
const DEBT_MAX = 500;

interface Terminal {
  readonly episode: number;
  readonly untilUs: number;
}

export class CompromisedTerminals {
  readonly #stage: Stage;
  readonly #rng: Prng;
  readonly #share: number;
  readonly #nextEpisode: () => number;
  readonly #terminals = new Map<number, Terminal>();
  readonly #atATime: number;
  #debt = 0;

  /** `share`: fraud payments of this story for each payment of the stream. */
  constructor(stage: Stage, rng: Prng, share: number, nextEpisode: () => number) {
    this.#stage = stage;
    this.#rng = rng;
    this.#share = share;
    this.#nextEpisode = nextEpisode;
    const counters = stage.population.merchants * LOCAL_SHARE;
    const compromised = Math.max(COMPROMISED_SHARE, COMPROMISED_FOR_SHARE * share);
    this.#atATime = Math.max(2, Math.round(counters * compromised));
  }

  /** Counts one payment of the stream. */
  earn(): void {
    if (this.#debt < DEBT_MAX) this.#debt += this.#share;
  }

  /** Sees one genuine payment at a counter: it may be the next compromised one, or its card may be skimmed. */
  observe(anchor: Anchor): void {
    if (this.#share === 0) return;
    const terminal = this.#terminals.get(anchor.merchant);
    if (terminal === undefined) {
      if (this.#terminals.size < this.#atATime) this.#compromise(anchor);
    } else if (anchor.timeUs > terminal.untilUs) this.#terminals.delete(anchor.merchant);
    else if (this.#debt >= 1 && this.#rng.chance(P_SKIMMED + SKIM_EAGERNESS * this.#debt)) this.#skim(anchor, terminal);
  }

  #compromise(anchor: Anchor): void {
    const untilUs = anchor.timeUs + this.#stage.scaled(this.#rng.between(10, 25) * DAY_US);
    this.#terminals.set(anchor.merchant, { episode: this.#nextEpisode(), untilUs });
  }

  #skim(anchor: Anchor, terminal: Terminal): void {
    const rng = this.#rng;
    const { population } = this.#stage;
    const { user } = anchor;
    const place = population.shopPlace[anchor.merchant];
    const card = population.card(user);
    const payments = rng.whole(1, 3);
    let at = anchor.timeUs + this.#stage.scaled(rng.between(1, 30) * HOUR_US);
    for (let i = 0; i < payments; i++) {
      const merchant = rng.chance(P_SAME_COUNTER) ? anchor.merchant : population.drawLocal(rng, place);
      const { channel, median_cents } = population.category(merchant);
      // Not much more than usual: the place tells more than the amount.
      const cents = rng.lognormal(median_cents * population.priceLevel[merchant] * 1.6, 0.6);
      const plan = { timeUs: at, user, merchant, card, cents, from: place, declined: rng.chance(0.1) };
      const label = labelOf("compromised_terminal", terminal.episode);
      this.#stage.pay({ ...plan, channel: channel === "atm" ? "atm" : "card_present" }, label);
      at += this.#stage.scaled(rng.between(10, 180) * MINUTE_US);
    }
    this.#debt -= payments;
  }
}
