/** Each story is in the stream, and has the shape that its file describes. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { EventKind, PaymentStatus } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { DemoEvent, DemoPayment, FraudStory, Label } from "../items.ts";
import { Population } from "../population.ts";
import { demoStream } from "../stream.ts";
import { CURRENCIES, distanceKm } from "../world.ts";

const HOUR_US = 3600e6;
const OPTIONS = {
  seed: 7,
  startUs: Date.UTC(2026, 2, 2) * 1000,
  days: 6,
  users: 10_000,
  merchants: 500,
  paymentsPerSecond: 0.6,
};
const people = new Population(OPTIONS.seed, OPTIONS.users, OPTIONS.merchants);

interface Paid extends DemoPayment {
  readonly label: Label;
}
const payments: Paid[] = [];
const eventsOf = new Map<string, DemoEvent[]>();
/** Genuine payments at a counter, by card. */
const visitsOf = new Map<string, Paid[]>();

function append<V>(lists: Map<string, V[]>, key: string, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

before(() => {
  for (const item of demoStream(OPTIONS)) {
    if (item.type === "event") append(eventsOf, item.event.userId, item.event);
    if (item.type !== "payment") continue;
    const paid = { ...item.payment, label: item.label };
    payments.push(paid);
    if (!paid.label.fraud && paid.channel === "card_present") append(visitsOf, paid.cardToken, paid);
  }
});

/** Episodes of a story that began at least two days before the end, so that they are complete. */
function episodes(story: FraudStory): Paid[][] {
  const all = new Map<number, Paid[]>();
  for (const p of payments) {
    if (p.label.story !== story) continue;
    const episode = all.get(p.label.episode);
    if (episode === undefined) all.set(p.label.episode, [p]);
    else episode.push(p);
  }
  const end = OPTIONS.startUs + (OPTIONS.days - 2) * 24 * HOUR_US;
  return [...all.values()].filter((e) => e[0].eventTimeUs < end);
}

const euroCents = (p: Paid) => (p.amountMinor / CURRENCIES[p.currency].per_eur / CURRENCIES[p.currency].minor) * 100;
const userOf = (p: { userId: string }) => Number(p.userId.slice(1));
const homeCountry = (p: Paid) => people.places[people.home[userOf(p)]].country;
const distinct = (values: readonly string[]) => new Set(values).size;

test("card testing: many tiny payments of several cards from one device, declines, then big ones", () => {
  const found = episodes("card_testing");
  assert.ok(found.length >= 10, `${found.length} episodes`);
  for (const all of found) {
    const tiny = all.filter((p) => euroCents(p) < 400);
    const big = all.filter((p) => euroCents(p) > 3000);
    assert.equal(tiny.length + big.length, all.length);
    assert.ok(tiny.length >= 5 && big.length >= 1 && big.length <= 3);
    assert.ok(big[0].eventTimeUs > tiny.at(-1)!.eventTimeUs, "the big ones come last");
    assert.equal(distinct(all.map((p) => `${p.deviceId} ${p.ip} ${p.country}`)), 1);
    assert.ok(distinct(tiny.map((p) => p.cardToken)) >= 4);
    assert.ok(distinct(tiny.map((p) => p.merchantId)) <= 3);
    assert.ok(all.every((p) => p.channel === "ecommerce"));
    assert.ok(big.every((b) => tiny.some((p) => p.cardToken === b.cardToken && p.userId === b.userId)));
    assert.ok(all.at(-1)!.eventTimeUs - all[0].eventTimeUs < 2 * HOUR_US);
  }
  const tiny = found.flat().filter((p) => euroCents(p) < 400);
  const declined = tiny.filter((p) => p.status === PaymentStatus.DECLINED).length / tiny.length;
  assert.ok(declined > 0.25 && declined < 0.55, `${declined} declined`);
});

test("account takeover: failed logins, login, password, payee from a foreign device; then transfers to it", () => {
  const found = episodes("account_takeover");
  const genuineDevices = new Set(payments.filter((p) => !p.label.fraud).map((p) => p.deviceId));
  assert.ok(found.length >= 30, `${found.length} episodes`);
  for (const all of found) {
    const [first] = all;
    const kinds = eventsOf
      .get(first.userId)!
      .filter((e) => e.deviceId === first.deviceId && e.eventTimeUs <= first.eventTimeUs)
      .map((e) => e.kind);
    const failed = kinds.filter((k) => k === EventKind.LOGIN_FAILED).length;
    assert.ok(failed >= 3, `${failed} failed logins`);
    assert.deepEqual(
      kinds.slice(failed).filter((k) => k !== EventKind.DEVICE_CHANGE),
      [EventKind.LOGIN, EventKind.PASSWORD_CHANGE, EventKind.NEW_PAYEE],
    );
    assert.ok(all.length >= 2 && all.length <= 6);
    assert.ok(all.every((p) => p.channel === "transfer" && p.country !== homeCountry(p)));
    assert.equal(distinct(all.map((p) => `${p.payeeAccount} ${p.deviceId} ${p.userId}`)), 1);
    assert.ok(all.at(-1)!.eventTimeUs - first.eventTimeUs < HOUR_US);
    assert.equal(genuineDevices.has(first.deviceId), false, "no genuine payment comes from the thief's device");
  }
});

test("compromised terminal: cards that were really used there come back, there and elsewhere, for days", () => {
  const found = episodes("compromised_terminal");
  assert.ok(found.length >= 2, `${found.length} terminals`);
  let [same, total] = [0, 0];
  for (const all of found) {
    const cards = new Map(all.map((p) => [p.cardToken, p.eventTimeUs]));
    const shops = [...cards].map(
      ([card, at]) =>
        new Set(
          visitsOf
            .get(card)!
            .filter((v) => v.eventTimeUs < at)
            .map((v) => v.merchantId),
        ),
    );
    const common = [...shops[0]].filter((m) => shops.every((s) => s.has(m)));
    assert.ok(common.length >= 1, "one counter has seen all the cards");
    same += all.filter((p) => common.includes(p.merchantId)).length;
    total += all.length;
  }
  const longest = Math.max(...found.map((all) => all.at(-1)!.eventTimeUs - all[0].eventTimeUs));
  assert.ok(longest > 48 * HOUR_US);
  assert.ok(same / total > 0.25 && same / total < 0.8, `${same / total} at the same counter`);
});

test("mule ring: many payers send to one new payee, whose holder then takes cash", () => {
  const found = episodes("mule_ring");
  assert.ok(found.length >= 8, `${found.length} rings`);
  for (const all of found) {
    const sent = all.filter((p) => p.channel === "transfer");
    const cash = all.filter((p) => p.channel === "atm");
    assert.equal(distinct(sent.map((p) => p.payeeAccount)), 1);
    assert.ok(distinct(sent.map((p) => p.userId)) >= 6);
    assert.equal(distinct(cash.map((p) => p.userId)), 1);
    assert.ok(cash.length >= 2 && cash.length <= 5);
    assert.equal(people.account(userOf(cash[0])), sent[0].payeeAccount);
    assert.ok(cash[0].eventTimeUs > sent.at(-1)!.eventTimeUs);
    for (const p of sent) {
      const named = eventsOf
        .get(p.userId)!
        .some((e) => e.kind === EventKind.NEW_PAYEE && p.eventTimeUs - e.eventTimeUs < 301e6);
      assert.ok(named, "the payee was new");
      assert.equal(p.country, homeCountry(p));
    }
  }
});

test("impossible travel: a card at a counter abroad less than an hour after a genuine payment at home", () => {
  const found = episodes("impossible_travel");
  assert.ok(found.length >= 30, `${found.length} episodes`);
  for (const all of found) {
    const [first] = all;
    const before = visitsOf.get(first.cardToken)!.findLast((p) => p.eventTimeUs <= first.eventTimeUs)!;
    assert.equal(before.country, homeCountry(first));
    assert.notEqual(first.country, before.country);
    const hours = (first.eventTimeUs - before.eventTimeUs) / HOUR_US;
    assert.ok(hours < 0.76, `${hours} h`);
    assert.equal(distinct(all.map((p) => p.country)), 1);
    assert.equal(first.cardToken, before.cardToken);
  }
});

test("genuine payments: nobody travels faster than a plane, and the odd ones are all there", () => {
  const last = new Map<string, Paid>();
  for (const p of payments) {
    if (p.label.fraud || p.location === undefined) continue;
    const from = last.get(p.userId);
    last.set(p.userId, p);
    if (from?.location === undefined) continue;
    const km = distanceKm(from.location.latitude, from.location.longitude, p.location.latitude, p.location.longitude);
    const hours = (p.eventTimeUs - from.eventTimeUs) / HOUR_US;
    assert.ok(km < 100 || km / hours < 800, `${km} km in ${hours} h: ${p.userId}`);
  }
  const counts = new Map<string, number>();
  for (const p of payments) counts.set(p.label.story, (counts.get(p.label.story) ?? 0) + 1);
  for (const story of ["traveller", "big_purchase", "night_owl", "shared_device", "new_payee"]) {
    assert.ok(counts.get(story)! > 200, `${story}: ${counts.get(story)}`);
  }
  assert.ok(counts.get("everyday")! > 0.9 * payments.length);
  const shared = new Map<string, Set<string>>();
  for (const p of payments) {
    if (p.label.fraud || p.deviceId === "") continue;
    shared.set(p.deviceId, (shared.get(p.deviceId) ?? new Set()).add(p.userId));
  }
  assert.ok([...shared.values()].filter((users) => users.size > 1).length > 100, "devices shared by a household");
});

test("habits: amounts of a user are lognormal about the user's level, hours follow the local clock", () => {
  const byHour = new Uint32Array(24);
  for (const p of payments) {
    if (p.label.story !== "everyday") continue;
    const zone = people.places[people.home[userOf(p)]].zone_h;
    byHour[Math.floor((p.eventTimeUs / HOUR_US + zone) % 24)]++;
  }
  const night = byHour.slice(1, 5).reduce((a, b) => a + b);
  const noon = byHour.slice(10, 14).reduce((a, b) => a + b);
  assert.ok(noon > 15 * night, `${noon} at noon, ${night} at night`);
  const logs = payments
    .filter((p) => p.label.story === "everyday" && p.merchantCategory === "5411")
    .map((p) => Math.log(euroCents(p)))
    .sort((a, b) => a - b);
  const quantile = (q: number) => logs[Math.floor(q * logs.length)];
  const [low, middle, high] = [quantile(0.16), quantile(0.5), quantile(0.84)];
  assert.ok(Math.abs(high - middle - (middle - low)) < 0.15, "symmetric in the logarithm");
  assert.ok(Math.abs(Math.exp(middle) - 2800) < 700, `${Math.exp(middle)} cents`);
});
