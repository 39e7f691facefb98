/** Owns the refusal of a call by the error of its one row. */
import type { RowBlock } from "../../proto/columns.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { errorField, errorMessage } from "../codec/errors.ts";
import { type Refusal, refusal } from "./reply.ts";

/** The row must have an error. `retry_after_ms` goes with RESOURCE_EXHAUSTED. */
export function rowRefusal(block: RowBlock, row: number, retry_after_ms: number): Refusal {
  const kind = block.kind[row];
  const code = block.error[row] as ErrorCode;
  const field = block.errorField[row];
  return refusal(code, errorMessage(kind, code, field), {
    field: errorField(kind, field),
    outcome_unknown: code === ErrorCode.UNAVAILABLE,
    retry_after_ms: code === ErrorCode.RESOURCE_EXHAUSTED ? retry_after_ms : 0,
  });
}

/** Codes that only decoding gives: they depend on no actor, so they may be told before anything is acknowledged. */
export function refusedAtDecode(code: number): boolean {
  return code !== 0 && (code <= ErrorCode.NOT_UTF8 || code === ErrorCode.PERMISSION_DENIED);
}
