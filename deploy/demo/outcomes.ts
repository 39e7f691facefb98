/**
 * What becomes known later: most frauds are charged back or confirmed after days, some never; a few genuine payments
 * are looked at and cleared, refunded, reversed, or charged back in error and the label taken back.
 */
import { EventKind, OutcomeKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { DemoPayment, Label } from "./items.ts";
import type { Prng } from "./prng.ts";
import { DAY_US, MINUTE_US, type Stage } from "./stage.ts";

const P_NEVER_KNOWN = 0.08;
const P_CHARGEBACK = 0.75;
/** Of genuine payments, added up: cleared, refunded, reversed, charged back in error. */
const CLEARED = 0.002;
const REFUNDED = CLEARED + 0.004;
const REVERSED = REFUNDED + 0.001;
const MISTAKEN = REVERSED + 0.0002;

export class Outcomes {
  readonly #stage: Stage;
  readonly #rng: Prng;
  readonly #labelDelayUs: number;

  /** `labelDelayUs`: half of the fraud labels are known after this time. */
  constructor(stage: Stage, rng: Prng, labelDelayUs: number) {
    this.#stage = stage;
    this.#rng = rng;
    this.#labelDelayUs = labelDelayUs;
  }

  /** Plans what will be reported about a payment that has just been given out. */
  plan(payment: DemoPayment, label: Label, user: number): void {
    if (label.fraud) this.#fraud(payment, user);
    else this.#genuine(payment, user);
  }

  #fraud(payment: DemoPayment, user: number): void {
    if (this.#rng.chance(P_NEVER_KNOWN)) return;
    const kind = this.#rng.chance(P_CHARGEBACK) ? OutcomeKind.CHARGEBACK : OutcomeKind.CONFIRMED_FRAUD;
    const card = payment.cardToken;
    const replaced = card === "" ? undefined : (knownUs: number) => this.#replaceCard(user, card, knownUs);
    this.#report(payment, user, kind, this.#delayUs(), 1, false, replaced);
  }

  #genuine(payment: DemoPayment, user: number): void {
    const x = this.#rng.float();
    if (x >= MISTAKEN) return;
    if (x < CLEARED) this.#report(payment, user, OutcomeKind.LEGITIMATE, this.#rng.lognormal(DAY_US, 0.7), 1);
    else if (x < REFUNDED) this.#report(payment, user, OutcomeKind.REFUND, this.#rng.lognormal(4 * DAY_US, 0.8), 1);
    else if (x < REVERSED) this.#report(payment, user, OutcomeKind.REVERSAL, this.#rng.between(2, 30) * MINUTE_US, 1);
    else {
      const delayUs = this.#delayUs();
      this.#report(payment, user, OutcomeKind.CHARGEBACK, delayUs, 1);
      this.#report(payment, user, OutcomeKind.CHARGEBACK, delayUs * this.#rng.between(1.5, 3), 2, true);
    }
  }

  #delayUs(): number {
    return Math.max(MINUTE_US, this.#rng.lognormal(this.#labelDelayUs, 0.5));
  }

  #report(
    payment: DemoPayment,
    user: number,
    outcome: OutcomeKind,
    delayUs: number,
    revision: number,
    retracted = false,
    after?: (knownUs: number) => void,
  ): void {
    const knownTimeUs = payment.eventTimeUs + Math.round(delayUs);
    const { transactionId, userId } = payment;
    const report = { transactionId, userId, outcome, knownTimeUs, revision, retracted };
    this.#stage.agenda.put(knownTimeUs, {
      item: { type: "outcome", timeUs: knownTimeUs, outcome: report },
      user,
      merchant: -1,
      after: after === undefined ? undefined : () => after(knownTimeUs),
    });
  }

  /** A card known as stolen is replaced, once. */
  #replaceCard(user: number, card: string, knownUs: number): void {
    const { population } = this.#stage;
    if (population.card(user) !== card) return;
    population.cardNumber[user]++;
    this.#stage.note(knownUs, user, EventKind.NEW_CARD, "", "");
  }
}
