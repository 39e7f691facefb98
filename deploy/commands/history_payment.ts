/** A row of a history as a payment of the public API. */
import { PaymentStatus } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { PaymentInit } from "../client/fraud_client.ts";
import type { HistoryRow } from "../datasets/history_row.ts";

/** `attributes`: whether the row's are sent, which a tenant that has not declared them refuses. */
export function historyPayment(row: HistoryRow, attributes: boolean): PaymentInit {
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
    ...(attributes && row.attributes !== undefined ? { attributes: attributeValues(row.attributes) } : {}),
  };
}

function attributeValues(attributes: Readonly<Record<string, number>>): NonNullable<PaymentInit["attributes"]> {
  const values: NonNullable<PaymentInit["attributes"]> = {};
  for (const name in attributes) values[name] = { kind: { case: "numberValue", value: attributes[name] } };
  return values;
}
