/** Owns how a call is answered: with the bytes of its response message, or with one refusal. */
import { create } from "@bufbuild/protobuf";
import { type Error as ApiError, ErrorCode, ErrorSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

/** Why a whole call was not answered with its response: the public Error message. */
export type Refusal = ApiError;

/** Who waits for one call's answer. Exactly one of the two is called, exactly once. */
export interface Reply {
  /** False: nobody waits any more, an answer need not be encoded (it is still reported, with empty bytes). */
  readonly open: boolean;
  /** The wire bytes of the response message; the receiver owns them. */
  answer(bytes: Uint8Array): void;
  refuse(refusal: Refusal): void;
}

export interface RefusalDetails {
  readonly field?: string;
  readonly retry_after_ms?: number;
  readonly outcome_unknown?: boolean;
}

export function refusal(code: ErrorCode, message: string, details: RefusalDetails = {}): Refusal {
  return create(ErrorSchema, {
    code,
    message,
    field: details.field ?? "",
    retryAfterMs: details.retry_after_ms ?? 0,
    outcomeUnknown: details.outcome_unknown ?? false,
  });
}

export function shedRefusal(retry_after_ms: number): Refusal {
  return refusal(ErrorCode.RESOURCE_EXHAUSTED, "too much waits already: try again later", { retry_after_ms });
}

/** At the deadline without an acknowledgement and without a stand-in. */
export function unknownRefusal(): Refusal {
  return refusal(
    ErrorCode.UNAVAILABLE,
    "not acknowledged at the deadline; it may still be recorded: ask again with the same id",
    { outcome_unknown: true },
  );
}

/** The node is going down: nothing was taken. */
export function drainingRefusal(): Refusal {
  return refusal(ErrorCode.UNAVAILABLE, "this node is shutting down: ask another", { retry_after_ms: 1000 });
}
