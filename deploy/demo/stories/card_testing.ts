/**
 * Card testing: somebody has a set of stolen cards and tries them with tiny payments at one to three online merchants,
 * from one device, within minutes; many are declined. One to three cards that work are then used for something big.
 */
import { DIGITAL, ELECTRONICS, GIFT_CARDS } from "../population.ts";
import type { Prng } from "../prng.ts";
import { MINUTE_US, SECOND_US, type Stage } from "../stage.ts";
import { type Anchor, fraudster, labelOf, type Story } from "./story.ts";

const P_DECLINED = 0.4;

function start(stage: Stage, rng: Prng, anchor: Anchor, episode: number): number {
  const { population } = stage;
  const label = labelOf("card_testing", episode);
  const thief = fraudster(stage, rng, episode, population.home[anchor.user]);
  const shops = Array.from({ length: rng.whole(1, 3) }, () => population.drawOnlineKind(rng, DIGITAL));
  const victims = Array.from({ length: rng.whole(5, 12) }, () => population.drawUser(rng));
  const cards = victims.map((user) => population.card(user));
  const common = { from: thief.place, device: thief.device, ip: thief.ip, channel: "ecommerce" } as const;
  let at = anchor.timeUs + stage.scaled(rng.between(1, 20) * MINUTE_US);
  let payments = 0;
  for (let round = 0; round < 2; round++) {
    for (let v = 0; v < victims.length; v++) {
      // The second round tries some of the cards again, with another tiny amount.
      if (round === 1 && rng.chance(0.4)) continue;
      const tiny = { timeUs: at, user: victims[v], card: cards[v], cents: rng.between(30, 300) };
      stage.pay({ ...common, ...tiny, merchant: rng.pick(shops), declined: rng.chance(P_DECLINED) }, label);
      payments++;
      at += stage.scaled(rng.between(5, 60) * SECOND_US);
    }
  }
  for (let i = rng.whole(1, 3); i > 0; i--) {
    const v = rng.below(victims.length);
    at += stage.scaled(rng.between(2, 15) * MINUTE_US);
    const cents = rng.between(20_000, 90_000) * population.spends[victims[v]];
    const merchant = population.drawOnlineKind(rng, rng.chance(0.5) ? GIFT_CARDS : ELECTRONICS);
    stage.pay({ ...common, timeUs: at, user: victims[v], card: cards[v], cents, merchant }, label);
    payments++;
  }
  return payments;
}

export const cardTesting: Story = { name: "card_testing", size: 16, start };
