/** What every fraud story has: a name, a usual size, a start; and what fraudsters have in common. */
import type { FraudStory, Label } from "../items.ts";
import { mixAll, type Prng } from "../prng.ts";
import type { Stage } from "../stage.ts";

/** A genuine payment at a counter from which a story may set out. */
export interface Anchor {
  readonly timeUs: number;
  readonly user: number;
  readonly merchant: number;
}

export interface Story {
  readonly name: FraudStory;
  /** Fraud payments of one episode, about. */
  readonly size: number;
  /** Plans a whole episode after the anchor; returns how many fraud payments it planned. */
  start(stage: Stage, rng: Prng, anchor: Anchor, episode: number): number;
}

export function labelOf(story: FraudStory, episode: number): Label {
  return { fraud: true, story, episode };
}

/** Somebody's kit for one episode: a place, a device, an address. */
export interface Fraudster {
  readonly place: number;
  readonly device: string;
  readonly ip: string;
}

/** A fraudster at a random place in another country than `elsewhere`. */
export function fraudster(stage: Stage, rng: Prng, episode: number, elsewhere: number): Fraudster {
  const { population } = stage;
  const { places } = population;
  let place = rng.below(places.length);
  while (places[place].country === places[elsewhere].country) place = (place + 1) % places.length;
  const who = mixAll(population.seed, episode, 99);
  // Named like any computer: an id must not tell by its looks.
  return { place, device: population.name("pc", who, episode), ip: population.ip(who, place) };
}
