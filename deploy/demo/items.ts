/**
 * What the demo stream gives: payments, events that are no payments, and outcomes, as plain objects with the fields of
 * the public API in camelCase. Times and amounts are whole numbers within 2^53; an encoder that wants bigint converts.
 */
import type { EventKind, OutcomeKind, PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

export interface DemoPayment {
  transactionId: string;
  readonly userId: string;
  readonly merchantId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly eventTimeUs: number;
  readonly cardToken: string;
  /** Empty at a counter or a cash machine. */
  readonly deviceId: string;
  readonly ip: string;
  readonly country: string;
  /** Absent for an online payment that shares no place. */
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  readonly channel: "card_present" | "ecommerce" | "mobile" | "atm" | "transfer";
  readonly merchantCategory: string;
  readonly payeeAccount: string;
  readonly status: PaymentStatus;
}

export type FraudStory =
  | "card_testing"
  | "account_takeover"
  | "compromised_terminal"
  | "mule_ring"
  | "impossible_travel";
/** Genuine payments that look odd, and all the others. */
export type GenuineStory = "everyday" | "traveller" | "big_purchase" | "night_owl" | "shared_device" | "new_payee";

/** The truth about a payment: for training and outcomes, never sent with it. */
export interface Label {
  readonly fraud: boolean;
  readonly story: FraudStory | GenuineStory;
  /** Number of the fraud it is part of, from 1; 0 for genuine payments. */
  readonly episode: number;
}

export interface DemoEvent {
  eventId: string;
  readonly userId: string;
  readonly kind: EventKind;
  readonly eventTimeUs: number;
  readonly deviceId: string;
  readonly ip: string;
}

export interface DemoOutcome {
  readonly transactionId: string;
  readonly userId: string;
  readonly outcome: OutcomeKind;
  readonly knownTimeUs: number;
  readonly revision: number;
  readonly retracted: boolean;
}

export type DemoItem =
  | { readonly type: "payment"; readonly timeUs: number; readonly payment: DemoPayment; readonly label: Label }
  | { readonly type: "event"; readonly timeUs: number; readonly event: DemoEvent }
  | { readonly type: "outcome"; readonly timeUs: number; readonly outcome: DemoOutcome };
