/**
 * Owns the unary methods: raw request bytes to the desk, raw response bytes or a status back. No promise and one small
 * object a call; everything protobuf happens in the codec.
 */
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import type { CallKind } from "../calls/kinds.ts";
import { type Refusal, type Reply, refusal } from "../calls/reply.ts";
import type { Identity } from "../identity/identity.ts";
import { AuthenticationFailure } from "../identity/identity_error.ts";
import type { EndpointMetrics } from "../metrics/gateway_metrics.ts";
import { statusOf } from "./status.ts";

type UnaryCall = ServerUnaryCall<Buffer, Uint8Array>;
type UnaryHandler = (call: UnaryCall, callback: sendUnaryData<Uint8Array>) => void;

export function unaryHandler(
  desk: CallDesk,
  identity: Identity,
  kind: CallKind,
  metrics: EndpointMetrics,
): UnaryHandler {
  return (call, callback) => {
    const reply = new UnaryReply(call, callback);
    const tenant = identity.authenticate(call.metadata.get("authorization")[0] as string | undefined);
    if (tenant instanceof AuthenticationFailure) {
      metrics.answered("UNAUTHENTICATED", 0);
      reply.refuse(refusal(ErrorCode.UNAUTHENTICATED, tenant.message));
      return;
    }
    desk.take(kind, call.request, tenant, replyWithinMs(call.getDeadline(), tenant.deadline_ms), reply, metrics);
  };
}

class UnaryReply implements Reply {
  readonly #call: UnaryCall;
  readonly #callback: sendUnaryData<Uint8Array>;

  constructor(call: UnaryCall, callback: sendUnaryData<Uint8Array>) {
    this.#call = call;
    this.#callback = callback;
  }

  get open(): boolean {
    return !this.#call.cancelled;
  }

  answer(bytes: Uint8Array): void {
    this.#callback(null, bytes);
  }

  refuse(refusal: Refusal): void {
    this.#callback(statusOf(refusal));
  }
}

/** Time kept back so that the stand-in arrives before the client gives up: a tenth, at least 30 ms, at most 100 ms. */
const MARGIN_MS_MIN = 30;
const MARGIN_MS_MAX = 100;

/** Milliseconds until the answer must go out: from the call's own deadline when it has one, else the tenant's. */
export function replyWithinMs(deadline: Date | number, tenant_deadline_ms: number): number {
  if (deadline === Number.POSITIVE_INFINITY) return tenant_deadline_ms;
  const left_ms = Number(deadline) - Date.now();
  return Math.max(1, left_ms - Math.min(MARGIN_MS_MAX, Math.max(MARGIN_MS_MIN, left_ms / 10)));
}
