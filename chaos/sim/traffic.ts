/** Made-up requests of a simulation, all from its seed: payments good and bad, repeats, outcomes, events. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EventKind,
  OutcomeKind,
  type Payment,
  PaymentSchema,
  PaymentStatus,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { SimWorld } from "../../runtime/testkit/sim_world.ts";

const USERS = 40;
const MERCHANTS = 9;
const DEVICES = 12;
const MINUTE_US = 60e6;

/** Merchants that take only payments far behind their users' newest: those are late for the user, not for them. */
const LATE_MERCHANTS = 2;

export type PaymentInit = Exclude<MessageInitShape<typeof PaymentSchema>, Payment>;

/** A payment with a fault in it, and the field that the error must name. */
export interface BadPayment {
  readonly payment: Payment;
  readonly field: string;
}

export class Traffic {
  readonly #world: SimWorld;
  readonly #hot: number;
  #made = 0;

  /** `hot`: share of the payments that the first user makes at the first merchant, so that both have many events. */
  constructor(world: SimWorld, hot: number) {
    this.#world = world;
    this.#hot = hot;
  }

  /** Few users and merchants, so that windows fill; both tenants use the same names. */
  payment(over: PaymentInit = {}): Payment {
    const w = this.#world;
    const kind = w.random();
    let behindUs = w.between(0, 2e6);
    const isHot = w.chance(this.#hot);
    const user = isHot ? 0 : this.#index(USERS);
    let merchant = `merchant-${isHot ? 0 : this.#index(MERCHANTS)}`;
    if (kind < 0.08) behindUs = w.between(0, 50 * MINUTE_US);
    else if (kind < 0.09) {
      // More than the tolerance of an hour behind, by so little of their own that they are never late among themselves.
      behindUs = w.between(120 * MINUTE_US, 130 * MINUTE_US);
      merchant = `late-merchant-${this.#index(LATE_MERCHANTS)}`;
    }
    return create(PaymentSchema, {
      transactionId: `tx-${++this.#made}`,
      userId: `user-${user}`,
      merchantId: merchant,
      amountMinor: BigInt(1 + Math.floor(w.random() ** 3 * 500_000)),
      currency: w.chance(0.1) ? "USD" : "EUR",
      eventTimeUs: BigInt(Math.floor(w.wallUs() - behindUs)),
      cardToken: `card-${this.#index(60)}`,
      deviceId: w.chance(0.7) ? `device-${this.#index(DEVICES)}` : "",
      ip: `10.0.0.${this.#index(200)}`,
      country: w.chance(0.5) ? "DE" : "FR",
      channel: w.chance(0.5) ? "ecommerce" : "card_present",
      merchantCategory: "5411",
      status: PaymentStatus.AUTHORISED,
      ...(w.chance(0.3) ? { location: { latitude: w.between(40, 55), longitude: w.between(0, 15) } } : {}),
      ...over,
    });
  }

  bad(): BadPayment {
    const faults: readonly [PaymentInit, string][] = [
      [{ amountMinor: -1n }, "amount_minor"],
      [{ userId: "" }, "user_id"],
      [{ currency: "XQX" }, "currency"],
      [{ eventTimeUs: 5n }, "event_time_us"],
      [{ ip: "not an address" }, "ip"],
      [{ cardToken: "4111111111111111" }, "card_token"],
      [{ tenantId: "another" }, "tenant_id"],
    ];
    const [over, field] = faults[this.#index(faults.length)];
    return { payment: this.payment(over), field };
  }

  outcome(about: Payment) {
    const w = this.#world;
    const kinds = [OutcomeKind.CHARGEBACK, OutcomeKind.LEGITIMATE, OutcomeKind.REVERSAL, OutcomeKind.CONFIRMED_FRAUD];
    return create(ReportOutcomeRequestSchema, {
      transactionId: about.transactionId,
      userId: about.userId,
      outcome: kinds[this.#index(kinds.length)],
      knownTimeUs: BigInt(Math.floor(w.wallUs())),
      revision: 1 + this.#index(3),
    });
  }

  event() {
    const kinds = [EventKind.LOGIN, EventKind.PASSWORD_CHANGE, EventKind.NEW_PAYEE, EventKind.DEVICE_CHANGE];
    return create(RecordEventRequestSchema, {
      eventId: `event-${++this.#made}`,
      userId: `user-${this.#index(USERS)}`,
      kind: kinds[this.#index(kinds.length)],
      eventTimeUs: BigInt(Math.floor(this.#world.wallUs())),
      deviceId: `device-${this.#index(DEVICES)}`,
    });
  }

  #index(below: number): number {
    return Math.floor(this.#world.random() * below);
  }
}
