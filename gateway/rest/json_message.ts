/**
 * Owns the way from JSON bodies to protobuf bytes: protobuf's JSON mapping, unknown fields tolerated, every error
 * naming its field by the proto name (`amount_minor`; bodies may spell it `amountMinor` too).
 */
import { type DescMessage, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { ErrorCode, PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";
import { beyondLimits, isObject } from "./json_limits.ts";

/** Characters of a message that go out: the converter's own hold the value at fault, whole. */
const MESSAGE_MAX = 300;

/** Bytes of the message, or why the JSON is not one. Nothing is thrown for bad input. */
export function messageBytes(schema: DescMessage, json: unknown): Uint8Array | Refusal {
  if (!isObject(json)) return refusal(ErrorCode.MALFORMED, "expected a JSON object");
  return beyondLimits(schema, json) ?? converted(schema, json);
}

/** Bytes of a Payment; a merchant category may come as a number (its four digits). */
export function paymentBytes(json: unknown): Uint8Array | Refusal {
  if (!isObject(json)) return refusal(ErrorCode.MALFORMED, "a payment is a JSON object");
  return beyondLimits(PaymentSchema, json) ?? converted(PaymentSchema, withTextCategory(json));
}

export function isRefusal(value: Uint8Array | Refusal): value is Refusal {
  return !(value instanceof Uint8Array);
}

function withTextCategory(payment: JsonObject): JsonObject {
  for (const name of ["merchantCategory", "merchant_category"]) {
    const category = payment[name];
    if (typeof category === "number") return { ...payment, [name]: String(category).padStart(4, "0") };
  }
  return payment;
}

function converted(schema: DescMessage, json: JsonObject): Uint8Array | Refusal {
  try {
    return toBinary(schema, fromJson(schema, json, { ignoreUnknownFields: true }));
  } catch (error) {
    return refusalOf(error);
  }
}

/** The converter's errors carry the field's descriptor as their cause. */
function refusalOf(error: unknown): Refusal {
  const cause = (error as { cause?: { field?: () => { name?: string }; message?: string } }).cause;
  const field = typeof cause?.field === "function" ? cause.field().name : undefined;
  if (field !== undefined) return refusal(ErrorCode.INVALID, `${short(cause?.message)}${unitHint(field)}`, { field });
  return refusal(ErrorCode.MALFORMED, error instanceof Error ? short(error.message) : "not the expected JSON");
}

function short(message = ""): string {
  return message.length <= MESSAGE_MAX ? message : `${message.slice(0, MESSAGE_MAX)}...`;
}

/** RFC 3339 texts are the usual mistake: units are last in names, and worth saying. */
function unitHint(field: string): string {
  return field.endsWith("_us")
    ? "; expected microseconds since 1970-01-01 UTC, a number or its digits as a string"
    : "";
}
