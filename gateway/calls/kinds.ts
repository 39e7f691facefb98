/** Owns the kinds of calls, and the label that each refusal has in the metrics. */
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

export const KIND_ANALYZE = 0;
export const KIND_STREAM = 1;
export const KIND_BULK = 2;
export const KIND_OUTCOME = 3;
export const KIND_EVENT = 4;
export const KIND_RISK_SCORE = 5;
export type CallKind =
  | typeof KIND_ANALYZE
  | typeof KIND_STREAM
  | typeof KIND_BULK
  | typeof KIND_OUTCOME
  | typeof KIND_EVENT
  | typeof KIND_RISK_SCORE;

const STATUS_NAMES: Record<number, string> = {
  [ErrorCode.MALFORMED]: "INVALID_ARGUMENT",
  [ErrorCode.REQUIRED]: "INVALID_ARGUMENT",
  [ErrorCode.INVALID]: "INVALID_ARGUMENT",
  [ErrorCode.NOT_UTF8]: "INVALID_ARGUMENT",
  [ErrorCode.ALREADY_EXISTS]: "ALREADY_EXISTS",
  [ErrorCode.PERMISSION_DENIED]: "PERMISSION_DENIED",
  [ErrorCode.RESOURCE_EXHAUSTED]: "RESOURCE_EXHAUSTED",
  [ErrorCode.UNAVAILABLE]: "UNAVAILABLE",
  [ErrorCode.NOT_FOUND]: "NOT_FOUND",
  [ErrorCode.EXPIRED]: "FAILED_PRECONDITION",
  [ErrorCode.UNAUTHENTICATED]: "UNAUTHENTICATED",
};

/** Label of a refusal in the metrics: the gRPC status name. */
export function statusName(code: ErrorCode): string {
  return STATUS_NAMES[code] ?? "INTERNAL";
}
