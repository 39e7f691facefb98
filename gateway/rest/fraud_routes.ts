/** Owns the routes under /v1/fraud: each turns JSON into a request message, waits for the desk, and answers JSON. */
import { type DescMessage, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import type { FastifyInstance, FastifyRequest } from "fastify";
import {
  AnalyzeResponseSchema,
  BulkAnalyzeResponseSchema,
  ErrorCode,
  ErrorSchema,
  GetRiskScoreRequestSchema,
  GetRiskScoreResponseSchema,
  RecordEventRequestSchema,
  RecordEventResponseSchema,
  ReportOutcomeRequestSchema,
  ReportOutcomeResponseSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import { type CallKind, KIND_ANALYZE, KIND_BULK, KIND_EVENT, KIND_OUTCOME, KIND_RISK_SCORE } from "../calls/kinds.ts";
import { type Refusal, type Reply, refusal } from "../calls/reply.ts";
import { BULK_PAYMENTS_MAX } from "../codec/envelope.ts";
import { BULK_BODY_BYTES_MAX } from "./json_body.ts";
import { isObject } from "./json_limits.ts";
import { isRefusal, messageBytes, paymentBytes } from "./json_message.ts";
import { frame, WITH_TIMINGS } from "./payment_frames.ts";
import { ProblemError, tooLarge } from "./problem.ts";

interface RiskScoreRequest {
  Params: { transaction_id: string };
  Querystring: { user_id?: string; userId?: string };
}

export function fraudRoutes(app: FastifyInstance, desk: CallDesk): void {
  app.post("/v1/fraud/analyze", async (request) => {
    const body = request.body;
    const payment = paymentBytes(isObject(body) && isObject(body.payment) ? body.payment : body);
    if (isRefusal(payment)) throw new ProblemError(payment);
    const timings = wantsTimings(request) ? [WITH_TIMINGS] : [];
    const bytes = await ask(desk, KIND_ANALYZE, Buffer.concat([frame(payment), ...timings]), tenantOf(request));
    return (json(AnalyzeResponseSchema, bytes) as { decision: JsonValue }).decision;
  });
  app.post("/v1/fraud/bulk-analyze", { bodyLimit: BULK_BODY_BYTES_MAX }, async (request) => bulkAnalyze(desk, request));
  app.get<RiskScoreRequest>("/v1/fraud/risk-score/:transaction_id", async (request) => {
    const userId = request.query.user_id ?? request.query.userId ?? "";
    const asked = required(
      messageBytes(GetRiskScoreRequestSchema, { transactionId: request.params.transaction_id, userId }),
    );
    const bytes = await ask(desk, KIND_RISK_SCORE, asked, tenantOf(request as FastifyRequest));
    return (json(GetRiskScoreResponseSchema, bytes) as { decision: JsonValue }).decision;
  });
  app.post("/v1/fraud/outcomes", async (request) => {
    const asked = required(messageBytes(ReportOutcomeRequestSchema, request.body));
    return json(ReportOutcomeResponseSchema, await ask(desk, KIND_OUTCOME, asked, tenantOf(request)));
  });
  app.post("/v1/fraud/events", async (request) => {
    const asked = required(messageBytes(RecordEventRequestSchema, request.body));
    return json(RecordEventResponseSchema, await ask(desk, KIND_EVENT, asked, tenantOf(request)));
  });
}

/** Payments that are not valid JSON payments get their errors here, the others theirs from the codec and the shards. */
async function bulkAnalyze(desk: CallDesk, request: FastifyRequest): Promise<{ results: JsonValue[] }> {
  const body = request.body;
  const payments = isObject(body) ? body.payments : undefined;
  if (!Array.isArray(payments)) {
    throw new ProblemError(refusal(ErrorCode.REQUIRED, "expected {payments: [...]}", { field: "payments" }));
  }
  if (payments.length > BULK_PAYMENTS_MAX) throw tooLarge(`more than ${BULK_PAYMENTS_MAX} payments`, "payments");
  const parsed = payments.map((payment) => paymentBytes(payment));
  const frames = parsed.filter((p): p is Uint8Array => !isRefusal(p)).map((p) => frame(p));
  if (wantsTimings(request)) frames.push(WITH_TIMINGS);
  let decided: JsonValue[] = [];
  if (payments.length === 0 || parsed.some((p) => !isRefusal(p))) {
    const bytes = await ask(desk, KIND_BULK, Buffer.concat(frames), tenantOf(request));
    decided = (json(BulkAnalyzeResponseSchema, bytes) as { results: JsonValue[] }).results;
  }
  let next = 0;
  return { results: parsed.map((p) => (isRefusal(p) ? { error: toJson(ErrorSchema, p, EMIT) } : decided[next++])) };
}

/** Waits for the desk's answer; a refusal rejects with its problem. */
function ask(desk: CallDesk, kind: CallKind, bytes: Uint8Array, tenant: Tenant): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const reply: Reply = {
      open: true,
      answer: resolve,
      refuse: (refused) => reject(new ProblemError(refused)),
    };
    desk.take(kind, bytes, tenant, tenant.deadline_ms, reply, null);
  });
}

/** Fields with their default value are shown too: `"repeated": false` tells more than nothing. */
const EMIT = { alwaysEmitImplicit: true } as const;

function json(schema: DescMessage, bytes: Uint8Array): JsonValue {
  return toJson(schema, fromBinary(schema, bytes), EMIT);
}

function required(bytes: Uint8Array | Refusal): Uint8Array {
  if (isRefusal(bytes)) throw new ProblemError(bytes);
  return bytes;
}

function wantsTimings(request: FastifyRequest): boolean {
  return (request.query as { timings?: string }).timings === "true";
}

function tenantOf(request: FastifyRequest): Tenant {
  if (request.tenant === null) throw new Error("a /v1 route ran without authentication");
  return request.tenant;
}
