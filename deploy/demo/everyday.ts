/**
 * Genuine life: who pays when, where, how much. Besides plain days there are the payments that look like fraud and are
 * none: journeys, big purchases, people awake at night, shared computers, new phones, cards and payees, forgotten
 * passwords.
 */
import { EventKind } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { GenuineStory, Label } from "./items.ts";
import { type Population, TRANSFER } from "./population.ts";
import type { Prng } from "./prng.ts";
import { DAY_US, HOUR_US, MINUTE_US, SECOND_US, type Stage } from "./stage.ts";
import { BIG_TICKET, distanceKm, HABITS, NIGHT_OWL } from "./world.ts";

const AT_HOME = 255;
/** Tries to find somebody who is awake. */
const TRIES_MAX = 200;
const FLIGHT_KMH = 750;
const AIRPORT_HOURS = 4;

/** Chances of the odd things, per payment of the kind named. */
const P_TRIP = 0.0008;
const P_FAVOURITE = 0.7;
const P_TRANSFER = 0.12;
const P_BIG = 0.04;
const P_BIG_TRANSFER = 0.01;
const P_LOGIN = 0.35;
const P_FORGOTTEN = 0.01;
const P_PASSWORD = 0.002;
const P_NEW_PHONE = 0.0004;
const P_NEW_CARD = 0.0003;
const P_NEW_PAYEE = 0.1;
const P_DECLINED = 0.015;

/** Labels are shared by all genuine payments of a story. */
const LABELS = Object.fromEntries(
  ["everyday", "traveller", "big_purchase", "night_owl", "shared_device", "new_payee"].map((story) => [
    story,
    { fraud: false, story, episode: 0 },
  ]),
) as Readonly<Record<GenuineStory, Label>>;

interface Scene {
  readonly timeUs: number;
  readonly user: number;
  /** Where the user is. */
  readonly place: number;
  readonly away: boolean;
  /** A night owl at night. */
  readonly night: boolean;
}

export class Everyday {
  readonly #stage: Stage;
  readonly #people: Population;
  readonly #rng: Prng;
  /** Place of a user's journey, AT_HOME without one; from when to when it lasts. */
  readonly #tripPlace: Uint8Array;
  readonly #tripFromUs: Float64Array;
  readonly #tripToUs: Float64Array;

  constructor(stage: Stage, rng: Prng) {
    this.#stage = stage;
    this.#people = stage.population;
    this.#rng = rng;
    this.#tripPlace = new Uint8Array(this.#people.users).fill(AT_HOME);
    this.#tripFromUs = new Float64Array(this.#people.users);
    this.#tripToUs = new Float64Array(this.#people.users);
  }

