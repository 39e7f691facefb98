/**
 * Impossible travel: a cloned card is used at counters in another country while its holder has just paid at home. No
 * plane is that fast.
 */
import type { Prng } from "../prng.ts";
import { MINUTE_US, type Stage } from "../stage.ts";
import { type Anchor, fraudster, labelOf, type Story } from "./story.ts";

function start(stage: Stage, rng: Prng, anchor: Anchor, episode: number): number {
  const { population } = stage;
  const { user } = anchor;
  const label = labelOf("impossible_travel", episode);
  const { place } = fraudster(stage, rng, episode, population.home[user]);
  const card = population.card(user);
  const payments = rng.whole(1, 4);
  let at = anchor.timeUs;
  for (let i = 0; i < payments; i++) {
    at += stage.scaled(rng.between(15, 45) * MINUTE_US);
    const cash = rng.chance(0.3);
    const merchant = cash ? population.drawCashMachine(rng, place) : population.drawLocal(rng, place);
    const { channel, median_cents } = population.category(merchant);
    const cents = Math.max(2000, Math.round((median_cents * rng.between(1, 4)) / 1000) * 1000);
    const plan = { timeUs: at, user, merchant, card, from: place, cents, declined: i > 0 && rng.chance(0.2) };
    stage.pay({ ...plan, channel: channel === "atm" ? "atm" : "card_present" }, label);
  }
  return payments;
}

export const impossibleTravel: Story = { name: "impossible_travel", size: 2.5, start };
