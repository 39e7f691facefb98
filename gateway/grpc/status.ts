/** Owns how refusals look in gRPC: status code, text, and trailers with the Error message and the time to wait. */
import { toBinary } from "@bufbuild/protobuf";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { ErrorCode, ErrorSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Refusal } from "../calls/reply.ts";

/** Trailer that holds the Error message's bytes. */
export const ERROR_TRAILER = "fraudguard-error-bin";
/** Trailer with whole seconds to wait, as in HTTP. */
export const RETRY_TRAILER = "retry-after";

const STATUS: Record<number, status> = {
  [ErrorCode.MALFORMED]: status.INVALID_ARGUMENT,
  [ErrorCode.REQUIRED]: status.INVALID_ARGUMENT,
  [ErrorCode.INVALID]: status.INVALID_ARGUMENT,
  [ErrorCode.NOT_UTF8]: status.INVALID_ARGUMENT,
  [ErrorCode.ALREADY_EXISTS]: status.ALREADY_EXISTS,
  [ErrorCode.PERMISSION_DENIED]: status.PERMISSION_DENIED,
  [ErrorCode.RESOURCE_EXHAUSTED]: status.RESOURCE_EXHAUSTED,
  [ErrorCode.UNAVAILABLE]: status.UNAVAILABLE,
  [ErrorCode.NOT_FOUND]: status.NOT_FOUND,
  [ErrorCode.INTERNAL]: status.INTERNAL,
  [ErrorCode.UNAUTHENTICATED]: status.UNAUTHENTICATED,
  [ErrorCode.EXPIRED]: status.FAILED_PRECONDITION,
};

export function grpcStatus(code: ErrorCode): status {
  return STATUS[code] ?? status.INTERNAL;
}

export function statusOf(refusal: Refusal): StatusObject {
  const metadata = new Metadata();
  metadata.set(ERROR_TRAILER, Buffer.from(toBinary(ErrorSchema, refusal)));
  if (refusal.retryAfterMs > 0) metadata.set(RETRY_TRAILER, String(Math.ceil(refusal.retryAfterMs / 1000)));
  return { code: grpcStatus(refusal.code), details: detailsOf(refusal), metadata };
}

function detailsOf(refusal: Refusal): string {
  return refusal.field === "" ? refusal.message : `${refusal.field}: ${refusal.message}`;
}
