/**
 * Account takeover: failed logins, then a login from a new device in another country, a new password, a new payee, and
 * transfers that drain the account within the hour.
 */
import { EventKind } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { TRANSFER } from "../population.ts";
import type { Prng } from "../prng.ts";
import { MINUTE_US, SECOND_US, type Stage } from "../stage.ts";
import { type Anchor, fraudster, labelOf, type Story } from "./story.ts";

function start(stage: Stage, rng: Prng, anchor: Anchor, episode: number): number {
  const { population } = stage;
  const label = labelOf("account_takeover", episode);
  const user = population.drawUser(rng);
  const thief = fraudster(stage, rng, episode, population.home[user]);
  let at = anchor.timeUs + stage.scaled(rng.between(1, 30) * MINUTE_US);
  const note = (kind: EventKind, seconds: number): void => {
    at += stage.scaled(rng.between(seconds / 3, seconds) * SECOND_US);
    stage.note(at, user, kind, thief.device, thief.ip);
  };
  for (let i = rng.whole(3, 8); i > 0; i--) note(EventKind.LOGIN_FAILED, 40);
  note(EventKind.LOGIN, 60);
  note(EventKind.PASSWORD_CHANGE, 180);
  if (rng.chance(0.6)) note(EventKind.DEVICE_CHANGE, 60);
  note(EventKind.NEW_PAYEE, 240);
  const payee = population.account(population.drawUser(rng));
  const merchant = population.drawOnlineKind(rng, TRANSFER);
  const payments = rng.whole(2, 6);
  const first = rng.between(50_000, 200_000) * population.spends[user];
  for (let i = 0; i < payments; i++) {
    at += stage.scaled(rng.between(1, 10) * MINUTE_US);
    const cents = first * rng.between(0.4, 1);
    // The last one often finds the account empty.
    const declined = i > 0 && i === payments - 1 && rng.chance(0.5);
    const plan = { timeUs: at, user, merchant, cents, card: "", from: thief.place, device: thief.device, ip: thief.ip };
    stage.pay({ ...plan, channel: "transfer", payee, declined }, label);
  }
  return payments;
}

export const accountTakeover: Story = { name: "account_takeover", size: 4, start };
