/**
 * The demo stream: made-up payments, events and outcomes in time order, the same for the same options, byte for byte.
 * Everyday life goes on at a given rate; fraud stories start whenever their share of the payments has been earned.
 */
import { Everyday } from "./everyday.ts";
import type { DemoItem } from "./items.ts";
import { Outcomes } from "./outcomes.ts";
import { Population } from "./population.ts";
import { Prng } from "./prng.ts";
import { DAY_US, type Entry, Stage } from "./stage.ts";
import { accountTakeover } from "./stories/account_takeover.ts";
import { cardTesting } from "./stories/card_testing.ts";
import { CompromisedTerminals } from "./stories/compromised_terminal.ts";
import { impossibleTravel } from "./stories/impossible_travel.ts";
import { muleRing } from "./stories/mule_ring.ts";
import type { Story } from "./stories/story.ts";

export interface DemoOptions {
  /** Whole number, 0..2^32 - 1. */
  readonly seed: number;
  /** Event time of the beginning, microseconds since 1970-01-01 UTC. */
  readonly startUs: number;
  /** Length in days of event time; Infinity for a stream without end. 30 by default. */
  readonly days?: number;
  /** 100,000 by default: with the default rate a user pays about four times a day. */
  readonly users?: number;
  /** 50 or more; 5,000 by default. */
  readonly merchants?: number;
  /** Payments a second of event time, on average over all hours; 5 by default. */
  readonly paymentsPerSecond?: number;
  /** Share of fraud among the payments, 0..0.2; 0.007 by default. */
  readonly fraudShare?: number;
  /** Factor on the lengths of fraud stories: below 1 they fit into a short demo. 1 by default. */
  readonly storyScale?: number;
  /** Half of the fraud labels are known after this event time; 3 days by default. */
  readonly labelDelayUs?: number;
  /** Seconds of event time that pass in one second of a live demo, see `dueUs`; 1 by default. */
  readonly acceleration?: number;
}

/** Share of the fraud payments kept for compromised terminals; the other stories share the rest. */
const TERMINAL_SHARE = 0.35;
/** One round of stories: each round is shuffled, so all of them come up soon. */
const ROUND: readonly Story[] = [
  ...[cardTesting, accountTakeover, accountTakeover, accountTakeover, muleRing],
  ...[impossibleTravel, impossibleTravel, impossibleTravel],
];

/** Every option with its default. Throws RangeError for a value out of range. */
export function demoOptions(given: DemoOptions): Required<DemoOptions> {
  const o = {
    days: 30,
    users: 100_000,
    merchants: 5_000,
    paymentsPerSecond: 5,
    fraudShare: 0.007,
    storyScale: 1,
    labelDelayUs: 3 * DAY_US,
    acceleration: 1,
    ...given,
  };
  const within = (name: keyof DemoOptions, low: number, high: number): void => {
    if (o[name] >= low && o[name] <= high) return;
    throw new RangeError(`${name} is ${o[name]}, expected ${low}..${high}`);
  };
  within("seed", 0, 0xffffffff);
  within("startUs", Date.UTC(2000, 0, 1) * 1000, Date.UTC(2100, 0, 1) * 1000);
  within("days", 0, Number.POSITIVE_INFINITY);
  within("paymentsPerSecond", 0.001, 1_000_000);
  within("fraudShare", 0, 0.2);
  within("storyScale", 0.0001, 10);
  within("labelDelayUs", 0, 365 * DAY_US);
  within("acceleration", 0.001, 1_000_000);
  if (!Number.isInteger(o.seed) || !Number.isInteger(o.startUs)) throw new RangeError("seed, startUs: whole numbers");
  return o;
}

/** Microseconds after the beginning of a live demo at which an item of this event time is due. */
export function dueUs(options: Pick<DemoOptions, "startUs" | "acceleration">, timeUs: number): number {
  return (timeUs - options.startUs) / (options.acceleration ?? 1);
}

/** The stream. Items are fresh objects; the caller may keep them. Throws RangeError for a bad option. */
export function* demoStream(options: DemoOptions): Generator<DemoItem, void, undefined> {
  const o = demoOptions(options);
  const run = new DemoRun(o);
  const endUs = o.startUs + o.days * DAY_US;
  for (;;) {
    const item = run.next();
    if (item.timeUs >= endUs) return;
    yield item;
  }
}

class DemoRun {
  readonly #stage: Stage;
  readonly #everyday: Everyday;
  readonly #outcomes: Outcomes;
  readonly #terminals: CompromisedTerminals;
  readonly #arrivals: Prng;
  readonly #plot: Prng;
  readonly #gapUs: number;
  readonly #share: number;
  /** Begins every id: two runs that differ in seed or beginning have no id in common. */
  readonly #name: string;
  #everydayUs: number;
  #payments = 0;
  #events = 0;
  #episodes = 0;
  #debt = 0;
  #round: Story[] = [];

  constructor(o: Required<DemoOptions>) {
    const rng = (label: string) => new Prng(o.seed, label);
    const story = o.fraudShare * TERMINAL_SHARE;
    this.#stage = new Stage(new Population(o.seed, o.users, o.merchants), o.storyScale);
    this.#everyday = new Everyday(this.#stage, rng("everyday"));
    this.#outcomes = new Outcomes(this.#stage, rng("outcomes"), o.labelDelayUs);
    this.#terminals = new CompromisedTerminals(this.#stage, rng("terminals"), story, () => ++this.#episodes);
    this.#arrivals = rng("arrivals");
    this.#plot = rng("plot");
    this.#share = o.fraudShare - story;
    this.#gapUs = 1e6 / (o.paymentsPerSecond * (1 - o.fraudShare));
    this.#name = `d${o.seed.toString(36)}-${Math.floor(o.startUs / 1e6).toString(36)}-`;
    this.#everydayUs = o.startUs + this.#arrivals.exponential(this.#gapUs);
  }

  next(): DemoItem {
    const { agenda } = this.#stage;
    while (this.#everydayUs <= agenda.nextUs) {
      this.#everyday.step(Math.floor(this.#everydayUs));
      this.#everydayUs += this.#arrivals.exponential(this.#gapUs);
    }
    const entry = agenda.take()!;
    const { item } = entry;
    if (item.type === "payment") this.#given(item, entry);
    else if (item.type === "event") item.event.eventId = `${this.#name}e${(++this.#events).toString(36)}`;
    entry.after?.();
    return item;
  }

  #given(item: DemoItem & { type: "payment" }, { user, merchant }: Entry): void {
    const { payment, label, timeUs } = item;
    payment.transactionId = `${this.#name}p${(++this.#payments).toString(36)}`;
    this.#outcomes.plan(payment, label, user);
    this.#terminals.earn();
    this.#debt += this.#share;
    // Stories set out from a genuine payment at a counter of the payer's own town.
    if (label.fraud || payment.channel !== "card_present" || label.story === "traveller") return;
    const anchor = { timeUs, user, merchant };
    this.#terminals.observe(anchor);
    if (this.#share === 0) return;
    if (this.#round.length === 0) this.#round = this.#plot.shuffle([...ROUND]);
    const story = this.#round[this.#round.length - 1];
    if (this.#debt < story.size / 2) return;
    this.#round.pop();
    this.#debt -= story.start(this.#stage, this.#plot, anchor, ++this.#episodes);
  }
}
