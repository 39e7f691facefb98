/**
 * A money-mule ring: many people are talked into sending money to one account they have never paid, from their own
 * devices; then the account's holder takes the money out of cash machines.
 */
import { EventKind } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { TRANSFER } from "../population.ts";
import type { Prng } from "../prng.ts";
import { HOUR_US, MINUTE_US, SECOND_US, type Stage } from "../stage.ts";
import { type Anchor, labelOf, type Story } from "./story.ts";

const CASH_CENTS_MAX = 100_000;

function start(stage: Stage, rng: Prng, anchor: Anchor, episode: number): number {
  const { population } = stage;
  const label = labelOf("mule_ring", episode);
  const mule = population.drawUser(rng);
  const payee = population.account(mule);
  const merchant = population.drawOnlineKind(rng, TRANSFER);
  const payers = rng.whole(8, 16);
  const lengthUs = stage.scaled(rng.between(4, 20) * HOUR_US);
  let lastUs = anchor.timeUs;
  for (let i = 0; i < payers; i++) {
    const drawn = population.drawUser(rng);
    const user = drawn === mule ? (mule + 1) % population.users : drawn;
    const place = population.home[user];
    const device = population.phone(user);
    const ip = population.ip(population.household[user], place);
    const at = anchor.timeUs + rng.between(0, lengthUs);
    stage.note(at, user, EventKind.LOGIN, device, ip);
    const named = at + stage.scaled(rng.between(20, 120) * SECOND_US);
    stage.note(named, user, EventKind.NEW_PAYEE, device, ip);
    const timeUs = named + stage.scaled(rng.between(20, 300) * SECOND_US);
    const cents = rng.between(25_000, 95_000);
    const plan = { timeUs, user, merchant, cents, card: "", from: place, device, ip };
    stage.pay({ ...plan, channel: "transfer", payee }, label);
    lastUs = Math.max(lastUs, timeUs);
  }
  const withdrawals = rng.whole(2, 5);
  const home = population.home[mule];
  for (let i = 0; i < withdrawals; i++) {
    lastUs += stage.scaled(rng.between(5, 40) * MINUTE_US);
    const cash = {
      timeUs: lastUs,
      user: mule,
      merchant: population.drawCashMachine(rng, home),
      card: population.card(mule),
    };
    const cents = Math.round(rng.between(0.6, 1) * (CASH_CENTS_MAX / 1000)) * 1000;
    stage.pay({ ...cash, cents, from: home, channel: "atm", declined: i > 2 && rng.chance(0.5) }, label);
  }
  return payers + withdrawals;
}

export const muleRing: Story = { name: "mule_ring", size: 15, start };
