/**
 * Where everything is put that will happen: builds payments and events and places them on the agenda. Everyday life and
 * the fraud stories know only this.
 */
import { type EventKind, PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { Agenda } from "./agenda.ts";
import type { DemoItem, DemoPayment, Label } from "./items.ts";
import type { Population } from "./population.ts";

export const SECOND_US = 1e6;
export const MINUTE_US = 60e6;
export const HOUR_US = 3600e6;
export const DAY_US = 86400e6;

/** One planned item; the stream gives it its id when its time comes. */
export interface Entry {
  readonly item: DemoItem;
  readonly user: number;
  /** -1 for what is no payment. */
  readonly merchant: number;
  /** Called when the item is given out. */
  readonly after: (() => void) | undefined;
}

export interface PaymentPlan {
  readonly timeUs: number;
  readonly user: number;
  readonly merchant: number;
  /** Euro cents; turned into the currency of the shop's place, or online of the user's home. */
  readonly cents: number;
  readonly card: string;
  /** Place of an online payer (an index of the population's places); a local payment is made in the shop. */
  readonly from: number;
  readonly channel: DemoPayment["channel"];
  readonly device?: string;
  readonly ip?: string;
  readonly payee?: string;
  readonly declined?: boolean;
  /** Where an online payer is, degrees; left out by those who share no place. */
  readonly location?: { readonly latitude: number; readonly longitude: number } | undefined;
}

export class Stage {
  readonly population: Population;
  readonly agenda = new Agenda<Entry>();
  readonly #storyScale: number;

  constructor(population: Population, storyScale: number) {
    this.population = population;
    this.#storyScale = storyScale;
  }

  /** A length of a story, microseconds, shortened or stretched as the options say. */
  scaled(us: number): number {
    return us * this.#storyScale;
  }

  pay(plan: PaymentPlan, label: Label): void {
    const timeUs = Math.round(plan.timeUs);
    const payment = buildPayment(this.population, plan, timeUs);
    const item: DemoItem = { type: "payment", timeUs, payment, label };
    this.agenda.put(timeUs, { item, user: plan.user, merchant: plan.merchant, after: undefined });
  }

  note(timeUs: number, user: number, kind: EventKind, deviceId: string, ip: string): void {
    const at = Math.round(timeUs);
    const userId = this.population.userId(user);
    const item: DemoItem = {
      type: "event",
      timeUs: at,
      event: { eventId: "", userId, kind, eventTimeUs: at, deviceId, ip },
    };
    this.agenda.put(at, { item, user, merchant: -1, after: undefined });
  }
}

function buildPayment(people: Population, plan: PaymentPlan, eventTimeUs: number): DemoPayment {
  const local = people.isLocal(plan.merchant);
  const place = local ? people.shopPlace[plan.merchant] : plan.from;
  const money = local ? place : people.home[plan.user];
  return {
    transactionId: "",
    userId: people.userId(plan.user),
    merchantId: people.merchantId(plan.merchant),
    amountMinor: people.minorUnits(plan.cents, money),
    currency: people.places[money].currency,
    eventTimeUs,
    cardToken: plan.card,
    deviceId: plan.device ?? "",
    ip: plan.ip ?? "",
    country: people.places[place].country,
    location: local
      ? { latitude: people.shopLatitude[plan.merchant], longitude: people.shopLongitude[plan.merchant] }
      : plan.location,
    channel: plan.channel,
    merchantCategory: people.category(plan.merchant).code,
    payeeAccount: plan.payee ?? "",
    status: plan.declined === true ? PaymentStatus.DECLINED : PaymentStatus.AUTHORISED,
  };
}
