/**
 * Who pays and who is paid: users with a home, habits, cards, devices and favourite merchants; merchants with a kind, a
 * place and a price level. Held as columns; ids are made from numbers when they are needed, so a million users fit.
 */
import { mixAll, Prng } from "./prng.ts";
import { Weighted, zipf } from "./weighted.ts";
import { type Category, CURRENCIES, HABIT_WEIGHTS, LOCAL, ONLINE, PLACES, type Place } from "./world.ts";

export const USERS_MAX = 5_000_000;
export const MERCHANTS_MIN = 50;
export const MERCHANTS_MAX = 1_000_000;
/** Merchants a user likes: the first are local, the rest online. */
const FAVOURITES = 6;
const FAVOURITES_LOCAL = 4;
/** Places of merchants without one. */
const NOWHERE = 255;
/** Share of the merchants that have a place. */
export const LOCAL_SHARE = 0.7;
const LOCAL_A_PLACE = 8;
/** Degrees around a city's centre in which people and shops lie. */
const TOWN_DEGREES = 0.12;

export class Population {
  readonly seed: number;
  readonly users: number;
  readonly merchants: number;
  /** Places in use: the first of PLACES. */
  readonly places: readonly Place[];

  // Users.
  readonly home: Uint8Array;
  readonly latitude: Float64Array;
  readonly longitude: Float64Array;
  /** How much a user spends against others, a factor; and the spread of the user's amounts. */
  readonly spends: Float32Array;
  readonly spread: Float32Array;
  readonly habit: Uint8Array;
  readonly onlineShare: Float32Array;
  /** Whose computer the user pays from: the user's own number, or somebody of the same household. */
  readonly household: Uint32Array;
  /** Cards and phones are replaced now and then: the running number of the present one. */
  readonly cardNumber: Uint16Array;
  readonly phoneNumber: Uint16Array;
  readonly #favourites: Uint32Array;
  readonly #active: Weighted;

  // Merchants.
  readonly kind: Uint8Array;
  readonly shopPlace: Uint8Array;
  readonly shopLatitude: Float64Array;
  readonly shopLongitude: Float64Array;
  readonly priceLevel: Float32Array;
  readonly #localAt: Draw[] = [];
  readonly #cashAt: Draw[] = [];
  readonly #online: Draw;
  readonly #onlineKinds: readonly Draw[];

  /** Throws RangeError outside 1..USERS_MAX users and MERCHANTS_MIN..MERCHANTS_MAX merchants. */
  constructor(seed: number, users: number, merchants: number) {
    check("users", users, 1, USERS_MAX);
    check("merchants", merchants, MERCHANTS_MIN, MERCHANTS_MAX);
    [this.seed, this.users, this.merchants] = [seed, users, merchants];
    const local = Math.floor(merchants * LOCAL_SHARE);
    this.places = PLACES.slice(0, Math.max(2, Math.floor(local / LOCAL_A_PLACE)));

    const rng = new Prng(seed, "merchants");
    this.kind = new Uint8Array(merchants);
    this.shopPlace = new Uint8Array(merchants).fill(NOWHERE);
    this.shopLatitude = new Float64Array(merchants);
    this.shopLongitude = new Float64Array(merchants);
    this.priceLevel = Float32Array.from({ length: merchants }, () => rng.lognormal(1, 0.3));
    this.#placeLocal(rng, local);
    this.#openOnline(rng, local);
    const online = range(local, merchants);
    const ofKind = (k: number) => new Draw(online.filter((m) => this.kind[m] === LOCAL.length + k));
    this.#onlineKinds = [ofKind(TRANSFER), ofKind(DIGITAL), ofKind(GIFT_CARDS), ofKind(ELECTRONICS)];
    this.#online = new Draw(online.filter((m) => this.kind[m] !== LOCAL.length + TRANSFER));

    const people = new Prng(seed, "users");
    this.home = new Uint8Array(users);
    this.latitude = new Float64Array(users);
    this.longitude = new Float64Array(users);
    this.spends = new Float32Array(users);
    this.spread = new Float32Array(users);
    this.habit = new Uint8Array(users);
    this.onlineShare = new Float32Array(users);
    this.household = new Uint32Array(users);
    this.cardNumber = new Uint16Array(users);
    this.phoneNumber = new Uint16Array(users);
    this.#favourites = new Uint32Array(users * FAVOURITES);
    this.#settle(people);
    this.#active = new Weighted(Float64Array.from({ length: users }, () => people.lognormal(1, 1)));
  }

