/** A row of a history as a payment of the public API. */
import { PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { PaymentInit } from "../client/fraud_client.ts";
import type { HistoryRow } from "../datasets/history_row.ts";

export function historyPayment(row: HistoryRow): PaymentInit {
  const { latitude, longitude } = row;
  return {
    transactionId: row.transactionId,
    userId: row.userId,
    merchantId: row.merchantId,
    amountMinor: BigInt(row.amountMinor),
    currency: row.currency,
    eventTimeUs: BigInt(row.eventTimeUs),
    cardToken: row.cardToken ?? "",
    deviceId: row.deviceId ?? "",
    ip: row.ip ?? "",
    country: row.country ?? "",
    channel: row.channel ?? "",
    merchantCategory: row.category ?? "",
    status: PaymentStatus.AUTHORISED,
    ...(latitude === undefined || longitude === undefined ? {} : { location: { latitude, longitude } }),
  };
}