  /** One genuine payment at about this time (a login may come first), put on the stage. */
  step(timeUs: number): void {
    const scene = this.#somebodyAwake(timeUs);
    if (this.#rng.chance(this.#people.onlineShare[scene.user])) this.#payOnline(scene);
    else this.#payInShop(scene);
    if (!scene.away && this.#rng.chance(P_TRIP)) this.#leave(scene);
    if (this.#rng.chance(P_NEW_CARD)) this.#newCard(scene);
  }

  #somebodyAwake(timeUs: number): Scene {
    const people = this.#people;
    for (let tries = 0; ; tries++) {
      const user = people.drawUser(this.#rng);
      const place = this.#whereIs(user, timeUs);
      // In a plane; in a tiny population everybody may be.
      if (place < 0 && tries < TRIES_MAX) continue;
      const at = place < 0 ? people.home[user] : place;
      const hour = Math.floor((((timeUs / HOUR_US + people.places[at].zone_h) % 24) + 24) % 24);
      const habit = people.habit[user];
      if (tries < TRIES_MAX && !this.#rng.chance(HABITS[habit][hour])) continue;
      return { timeUs, user, place: at, away: at !== people.home[user], night: habit === NIGHT_OWL && hour < 6 };
    }
  }

  /** Place of the user at that time; -1 while travelling between two. */
  #whereIs(user: number, timeUs: number): number {
    const trip = this.#tripPlace[user];
    if (timeUs < this.#tripFromUs[user]) return -1;
    if (trip === AT_HOME) return this.#people.home[user];
    if (timeUs < this.#tripToUs[user]) return trip;
    this.#tripPlace[user] = AT_HOME;
    this.#tripFromUs[user] = this.#tripToUs[user] + this.#flightUs(this.#people.home[user], trip);
    return timeUs < this.#tripFromUs[user] ? -1 : this.#people.home[user];
  }

  #flightUs(a: number, b: number): number {
    const [p, q] = [this.#people.places[a], this.#people.places[b]];
    const km = distanceKm(p.latitude, p.longitude, q.latitude, q.longitude);
    return (km / FLIGHT_KMH + AIRPORT_HOURS) * HOUR_US;
  }

  #leave(scene: Scene): void {
    const place = this.#rng.below(this.#people.places.length);
    if (place === scene.place) return;
    const arriveUs = scene.timeUs + this.#flightUs(scene.place, place);
    this.#tripPlace[scene.user] = place;
    this.#tripFromUs[scene.user] = arriveUs;
    this.#tripToUs[scene.user] = arriveUs + this.#rng.between(2, 12) * DAY_US;
  }

  #newCard(scene: Scene): void {
    this.#people.cardNumber[scene.user]++;
    this.#stage.note(scene.timeUs + MINUTE_US, scene.user, EventKind.NEW_CARD, "", "");
  }

  #payInShop(scene: Scene): void {
    const people = this.#people;
    const rng = this.#rng;
    const liked = !scene.away && rng.chance(P_FAVOURITE);
    const merchant = liked ? people.drawFavourite(rng, scene.user, false) : people.drawLocal(rng, scene.place);
    const atm = people.category(merchant).channel === "atm";
    const { cents, big } = this.#amount(scene.user, merchant);
    this.#stage.pay(
      {
        timeUs: scene.timeUs,
        user: scene.user,
        merchant,
        cents: atm ? Math.max(2000, Math.round(cents / 1000) * 1000) : cents,
        card: people.card(scene.user),
        from: scene.place,
        channel: atm ? "atm" : "card_present",
        declined: rng.chance(P_DECLINED),
      },
      LABELS[scene.away ? "traveller" : big ? "big_purchase" : scene.night ? "night_owl" : "everyday"],
    );
  }

  /** Euro cents by the merchant's prices and the user's purse. */
  #amount(user: number, merchant: number): { cents: number; big: boolean } {
    const { median_cents, spread, code } = this.#people.category(merchant);
    const usual = median_cents * this.#people.priceLevel[merchant] * this.#people.spends[user];
    const cents = this.#rng.lognormal(usual, spread * this.#people.spread[user]);
    const big = BIG_TICKET.has(code) && this.#rng.chance(P_BIG);
    return { cents: big ? cents * this.#rng.between(4, 12) : cents, big };
  }

  #payOnline(scene: Scene): void {
    const people = this.#people;
    const rng = this.#rng;
    const { user, place } = scene;
    const transfer = rng.chance(P_TRANSFER);
    const merchant = transfer
      ? people.drawOnlineKind(rng, TRANSFER)
      : rng.chance(P_FAVOURITE)
        ? people.drawFavourite(rng, user, true)
        : people.drawOnline(rng);
    const mobile = scene.away || rng.chance(0.55);
    const device = mobile ? this.#phoneNow(scene) : people.computer(user);
    const ip = people.ip(people.household[user], place);
    const newPayee = transfer && rng.chance(P_NEW_PAYEE);
    let { cents, big } = this.#amount(user, merchant);
    if (transfer && rng.chance(P_BIG_TRANSFER)) {
      cents *= rng.between(5, 15);
      big = true;
    }
    const timeUs = this.#signIn(scene, device, ip, newPayee);
    const shared = !mobile && people.household[user] !== user;
    const story = scene.away
      ? "traveller"
      : big
        ? "big_purchase"
        : newPayee
          ? "new_payee"
          : shared
            ? "shared_device"
            : scene.night
              ? "night_owl"
              : "everyday";
    const plan = {
      timeUs,
      user,
      merchant,
      cents,
      card: transfer ? "" : people.card(user),
      from: place,
      device,
      ip,
      channel: transfer ? "transfer" : mobile ? "mobile" : "ecommerce",
      payee: transfer ? people.payee(user, newPayee ? 3 + rng.below(1000) : rng.below(3)) : "",
      declined: rng.chance(P_DECLINED),
      location: mobile && rng.chance(0.7) ? this.#nearby(scene) : undefined,
    } as const;
    this.#stage.pay(plan, LABELS[story]);
  }

  #nearby(scene: Scene): { latitude: number; longitude: number } {
    const people = this.#people;
    const { latitude, longitude } = people.places[scene.place];
    if (scene.away) return { latitude, longitude };
    return { latitude: people.latitude[scene.user], longitude: people.longitude[scene.user] };
  }

  #phoneNow(scene: Scene): string {
    if (this.#rng.chance(P_NEW_PHONE)) {
      this.#people.phoneNumber[scene.user]++;
      const ip = this.#people.ip(this.#people.household[scene.user], scene.place);
      const phone = this.#people.phone(scene.user);
      this.#stage.note(scene.timeUs, scene.user, EventKind.DEVICE_CHANGE, phone, ip);
    }
    return this.#people.phone(scene.user);
  }

  /** The events before an online payment; returns when the payment follows. */
  #signIn(scene: Scene, device: string, ip: string, newPayee: boolean): number {
    const rng = this.#rng;
    let at = scene.timeUs;
    const note = (kind: EventKind): void => {
      this.#stage.note(at, scene.user, kind, device, ip);
      at += rng.between(5, 40) * SECOND_US;
    };
    if (!newPayee && !rng.chance(P_LOGIN)) return at;
    if (rng.chance(P_FORGOTTEN)) {
      note(EventKind.LOGIN_FAILED);
      note(EventKind.LOGIN_FAILED);
    }
    note(EventKind.LOGIN);
    if (rng.chance(P_PASSWORD)) note(EventKind.PASSWORD_CHANGE);
    if (newPayee) note(EventKind.NEW_PAYEE);
    return at;
  }
}