  #placeLocal(rng: Prng, local: number): void {
    const kinds = new Weighted(LOCAL.map((c) => c.weight));
    const where = new Weighted(this.places.map((p) => p.weight));
    const at: number[][] = this.places.map(() => []);
    for (let m = 0; m < local; m++) {
      // Every place has a few merchants, the first of them a cash machine.
      const first = m < this.places.length * 3;
      const place = first ? m % this.places.length : where.draw(rng);
      this.kind[m] = m < this.places.length ? 0 : kinds.draw(rng);
      this.shopPlace[m] = place;
      this.shopLatitude[m] = around(rng, this.places[place].latitude);
      this.shopLongitude[m] = around(rng, this.places[place].longitude);
      at[place].push(m);
    }
    for (const shops of at) {
      this.#cashAt.push(new Draw(shops.filter((m) => this.kind[m] === 0)));
      this.#localAt.push(new Draw(rng.shuffle(shops)));
    }
  }

  #openOnline(rng: Prng, local: number): void {
    const kinds = new Weighted(ONLINE.map((c) => c.weight));
    for (let m = local; m < this.merchants; m++) {
      this.kind[m] = LOCAL.length + (m - local <= ELECTRONICS ? m - local : kinds.draw(rng));
    }
  }

  #settle(rng: Prng): void {
    const where = new Weighted(this.places.map((p) => p.weight));
    const habits = new Weighted(HABIT_WEIGHTS);
    const newest: number[] = this.places.map(() => -1);
    for (let u = 0; u < this.users; u++) {
      const place = where.draw(rng);
      this.home[u] = place;
      this.latitude[u] = around(rng, this.places[place].latitude);
      this.longitude[u] = around(rng, this.places[place].longitude);
      this.spends[u] = rng.lognormal(1, 0.35);
      this.spread[u] = rng.between(0.5, 1);
      this.habit[u] = habits.draw(rng);
      this.onlineShare[u] = rng.between(0.1, 0.7);
      this.household[u] = newest[place] >= 0 && rng.chance(0.1) ? this.household[newest[place]] : u;
      newest[place] = u;
      for (let f = 0; f < FAVOURITES; f++) {
        const draw = f < FAVOURITES_LOCAL ? this.#localAt[place] : this.#online;
        this.#favourites[u * FAVOURITES + f] = draw.one(rng);
      }
    }
  }

  /** A user, active ones more often. */
  drawUser(rng: Prng): number {
    return this.#active.draw(rng);
  }

  /** A merchant the user likes, the first more often. */
  drawFavourite(rng: Prng, user: number, online: boolean): number {
    const from = online ? FAVOURITES_LOCAL : 0;
    const n = online ? FAVOURITES - FAVOURITES_LOCAL : FAVOURITES_LOCAL;
    return this.#favourites[user * FAVOURITES + from + Math.floor(n * rng.float() * rng.float())];
  }

  drawLocal(rng: Prng, place: number): number {
    return this.#localAt[place].one(rng);
  }

  drawCashMachine(rng: Prng, place: number): number {
    return this.#cashAt[place].one(rng);
  }

  /** An online merchant that is no bank. */
  drawOnline(rng: Prng): number {
    return this.#online.one(rng);
  }

  /** An online merchant of one of the kinds TRANSFER, DIGITAL, GIFT_CARDS, ELECTRONICS. */
  drawOnlineKind(rng: Prng, kind: number): number {
    return this.#onlineKinds[kind].one(rng);
  }

  category(merchant: number): Category {
    const k = this.kind[merchant];
    return k < LOCAL.length ? LOCAL[k] : ONLINE[k - LOCAL.length];
  }

  isLocal(merchant: number): boolean {
    return this.shopPlace[merchant] !== NOWHERE;
  }

  /** Minor units of the place's currency for euro cents; at least one. */
  minorUnits(cents: number, place: number): number {
    const { per_eur, minor } = CURRENCIES[this.places[place].currency];
    return Math.max(1, Math.round((cents / 100) * per_eur * minor));
  }

  userId(user: number): string {
    return `u${String(user).padStart(7, "0")}`;
  }

  merchantId(merchant: number): string {
    return `m${String(merchant).padStart(6, "0")}`;
  }

  /** The token of the user's present card. */
  card(user: number): string {
    return this.name("card", user, this.cardNumber[user]);
  }

  phone(user: number): string {
    return this.name("phone", user, this.phoneNumber[user]);
  }

  /** The computer of the user's household. */
  computer(user: number): string {
    return this.name("pc", this.household[user], 0);
  }

  account(user: number): string {
    return this.name("acct", user, 0);
  }

  /** The account of the k-th person the user sends money to. */
  payee(user: number, k: number): string {
    return this.account(mixAll(this.seed, user, k, 17) % this.users);
  }

  /** A made-up id of some kind from two numbers. */
  name(kind: string, a: number, b: number): string {
    const h = mixAll(this.seed, kind.length * 31 + kind.charCodeAt(0), a, b);
    return `${kind}_${h.toString(36)}${mixAll(h, a, b).toString(36)}`;
  }

  /** The address of somebody (any number) at a place: from the ranges kept for documentation and tests. */
  ip(who: number, place: number): string {
    const h = mixAll(this.seed, who, place, 5);
    if (h % 4 === 0) return `198.${18 + ((h >>> 2) & 1)}.${(h >>> 8) & 255}.${(h >>> 16) & 255}`;
    return `2001:db8:${(place + 1).toString(16)}:${(h >>> 16).toString(16)}::${((h & 0xffff) | 1).toString(16)}`;
  }
}

export const TRANSFER = 0;
export const DIGITAL = 1;
export const GIFT_CARDS = 2;
export const ELECTRONICS = 3;

/** Merchants of a kind, the first more popular (Zipf, s = 0.9). */
class Draw {
  readonly #members: Uint32Array;
  readonly #weighted: Weighted;

  constructor(members: readonly number[]) {
    this.#members = Uint32Array.from(members);
    this.#weighted = new Weighted(zipf(members.length, 0.9));
  }

  one(rng: Prng): number {
    return this.#members[this.#weighted.draw(rng)];
  }
}

function around(rng: Prng, degrees: number): number {
  return Math.round((degrees + rng.between(-TOWN_DEGREES, TOWN_DEGREES)) * 1e5) / 1e5;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function check(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} is ${value}, expected a whole number in ${min}..${max}`);
}
