/**
 * Owns the way from JSON bodies to protobuf bytes: protobuf's JSON mapping, unknown fields tolerated, every error
 * naming its field by the proto name (`amount_minor`; bodies may spell it `amountMinor` too).
 */
import { type DescMessage, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { ErrorCode, PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";

/** Bytes of the message, or why the JSON is not one. Nothing is thrown for bad input. */
export function messageBytes(schema: DescMessage, json: unknown): Uint8Array | Refusal {
  if (!isObject(json)) return refusal(ErrorCode.MALFORMED, "expected a JSON object");
  const wrong = wrongEnum(schema, json);
  if (wrong !== null) return wrong;
  try {
    return toBinary(schema, fromJson(schema, json, { ignoreUnknownFields: true }));
  } catch (error) {
    return refusalOf(error);
  }
}

/** Bytes of a Payment; a merchant category may come as a number (its four digits). */
export function paymentBytes(json: unknown): Uint8Array | Refusal {
  if (!isObject(json)) return refusal(ErrorCode.MALFORMED, "a payment is a JSON object");
  return messageBytes(PaymentSchema, withTextCategory(json));
}

export function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
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

/** Unknown enum names would be ignored like unknown fields; they are mistakes, so they are named. */
function wrongEnum(schema: DescMessage, json: JsonObject): Refusal | null {
  for (const field of schema.fields) {
    if (field.fieldKind !== "enum") continue;
    const value: JsonValue | undefined = json[field.jsonName] ?? json[field.name];
    if (typeof value !== "string" || field.enum.values.some((v) => v.name === value)) continue;
    const names = field.enum.values.slice(1).map((v) => v.name);
    return refusal(ErrorCode.INVALID, `expected one of ${names.join(", ")}`, { field: field.name });
  }
  return null;
}

/** The converter's errors carry the field's descriptor as their cause. */
function refusalOf(error: unknown): Refusal {
  const cause = (error as { cause?: { field?: () => { name?: string }; message?: string } }).cause;
  const field = typeof cause?.field === "function" ? cause.field().name : undefined;
  if (field !== undefined) return refusal(ErrorCode.INVALID, `${cause?.message}${unitHint(field)}`, { field });
  return refusal(ErrorCode.MALFORMED, error instanceof Error ? error.message : "not the expected JSON");
}

/** RFC 3339 texts are the usual mistake: units are last in names, and worth saying. */
function unitHint(field: string): string {
  return field.endsWith("_us")
    ? "; expected microseconds since 1970-01-01 UTC, a number or its digits as a string"
    : "";
}
