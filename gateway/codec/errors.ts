/**
 * What a refused row is told. The hot path keeps two bytes a row (code, field number); the texts are made here, in the
 * cold path. Each text says what the caller should do.
 */
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

/** Kind of a refusal that concerns a whole message; its fields are ENVELOPE_FIELDS. */
export const KIND_ENVELOPE = 4;
/** Field numbers of an envelope's refusals. */
export const ENVELOPE_PAYMENTS = 1;
export const ENVELOPE_PAYMENT = 2;

const TIME_RANGE = "must lie between 2000-01-01 and 24 hours from now, in microseconds since 1970-01-01 UTC";
const ID = "must be 1 to 128 bytes of UTF-8";
const OPTIONAL_ID = "must be at most 128 bytes of UTF-8";
const IP = "must be an IPv4 or IPv6 address in text form, at most 45 bytes, without a zone";

type Fields = readonly (readonly [name: string, rule: string])[];

const PAYMENT_FIELDS: Fields = [
  ["", ""],
  ["transaction_id", "must be 1 to 64 bytes of UTF-8"],
  ["user_id", ID],
  ["merchant_id", ID],
  ["amount_minor", "must be 0 to 100000000000 minor units"],
  ["currency", "must be a known ISO 4217 code of three capital letters"],
  ["event_time_us", TIME_RANGE],
  ["card_token", "must be a token of at most 128 bytes: card numbers are refused, send a token in their place"],
  ["device_id", OPTIONAL_ID],
  ["ip", IP],
  ["country", "must be a known ISO 3166-1 alpha-2 code of two capital letters"],
  ["location", "must be a latitude of -90..90 and a longitude of -180..180 degrees"],
  ["channel", "must be at most 32 bytes of UTF-8"],
  ["merchant_category", "must be at most 32 bytes of UTF-8"],
  ["payee_account", OPTIONAL_ID],
  ["status", "must be ATTEMPTED, AUTHORISED or DECLINED"],
  [
    "attributes",
    "must be at most 64, each declared by the tenant and of its declared type (a finite number, " +
      "a string of at most 256 bytes, a bool)",
  ],
  ["tenant_id", "must be the tenant of the API key, or absent"],
];

/** By kind: name of each field by number, and what a valid value is. A payment of the past has a payment's fields. */
const FIELDS: readonly Fields[] = [
  PAYMENT_FIELDS,
  [
    ["", ""],
    ["transaction_id", "must be 1 to 64 bytes of UTF-8"],
    ["user_id", ID],
    ["outcome", "must be CHARGEBACK, CONFIRMED_FRAUD, LEGITIMATE, REVERSAL or REFUND"],
    ["known_time_us", TIME_RANGE],
    ["revision", "must be 1 to 65535"],
    ["retracted", "must be a bool, and false with REVERSAL: a reversal cannot be taken back"],
    ["tenant_id", "must be the tenant of the API key, or absent"],
  ],
  [
    ["", ""],
    ["event_id", "must be 1 to 64 bytes of UTF-8"],
    ["user_id", ID],
    ["kind", "must be LOGIN, LOGIN_FAILED, PASSWORD_CHANGE, DEVICE_CHANGE, NEW_PAYEE or NEW_CARD"],
    ["event_time_us", TIME_RANGE],
    ["device_id", OPTIONAL_ID],
    ["ip", IP],
    ["tenant_id", "must be the tenant of the API key, or absent"],
  ],
  PAYMENT_FIELDS,
  [
    ["", ""],
    ["payments", "must be 1 to 512 payments in a stream message, 1 to 1000 in a bulk call: split the batch"],
    ["payment", "must be present"],
  ],
];

/** Texts of the codes that no field explains. */
const TEXTS: Readonly<Record<number, string>> = {
  [ErrorCode.MALFORMED]: "the bytes are not the protobuf message: encode it again",
  [ErrorCode.ALREADY_EXISTS]:
    "this user has another payment with the same transaction_id: use a new id, or send the same content again",
  [ErrorCode.PERMISSION_DENIED]: "the API key does not allow this",
  [ErrorCode.RESOURCE_EXHAUSTED]: "too much waits already: send it again after retry_after_ms",
  [ErrorCode.UNAVAILABLE]: "not acknowledged in time and perhaps still decided: ask again with the same id",
  [ErrorCode.NOT_FOUND]: "nothing is known by this id",
  [ErrorCode.INTERNAL]: "deciding this row failed and nothing was recorded: send it again, report it if it stays",
  [ErrorCode.EXPIRED]:
    "this payment was decided before, too long ago: its decision is past the retry horizon and no longer kept",
  [ErrorCode.UNAUTHENTICATED]: "send a valid API key as `authorization: Bearer <key>`",
};

/** Name of a field as in the proto; empty for 0 and for numbers that the message does not have. */
export function errorField(kind: number, field: number): string {
  return FIELDS[kind]?.[field]?.[0] ?? "";
}

/** The text for a code (ErrorCode) and the field at fault (0 for none) of a row of this kind. */
export function errorMessage(kind: number, code: number, field: number): string {
  const [name, rule] = FIELDS[kind]?.[field] ?? ["", ""];
  if (name === "") return TEXTS[code] ?? "the request was refused";
  switch (code) {
    case ErrorCode.REQUIRED:
      return `${name} is missing: it ${rule}`;
    case ErrorCode.NOT_UTF8:
      return `${name} is not valid UTF-8`;
    case ErrorCode.MALFORMED:
      return `${name} is not readable as protobuf: encode it again`;
    case ErrorCode.INVALID:
    case ErrorCode.PERMISSION_DENIED:
      return `${name} ${rule}`;
    default:
      return `${name}: ${TEXTS[code] ?? "refused"}`;
  }
}
